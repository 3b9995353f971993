"""The row for the groups that selection hid, through a gate."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import psycopg
import pytest

from noisegate.room.embedded import EmbeddedServer
from support.gates import RunningGate, policy_from, running_gate
from support.servers import new_database

SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, age int, year int NOT NULL, town varchar(20), code varchar(3));
CREATE TABLE visits (person int NOT NULL, kind text, spent numeric(8,2));
INSERT INTO people SELECT i, nullif(i * i % 7, 3), 2000 + i * i % 5, 't' || i * i % 11, 'c' || i % 9
  FROM generate_series(1, 60) i;
INSERT INTO visits SELECT i, 'k' || i * i % 13, i % 50 FROM generate_series(1, 60) i, generate_series(1, 3);
INSERT INTO visits SELECT i, NULL, 5 FROM generate_series(1, 5) i;
"""
POLICY = """
database: all
dsn: ${DSN}
unit: {table: people, key: id}
tables:
  people: {unit: id, columns: {id: , age: {bounds: [0, 100]}, year: {bounds: [1900, 2100]}, town: , code: }}
  visits: {unit: person, columns: {person: , kind: , spent: {bounds: [0, 50]}}}
limits: {groups_per_unit_max: 5, rows_per_group_max: 6, group_size_min: 8}
price: {epsilon: 1e15, epsilon_max: 1e15, delta: 1e-9}
budgets: {dataset: {epsilon: 1e18, delta: 1e-1}, analyst: {epsilon: 1e18, delta: 1e-1}}
answers: {other_row: ROW}
"""


@pytest.fixture(scope="module")
def gate(data_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGate]:
    policy = policy_from(POLICY.replace("ROW", "on"), new_database(data_server, SCHEMA))
    with running_gate(policy, tmp_path_factory.mktemp("state")) as running:
        yield running


def rows(session: psycopg.Connection, sql: str) -> list[tuple[object, ...]]:
    return session.execute(sql.encode()).fetchall()


def plan_of(session: psycopg.Connection, sql: str) -> str:
    return "\n".join(str(line) for (line,) in rows(session, f"EXPLAIN {sql}"))


@pytest.mark.parametrize(
    ("key", "aggregates"),
    [
        ("kind", "count(*), count(DISTINCT person), sum(spent), count(*) FILTER (WHERE spent > 20)"),
        ("kind", "round(avg(spent), 6)"),
    ],
)
def test_without_noise_it_has_what_the_others_lack(gate: RunningGate, key: str, aggregates: str) -> None:
    with gate.connect() as session, psycopg.connect(gate.policy.dsn) as direct:
        found = rows(session, f"SELECT {key}, {aggregates} FROM visits GROUP BY {key}")
        shown = [str(k) for k, *_ in found if k != "(other)"]
        assert 0 < len(shown) < 13
        whole = {k: tuple(r) for k, *r in rows(direct, f"SELECT {key}, {aggregates} FROM visits GROUP BY {key}")}
        names = ", ".join(f"'{k}'" for k in shown)
        hidden = f"({key} IN ({names})) IS NOT TRUE"
        (rest,) = rows(direct, f"SELECT {aggregates} FROM visits WHERE {hidden}")
    pairs = aggregates.replace("count(DISTINCT person)", "count(DISTINCT (person, kind))")
    if pairs != aggregates:  # a unit counts once in each of its groups
        with psycopg.connect(gate.policy.dsn) as direct:
            (rest,) = rows(direct, f"SELECT {pairs} FROM visits WHERE {hidden}")
    for k, *row in found:
        assert tuple(row) == (rest if k == "(other)" else whole[k])


def test_it_is_always_there_at_the_stated_price(gate: RunningGate) -> None:
    for sql in (
        "SELECT kind, count(*) FROM visits GROUP BY kind",
        "SELECT kind, sum(spent) FROM visits WHERE spent < 0 GROUP BY kind",
        "SELECT kind, count(*) FROM visits WHERE kind LIKE 'k0%' GROUP BY kind",
    ):
        with gate.connect() as session:
            session.execute("SET noisegate.epsilon = 0.5")
            assert [k for k, _ in rows(session, sql)].count("(other)") == 1
            plan = plan_of(session, sql)
        assert "price: epsilon 0.5, delta 0.000000001" in plan
        assert "One further row ((other)): totals of the groups that are not shown" in plan
        assert "a unit counts once for each of its groups" in plan


def test_how_it_is_marked(gate: RunningGate) -> None:
    with gate.connect() as session:
        for key, mark in (
            ("town", ("(other)",)),
            ("year, town", (None, "(other)")),
            ("year", (None,)),
            ("age::text", ("(other)",)),
        ):
            keys = ", ".join(str(i + 1) for i in range(len(mark)))
            found = rows(session, f"SELECT {key}, count(*) FROM people GROUP BY {keys}")
            assert [row[:-1] for row in found].count(mark) == 1, key
        for key, why in (("age", "no key could mark it"), ("code", "no key could mark it")):
            sql = f"SELECT {key}, count(*) FROM people GROUP BY 1"
            assert why in plan_of(session, sql)
            assert len({row[0] for row in rows(session, sql)}) == len(rows(session, sql))


def test_what_does_not_add_up_is_null_there(gate: RunningGate) -> None:
    with gate.connect() as session:
        sql = "SELECT kind, count(*), max(spent), count(DISTINCT spent) FROM visits GROUP BY kind"
        (row,) = [r for r in rows(session, sql) if r[0] == "(other)"]
        assert isinstance(row[1], int) and row[2:] == (None, None)
        for sql in ("SELECT kind, max(spent) FROM visits GROUP BY kind", "SELECT DISTINCT kind FROM visits"):
            assert "nothing that is asked adds up" in plan_of(session, sql)
            assert "(other)" not in {row[0] for row in rows(session, sql)}


def test_it_is_not_beside_declared_groups_and_grouping_sets(gate: RunningGate) -> None:
    with gate.connect() as session:
        assert rows(session, "SELECT spent > 20, count(*) FROM visits GROUP BY 1") != []
        for sql in (
            "SELECT spent > 20, count(*) FROM visits GROUP BY 1",
            "SELECT kind, count(*) FROM visits GROUP BY ROLLUP (kind)",
        ):
            assert "(other)" not in {row[0] for row in rows(session, sql)}
            assert "further row" not in plan_of(session, sql)


def test_the_remainder_sees_it_like_any_group(gate: RunningGate) -> None:
    with gate.connect() as session:
        sql = "SELECT sum(n) FROM (SELECT kind, count(*) AS n FROM visits GROUP BY kind) AS x"
        assert rows(session, sql) == [(Decimal(185),)]


def test_it_is_off_by_default(data_server: EmbeddedServer) -> None:
    text = POLICY.replace("answers: {other_row: ROW}\n", "")
    assert policy_from(text, "postgresql://nowhere").answers.other_row is False
