"""Groups by a public table's column: its values are known beforehand, so no group is selected from data."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from noisegate.plan.measure import DeclaredGroups, Selection
from noisegate.room.domains import PUBLIC_VALUES_MAX
from noisegate.room.embedded import EmbeddedServer
from support.planner import Planner, like_the_engine
from support.servers import new_database

SCHEMA = f"""
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE DOMAIN word AS varchar(5);
CREATE TABLE places (id int PRIMARY KEY, name text NOT NULL, short char(4), word word, small int2, large int8,
  real float8, open bool, day date, at timestamptz, code uuid, price numeric(6,2), round numeric(3,-2), free numeric,
  mood mood, full_column text, many int, longs text);
INSERT INTO places SELECT i, (ARRAY['Oslo', E'R\\'o\\\\me', '', 'null'])[1 + i % 4],
  (ARRAY['a', 'b ', NULL])[1 + i % 3], 'w' || i % 2, i % 3, (i % 2) * 5000000000, i, i % 2 = 0,
  date '2020-01-01' + i % 5, now(), ('00000000-0000-0000-0000-00000000000' || i % 7)::uuid,
  i % 2 + 0.5, (i % 4) * 100, i % 2, 'sad', 'x', i % {PUBLIC_VALUES_MAX + 1}, repeat('long' || i % 9, 3000)
FROM generate_series(1, {PUBLIC_VALUES_MAX + 1}) i;
CREATE TABLE people (id int PRIMARY KEY, place int);
INSERT INTO people SELECT i, i FROM generate_series(1, 300) i;
INSERT INTO people VALUES (301, NULL);
"""
POLICY = """
database: places
dsn: ${DSN}
unit: {table: people, key: id}
tables:
  people: {unit: id, columns: {place: }}
  places:
    public: true
    columns: {id: , name: , short: , word: , small: , large: , real: , open: , day: , at: , code: , price: , round: ,
              free: , mood: , full_column: , many: , longs: }
answers: {joined_rows_max: 10000}
price: {epsilon: 1, epsilon_max: 10, delta: 1e-6}
budgets: {dataset: {epsilon: 1, delta: 1e-3}, analyst: {epsilon: 1, delta: 1e-3}}
"""
KNOWN = ["name", "short", "word", "small", "large", "open", "day", "code", "price", "mood"]


@pytest.fixture(scope="module")
def planner(data_server: EmbeddedServer) -> Iterator[Planner]:
    with Planner(new_database(data_server, SCHEMA), POLICY) as planner:
        yield planner


def _question(column: str, kind: str = "JOIN") -> str:
    return f"SELECT p.{column}, count(*) FROM people u {kind} places p ON p.id = u.place GROUP BY 1"


@pytest.mark.parametrize("kind", ["JOIN", "LEFT JOIN"])
@pytest.mark.parametrize("column", KNOWN)
def test_every_group_is_a_known_one(planner: Planner, column: str, kind: str) -> None:
    plan = planner.plan(_question(column, kind)).only
    assert isinstance(plan.groups, DeclaredGroups) and plan.delta == 0
    with psycopg.connect(planner.policy.dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        like_the_engine(connection, plan.settings)
        found = {(row[0],) for row in connection.execute(plan.sql)}
    rows = planner.connection.execute(f"SELECT DISTINCT p.{column} FROM people u JOIN places p ON p.id = u.place")
    assert len(found - {(None,)}) == len([row for row in rows if row[0] is not None])  # none of them is dropped
    assert found <= set(plan.groups.rows)
    assert kind == "JOIN" or (None,) in found


@pytest.mark.parametrize("column", ["id", "many", "real", "at", "round", "free", "longs"])
def test_many_or_long_values_and_other_types_are_selected_from_data(planner: Planner, column: str) -> None:
    plan = planner.plan(_question(column)).only
    assert isinstance(plan.groups, Selection) and plan.delta > 0


def test_null_is_a_group_where_it_can_be(planner: Planner) -> None:
    """It occurs in `short`; `full_column` may be NULL and never is; nobody's place is missing but in a LEFT JOIN."""

    def has_null(column: str, kind: str) -> bool:
        groups = planner.plan(_question(column, kind)).only.groups
        assert isinstance(groups, DeclaredGroups)
        return (None,) in groups.rows

    assert has_null("short", "JOIN")
    assert not has_null("full_column", "JOIN")
    assert not has_null("name", "JOIN")
    assert has_null("full_column", "LEFT JOIN")
    assert has_null("name", "LEFT JOIN")


def test_a_column_of_a_subquery_is_known_too(planner: Planner) -> None:
    inner = "SELECT u.id, p.name AS n FROM people u LEFT JOIN places p ON p.id = u.place"
    text = f"SELECT x.n, count(*) FROM ({inner}) x GROUP BY 1"
    groups = planner.plan(text).only.groups
    assert isinstance(groups, DeclaredGroups)
    assert set(groups.rows) == {("Oslo",), ("R'o\\me",), ("",), ("null",), (None,)}


def test_every_public_value_is_a_group_where_the_join_keeps_it(planner: Planner) -> None:
    """Also those that no person meets, as PostgreSQL has them."""
    plan = planner.plan(
        "SELECT p.short, count(u.id) FROM places p LEFT JOIN people u ON u.place = p.id GROUP BY 1"
    ).only
    assert isinstance(plan.groups, DeclaredGroups)
    assert set(plan.groups.rows) == {("a",), ("b",), (None,)}
    assert plan.groups.hide_below is None


def test_too_many_combinations_are_selected_from_data(planner: Planner) -> None:
    few = "SELECT name, short, day, count(*) FROM people u JOIN places p ON p.id = u.place GROUP BY 1, 2, 3"
    groups = planner.plan(few).only.groups
    assert isinstance(groups, DeclaredGroups) and len(groups.rows) == 4 * 3 * 5
    many = "SELECT name, short, day, code, small, price, open, large, word, mood, count(*) "
    many += "FROM people u JOIN places p ON p.id = u.place GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10"
    assert isinstance(planner.plan(many).only.groups, Selection)


def test_what_came_after_the_copy_is_dropped_before_bounding(data_server: EmbeddedServer) -> None:
    with Planner(new_database(data_server, SCHEMA), POLICY) as planner:
        plan = planner.plan(_question("name")).only
        planner.connection.execute("UPDATE places SET name = 'Bonn' WHERE id % 4 = 1")
        found = {row[0] for row in planner.connection.execute(plan.sql)}
    assert found == {"Oslo", "", "null"}
