"""A ledger on PostgreSQL by its URL: for commands, for two gates on the same people, and never unasked beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from noisegate.ledger.audit import ASKED
from noisegate.ledger.opening import has_ledger, on_postgres, open_ledger, shown
from noisegate.room.embedded import EmbeddedServer
from support.gates import policy_from, running_gate
from support.servers import new_database

COMMAND = [sys.executable, "-c", "from noisegate.cli.main import main; main()"]
SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, city text NOT NULL);
INSERT INTO people SELECT i, 'Oslo' FROM generate_series(1, 500) i;
"""
POLICY = """\
database: town
dsn: ${DSN}
unit: {table: people, key: id}
tables:
  people: {unit: id, columns: {id: , city: {domain: [Oslo, Rome]}}}
price: {epsilon: 1, epsilon_max: 1, delta: 1e-9}
budgets: {dataset: {epsilon: 10, delta: 1e-6}, analyst: {epsilon: 3, delta: 1e-7}}
"""


@pytest.fixture
def url(ledger_postgres: EmbeddedServer) -> str:
    return new_database(ledger_postgres)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "town.yaml").write_text(POLICY)
    return tmp_path


def run(folder: Path, *arguments: str, code: int = 0, **environment: str) -> str:
    """What a command says; its state folder and policy are in `folder`."""
    fixed = {"NOISEGATE_STATE": str(folder / "state"), "NOISEGATE_POLICY": str(folder / "town.yaml"), "TERM": "dumb"}
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=os.environ | fixed | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == code, done
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def test_commands_take_a_url(folder: Path, url: str) -> None:
    assert "there is no ledger in this database" in run(folder, "audit", "tail", "--ledger", url, code=1)
    assert json.loads(run(folder, "budget", "show", "--json", NOISEGATE_LEDGER=url))[0]["spent"]["epsilon"] == "0"
    assert not has_ledger(url)
    run(folder, "user", "add", "alice", "--generate", NOISEGATE_LEDGER=url)
    grant = ("budget", "grant", "alice", "--epsilon", "1", "--reason", "why")
    assert "above its ceiling" in run(folder, *grant, "--ledger", url, code=2)
    (folder / "town.yaml").write_text(POLICY.replace("epsilon: 3,", "epsilon: 3, ceiling: {epsilon: 5, delta: 1e-7},"))
    run(folder, *grant, "--ledger", url)
    events = [
        json.loads(line)["event"] for line in run(folder, "audit", "tail", "--json", "--ledger", url).splitlines()
    ]
    assert events == ["user", "grant"]
    assert "whole: 2 records" in run(folder, "audit", "verify", NOISEGATE_LEDGER=url)
    assert not (folder / "state" / "ledger.sqlite").exists()
    assert "whole: 2 records" in run(folder, "audit", "verify", "--ledger", url, NOISEGATE_LEDGER="nowhere.sqlite")


def test_names_of_ledgers(folder: Path) -> None:
    assert "must be a path or a URL" in run(folder, "audit", "verify", "--ledger", "mysql://h/d", code=2)
    other = folder / "other.sqlite"
    run(folder, "user", "add", "alice", "--generate", "--ledger", str(other))
    assert other.exists() and not (folder / "state" / "ledger.sqlite").exists()
    assert on_postgres("postgres://h/d") and not on_postgres("/a/postgres")
    assert shown("postgresql://me:secret@h:1/d?password=secret") == "PostgreSQL, database d on h"
    refused = run(folder, "audit", "verify", "--ledger", "postgresql://me:secret@127.0.0.1:1/d", code=1)
    assert "could not be opened" in refused and "secret" not in refused


def test_a_ledger_beside_the_data_needs_a_word(folder: Path, ledger_postgres: EmbeddedServer) -> None:
    """However the database is spelled: the servers are asked who they are."""
    data = new_database(ledger_postgres, SCHEMA)
    name = data.split("/")[-1].split("?")[0]
    with psycopg.connect(data, autocommit=True) as db:
        db.execute(f"CREATE ROLE reader_{name} LOGIN".encode())
        db.execute(f"GRANT SELECT ON people TO reader_{name}".encode())
    dsn = f"host={ledger_postgres.socket_dir} dbname={name} user=reader_{name}"

    def check(ledger: str, *options: str, code: int = 0) -> Any:
        command = ("check", str(folder / "town.yaml"), "--json", "--ledger", ledger, *options)
        return [(f["severity"], f["text"]) for f in json.loads(run(folder, *command, code=code, DSN=dsn))["findings"]]

    [[severity, text]] = [f for f in check(data, code=2) if "ledger" in f[1]]
    assert severity == "error" and "the ledger is in this database" in text
    [[severity, _]] = [f for f in check(data, "--ledger-beside-data") if "ledger" in f[1]]
    assert severity == "warning"
    assert not [f for f in check(new_database(ledger_postgres)) if "ledger" in f[1]]
    said = run(folder, "serve", str(folder / "town.yaml"), "--port", "0", code=2, DSN=dsn, NOISEGATE_LEDGER=data)
    assert "the ledger is in this database" in said and not (folder / "state").exists()
    assert not has_ledger(data)


def test_two_gates_share_one_budget(
    tmp_path: Path, data_server: EmbeddedServer, ledger_postgres: EmbeddedServer, url: str
) -> None:
    policy = policy_from(POLICY, new_database(data_server, SCHEMA))
    with (
        running_gate(policy, tmp_path / "one", ledger=url) as one,
        running_gate(policy, tmp_path / "two", ledger=url) as two,
        one.connect() as here,
        two.connect() as there,
    ):
        for session in (here, there, here):
            row = session.execute("SELECT count(*) FROM people").fetchone()
            assert row is not None and abs(row[0] - 500) < 100
        for session in (here, there):
            with pytest.raises(psycopg.errors.ConfigurationLimitExceeded, match="your budget"):
                session.execute("SELECT count(*) FROM people")
    ledger = open_ledger(url, create=False)
    assert [r.values["event"] for r in ledger.records()].count(ASKED) == 3
    assert ledger.verify() == []
    ledger.close()
