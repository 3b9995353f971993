"""The ledger in one SQLite file: WAL, synchronous=FULL, one writer at a time among all processes.

Invariant (I3): what `transact` returns was fsynced. Every write is one BEGIN IMMEDIATE ... COMMIT that reads the
accounts, decides, and stores accounts, charges, records and head together; any error rolls all of it back.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path

from noisegate.errors import LedgerFailed, NoisegateError
from noisegate.ledger import audit
from noisegate.ledger.accounts import AccountLimit, Spent, give
from noisegate.ledger.amounts import text
from noisegate.ledger.audit import AuditEntry, Books, Entry, Head, Problem, Record
from noisegate.ledger.charging import Sale, sell
from noisegate.ledger.interface import Request
from noisegate.plan.measure import Charge
from noisegate.plan.trust import Receipt

APPLICATION_ID = 0x4E474C44  # 'NGLD'
SCHEMA_VERSION = 1
BATCH = 500  # records read at a time
ROWS = 200  # written by one statement: sqlite3 leaves and takes the interpreter's lock once for each
SCHEMA = """
CREATE TABLE account (
    name TEXT PRIMARY KEY, kind TEXT NOT NULL, epsilon TEXT NOT NULL, delta TEXT NOT NULL,
    granted_epsilon TEXT NOT NULL, granted_delta TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE charge (
    record INTEGER NOT NULL, account TEXT NOT NULL, kind TEXT NOT NULL, epsilon TEXT NOT NULL, delta TEXT NOT NULL,
    PRIMARY KEY (record, account)
) WITHOUT ROWID;
CREATE TABLE audit (id INTEGER PRIMARY KEY, receipt TEXT, body TEXT NOT NULL, hash BLOB NOT NULL);
CREATE INDEX audit_receipt ON audit (receipt) WHERE receipt IS NOT NULL;
CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER NOT NULL, hash BLOB NOT NULL);
CREATE TRIGGER audit_is_append_only_1 BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER audit_is_append_only_2 BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER charge_is_append_only_1 BEFORE UPDATE ON charge BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER charge_is_append_only_2 BEFORE DELETE ON charge BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""


