"""The SQLite ledger keeps the laws, and what only a file can break."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from ledger import laws
from noisegate.errors import LedgerFailed
from noisegate.ledger.interface import Ledger
from noisegate.ledger.sqlite import SqliteLedger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite"


@pytest.fixture
def open_ledger(path: Path) -> laws.Opener:
    return partial(SqliteLedger, path)


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """The file without the ledger, and without the triggers that keep the log append-only."""
    db = sqlite3.connect(path, isolation_level=None)
    for [name] in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {name}")
    yield db
    db.close()


class SqliteTamper:
    def __init__(self, path: Path) -> None:
        self.path = path

    def change(self, record: int, before: str, after: str) -> None:
        with raw(self.path) as db:
            [body] = db.execute("SELECT body FROM audit WHERE id = ?", (record,)).fetchone()
            assert before in body
            db.execute("UPDATE audit SET body = ? WHERE id = ?", (body.replace(before, after), record))

    def remove(self, record: int) -> None:
        with raw(self.path) as db:
            assert db.execute("DELETE FROM audit WHERE id = ?", (record,)).rowcount == 1

    def swap(self, one: int, other: int) -> None:
        with raw(self.path) as db:
            for old, new in ((one, -1), (other, one), (-1, other)):
                db.execute("UPDATE audit SET id = ? WHERE id = ?", (new, old))

    def cut_with_head(self, last: int) -> None:
        with raw(self.path) as db:
            db.execute("DELETE FROM audit WHERE id > ?", (last,))
            db.execute("UPDATE head SET count = ?, hash = (SELECT hash FROM audit WHERE id = ?)", (last, last))

    def rechain(self) -> None:
        before = bytes(32)
        with raw(self.path) as db:
            for number, body in db.execute("SELECT id, body FROM audit ORDER BY id").fetchall():
                before = hashlib.sha256(before + body.encode()).digest()
                db.execute("UPDATE audit SET hash = ? WHERE id = ?", (before, number))
            db.execute("UPDATE head SET hash = ?", (before,))

    def set_spent(self, account: str, epsilon: str) -> None:
        with raw(self.path) as db:
            db.execute("REPLACE INTO account VALUES (?, 'basic', ?, '0', '0', '0')", (account, epsilon))

    def forget_charge(self, record: int, account: str) -> None:
        with raw(self.path) as db:
            assert db.execute("DELETE FROM charge WHERE record = ? AND account = ?", (record, account)).rowcount == 1

    def refile(self, record: int, receipt: str) -> None:
        with raw(self.path) as db:
            db.execute("UPDATE audit SET receipt = ? WHERE id = ?", (receipt, record))


class FullDisk:
    """The kernel refuses to let any file grow beyond what it is: writes fail as on a full disk."""

    def break_store(self, ledger: Ledger) -> None:
        assert isinstance(ledger, SqliteLedger)
        largest = max(f.stat().st_size for f in ledger.path.parent.iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 8192, resource.RLIM_INFINITY))

    def mend_store(self, ledger: Ledger) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class FullDatabase:
    """SQLite's own limit on pages: SQLITE_FULL in the middle of a transaction."""

    def break_store(self, ledger: Ledger) -> None:
        assert isinstance(ledger, SqliteLedger)
        connect = ledger._connect
        ledger.close()

        def small() -> sqlite3.Connection:
            db = connect()
            db.execute("PRAGMA max_page_count = 1")  # as many as there are
            return db

        ledger._connect = small  # type: ignore[method-assign]

    def mend_store(self, ledger: Ledger) -> None:
        assert isinstance(ledger, SqliteLedger)
        ledger.close()
        del ledger._connect  # type: ignore[method-assign]


class MovedAway:
    """The folder is gone, as on a lost mount."""

    def break_store(self, ledger: Ledger) -> None:
        assert isinstance(ledger, SqliteLedger)
        folder = ledger.path.parent
        folder.rename(folder.with_name("away"))

    def mend_store(self, ledger: Ledger) -> None:
        assert isinstance(ledger, SqliteLedger)
        folder = ledger.path.parent
        folder.with_name("away").rename(folder)


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
def test_law(law: Callable[[laws.Opener], None], open_ledger: laws.Opener) -> None:
    law(open_ledger)


