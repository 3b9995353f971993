"""Analysts' verifiers: the ones PostgreSQL would make, and never a password on disk."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psycopg
import pytest

from ledger import laws
from noisegate.errors import BadSetting, BudgetExceeded, LedgerFailed
from noisegate.ledger.sqlite import SqliteLedger
from noisegate.ledger.users import ITERATIONS, UserStore, generate_password, make_verifier
from noisegate.room.embedded import EmbeddedServer
from noisegate.wire.gate import Directory
from support.servers import new_database

PASSWORDS = ("secret", "pass\u00adword", "ünïcödé", "\u2168", "a b", "tab\there", "\U0001f600", "x" * 500)


@pytest.fixture
def store(tmp_path: Path) -> UserStore:
    return UserStore(tmp_path / "state" / "users.json")


@pytest.mark.parametrize("password", PASSWORDS)
def test_postgresql_makes_the_same_verifier(password: str, data_server: EmbeddedServer) -> None:
    """libpq prepares and hashes the password; with its salt, so do we."""
    with psycopg.connect(new_database(data_server)) as connection:
        made = connection.pgconn.encrypt_password(password.encode(), b"alice", b"scram-sha-256").decode()
    iterations, salt = made.split("$")[1].split(":")
    keys = [base64.b64decode(key) for key in made.split("$")[2].split(":")]
    ours = make_verifier(password, iterations=int(iterations), salt=base64.b64decode(salt))
    assert list(ours[1:3]) == keys


def test_add_passwd_list_remove(store: UserStore) -> None:
    directory: Directory = store
    assert directory.verifier("alice") is None and store.users() == []
    store.add("alice", "one")
    store.add("Bob@example.com", "two")
    first = directory.verifier("alice")
    assert first is not None and first[3] == ITERATIONS and [len(part) for part in first[:3]] == [16, 32, 32]
    assert first[1:3] == make_verifier("one", salt=first[0])[1:3]
    assert [user.name for user in store.users()] == ["Bob@example.com", "alice"]
    with pytest.raises(BadSetting, match='analyst "alice" exists'):
        store.add("alice", "three")
    assert directory.verifier("alice") == first
    store.passwd("alice", "one")
    again = directory.verifier("alice")
    assert again is not None and again[0] != first[0]
    assert directory.verifier("Alice") is None
    store.remove("alice")
    assert directory.verifier("alice") is None
    for unknown in (lambda: store.remove("alice"), lambda: store.passwd("alice", "x")):
        with pytest.raises(BadSetting, match='there is no analyst "alice"'):
            unknown()


def test_another_process_sees_the_change(store: UserStore) -> None:
    gate = UserStore(store.path)
    assert gate.verifier("alice") is None
    for password in ("a", "b", "c"):
        (store.passwd if store.users() else store.add)("alice", password)
        assert gate.verifier("alice") == store.verifier("alice") != None  # noqa: E711


def _add_ten(path: Path, name: str) -> None:
    store = UserStore(path)
    for number in range(10):
        store.add(f"{name}{number}", "secret")


def test_several_processes_change_it(store: UserStore) -> None:
    with ProcessPoolExecutor(4, mp_context=laws.processes) as pool:
        list(pool.map(_add_ten, [store.path] * 4, "abcd"))
    assert len(store.users()) == 40


def test_no_password_on_disk_and_nobody_else_reads(store: UserStore) -> None:
    store.add("alice", "correct horse")
    for file in store.path.parent.iterdir():
        assert b"correct horse" not in file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 64,
        "ü" * 32,
        "a\0b",
        "a\nb",
        " alice",
        "alice ",
        "pg_read_all_data",
        "postgres",
        "PUBLIC",
        "noisegate_x",
        "a\u200bb",
        "\udc80",
    ],
)
def test_names_that_cannot_be_roles(store: UserStore, name: str) -> None:
    with pytest.raises(BadSetting):
        store.add(name, "secret")
    assert not store.path.exists()


@pytest.mark.parametrize("password", ["", "\u00ad", "x" * 1025, "a\0b", "a\nb", "a\rb", "\ud800"])
def test_passwords_that_cannot_be(store: UserStore, password: str) -> None:
    with pytest.raises(BadSetting):
        store.add("alice", password)
    assert not store.path.exists()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": 2, "analysts": {}}', '{"format": 1, "analysts": {"alice": {"verifier": "md5123"}}}']
    + [
        json.dumps({"format": 1, "analysts": {"alice": {"verifier": v, "added": "", "changed": ""}}})
        for v in (
            "SCRAM-SHA-256$4096:c2FsdA==$AAAA:AAAA",
            f"SCRAM-SHA-256$1:c2FsdA==${'A' * 43}=:{'A' * 43}=",
            f"MD5$4096:c2FsdA==${'A' * 43}=:{'A' * 43}=",
        )
    ],
)
def test_a_damaged_file_lets_nobody_in(store: UserStore, content: str) -> None:
    store.path.parent.mkdir()
    store.path.write_text(content)
    for use in (lambda: store.verifier("alice"), lambda: store.add("bob", "secret"), store.users):
        with pytest.raises(LedgerFailed, match="could not be"):
            use()
    assert store.path.read_text() == content


def test_removing_and_adding_renews_nothing(store: UserStore, tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "state" / "ledger.sqlite")
    store.add("alice", "secret")
    laws.pay(ledger, "1")
    store.remove("alice")
    store.add("alice", "another")
    with pytest.raises(BudgetExceeded):
        laws.pay(ledger, "0.1")
    ledger.close()


def test_generated_passwords_differ() -> None:
    passwords = {generate_password() for _ in range(100)}
    assert len(passwords) == 100 and all(len(p) == 24 for p in passwords)


def test_reading_is_cheap(store: UserStore) -> None:
    """A login on the event loop costs a stat, not a parse."""
    for number in range(3):
        store.add(f"analyst{number}", "secret")
    store.verifier("analyst1")

    async def many() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        for _ in range(1000):
            store.verifier("analyst1")
        return loop.time() - start

    assert asyncio.run(many()) < 0.2
