"""user, budget and audit, run as an operator runs them: the command itself, its output and its exit code."""

from __future__ import annotations

import json
import os
import pty
import select
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from noisegate.ledger import audit
from noisegate.ledger.accounts import accounts_of
from noisegate.ledger.audit import AuditEntry
from noisegate.ledger.sqlite import SqliteLedger
from noisegate.ledger.users import UserStore, make_verifier
from noisegate.plan.measure import Charge
from noisegate.policy.load import load_policies

POLICY = """\
database: shop
dsn: ${DSN_THAT_IS_NOT_SET}
unit: {table: users, key: id}
tables:
  users:
    unit: id
    columns: {id: {}}
budgets:
  dataset: {epsilon: 20, delta: 1e-6}
  analyst: {epsilon: 1, delta: 1e-7, ceiling: {epsilon: 1.5, delta: 1e-7}}
"""
COMMAND = [sys.executable, "-c", "from noisegate.cli.main import main; main()"]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "shop.yaml"
    file.write_text(POLICY)
    return file


@pytest.fixture
def run(state: Path, policy: Path) -> Run:
    """Runs a command; no error may be a traceback, and a failing command says one thing on stderr."""
    environment = os.environ | {"NOISEGATE_STATE": str(state), "NOISEGATE_POLICY": str(policy), "TERM": "dumb"}

    def call(*arguments: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, done
        assert "Traceback" not in done.stdout + done.stderr
        assert bool(done.stderr) == (code == 2 or (code == 1 and not done.stdout)), done
        return done

    return call


@pytest.fixture
def ledger(state: Path, policy: Path) -> SqliteLedger:
    """A ledger in which alice has asked twice, once with text made to trick a terminal."""
    ledger = SqliteLedger(state / "ledger.sqlite")
    [shop] = load_policies(policy, {"DSN_THAT_IS_NOT_SET": "dbname=shop"})
    for sql in ("SELECT count(*)\nFROM users", "SELECT '\x1b[2J[red]\u202e' FROM users"):
        asked = AuditEntry(audit.ASKED, database="shop", client_address="10.0.0.7", sql=sql, parameters=("7", None))
        price = Charge(Decimal("0.1"), Decimal("1e-9"))
        receipt = ledger.charge("alice", accounts_of(shop, "alice"), price, ["digest"], asked)
        ledger.ended(receipt, asked, "ok", 0.0125)
    ledger.record([AuditEntry(audit.RELAYED, analyst="bob", sql="SELECT 1", outcome="ok")])
    return ledger


def as_json(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_the_life_of_an_analyst(run: Run, state: Path) -> None:
    assert "no analysts" in run("user", "list").stdout
    assert run("user", "add", "alice", "--password-stdin", stdin="correct horse\n").stdout == "added alice\n"
    made = as_json(run("user", "add", "bob@shop.example", "--generate", "--json"))
    assert made["analyst"] == "bob@shop.example" and len(made["password"]) == 24
    users = UserStore(state / "users.json")
    for name, password in (("alice", "correct horse"), ("bob@shop.example", made["password"])):
        verifier = users.verifier(name)
        assert verifier is not None and verifier == make_verifier(password, salt=verifier[0])
    assert [u["analyst"] for u in as_json(run("user", "list", "--json"))] == ["alice", "bob@shop.example"]
    assert "bob@shop.example" in run("user", "list").stdout
    run("user", "passwd", "alice", "--password-stdin", stdin="battery staple")
    verifier = users.verifier("alice")
    assert verifier is not None and verifier == make_verifier("battery staple", salt=verifier[0])
    run("user", "remove", "alice")
    assert users.verifier("alice") is None
    tail = run("audit", "tail", "--json").stdout.splitlines()
    steps = [(r["event"], r["decision"], r["analyst"], bool(r["operator"])) for r in map(json.loads, tail)]
    bob = ("user", "add", "bob@shop.example", True)
    assert steps == [("user", step, "alice", True) for step in ("add", "passwd", "remove")][:1] + [bob] + [
        ("user", step, "alice", True) for step in ("passwd", "remove")
    ]
    secrets = ("correct horse", "battery staple", made["password"])
    for file in state.iterdir():
        assert not any(secret.encode() in file.read_bytes() for secret in secrets)


def test_wrong_input_is_one_line_and_exit_code_2(run: Run) -> None:
    run("user", "add", "alice", "--generate")
    for arguments, message in (
        (("user", "add", "alice", "--generate"), 'analyst "alice" exists. Use passwd for a new password'),
        (("user", "add", "pg_alice", "--generate"), 'the name "pg_alice" is reserved'),
        (("user", "add", "eve", "--password-stdin"), "a password has 1 to 1024 bytes"),
        (
            ("user", "add", "eve", "--password-stdin", "--generate"),
            "--password-stdin and --generate exclude each other",
        ),
        (("user", "add", "eve"), "no terminal to ask for a password on. Use --password-stdin or --generate"),
        (("user", "passwd", "eve", "--generate"), 'there is no analyst "eve"'),
        (("user", "remove", "eve\x1b[2J"), 'there is no analyst "eve\\x1b[2J"'),
        (("budget", "grant", "eve", "--epsilon", "1", "--reason", "x"), 'there is no analyst "eve"'),
        (("budget", "grant", "--epsilon", "1", "--reason", "x"), "name an analyst, or give --dataset"),
        (("budget", "grant", "alice", "--dataset", "--epsilon", "1", "--reason", "x"), "name an analyst, or give"),
        (("budget", "grant", "alice", "--reason", "x"), "a grant must be above 0"),
        (("budget", "grant", "alice", "--epsilon", "1", "--reason", " "), "a grant needs a reason"),
        (("budget", "grant", "alice", "--epsilon", "lots", "--reason", "x"), "--epsilon must be a number, like 0.5"),
        (("budget", "grant", "alice", "--epsilon=-1", "--reason", "x"), "a grant's epsilon must not be negative"),
        (("budget", "grant", "alice", "--epsilon=NaN", "--reason", "x"), "a grant's epsilon must be a finite"),
        (("budget", "show", "--database", "none"), 'is about the database "none"'),
        (("budget", "show", "--policy", "nowhere"), "nowhere:1: no such file or folder"),
        (("audit", "show", "99"), "there is no record 99"),
        (("audit", "verify", "--head", "12"), "--head must be a head that verify printed, COUNT:HASH"),
    ):
        error = run(*arguments, code=2).stderr
        assert message in error and error.count("\n") == 1, error
    assert as_json(run("audit", "verify", "--json"))["head"].startswith("1:")  # none of these left a record


def test_a_missing_or_broken_store_is_exit_code_1(run: Run, state: Path) -> None:
    for command in (("audit", "tail"), ("audit", "verify"), ("audit", "show", "1")):
        assert "there is no ledger at" in run(*command, code=1).stderr
    assert not state.exists()
    state.mkdir()
    (state / "users.json").write_text("{")
    assert "the analysts' file could not be read" in run("user", "list", code=1).stderr
    (state / "ledger.sqlite").write_text("no database")
    assert "the ledger could not be opened" in run("budget", "show", code=1).stderr


def test_budget_show(run: Run, ledger: SqliteLedger, policy: Path) -> None:
    run("user", "add", "bob", "--generate")
    lines = {line["account"]: line for line in as_json(run("budget", "show", "--json"))}
    assert list(lines) == ["dataset:shop", "analyst:bob@shop", "analyst:alice@shop"]
    assert lines["dataset:shop"]["spent"] == {"epsilon": "0.2", "delta": "0.000000002"}
    assert lines["dataset:shop"]["left"] == {"epsilon": "19.8", "delta": "0.000000998"}
    assert lines["analyst:bob@shop"]["left"] == lines["analyst:bob@shop"]["limit"]
    assert lines["analyst:bob@shop"]["ceiling"]["epsilon"] == "1.5"
    assert "left" not in lines["analyst:alice@shop"]  # she cannot log in; what she spent stays
    run("user", "add", "alice", "--generate")
    [alice] = as_json(run("budget", "show", "alice", "--json"))
    assert alice["left"] == {"epsilon": "0.8", "delta": "0.000000098"}
    table = run("budget", "show").stdout
    assert "19.8, 9.98e-7" in table and "0.8, 9.8e-8" in table and "1.5, 1e-7" in table


def test_budget_grant(run: Run, ledger: SqliteLedger) -> None:
    run("user", "add", "alice", "--generate")
    done = run("budget", "grant", "alice", "--epsilon", "0.3", "--reason", "quarterly report")
    assert done.stdout == "granted: the limit of analyst:alice@shop is now epsilon 1.3 and delta 1e-7\n"
    line = as_json(run("budget", "grant", "alice", "--epsilon", "0.2", "--reason", "more", "--json"))
    assert line["limit"]["epsilon"] == line["ceiling"]["epsilon"] == "1.5" and line["left"]["epsilon"] == "1.3"
    error = run("budget", "grant", "alice", "--epsilon", "1e-40", "--reason", "one more", code=2).stderr
    assert "above its ceiling" in error and "the ceiling epsilon 1.5" in error
    assert "above its ceiling" in run("budget", "grant", "--dataset", "--epsilon", "1", "--reason", "x", code=2).stderr
    grants = [json.loads(r) for r in run("audit", "tail", "--event", "grant", "--json").stdout.splitlines()]
    assert [(g["reason"], g["price"]["epsilon"], g["accounts"]) for g in grants] == [
        ("quarterly report", "0.3", ["analyst:alice@shop"]),
        ("more", "0.2", ["analyst:alice@shop"]),
    ]
    assert ledger.balance("analyst:alice@shop").granted_epsilon == Decimal("0.5")
    assert ledger.verify() == []


def test_audit_tail_and_show(run: Run, ledger: SqliteLedger) -> None:
    lines = run("audit", "tail").stdout.splitlines()
    assert [line.split()[:1] for line in lines] == [["1"], ["2"], ["3"], ["4"], ["5"]]
    assert "asked" in lines[0] and "epsilon 0.1" in lines[0] and "SELECT count(*) FROM users" in lines[0]
    assert "12.5 ms" in lines[1] and "\\x1b[2J[red]\\u202e" in lines[2]
    assert [line.split()[0] for line in run("audit", "tail", "-n", "2").stdout.splitlines()] == ["4", "5"]
    assert [line.split()[0] for line in run("audit", "tail", "-n2", "--event", "asked").stdout.splitlines()] == [
        "1",
        "3",
    ]
    assert [line.split()[0] for line in run("audit", "tail", "--analyst", "bob").stdout.splitlines()] == ["5"]
    assert run("audit", "tail", "-n", "0").stdout == ""
    first, second = as_json(run("audit", "show", "3", "--json"))
    assert first["sql"] == "SELECT '\x1b[2J[red]\u202e' FROM users" and first["parameters"] == ["7", None]
    assert second["id"] == 4 and second["outcome"] == "ok" and second["receipt"] == first["receipt"]
    assert [r["id"] for r in as_json(run("audit", "show", "2", "--json"))] == [2, 1]
    shown = run("audit", "show", "3").stdout
    assert "\x1b" not in shown and "\u202e" not in shown and "10.0.0.7" in shown and "NULL" in shown


def test_audit_verify(run: Run, ledger: SqliteLedger) -> None:
    head = str(ledger.head())
    assert run("audit", "verify").stdout == f"whole: 5 records\nhead {head}\n"
    assert as_json(run("audit", "verify", "--json", "--head", head)) == {"whole": True, "head": head, "problems": []}
    ledger.record([AuditEntry(audit.RELAYED, sql="SELECT 2")])
    run("audit", "verify", "--head", head)
    other = head[:-1] + ("0" if head[-1] != "0" else "1")
    assert "does not pass through the head" in run("audit", "verify", "--head", other, code=1).stdout
    ledger.close()
    with sqlite3.connect(ledger.path) as db:
        db.execute("DROP TRIGGER audit_is_append_only_1")
        db.execute("UPDATE audit SET body = replace(body, 'count(*)', 'sum(pay)') WHERE id = 1")
    found = as_json(run("audit", "verify", "--json", code=1))
    assert found["whole"] is False and found["head"] is None
    assert found["problems"] == [{"record": 1, "what": "it was changed, or does not follow the record before it"}]
    assert "record 1: it was changed" in run("audit", "verify", code=1).stdout


def test_help_names_everything(run: Run) -> None:
    for group, commands in (
        ("user", "add passwd list remove"),
        ("budget", "show grant"),
        ("audit", "tail show verify"),
    ):
        text = run(group, "--help").stdout
        assert all(command in text for command in commands.split())
        for command in commands.split():
            assert "--state" in run(group, command, "--help").stdout


def test_a_password_is_asked_for_twice_and_not_shown(state: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.environ["NOISEGATE_STATE"] = str(state)
        os.execv(COMMAND[0], [*COMMAND, "user", "add", "alice"])
    seen = _until(terminal, b"alice: ")
    os.write(terminal, b"correct horse\n")
    seen += _until(terminal, b": ")
    os.write(terminal, b"correct horse\n")
    seen += _until(terminal, None)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert b"added alice" in seen and b"correct" not in seen
    verifier = UserStore(state / "users.json").verifier("alice")
    assert verifier is not None and verifier == make_verifier("correct horse", salt=verifier[0])


def _until(terminal: int, end: bytes | None) -> bytes:
    """What the terminal shows until it shows `end`, or until the program has gone."""
    seen = b""
    while end is None or not seen.endswith(end):
        ready, _, _ = select.select([terminal], [], [], 30)
        assert ready, seen
        try:
            some = os.read(terminal, 1024)
        except OSError:
            some = b""
        if not some:
            assert end is None, seen
            return seen
        seen += some
    return seen