class SqliteLedger:
    """A Ledger (ledger.interface) in the file `path`, made with mode 0600 where it does not exist.

    `create=False` raises LedgerFailed where there is no file. Waits up to `busy_timeout_s` for other processes.
    """

    def __init__(self, path: str | Path, *, create: bool = True, busy_timeout_s: float = 10.0) -> None:
        self.path = Path(path)
        self._busy_timeout_s = busy_timeout_s
        self._lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None  # device and inode: the file that was opened first
        if create:
            _make_file(self.path)
        with self._lock, _failing_closed("be opened"):
            self._db()

    # Charging

    def charge(
        self,
        analyst: str,
        accounts: Sequence[AccountLimit],
        charge: Charge,
        digests: Sequence[str],
        asked: AuditEntry,
    ) -> Receipt:
        [result] = self.transact([Request(analyst, tuple(accounts), charge, tuple(digests), asked)])
        if isinstance(result, NoisegateError):
            raise result
        return result

    def transact(self, requests: Sequence[Request], entries: Sequence[Entry] = ()) -> list[Receipt | NoisegateError]:
        with self._writing() as db:
            _append(db, entries)
            results = [_charge(db, request) for request in requests]
        return [result.receipt() if isinstance(result, Sale) else result for result in results]

    def record(self, entries: Sequence[Entry]) -> None:
        self.transact((), entries)

    def ended(self, receipt: Receipt, asked: AuditEntry, outcome: str, seconds: float) -> None:
        self.record([asked.ended(receipt.id, outcome, seconds)])

    def grant(self, account: AccountLimit, amount: Charge, reason: str, by: str) -> Spent:
        with self._writing() as db:
            after = give(account, _spent(db, account.name), amount)
            _store(db, after)
            entry = AuditEntry(audit.GRANTED, operator=by, price=amount, accounts=(account.name,), reason=reason)
            _append(db, [entry])
        return after

    # Reading

    def balance(self, account: str) -> Spent:
        with self._reading() as db:
            return _spent(db, account)

    def balances(self) -> list[Spent]:
        with self._reading() as db:
            return _accounts(db)

    def head(self) -> Head:
        with self._reading() as db:
            return _head(db)

    def records(self, after: int = 0) -> Iterator[Record]:
        while True:
            with self._reading() as db:
                rows = db.execute(f"{_RECORD} WHERE id > ? ORDER BY id LIMIT ?", (after, BATCH)).fetchall()
            if not rows:
                return
            for row in rows:
                yield Record(*row)
            after = rows[-1][0]

    def related(self, receipt: str) -> list[Record]:
        with self._reading() as db:
            rows = db.execute(f"{_RECORD} WHERE receipt = ? ORDER BY id", (receipt,)).fetchall()
        return [Record(*row) for row in rows]

    def verify(self) -> list[Problem]:
        with _failing_closed("be read"):
            self._check_file()
            db = self._connect()
            try:
                db.execute("BEGIN")
                return list(_problems(db))
            finally:
                db.close()

    def close(self) -> None:
        with self._lock:
            self._forget()

    # The connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed and fsynced when the block ends, rolled back when it raises."""
        with self._lock, _failing_closed("be written"):
            db = self._db()
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            except sqlite3.Error:
                self._forget()  # closing rolls back; the next call starts from the file, not from this state
                raise
            except BaseException:
                db.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _failing_closed("be read"):
            yield self._db()

    def _db(self) -> sqlite3.Connection:
        """The one connection, reopened after a failure; refuses a file that was removed or replaced meanwhile."""
        self._check_file()
        if self._writer is None:
            self._writer = self._connect()
        return self._writer

    def _check_file(self) -> None:
        try:
            found = os.stat(self.path)
        except OSError:
            raise LedgerFailed(f"there is no ledger at {self.path}") from None
        if self._file not in (None, (found.st_dev, found.st_ino)):
            raise LedgerFailed("the ledger's file was replaced while it was in use; start again")
        self._file = (found.st_dev, found.st_ino)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self.path, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        try:
            _use_wal(db, time.monotonic() + self._busy_timeout_s)
            db.execute("PRAGMA synchronous = FULL")
            _migrate(db)
        except BaseException:
            db.close()
            raise
        return db

    def _forget(self) -> None:
        db, self._writer = self._writer, None
        if db is not None:
            db.close()


@contextmanager
def _failing_closed(verb: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, ValueError, InvalidOperation) as error:
        raise LedgerFailed(f"the ledger could not {verb}", detail=f"{type(error).__name__}: {error}") from None


