"""Many sessions of one analyst at once: no answer without a charge, no charge past the budget."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from noisegate.room.embedded import EmbeddedServer
from support.gates import RunningGate, policy_from, running_gate
from support.servers import new_database

SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, age int);
INSERT INTO people SELECT i, i % 90 FROM generate_series(1, 1000) i;
"""
POLICY = """
database: raced
dsn: ${DSN}
unit: {table: people, key: id}
tables:
  people: {unit: id, columns: {id: , age: {bounds: [0, 100]}}}
price: {epsilon: 0.1, epsilon_max: 1, delta: 1e-9}
budgets: {dataset: {epsilon: 10, delta: 1e-6}, analyst: {epsilon: 1, delta: 1e-6}}
"""
SPENT = "53400"


def asked(gate: RunningGate, i: int) -> str:
    """'ok', or the error's SQLSTATE."""
    with gate.connect() as connection:
        try:
            connection.execute(f"SELECT count(*) FROM people WHERE age > {i}".encode()).fetchall()
        except psycopg.Error as error:
            return error.sqlstate or "lost"
        return "ok"


def cut_off(gate: RunningGate, i: int) -> str:
    """The client goes away, or cancels, at any moment of the walk."""
    pause = random.Random(i).random() * 0.03
    connection = gate.connect()
    connection.pgconn.send_query(f"SELECT count(*) FROM people WHERE age > {i}".encode())
    time.sleep(pause)
    if i % 2:
        connection.cancel_safe(timeout=60)
    connection.close()
    return "cut off"


def together(gate: RunningGate, ask: Callable[[RunningGate, int], str], times: int) -> list[str]:
    with ThreadPoolExecutor(12) as threads:
        return list(threads.map(lambda i: ask(gate, i), range(times)))


def test_the_budget_is_a_limit_for_all_sessions_together(data_server: EmbeddedServer, tmp_path: Path) -> None:
    with running_gate(policy_from(POLICY, new_database(data_server, SCHEMA)), tmp_path) as gate:
        outcomes = together(gate, asked, 40)
        assert outcomes.count("ok") == 10
        assert outcomes.count(SPENT) == 30


def test_what_is_cut_off_stays_charged(data_server: EmbeddedServer, tmp_path: Path) -> None:
    with running_gate(policy_from(POLICY, new_database(data_server, SCHEMA)), tmp_path) as gate:
        together(gate, cut_off, 30)
        outcomes = together(gate, asked, 20)
        assert outcomes.count("ok") + outcomes.count(SPENT) == 20
        assert outcomes.count("ok") <= 10
        assert together(gate, asked, 5) == [SPENT] * 5
