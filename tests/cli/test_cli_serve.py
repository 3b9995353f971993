"""`noisegate serve` as an operator runs it: a process, its log, its exit code."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from noisegate.ledger.users import UserStore
from noisegate.room.embedded import EmbeddedServer
from noisegate.wire.tls import make_self_signed
from support.servers import new_database

COMMAND = [sys.executable, "-c", "from noisegate.cli.main import main; main()"]
PASSWORD = "only for the test"
SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, city text NOT NULL);
INSERT INTO people SELECT i, 'Oslo' FROM generate_series(1, 500) i;
"""
POLICY = """
database: town
dsn: ${TOWN_DSN}
unit: {table: people, key: id}
tables:
  people: {unit: id, columns: {id: , city: {domain: [Oslo, Rome]}}}
price: {epsilon: 1, epsilon_max: 1, delta: 1e-9}
budgets: {dataset: {epsilon: 10, delta: 1e-6}, analyst: {epsilon: 5, delta: 1e-7}}
"""


class Serving:
    """A started `noisegate serve`, and all that it has said on stderr."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""

    def wait_for(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        stream = self.process.stderr
        assert stream is not None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = re.search(pattern, self.said)
            if found is not None:
                return found
            if select.select([stream], [], [], 0.1)[0]:
                self.said += os.read(stream.fileno(), 65536).decode()
        raise AssertionError(f"{pattern!r} was not said: {self.said}")

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=60)
        self.said += rest
        return self.process.returncode


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "town.yaml").write_text(POLICY)
    return tmp_path


@pytest.fixture
def dsn(data_server: EmbeddedServer) -> str:
    return new_database(data_server, SCHEMA)


def environment(folder: Path, dsn: str) -> dict[str, str]:
    return os.environ | {"TOWN_DSN": dsn, "NOISEGATE_STATE": str(folder / "state"), "TERM": "dumb", "HOME": str(folder)}


@contextmanager
def serving(folder: Path, dsn: str, *options: str) -> Iterator[Serving]:
    command = [*COMMAND, "serve", str(folder / "policies"), "--port", "0", *options]
    process = subprocess.Popen(
        command, env=environment(folder, dsn), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield Serving(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def fails(folder: Path, dsn: str, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [*COMMAND, "serve", str(folder / "policies"), *options],
        env=environment(folder, dsn),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_over_tls_and_ends_in_order(folder: Path, dsn: str, number: signal.Signals) -> None:
    with serving(folder, dsn) as gate:
        port = gate.wait_for(r"listening on 127.0.0.1, port (\d+), with TLS \(self-signed")[1]
        gate.wait_for("no analyst can log in yet")
        gate.wait_for("database town: 1 private and 0 public tables")
        UserStore(folder / "state" / "users.json").add("alice", PASSWORD)
        options = {"host": "127.0.0.1", "port": port, "user": "alice", "password": PASSWORD, "dbname": "town"}
        with psycopg.connect(**options, sslmode="require", autocommit=True) as connection:  # type: ignore[arg-type]
            row = connection.execute("SELECT count(*) FROM people").fetchone()
            assert row is not None and abs(row[0] - 500) < 100
            assert gate.end(number) == 0
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        assert "stopped" in gate.said
        assert PASSWORD not in gate.said and "people" not in gate.said


def test_a_signal_while_it_starts_is_heeded(folder: Path, dsn: str) -> None:
    with serving(folder, dsn) as gate:
        gate.wait_for("starting")
        assert gate.end(signal.SIGTERM) == 0
        assert "stopped" in gate.said


def test_a_wrong_policy_starts_nothing(folder: Path, dsn: str) -> None:
    (folder / "policies" / "town.yaml").write_text(POLICY.replace("city:", "town:"))
    code, said = fails(folder, dsn)
    assert code == 2
    assert re.search(r"town\.yaml:6 error: .*town", said)
    assert not (folder / "state").exists()


def test_a_database_that_cannot_be_reached(folder: Path) -> None:
    code, said = fails(folder, "postgresql://nobody@127.0.0.1:1/none")
    assert code == 2
    assert "the database cannot be reached" in said


def test_an_address_that_is_taken(folder: Path, dsn: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, said = fails(folder, dsn, "--port", str(taken.getsockname()[1]))
    assert code == 1
    assert "cannot listen on 127.0.0.1, port" in said and "--port" in said


def test_one_gate_per_state_folder(folder: Path, dsn: str) -> None:
    with serving(folder, dsn) as gate:
        gate.wait_for("listening")
        code, said = fails(folder, dsn, "--port", "0")
        assert code == 1
        assert "another process uses" in said


def test_certificates(folder: Path, dsn: str) -> None:
    certificate, key = make_self_signed(folder / "mine", hosts=("town.example",))
    other = make_self_signed(folder / "other")[1]
    for options, reason in (
        (("--certificate", str(certificate)), "go together"),
        (("--certificate", str(certificate), "--key", str(other)), "do not fit"),
        (("--certificate", str(folder / "none"), "--key", str(key)), "no such file"),
        (("--certificate", str(folder / "policies" / "town.yaml"), "--key", str(key)), "cannot be"),
    ):
        code, said = fails(folder, dsn, *options)
        assert code == 2, said
        assert reason in said.lower()
    with serving(folder, dsn, "--certificate", str(certificate), "--key", str(key)) as gate:
        assert "self-signed" not in gate.wait_for(r"listening[^\n]*\n")[0]


def test_state_that_cannot_be_written(folder: Path, dsn: str) -> None:
    (folder / "state").write_text("a file, not a folder")
    code, said = fails(folder, dsn, "--port", "0")
    assert code in (1, 2)
    assert said.strip().splitlines()[-1].startswith("noisegate: ")
