"""Grouping sets through a gate: what is shown adds up exactly, and without noise it is PostgreSQL's answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

import psycopg
import pytest

from noisegate.room.embedded import EmbeddedServer
from support.gates import RunningGate, policy_from, running_gate
from support.servers import new_database

SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, city text NOT NULL, plan text, age int);
CREATE TABLE visits (person int NOT NULL, kind text, paid bool, spent numeric(8,2), note text);
INSERT INTO people SELECT i, (ARRAY['Oslo', 'Rome', 'Lima'])[1 + i % 3],
  (ARRAY['free', 'pro', NULL])[1 + i * i % 5 % 3], nullif(10 + i * 7 % 80, 17) FROM generate_series(1, 150) i;
INSERT INTO visits SELECT 1 + i * 31 % 140, (ARRAY['a', 'b', 'c', NULL])[1 + i * 5 % 7 % 4], nullif(i % 5, 1) > 0,
  nullif(i * 7919 % 10000, 3) / 100.0, 'n' || i % 3 FROM generate_series(1, 900) i;
"""
POLICY = """
database: all
dsn: ${DSN}
unit: {table: people, key: id}
tables:
  people:
    unit: id
    columns: {id: , city: {domain: [Oslo, Rome, Lima]}, plan: {domain: [free, pro]}, age: {bounds: [0, 100]}}
  visits: {unit: person, columns: {person: , kind: {domain: [a, b, c]}, paid: , spent: {bounds: [-5, 100]}, note: }}
limits: {groups_per_unit_max: 50, rows_per_group_max: 60, group_size_min: 1}
price: {epsilon: 1e15, epsilon_max: 1e15, delta: 1e-9}
budgets: {dataset: {epsilon: 1e18, delta: 1e-1}, analyst: {epsilon: 1e18, delta: 1e-1}}
answers: {show_empty_groups: SHOW}
"""
SUMS = "count(*), count(spent), sum(spent), count(*) FILTER (WHERE paid)"
STATEMENTS = (
    f"SELECT kind, paid, {SUMS}, avg(spent), stddev(spent) FROM visits GROUP BY ROLLUP (kind, paid)",
    f"SELECT kind, paid, {SUMS}, GROUPING(kind, paid), bool_or(paid) FROM visits GROUP BY CUBE (kind, paid)",
    f"SELECT kind, city, {SUMS} FROM visits JOIN people ON id = person GROUP BY GROUPING SETS ((kind), (city), ())",
    "SELECT city, plan, count(*), count(DISTINCT id), sum(age), avg(age) FROM people GROUP BY CUBE (city, plan)",
    "SELECT city, count(*) FROM people GROUP BY ROLLUP (city, city)",
    f"SELECT kind, city, paid, {SUMS} FROM visits JOIN people ON id = person GROUP BY kind, ROLLUP (city, paid)",
)
SEPARATE = (
    ("SELECT note, kind, count(*) FROM visits GROUP BY ROLLUP (note, kind)", "not all groups are known beforehand"),
    ("SELECT kind, count(DISTINCT person) FROM visits GROUP BY ROLLUP (kind)", "numbers of units do not add up"),
    ("SELECT kind, count(DISTINCT spent) FROM visits GROUP BY ROLLUP (kind)", "distinct values do not add up"),
    ("SELECT kind, max(spent) FROM visits GROUP BY CUBE (kind)", "percentiles, extremes"),
    ("SELECT kind, paid, count(*) FROM visits GROUP BY GROUPING SETS ((kind), (paid))", "none is a part of another"),
)


@pytest.fixture(scope="module", params=["false", "true"])
def gate(
    request: pytest.FixtureRequest, data_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGate]:
    policy = policy_from(POLICY.replace("SHOW", request.param), new_database(data_server, SCHEMA))
    with running_gate(policy, tmp_path_factory.mktemp("state")) as running:
        yield running


def plan_of(session: psycopg.Connection, sql: str) -> str:
    return "\n".join(line for (line,) in session.execute(f"EXPLAIN {sql}".encode()).fetchall())


@pytest.mark.parametrize("sql", STATEMENTS)
def test_without_noise_the_answer_is_postgresqls(gate: RunningGate, sql: str) -> None:
    with gate.connect() as session, psycopg.connect(gate.policy.dsn) as direct:
        assert "made consistent" in plan_of(session, sql)
        found, wanted = (
            sorted((tuple(map(close, row)) for row in one.execute(sql.encode()).fetchall()), key=repr)
            for one in (session, direct)
        )
    if gate.policy.answers.show_empty_groups:
        found = [row for row in found if row in wanted]
    assert found == wanted


def close(x: object) -> object:
    """Divisions have more digits than the grid."""
    return round(x, 4) if isinstance(x, Decimal) else x


@pytest.mark.parametrize(("sql", "reason"), SEPARATE)
def test_what_does_not_add_up_is_measured_separately(gate: RunningGate, sql: str, reason: str) -> None:
    with gate.connect() as session:
        plan = plan_of(session, sql)
        assert "grouping sets are measured separately" in plan and reason in plan
        assert session.execute(sql.encode()).fetchall()


@pytest.mark.parametrize("epsilon", ["0.05", "1"])
@pytest.mark.parametrize("sql", STATEMENTS[:2])
def test_every_total_is_the_sum_of_its_shown_parts(gate: RunningGate, sql: str, epsilon: str) -> None:
    with gate.connect() as session:
        session.execute(f"SET noisegate.epsilon = {epsilon}".encode())
        rows = session.execute(sql.replace("kind, paid,", "GROUPING(kind, paid), kind, paid,", 1).encode()).fetchall()
    totals = {(bits, kind, paid): [Decimal(v or 0) for v in row] for bits, kind, paid, *row in rows}
    assert all(n >= 0 for row in totals.values() for n in (row[0], row[1], row[3]))
    if not gate.policy.answers.show_empty_groups:
        return  # a hidden group is in its totals
    assert len({key[0] for key in totals}) == (3 if "ROLLUP" in sql else 4)
    for fine, coarse in ((0, 1), (1, 3), *(() if "ROLLUP" in sql else ((0, 2), (2, 3)))):
        sums: dict[object, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 4)
        for (bits, kind, paid), row in totals.items():
            if bits == fine:
                key = (coarse, None if coarse & 2 else kind, None if coarse & 1 else paid)
                sums[key] = [a + b for a, b in zip(sums[key], row, strict=False)]
        assert sums == {key: row[:4] for key, row in totals.items() if key[0] == coarse}