@pytest.mark.parametrize("sessions", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_many_gates_never_overspend(open_ledger: laws.Opener, sessions: int) -> None:
    laws.many_gates_never_overspend(open_ledger, sessions)


@pytest.mark.parametrize("name", laws.TAMPERINGS)
def test_tampering_is_found(name: str, open_ledger: laws.Opener, path: Path) -> None:
    laws.tampering_is_found(open_ledger, SqliteTamper(path), name)


def test_a_noted_head_finds_a_cut_tail(open_ledger: laws.Opener, path: Path) -> None:
    laws.a_noted_head_finds_a_cut_tail(open_ledger, SqliteTamper(path))


@pytest.mark.parametrize("fault", [FullDisk(), FullDatabase(), MovedAway()], ids=lambda fault: type(fault).__name__)
def test_a_failure_gives_no_receipt(fault: laws.Breakable, open_ledger: laws.Opener) -> None:
    try:
        laws.a_failure_gives_no_receipt(open_ledger, fault)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_a_locked_ledger_fails_closed(path: Path) -> None:
    ledger = SqliteLedger(path, busy_timeout_s=0.1)
    with raw(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerFailed, match="could not be written"):
            laws.pay(ledger)
        other.execute("ROLLBACK")
    laws.pay(ledger)
    assert ledger.head().count == 1
    ledger.close()


def test_a_replaced_file_is_refused(path: Path) -> None:
    """An older copy under the same name would give back what was spent since."""
    ledger = SqliteLedger(path)
    laws.pay(ledger)
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    os.replace(copy, path)
    with pytest.raises(LedgerFailed, match="replaced"):
        laws.pay(ledger)
    path.unlink()
    with pytest.raises(LedgerFailed, match="there is no ledger"):
        laws.pay(ledger)


def test_nobody_else_may_read_it(path: Path) -> None:
    before = os.umask(0)
    try:
        ledger = SqliteLedger(path)
        laws.pay(ledger)
        files = list(path.parent.iterdir())
        assert {f.name for f in files} == {"ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"}
        assert {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        ledger.close()
    finally:
        os.umask(before)


def test_writes_are_synced(path: Path) -> None:
    ledger = SqliteLedger(path)
    with ledger._reading() as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    ledger.close()


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LedgerFailed, match="there is no ledger"):
        SqliteLedger(tmp_path / "none", create=False)
    text = tmp_path / "text"
    text.write_text("not a database, " * 1000)
    with pytest.raises(LedgerFailed, match="could not be opened"):
        SqliteLedger(text)
    assert text.read_text().startswith("not a database")
    other = tmp_path / "other"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE t (a)")
    with pytest.raises(LedgerFailed, match="no ledger of noisegate"):
        SqliteLedger(other)
    with pytest.raises(LedgerFailed, match="could not be made"):
        SqliteLedger(text / "below" / "a-file")


def test_a_newer_schema_is_refused(path: Path) -> None:
    SqliteLedger(path).close()
    with raw(path) as db:
        db.execute("PRAGMA user_version = 2")
    with pytest.raises(LedgerFailed, match="schema 2") as refusal:
        SqliteLedger(path)
    assert refusal.value.hint == "Use a newer noisegate."


def test_a_damaged_file_is_reported(path: Path, open_ledger: laws.Opener) -> None:
    with laws.opened(open_ledger) as ledger:
        for _ in range(5):
            laws.pay(ledger, "0.1")
        ledger.record([laws.asked("x" * 100_000)])
    content = bytearray(path.read_bytes())
    content[3 * 4096 : 6 * 4096] = os.urandom(3 * 4096)
    path.write_bytes(content)
    with laws.opened(open_ledger) as ledger:
        try:
            problems = ledger.verify()
        except LedgerFailed as failure:
            problems = [failure]
        assert problems


def test_the_log_cannot_be_rewritten_by_accident(path: Path) -> None:
    ledger = SqliteLedger(path)
    laws.pay(ledger)
    db = sqlite3.connect(path)
    for statement in (
        "UPDATE audit SET body = ''",
        "DELETE FROM audit",
        "DELETE FROM charge",
        "UPDATE charge SET epsilon = 0",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)
    db.close()
    ledger.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs is Linux's")
def test_a_really_full_disk(small_disk: Path) -> None:
    """Charges until the disk is full: the sum is what was sold, and with room again it goes on."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(200_000))
    open_ledger = partial(SqliteLedger, small_disk / "ledger.sqlite")
    with laws.opened(open_ledger) as ledger:
        sold = 0
        with pytest.raises(LedgerFailed):
            for _ in range(10_000):
                laws.pay(ledger, "0.001", laws.accounts("1000", "1000"))
                sold += 1
        assert 10 < sold < 10_000
        ballast.unlink()
        assert ledger.balance(laws.OWN).epsilon * 1000 == sold
        laws.pay(ledger, "0.001", laws.accounts("1000", "1000"))
        assert ledger.balance(laws.OWN).epsilon * 1000 == sold + 1
    laws.whole(open_ledger)
