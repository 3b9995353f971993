"""A question goes through every room: psql's protocol in, a charge, a noisy answer of the right type out."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from noisegate.room.embedded import EmbeddedServer
from support.gates import policy_from, running_gate
from support.servers import new_database

SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, city text NOT NULL, age int);
INSERT INTO people SELECT i, CASE i % 2 WHEN 0 THEN 'Oslo' ELSE 'Rome' END, 20 + i % 50 FROM generate_series(1, 1000) i;
"""
POLICY = """
database: people
dsn: ${DSN}
unit: {table: people, key: id}
tables:
  people:
    unit: id
    columns: {id: , city: {domain: [Oslo, Rome]}, age: {bounds: [0, 100]}}
price: {epsilon: 1, epsilon_max: 1000000000, delta: 1e-9}
budgets: {dataset: {epsilon: 1000000000000, delta: 1e-3}, analyst: {epsilon: 1000000000000, delta: 1e-3}}
"""


def test_one_question_end_to_end(data_server: EmbeddedServer, tmp_path: Path) -> None:
    dsn = new_database(data_server, SCHEMA)
    with running_gate(policy_from(POLICY, dsn), tmp_path) as gate, gate.connect() as connection:
        connection.execute("SET noisegate.epsilon = 1000000000")
        rows = connection.execute("SELECT city, count(*), avg(age) FROM people GROUP BY city ORDER BY city").fetchall()
        with psycopg.connect(dsn) as truth:
            expected = truth.execute(
                "SELECT city, count(*), avg(age) FROM people GROUP BY city ORDER BY city"
            ).fetchall()
        assert rows == expected
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="rows of table people are private"):
            connection.execute("SELECT * FROM people")
