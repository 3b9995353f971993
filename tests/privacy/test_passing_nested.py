"""Conditions inside nested queries say which groups there are, too: none that PostgreSQL shows is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisegate.plan.measure import DeclaredGroups, Selection
from noisegate.room.embedded import EmbeddedServer
from privacy.test_passing import CONSTANTS, POLICY, SCHEMA, condition
from support.planner import Planner, like_the_engine, with_secret
from support.servers import new_database

# {c}: a column, {w} and {v}: conditions on it. The column is `x` outside.
FORMS = [
    "SELECT {c} AS x, id AS n FROM people WHERE {w}",
    "SELECT {c} AS x, id AS n FROM (SELECT * FROM people WHERE {w}) AS i WHERE {v}",
    "SELECT {c} AS x, n FROM (SELECT {c}, id AS n, 5 AS id FROM people WHERE {w}) AS i",
    "SELECT DISTINCT {c} AS x, id AS n FROM people WHERE {w}",
    "SELECT {c} AS x, id AS n FROM people WHERE {w} GROUP BY id, {c}",
    "SELECT {c} AS x, id AS n FROM people WHERE {w} UNION ALL SELECT {c}, id FROM people WHERE {v}",
    "SELECT {c} AS x, id AS n FROM people WHERE {w} UNION SELECT {c}, id FROM people",
    "SELECT {c} AS x, id AS n FROM people WHERE {w} EXCEPT SELECT {c}, id FROM people WHERE {v}",
    "SELECT {c} AS x, id AS n FROM people WHERE {w} INTERSECT SELECT {c}, id FROM people WHERE {v}",
    "SELECT i.{c} AS x, o.id AS n FROM people AS o LEFT JOIN (SELECT * FROM people WHERE {w}) AS i ON i.id = o.id",
    "SELECT i.{c} AS x, i.id AS n FROM (SELECT * FROM people WHERE {v}) AS o "
    "RIGHT JOIN (SELECT * FROM people WHERE {w}) AS i ON i.id = o.id",
    "SELECT i.{c} AS x, o.id AS n FROM (SELECT * FROM people WHERE {v}) AS o "
    "FULL JOIN (SELECT * FROM people WHERE {w}) AS i ON i.id = o.id WHERE o.id IS NOT NULL",
    "SELECT l.{c} AS x, o.id AS n FROM people AS o, LATERAL (SELECT * FROM people AS i WHERE i.id = o.id AND {w}) AS l",
    "SELECT {c} AS x, id AS n FROM people WHERE EXISTS (SELECT 1 FROM people AS i WHERE i.id = people.id AND {w})",
    "SELECT max({c}::text) AS x, id AS n FROM people WHERE {w} GROUP BY id",
    "SELECT CASE WHEN {w} THEN 'yes' WHEN {v} THEN 'no' END AS x, id AS n FROM people",
    "SELECT ({w}) AS x, id AS n FROM people",
]


PLAIN = len(FORMS) - 3  # in the others x is computed


def _question(column: str) -> st.SearchStrategy[tuple[str, str]]:
    inner = st.builds(lambda f, w, v: f.format(c=column, w=w, v=v), st.sampled_from(FORMS[:PLAIN]), *_two(column))
    around = condition(column).filter(lambda w: column == "free" or "free" not in w)
    outside = around.map(lambda w: re.sub(r"\bid\b", "n", re.sub(rf"\b{column}\b", "x", w)))
    computed = st.builds(lambda f, w, v: f.format(c=column, w=w, v=v), st.sampled_from(FORMS[PLAIN:]), *_two(column))
    others = st.sampled_from(["x IS NOT NULL", "n > 3"])
    return st.one_of(st.tuples(inner, st.just("true")), st.tuples(inner, outside), st.tuples(computed, others))


def _two(column: str) -> tuple[st.SearchStrategy[str], st.SearchStrategy[str]]:
    return condition(column), condition(column)


@pytest.fixture(scope="module")
def planner(data_server: EmbeddedServer) -> Iterator[Planner]:
    with Planner(new_database(data_server, SCHEMA), POLICY) as planner:
        yield planner


@pytest.fixture(scope="module")
def engine(planner: Planner) -> Iterator[psycopg.Connection]:
    with psycopg.connect(planner.policy.dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        like_the_engine(connection, (("TimeZone", "UTC"),))
        yield connection


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(CONSTANTS)).flatmap(_question))
def test_no_group_is_lost(planner: Planner, engine: psycopg.Connection, question: tuple[str, str]) -> None:
    inner, where = question
    plan = planner.plan(f"SELECT x, count(DISTINCT n) FROM ({inner}) AS t WHERE {where} GROUP BY 1").only
    found = {key: count for key, count, *_ in engine.execute(with_secret(plan.sql, 7))}
    sql = f"SELECT x::text, count(DISTINCT n) FROM ({inner}) AS t WHERE {where} GROUP BY x"
    truth = dict(planner.connection.execute(sql).fetchall())
    assert found == truth
    if isinstance(plan.groups, DeclaredGroups):
        assert {(key,) for key in truth} <= set(plan.groups.rows)


@pytest.mark.parametrize(
    ("inner", "groups"),
    [
        ("SELECT word AS x, id FROM people WHERE word IN ('a', 'b')", ["a", "b"]),
        ("SELECT x, id FROM (SELECT word AS x, id FROM people WHERE word <> 'a') AS i WHERE x < 'b' OR x = 'b'",
         ["b", "A", "", "it's"]),
        ("SELECT DISTINCT free AS x, id FROM people WHERE free = 'x'", ["x"]),  # declared nowhere
        ("SELECT free AS x, id FROM people WHERE free = 'x' GROUP BY id, free", ["x"]),
        ("SELECT o.id, i.free AS x FROM people AS o LEFT JOIN (SELECT * FROM people WHERE free = 'x') AS i "
         "ON i.id = o.id", ["x", None]),
        ("SELECT free AS x, id FROM people WHERE free = 'x' UNION ALL SELECT word, id FROM people WHERE word = 'b'",
         ["x", "b"]),
        ("SELECT 'one' AS x, id FROM people UNION ALL SELECT 'two', id FROM people", ["one", "two"]),
        ("SELECT 'one' AS x, id FROM people UNION ALL SELECT NULL, id FROM people", ["one", None]),
        ("SELECT CASE WHEN small > 1 THEN 'many' ELSE 'few' END AS x, id FROM people", ["many", "few"]),
        ("SELECT bool_or(open) AS x, id FROM people GROUP BY id", ["false", "true", None]),
    ],
)  # fmt: skip
def test_what_is_left(planner: Planner, inner: str, groups: list[str | None]) -> None:
    plan = planner.plan(f"SELECT x, count(*) FROM ({inner}) AS t GROUP BY 1").only
    assert isinstance(plan.groups, DeclaredGroups) and plan.delta == 0
    assert sorted(map(repr, plan.groups.rows)) == sorted(repr((group,)) for group in groups)


@pytest.mark.parametrize(
    "inner",
    [
        "SELECT free AS x, id FROM people WHERE free = 'x' UNION ALL SELECT free, id FROM people",
        "SELECT max(free) AS x, id FROM people WHERE free IN ('x', 'y') GROUP BY id",
        "SELECT count(*) / 2 AS x, id FROM people GROUP BY id",  # no policy promises how many rows there are
    ],
)
def test_what_is_not_known_of_every_row_is_selected_from_data(planner: Planner, inner: str) -> None:
    plan = planner.plan(f"SELECT x, count(*) FROM ({inner}) AS t GROUP BY 1").only
    assert isinstance(plan.groups, Selection)


def test_no_null_of_a_missing_day(planner: Planner) -> None:
    sql = "SELECT extract(month FROM day), count(*) FROM (SELECT * FROM people WHERE day IS NOT NULL) AS t GROUP BY 1"
    plan = planner.plan(sql).only
    assert isinstance(plan.groups, DeclaredGroups) and (None,) not in plan.groups.rows
