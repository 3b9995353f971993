"""Views of the data server through a real gate: an analyst's question over a view is one over its tables."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from noisegate.room.embedded import EmbeddedServer
from support.gates import RunningGate, policy_from, running_gate
from support.servers import new_database

SCHEMA = """
CREATE TABLE cities (name text PRIMARY KEY, land text NOT NULL);
INSERT INTO cities VALUES ('Oslo', 'NO'), ('Rome', 'IT'), ('Pisa', 'IT');
CREATE TABLE people (id int PRIMARY KEY, city text NOT NULL REFERENCES cities, age int);
INSERT INTO people SELECT i, (ARRAY['Oslo', 'Rome', 'Pisa'])[1 + i % 3], 20 + i % 50 FROM generate_series(1, 3000) i;
CREATE VIEW adults AS SELECT id, city, age AS years FROM people WHERE age >= 30;
CREATE VIEW "Older Italians" (who, place) AS
  SELECT a.id, a.city FROM adults a JOIN cities c ON c.name = a.city AND c.land = 'IT' WHERE a.years > 40;
CREATE VIEW ages AS SELECT city, count(*) AS people, avg(age) AS mean FROM people GROUP BY city;
CREATE VIEW lands AS SELECT land, count(*) AS cities FROM cities GROUP BY land;
"""
POLICY = """
database: people
dsn: ${DSN}
unit: {table: people, key: id}
tables:
  people: {unit: id, columns: {id: , city: {domain: cities.name}, age: {bounds: [0, 100]}}}
  cities: {public: true, columns: {name: , land: }}
views: [adults, Older Italians, public.ages, lands]
price: {epsilon: 1, epsilon_max: 1000000000, delta: 1e-9}
budgets: {dataset: {epsilon: 1000000000000, delta: 1e-3}, analyst: {epsilon: 1000000000000, delta: 1e-3}}
"""


@pytest.fixture(scope="module")
def dsn(data_server: EmbeddedServer) -> str:
    return new_database(data_server, SCHEMA)


@pytest.fixture(scope="module")
def gate(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGate]:
    with running_gate(policy_from(POLICY, dsn), tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture
def alice(gate: RunningGate) -> Iterator[psycopg.Connection]:
    with gate.connect() as connection:
        connection.execute("SET noisegate.epsilon = 1000000000")
        yield connection


PUBLIC = ["SELECT * FROM lands ORDER BY land", "SELECT land FROM lands l WHERE cities > 1"]
ANSWERED = [
    *PUBLIC,
    "SELECT * FROM ages ORDER BY city",
    "SELECT a.city, a.people FROM ages a JOIN cities c ON c.name = a.city WHERE c.land = 'IT' ORDER BY 1",
    "SELECT l.cities, a.mean FROM lands l, ages a WHERE l.land = 'NO' AND a.city = 'Oslo'",
    "SELECT count(*), round(avg(years), 1) FROM adults",
    "SELECT city, count(*) FROM public.adults a(x) GROUP BY city ORDER BY 1",
    'SELECT place, count(who) FROM "Older Italians" GROUP BY place ORDER BY 1',
]


@pytest.mark.parametrize("query", ANSWERED)
def test_the_answer_is_that_of_the_data_server(alice: psycopg.Connection, dsn: str, query: str) -> None:
    with psycopg.connect(dsn) as owner:
        assert alice.execute(query.encode()).fetchall() == owner.execute(query.encode()).fetchall()


@pytest.mark.parametrize("query", PUBLIC)
def test_a_view_of_public_rows_is_relayed(gate: RunningGate, query: str) -> None:
    with gate.connect() as connection:
        notices: list[str] = []
        connection.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))
        connection.execute(query.encode())
        assert notices == []
        connection.execute("SELECT city, people FROM ages")
        assert len(notices) == 1 and "price epsilon" in notices[0]


@pytest.mark.parametrize("query", ["SELECT * FROM adults", 'SELECT who FROM "Older Italians" WHERE place = $$Rome$$'])
def test_rows_behind_a_view_stay_private(alice: psycopg.Connection, query: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="rows of table people are private"):
        alice.execute(query.encode())


def test_a_view_with_parameters(alice: psycopg.Connection) -> None:
    with alice.cursor() as asked:
        asked.execute("SELECT people FROM ages WHERE city = %s", ("Oslo",))
        assert asked.fetchall() == [(1000,)]
