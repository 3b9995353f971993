"""Conditions on a group key say which groups there can be: no other is shown, none that PostgreSQL shows is lost."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisegate.plan.measure import DeclaredGroups, Selection
from noisegate.room.embedded import EmbeddedServer
from support.planner import Planner, like_the_engine
from support.servers import new_database

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'glad', 'calm');
CREATE TABLE people (id int PRIMARY KEY, word text, free varchar(9), short char(4), small int2, tiny int2,
  large int8, day date, open bool, mood mood, code uuid, price numeric(6,2), at timestamptz);
INSERT INTO people SELECT i, (ARRAY['a', 'b', 'A', '', 'it''s', NULL])[1 + i % 6],
  (ARRAY['x', 'y', 'X ', NULL])[1 + i % 4], (ARRAY['p', 'p ', 'q', NULL])[1 + i % 4], i % 4, i % 3,
  (i % 3) * 5000000000,
  date '2020-01-01' + i % 5, (ARRAY[true, false, NULL])[1 + i % 3], (ARRAY['sad', 'glad', NULL]::mood[])[1 + i % 3],
  ('00000000-0000-0000-0000-00000000000' || i % 3)::uuid, i % 3 + 0.5, now()
FROM generate_series(1, 120) i;
"""
POLICY = """
database: passing
dsn: ${DSN}
unit: {table: people, key: id}
tables:
  people:
    unit: id
    columns:
      word: {domain: [a, b, A, '', "it's"]}
      free:
      short: {domain: [p, q]}
      small: {domain: [0, 1, 2, 3]}
      tiny:
      large:
      day: {domain: ['2020-01-01', '2020-01-02', '2020-01-03', '2020-01-04', '2020-01-05']}
      open:
      mood:
      code: {domain: ['00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000001',
                      '00000000-0000-0000-0000-000000000002']}
      price: {domain: ['0.50', '1.50', '2.50']}
      at:
price: {epsilon: 1, epsilon_max: 10, delta: 1e-6}
budgets: {dataset: {epsilon: 1, delta: 1e-3}, analyst: {epsilon: 1, delta: 1e-3}}
"""
CONSTANTS = {
    "word": ["'a'", "'b'", "''", "'zz'", "'it''s'", "NULL"],
    "free": ["'x'", "'X '", "'X'", "'none'", "NULL"],
    "short": ["'p'", "'q '", "'q'", "'r'"],
    "small": ["0", "2", "5", "NULL", "2::int8"],
    "tiny": ["0", "2", "70000", "-70000"],
    "large": ["0", "5000000000", "7"],
    "day": ["date '2020-01-02'", "date '2020-01-04'", "timestamp '2020-01-03 12:00'", "date 'infinity'"],
    "mood": ["'sad'", "'calm'"],
    "code": ["'00000000-0000-0000-0000-000000000001'", "'{00000000-0000-0000-0000-000000000002}'"],
    "price": ["1.5", "2.50", "1"],
    "open": ["true", "false"],
}


def simple(column: str) -> st.SearchStrategy[str]:
    constants = st.sampled_from(CONSTANTS[column])
    operators = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
    found = [
        st.builds(f"{column} {{}} {{}}".format, operators, constants),
        st.builds(f"{{}} {{}} {column}".format, constants, operators),
        st.builds(f"{column} IN ({{}}, {{}})".format, constants, constants),
        st.builds(f"{column} NOT IN ({{}}, {{}})".format, constants, constants),
        st.builds(f"{column} IS {{}}".format, st.sampled_from(["NULL", "NOT NULL"])),
        st.builds(f"{column} BETWEEN {{}} AND {{}}".format, constants, constants),
        st.just("id > 30"),
    ]
    if column == "open":
        found += [st.sampled_from(["open", "NOT open", "open IS TRUE", "open IS NOT FALSE", "open IS UNKNOWN"])]
    if column == "word":
        found += [st.sampled_from(["lower(word) = 'a'", "word LIKE 'a%'", "word || 'a' = 'ba'", "word = free"])]
    return st.one_of(found)


def condition(column: str) -> st.SearchStrategy[str]:
    return st.recursive(
        simple(column),
        lambda inner: st.one_of(
            st.builds("({} OR {})".format, inner, inner),
            st.builds("({} AND {})".format, inner, inner),
            st.builds("(NOT {})".format, inner),
        ),
        max_leaves=5,
    )


WHERE = st.sampled_from(sorted(CONSTANTS)).flatmap(lambda c: st.tuples(st.just(c), condition(c)))


@pytest.fixture(scope="module")
def planner(data_server: EmbeddedServer) -> Iterator[Planner]:
    with Planner(new_database(data_server, SCHEMA), POLICY) as planner:
        yield planner