def _make_file(path: Path) -> None:
    """The file and its folder, readable by this user only (SQLite gives -wal and -shm the file's own mode)."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.chmod(path, 0o600)
    except OSError as error:
        raise LedgerFailed(f"the ledger {path} could not be made: {error.strerror}") from None


def _use_wal(db: sqlite3.Connection, deadline: float) -> None:
    """The first change to WAL needs the file alone, and SQLite does not wait for it by itself."""
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _migrate(db: sqlite3.Connection) -> None:
    """An empty file becomes a ledger; anything else must be one, of a schema that this version knows."""
    if _version(db) == (APPLICATION_ID, SCHEMA_VERSION):
        return
    db.execute("BEGIN IMMEDIATE")  # two processes may start at once
    try:
        if _version(db) == (0, 0) and db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            _create(db)
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    application, version = _version(db)
    if application != APPLICATION_ID:
        raise LedgerFailed("this file is no ledger of noisegate")
    if version != SCHEMA_VERSION:
        raise LedgerFailed(
            f"the ledger has schema {version}, this noisegate knows {SCHEMA_VERSION}", hint="Use a newer noisegate."
        )


def _create(db: sqlite3.Connection) -> None:
    statement = ""
    for line in SCHEMA.splitlines(keepends=True):  # executescript would commit
        statement += line
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""
    db.execute("INSERT INTO head VALUES (1, 0, ?)", (audit.GENESIS,))
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _version(db: sqlite3.Connection) -> tuple[int, int]:
    [application] = db.execute("PRAGMA application_id").fetchone()
    [version] = db.execute("PRAGMA user_version").fetchone()
    return application, version


# Inside a transaction


def _charge(db: sqlite3.Connection, request: Request) -> Sale | NoisegateError:
    """The sale, written, or the refusal, which has written nothing."""
    try:
        sale = sell(request, [_spent(db, account.name) for account in request.accounts])
    except NoisegateError as refusal:
        return refusal
    for spent in sale.after:
        _store(db, spent)
    [record] = _append(db, [sale.entry()])
    price = (request.charge.kind, text(request.charge.epsilon), text(request.charge.delta))
    db.executemany("INSERT INTO charge VALUES (?, ?, ?, ?, ?)", [(record.id, name, *price) for name in sale.names])
    return sale


def _append(db: sqlite3.Connection, entries: Sequence[Entry]) -> list[Record]:
    if not entries:
        return []
    records, head = audit.chained(entries, _head(db))
    rows = [(r.id, e.receipt or None, r.body, r.hash) for r, e in zip(records, entries, strict=True)]
    for at in range(0, len(rows), ROWS):
        part = rows[at : at + ROWS]
        places = ", ".join(["(?, ?, ?, ?)"] * len(part))
        db.execute(f"INSERT INTO audit VALUES {places}", [*itertools.chain.from_iterable(part)])
    db.execute("UPDATE head SET count = ?, hash = ?", (head.count, head.hash))
    return records


def _store(db: sqlite3.Connection, spent: Spent) -> None:
    amounts = (spent.epsilon, spent.delta, spent.granted_epsilon, spent.granted_delta)
    db.execute("REPLACE INTO account VALUES (?, ?, ?, ?, ?, ?)", (spent.account, spent.kind, *map(text, amounts)))


_RECORD = "SELECT id, CAST(body AS TEXT), CAST(hash AS BLOB) FROM audit"
_ACCOUNT = "SELECT name, epsilon, delta, granted_epsilon, granted_delta, kind FROM account"


def _spent(db: sqlite3.Connection, name: str) -> Spent:
    row = db.execute(f"{_ACCOUNT} WHERE name = ?", (name,)).fetchone()
    return Spent(name) if row is None else _read_account(row)


def _accounts(db: sqlite3.Connection) -> list[Spent]:
    return [_read_account(row) for row in db.execute(f"{_ACCOUNT} ORDER BY name").fetchall()]


def _read_account(row: tuple[str, str, str, str, str, str]) -> Spent:
    name, epsilon, delta, granted_epsilon, granted_delta, kind = row
    return Spent(name, Decimal(epsilon), Decimal(delta), Decimal(granted_epsilon), Decimal(granted_delta), kind)


def _head(db: sqlite3.Connection) -> Head:
    row = db.execute("SELECT count, hash FROM head").fetchone()
    if row is None:
        raise LedgerFailed("the ledger has lost the head of its log")
    return Head(*row)


def _problems(db: sqlite3.Connection) -> Iterator[Problem]:
    for [finding] in db.execute("PRAGMA quick_check"):
        if finding != "ok":
            yield Problem(None, f"the file is damaged: {finding}")
            return
    rows = db.execute("SELECT record, account, epsilon, delta, kind FROM charge")
    charges = {(record, account): Charge(Decimal(e), Decimal(d), kind) for record, account, e, d, kind in rows}
    books = Books(_head(db), {s.account: s for s in _accounts(db)}, charges)
    records = (Record(*row) for row in db.execute(f"{_RECORD} ORDER BY id"))
    yield from audit.verify(records, books)
    for record, found in db.execute(
        """SELECT id, receipt FROM audit WHERE CASE WHEN json_valid(body)
           THEN coalesce(receipt, '') IS NOT coalesce(json_extract(body, '$.receipt'), '') END"""
    ):
        yield Problem(record, f"it is filed under the receipt {found}, which is not its own")
