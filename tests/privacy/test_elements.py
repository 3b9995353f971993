"""unnest() of people's arrays: the first elements of each, and no person beyond the bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest

from noisegate.errors import Unsupported
from noisegate.room.embedded import EmbeddedServer
from privacy.test_neighbours_parts import assert_close, texts
from support.planner import Planner, like_the_engine, totals
from support.servers import new_database

SCHEMA = """
CREATE TABLE users (id int PRIMARY KEY, tags text[], marks int[], other text[],
  kinds text[], sizes numeric[]);
CREATE TABLE posts (user_id int, words text[]);
CREATE TABLE words (word text PRIMARY KEY, forms text[]);
INSERT INTO users VALUES
  (1, ARRAY['a', 'b', 'c', 'd', 'e', 'f'], ARRAY[1, 2, 3, 4, 5]), (2, ARRAY['a', 'a', NULL], '{}'), (3, NULL, NULL),
  (4, ARRAY[ARRAY['x', 'a'], ARRAY['b', 'y']], ARRAY[NULL, 1000000]), (5, '{}', '[5:7]={7,8,9}');
UPDATE users SET kinds = ARRAY['x', 'z', NULL, 'y'], sizes = ARRAY[2.5, 1.0, 3] WHERE id < 4;
INSERT INTO posts SELECT u, w FROM generate_series(1, 5) AS u,
  (VALUES (ARRAY['a', 'b', 'c']), (ARRAY['d']), (ARRAY['e', 'f', 'g', 'h'])) AS p(w), generate_series(1, u);
"""
POLICY = """
database: arrays
dsn: ${DSN}
unit: {table: users, key: id}
tables:
  users:
    unit: id
    columns: {tags: {length_max: 3}, marks: {length_max: 2, bounds: [0, 10]}, other: ,
      kinds: {length_max: 3, domain: [x, y]}, sizes: {length_max: 3, domain: [1, 2.50]}}
  posts: {unit: user_id, columns: {words: {length_max: 3}}}
  words: {public: true, columns: {word: , forms: }}
limits: {groups_per_unit_max: 2, rows_per_group_max: 9, sampled_rows_max: 3, group_size_min: 1}
price: {epsilon: 1, epsilon_max: 10, delta: 1e-6}
budgets: {dataset: {epsilon: 1, delta: 1e-3}, analyst: {epsilon: 1, delta: 1e-3}}
"""
STATEMENTS = (
    "SELECT tag, count(*), sum(n) FROM users, unnest(tags) WITH ORDINALITY AS t(tag, n) GROUP BY tag",
    "SELECT count(*), sum(m), avg(m), count(DISTINCT m), max(m) FROM users LEFT JOIN unnest(marks) AS m ON true",
    "SELECT w, count(*) FROM posts, unnest(words) AS w GROUP BY w",
    "SELECT w, t, count(*) FROM posts p JOIN users u ON u.id = p.user_id, unnest(p.words) w, unnest(u.tags) t "
    "WHERE w = t GROUP BY 1, 2",
    "SELECT avg(n) FROM (SELECT user_id, count(DISTINCT w) AS n FROM posts, unnest(words) w GROUP BY user_id) AS s",
    "SELECT count(*) FROM users WHERE EXISTS (SELECT 1 FROM unnest(tags) AS t WHERE t = 'b')",
)


@pytest.fixture(scope="module")
def planner(data_server: EmbeddedServer) -> Iterator[Planner]:
    with Planner(new_database(data_server, SCHEMA), POLICY) as planner:
        yield planner


@pytest.fixture(scope="module")
def engine(planner: Planner) -> Iterator[psycopg.Connection]:
    with psycopg.connect(planner.connection.info.dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        like_the_engine(connection, (("TimeZone", "UTC"),))
        yield connection


@pytest.mark.parametrize("sql", STATEMENTS)
def test_one_unit_changes_no_more_than_the_plan_claims(planner: Planner, engine: psycopg.Connection, sql: str) -> None:
    one = texts(planner.plan(sql).only, 7)
    before = one.exact(engine)
    for unit in range(1, 6):
        with engine.transaction(force_rollback=True):
            engine.execute("DELETE FROM public.users WHERE id = $1", (unit,))
            engine.execute("DELETE FROM public.posts WHERE user_id = $1", (unit,))
            assert_close(one.plan, before, one.exact(engine), unit)


def test_only_the_first_elements_are_read(planner: Planner, engine: psycopg.Connection) -> None:
    plan = planner.plan("SELECT tag, count(DISTINCT id) FROM users, unnest(tags) AS tag GROUP BY tag").only
    kept = plan.sql.replace("rn <= 2", "rn <= 99").replace("{secret:0}", "7")
    found = {key: row[plan.exact.index(plan.tested)] for key, row in totals(engine, plan, kept).items()}
    assert found == {("a",): 3, ("b",): 2, ("c",): 1, ("x",): 1, (None,): 1}


def test_bounds_are_of_the_elements(planner: Planner) -> None:
    plan = planner.plan("SELECT sum(m) FROM users, unnest(marks) AS m").only
    assert max(c.caps[-1] for c in plan.clips) == 9 * 10


def test_elements_of_a_domain_are_declared_groups(planner: Planner, engine: psycopg.Connection) -> None:
    for column, groups in (("kinds", ("x", "y", None)), ("sizes", ("1", "2.5", None))):
        (plan,) = planner.plan(
            f"SELECT k, count(DISTINCT id) FROM users, unnest({column}) AS k GROUP BY k"
        ).plan.fragments
        assert plan.groups.rows == tuple((g,) for g in groups) and plan.delta == 0
        found = totals(engine, plan, plan.sql.replace("rn <= 2", "rn <= 9").replace("{secret:0}", "7"))
        wanted = {"kinds": {("x",): (3,), (None,): (3,)}, "sizes": {("1",): (3,), ("2.5",): (3,)}}
        assert found == wanted[column]


def test_a_unit_with_one_row_is_in_several_groups(planner: Planner) -> None:
    (analysis,) = planner.plan("SELECT t, count(DISTINCT id) FROM users, unnest(tags) AS t GROUP BY t").analyses
    assert analysis.bounds.groups == 2 and analysis.bounds.choose and not analysis.of_unit


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("users, unnest(other) AS t", r"length_max of column other.* other: \{length_max: 10\}"),
        ("users JOIN words ON word = tags[1], unnest(forms) AS t", r"length_max of column forms.*ANY \(forms\)\.$"),
        ("users, unnest(string_to_array(tags[1], ' ')) AS t", "function unnest over columns"),
        ("users, unnest(tags, other) AS t", "function unnest over columns"),
        ("users, generate_series(1, id) AS t", "function generate_series over columns"),
        ("posts p JOIN users u ON u.id = p.user_id, " + ", ".join(f"unnest(tags) AS t{i}" for i in range(7)), "2187"),
    ],
)
def test_what_is_not_bounded_is_refused(planner: Planner, source: str, says: str) -> None:
    with pytest.raises(Unsupported) as raised:
        planner.plan(f"SELECT count(*) FROM {source}")
    assert re.search(says, f"{raised.value.message} {raised.value.hint}")