@pytest.fixture(scope="module")
def engine(planner: Planner) -> Iterator[psycopg.Connection]:
    with psycopg.connect(planner.policy.dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        like_the_engine(connection, (("TimeZone", "UTC"),))
        yield connection


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WHERE)
def test_no_group_is_lost(planner: Planner, engine: psycopg.Connection, question: tuple[str, str]) -> None:
    column, where = question
    plan = planner.plan(f"SELECT {column}, count(*) FROM people WHERE {where} GROUP BY 1").only
    found = {key: count for key, count, *_ in engine.execute(plan.sql)}
    sql = f"SELECT ({column})::text, count(*) FROM people WHERE {where} GROUP BY {column}"
    truth = dict(planner.connection.execute(sql).fetchall())
    assert found == truth
    if isinstance(plan.groups, DeclaredGroups):
        assert {(key,) for key in truth} <= set(plan.groups.rows)


@pytest.mark.parametrize(
    ("where", "key", "groups"),
    [
        ("word = 'a'", "word", ["a"]),
        ("'a' = word AND id > 7", "word", ["a"]),
        ("word IN ('a', 'zz', NULL)", "word", ["a"]),
        ("word <> 'a'", "word", ["b", "A", "", "it's"]),
        ("word NOT IN ('a', 'b', 'A')", "word", ["", "it's"]),
        ("(word = 'a' OR word IS NULL)", "word", ["a", None]),
        ("(word = 'a' OR id > 7)", "word", ["a", "b", "A", "", "it's", None]),
        ("NOT (word = 'a' OR id > 7)", "word", ["b", "A", "", "it's"]),
        ("free IN ('x', 'y')", "free", ["x", "y"]),  # its values are declared nowhere but here
        ("free = 'x' AND free IS NOT NULL", "free", ["x"]),
        ("large = 5000000000", "large", ["5000000000"]),
        ("tiny IN (2, 70000)", "tiny", ["2"]),  # no smallint is 70000
        ("small >= 2 AND small < 3", "small", ["2"]),
        ("day BETWEEN '2020-01-02' AND '2020-01-03'", "day", ["2020-01-02", "2020-01-03"]),
        ("open", "open", ["true"]),
        ("open IS NOT TRUE", "open", ["false", None]),
        ("mood IN ('glad', 'calm')", "mood", ["glad", "calm"]),
        ("short = 'p'", "short", ["p"]),
    ],
)
def test_what_is_left(planner: Planner, where: str, key: str, groups: list[str | None]) -> None:
    plan = planner.plan(f"SELECT {key}, count(*) FROM people WHERE {where} GROUP BY 1").only
    assert isinstance(plan.groups, DeclaredGroups) and plan.delta == 0
    assert sorted(map(repr, plan.groups.rows)) == sorted(repr((group,)) for group in groups)


@pytest.mark.parametrize(
    ("where", "null"),
    [("day >= '2020-01-02'", False), ("day IS NOT NULL", False), ("day IS DISTINCT FROM '2020-01-02'", True)],
)
def test_an_expression_of_a_column_that_is_there(planner: Planner, where: str, null: bool) -> None:
    """No NULL group of months, where the condition lets no missing day pass."""
    plan = planner.plan(f"SELECT extract(month FROM day), count(*) FROM people WHERE {where} GROUP BY 1").only
    assert isinstance(plan.groups, DeclaredGroups)
    assert ((None,) in plan.groups.rows) == null


@pytest.mark.parametrize(
    "where", ["free = 'x' OR id > 7", "free = word", "lower(free) = 'x'", "free LIKE 'x'", "free IS NOT NULL"]
)
def test_values_that_no_condition_lists_are_selected_from_data(planner: Planner, where: str) -> None:
    plan = planner.plan(f"SELECT free, count(*) FROM people WHERE {where} GROUP BY 1").only
    assert isinstance(plan.groups, Selection)


def test_a_condition_that_nothing_passes_is_asked_all_the_same(planner: Planner) -> None:
    plan = planner.plan("SELECT word, count(*) FROM people WHERE word = 'a' AND word = 'b' GROUP BY 1").only
    assert isinstance(plan.groups, DeclaredGroups) and len(plan.groups.rows) == 6


def test_an_outer_joins_condition_leaves_other_rows(planner: Planner) -> None:
    sql = "SELECT b.word, count(*) FROM people a LEFT JOIN people b ON a.id = b.id AND b.word = 'a' GROUP BY 1"
    plan = planner.plan(sql).only
    assert isinstance(plan.groups, DeclaredGroups) and (None,) in plan.groups.rows
