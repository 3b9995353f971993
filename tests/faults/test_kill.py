"""SIGKILL between any two steps of a statement: never an answer without a charge, and nothing to repair afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from noisegate.ledger.accounts import analyst_account, dataset_account
from noisegate.ledger.audit import ASKED
from noisegate.ledger.opening import open_ledger
from noisegate.room.embedded import EmbeddedServer
from support import doomed
from support.servers import new_database

SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, age int);
INSERT INTO people SELECT i, 20 + i % 50 FROM generate_series(1, 500) i;
"""
POLICY = """
database: people
dsn: ${DSN}
unit: {table: people, key: id}
tables:
  people: {unit: id, columns: {id: , age: {bounds: [0, 100]}}}
price: {epsilon: 0.5}
budgets: {dataset: {epsilon: 1000, delta: 1e-6}, analyst: {epsilon: 1000, delta: 1e-6}}
"""
QUESTION = "SELECT count(*) FROM people"
LINES_MAX = 120


@contextmanager
def gate(folder: Path, dsn: str, line: int, ledger: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [sys.executable, doomed.__file__, str(folder / "policy.yaml"), str(folder / "state"), str(line), ledger],
        env={**os.environ, "DSN": dsn},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def ask(port: int) -> bool:
    """Whether the analyst got an answer before the gate died."""
    try:
        with psycopg.connect(
            host="127.0.0.1", port=port, user="alice", password="analyst's password", dbname="people", autocommit=True
        ) as connection:
            return connection.execute(QUESTION).fetchone() is not None
    except psycopg.OperationalError:
        return False


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_before_a_line(data_server: EmbeddedServer, tmp_path: Path, step: int) -> None:
    killed_before_a_line(data_server, tmp_path, step, str(tmp_path / "state" / "ledger.sqlite"))


@pytest.mark.slow
def test_killed_before_a_line_with_a_ledger_on_postgres(
    data_server: EmbeddedServer, ledger_postgres: EmbeddedServer, tmp_path: Path
) -> None:
    killed_before_a_line(data_server, tmp_path, 2, new_database(ledger_postgres))


def killed_before_a_line(data_server: EmbeddedServer, tmp_path: Path, step: int, place: str) -> None:
    dsn = new_database(data_server, SCHEMA)
    (tmp_path / "policy.yaml").write_text(POLICY)
    answered = deaths = 0
    for line in range(1, LINES_MAX, step):
        with gate(tmp_path, dsn, line, place) as (process, port):
            got = ask(port)
            answered += got
            died = process.poll() is not None or _dies(process, 5 if got else 60)
            deaths += died
        ledger = open_ledger(place, create=False)
        charged = [r for r in ledger.records() if r.values["event"] == ASKED]
        assert answered <= len(charged), f"an answer without a charge: killed before line {line}"
        spent = Decimal("0.5") * len(charged)
        assert ledger.balance(analyst_account("alice", "people")).epsilon == spent
        assert ledger.balance(dataset_account("people")).epsilon == spent
        assert ledger.verify() == []
        ledger.close()
        if not died:
            break
    assert deaths * step >= 24, "the walk has fewer steps than expected"
    assert not died, "no run went through to its end"
    assert answered >= 1


def _dies(process: subprocess.Popen[str], patience_s: float) -> bool:
    try:
        return process.wait(patience_s) < 0
    except subprocess.TimeoutExpired:
        return False
