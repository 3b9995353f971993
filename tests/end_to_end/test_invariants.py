"""The design's invariants over a whole gate, where no single room can show them (docs/architecture.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from noisegate.ledger.sqlite import SqliteLedger
from noisegate.room.embedded import EmbeddedServer
from support.gates import RunningGate, policy_from, running_gate
from support.servers import new_database

SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, city text NOT NULL, age int, diary text);
CREATE TABLE secrets (id int PRIMARY KEY, person int REFERENCES people, said text);
INSERT INTO people SELECT i, CASE i % 2 WHEN 0 THEN 'Oslo' ELSE 'Rome' END, 20 + i % 50, 'dear'
  FROM generate_series(1, 400) i;
INSERT INTO secrets VALUES (1, 1, 'hush');
"""
POLICY = """
database: people
dsn: ${DSN}
unit: {table: people, key: id}
tables:
  people: {unit: id, columns: {id: , city: {domain: [Oslo, Rome]}, age: {bounds: [0, 100]}, diary: {hidden: true}}}
price: {epsilon: 0.5, epsilon_max: 2, delta: 1e-9}
budgets: {dataset: {epsilon: 100, delta: 1e-5}, analyst: {epsilon: 20, delta: 1e-6}}
"""


@dataclass
class World:
    """A gate, and the log in which the data server writes every statement that it runs."""

    gate: RunningGate
    log: Path

    def engine_texts(self, since: int) -> str:
        return self.log.read_bytes()[since:].decode(errors="replace")


@pytest.fixture(scope="module")
def world(data_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    dsn = new_database(data_server, SCHEMA)
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(f"ALTER DATABASE \"{owner.info.dbname}\" SET log_statement = 'all'".encode())
    with running_gate(policy_from(POLICY, dsn), tmp_path_factory.mktemp("gate")) as gate:
        yield World(gate, data_server.log)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) AS zebra FROM people AS zebra",
        "WITH zebra AS (SELECT city AS zebra, count(*) FROM people GROUP BY 1) SELECT * FROM zebra ORDER BY zebra",
        "SELECT /* zebra */ count(*) FROM people -- zebra",
        "SELECT count(*), 'zebra' FROM people HAVING count(*) > length('zebra')",
        "SELECT 'zebra' || city, count(*) FILTER (WHERE age > length('zebra')) FROM people GROUP BY city",
    ],
)
def test_i1_no_text_of_an_analyst_reaches_the_engine(world: World, statement: str) -> None:
    before = world.log.stat().st_size
    with world.gate.connect() as connection:
        connection.execute(statement.encode())
    ran = world.engine_texts(before)
    assert '"public"."people"' in ran, "the engine's log shows nothing: the test would notice nothing"
    assert "zebra" not in ran


def test_i1_constants_reach_it_as_literals_that_cannot_end_early(world: World) -> None:
    sly = "Oslo' OR zebra() --"
    before = world.log.stat().st_size
    with world.gate.connect() as connection:
        connection.execute("SELECT count(*) FROM people WHERE city = %s", (sly,))
    ran = world.engine_texts(before)
    assert sly.replace("'", "''") in ran
    assert sly not in ran


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(diary) FROM people",
        "SELECT count(*) FROM people WHERE diary = 'dear'",
        "SELECT count(*) FROM secrets",
        "SELECT count(*) FROM people JOIN secrets ON person = people.id",
        "SELECT said FROM public.secrets",
    ],
)
def test_i4_what_the_policy_does_not_name_does_not_exist(world: World, statement: str) -> None:
    with (
        world.gate.connect() as connection,
        pytest.raises((psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)),
    ):
        connection.execute(statement.encode())


def test_i4_nor_in_the_catalogs(world: World) -> None:
    names = """SELECT relname FROM pg_class WHERE relname ~ 'secret'
               UNION ALL SELECT attname FROM pg_attribute WHERE attname IN ('diary', 'said')"""
    with world.gate.connect() as connection:
        assert connection.execute(names.encode()).fetchall() == []


@pytest.mark.parametrize("wish", ["2.0001", "1e9", "0", "-1", "NaN", "Infinity", "1e-300", "''"])
def test_i6_a_price_outside_the_policy_cannot_be_set(world: World, wish: str) -> None:
    with world.gate.connect() as connection:
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute(f"SET noisegate.epsilon = '{wish.strip(chr(39))}'".encode())
        assert connection.execute("SHOW search_path").fetchone() is not None


@pytest.mark.parametrize(
    "setting",
    [
        "SELECT set_config('noisegate.epsilon', '1e9', false)",
        "SELECT set_config('noisegate' || '.epsilon', '-5', false)",
    ],
)
def test_i6_nor_by_way_of_a_function(world: World, setting: str) -> None:
    """The setting stands, but no statement is answered at such a price."""
    if world.gate.house.users.verifier("mallory") is None:
        world.gate.add("mallory")
    with world.gate.connect("mallory") as connection:
        connection.execute(setting.encode())
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute("SELECT count(*) FROM people")
    ledger = SqliteLedger(world.gate.state / "ledger.sqlite")
    assert not [spent for spent in ledger.balances() if "mallory" in spent.account and spent.epsilon]


@pytest.mark.parametrize(("price", "cost"), [("0.25", "0.25"), ("2", "2"), (None, "0.5")])
def test_i6_what_is_shown_is_what_is_charged(world: World, price: str | None, cost: str) -> None:
    with world.gate.connect() as connection:
        account = f"analyst:alice@{world.gate.policy.database}"
        ledger = SqliteLedger(world.gate.state / "ledger.sqlite")

        def spent() -> Decimal:
            return next((s.epsilon for s in ledger.balances() if s.account == account), Decimal(0))

        before = spent()
        notices: list[str] = []
        connection.add_notice_handler(lambda d: notices.append(d.message_primary or ""))
        if price is not None:
            connection.execute(f"SET noisegate.epsilon = {price}".encode())
        connection.execute("SELECT city, count(*), avg(age), sum(age) FROM people GROUP BY city")
        assert spent() - before == Decimal(cost)
        assert [n.partition(";")[0] for n in notices] == [f"noisegate: price epsilon {cost}"]
