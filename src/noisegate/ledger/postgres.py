"""The ledger in a PostgreSQL database: several gates, on several machines, share it.

Invariant (I3): what `transact` returns was committed with synchronous_commit on a server that has fsync on. Every write
is one transaction that locks the head of the log first, and stores accounts, charges, records and head together.

Claim: charges of any number of gates are decided one after the other. Because: each must extend the one chain, so each
locks its head, one row, before it reads an account; READ COMMITTED reads what was committed before a statement began,
and PostgreSQL lets go of a row only after its commit is visible and on disk. With a single lock, taken first by all,
there is no order of locks to keep and no deadlock; SERIALIZABLE would find every pair of charges in conflict at that
row, and could only have one of them tried again.
Checked by: laws.processes_never_overspend, laws.many_gates_never_overspend.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from noisegate.errors import LedgerFailed, NoisegateError
from noisegate.ledger import audit
from noisegate.ledger.accounts import AccountLimit, Spent, give
from noisegate.ledger.audit import AuditEntry, Books, Entry, Head, Problem, Record
from noisegate.ledger.charging import Page, Sale
from noisegate.ledger.interface import Request
from noisegate.ledger.postgres_schema import (
    Connection,
    check_durable,
    check_version,
    connect,
    first_line,
    prepare,
)
from noisegate.plan.measure import Charge
from noisegate.plan.trust import Receipt

BATCH = 500  # records read at a time
_log = logging.getLogger("noisegate.ledger")
T = TypeVar("T")

# One message of several statements, not a pipeline: after a pipeline the clock that ends an idle transaction does not
# run, and a gate that stands still would keep the head.
_OPEN_PAGE = sql.SQL("""
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SELECT h.version, h.count, h.hash, pg_catalog.current_setting('fsync'),
       pg_catalog.current_setting('synchronous_commit'),
       (SELECT a.hash FROM noisegate_ledger.audit a WHERE a.id = {known})
FROM noisegate_ledger.head h FOR UPDATE OF h;
SELECT name, epsilon, delta, granted_epsilon, granted_delta, kind FROM noisegate_ledger.account
WHERE name = ANY({names}::text[])
""")
_HEAD = """
SELECT h.version, h.count, h.hash, pg_catalog.current_setting('fsync'),
       pg_catalog.current_setting('synchronous_commit'), (SELECT a.hash FROM noisegate_ledger.audit a WHERE a.id = %s)
FROM noisegate_ledger.head h FOR UPDATE OF h
"""
_HEAD = "SELECT count, hash FROM noisegate_ledger.head"
_RECORD = "SELECT id, body, hash FROM noisegate_ledger.audit"
_ACCOUNT = "SELECT name, epsilon, delta, granted_epsilon, granted_delta, kind FROM noisegate_ledger.account"
# Binary where there may be thousands: as text, an array of texts takes psycopg fifty times as long.
_WRITE = """
WITH log AS (
    INSERT INTO noisegate_ledger.audit SELECT * FROM unnest(%b::int8[], %b::text[], %b::text[], %b::bytea[])
), charges AS (
    INSERT INTO noisegate_ledger.charge (record, account, epsilon, delta, kind)
    SELECT * FROM unnest(%s::int8[], %s::text[], %s::numeric[], %s::numeric[], %s::text[])
), sums AS (
    INSERT INTO noisegate_ledger.account (name, epsilon, delta, granted_epsilon, granted_delta, kind)
    SELECT * FROM unnest(%s::text[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[], %s::text[])
    ON CONFLICT (name) DO UPDATE SET (epsilon, delta, granted_epsilon, granted_delta, kind) =
        (excluded.epsilon, excluded.delta, excluded.granted_epsilon, excluded.granted_delta, excluded.kind)
)
UPDATE noisegate_ledger.head SET count = %s, hash = %s
"""
_MISFILED = """
SELECT id, receipt FROM noisegate_ledger.audit
WHERE coalesce(receipt, '') <> coalesce(substring(body FROM '[{,]"receipt":"([^"]*)"'), '') ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class _Unconfirmed:
    """A commit of which nobody said whether it was made: it was if `last` stands in the log."""

    last: Record
    entries: tuple[Entry, ...]


class PostgresLedger:
    """A Ledger (ledger.interface) in the schema `noisegate_ledger` of the database that `url` names.

    `create=False` raises LedgerFailed where there is none. Waits up to `busy_timeout_s` for other gates. A connection
    that was lost is made anew by the next call. A log that no longer holds what this object saw committed (an old copy
    was restored, a standby that was behind was promoted) is refused until the program starts again.
    """

    def __init__(self, url: str, *, create: bool = True, busy_timeout_s: float = 10.0) -> None:
        self._url = url
        self._busy_timeout_s = busy_timeout_s
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._known: Head | None = None  # the last head that this object saw durable
        self._unconfirmed: _Unconfirmed | None = None
        self._written: dict[int, Entry] = {}  # by identity: entries of an unconfirmed commit that was found made
        self._down = False
        try:
            with self._lock:
                self._db(create=create)
        except psycopg.Error as error:
            raise LedgerFailed("the ledger could not be opened", detail=first_line(error)) from None

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
        """As Ledger.transact. Where a commit was not confirmed and stands all the same, entries that are handed over
        again (the same objects) are not written twice."""
        names = {account.name for request in requests for account in request.accounts}
        with self._writing(names, entries) as page:
            page.entries += [entry for entry in entries if id(entry) not in self._written]
            results = [page.charge(request) for request in requests]
        return [result.receipt() if isinstance(result, Sale) else result for result in results]

    def record(self, entries: Sequence[Entry]) -> None:
        self.transact((), entries)

    def ended(self, receipt: Receipt, asked: AuditEntry, outcome: str, seconds: float) -> None:
        self.record([asked.ended(receipt.id, outcome, seconds)])

    def grant(self, account: AccountLimit, amount: Charge, reason: str, by: str) -> Spent:
        with self._writing({account.name}) as page:
            after = give(account, page.of(account.name), amount)
            page.set(after)
            page.entries.append(
                AuditEntry(audit.GRANTED, operator=by, price=amount, accounts=(account.name,), reason=reason)
            )
        return after

    # Reading

    def balance(self, account: str) -> Spent:
        rows = self._read(f"{_ACCOUNT} WHERE name = %s", (account,))
        return _spent(rows[0]) if rows else Spent(account)

    def balances(self) -> list[Spent]:
        return [_spent(row) for row in self._read(f"{_ACCOUNT} ORDER BY name")]

    def head(self) -> Head:
        return _head(self._read(_HEAD))

    def records(self, after: int = 0) -> Iterator[Record]:
        while rows := self._read(f"{_RECORD} WHERE id > %s ORDER BY id LIMIT {BATCH}", (after,)):
            for row in rows:
                yield Record(*row)
            after = rows[-1][0]

    def related(self, receipt: str) -> list[Record]:
        return [Record(*row) for row in self._read(f"{_RECORD} WHERE receipt = %s ORDER BY id", (receipt,))]

    def verify(self) -> list[Problem]:
        with self._failing("be read"), connect(self._url, self._busy_timeout_s) as db:
            prepare(db, create=False)
            db.execute("SELECT pg_catalog.set_config('idle_in_transaction_session_timeout', '0', false)")
            db.isolation_level, db.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
            with db.transaction():
                return list(_problems(db))

    def close(self) -> None:
        with self._lock:
            self._forget()

    # The connection

    @contextmanager
    def _writing(self, names: set[str], entries: Sequence[Entry] = ()) -> Iterator[Page]:
        """One transaction: durable when the block ends, never made when it or the block raises, with one exception: a
        commit that was sent and not answered may stand."""
        with self._lock, self._failing("be written"):
            try:
                page = self._safely(lambda db: self._begin(db, sorted(names)))
                yield page
                self._end(page, entries)
            except BaseException:
                self._forget()  # closing rolls back
                raise

    def _begin(self, db: Connection, names: list[str]) -> Page:
        """Lock the head, see that all is as it must be, and read the accounts."""
        known = self._known or Head(0, audit.GENESIS)
        answers = db.execute(_OPEN_PAGE.format(known=sql.Literal(known.count), names=sql.Literal(names)))
        answers.nextset()
        row = answers.fetchone()
        answers.nextset()
        accounts = {spent.account: spent for spent in map(_spent, answers)}
        if row is None:
            raise LedgerFailed("the ledger has lost the head of its log")
        version, count, digest, fsync, synchronous_commit, passed = row
        check_version(version)
        check_durable(fsync, synchronous_commit)
        if count < known.count or (known.count and passed != known.hash):
            raise LedgerFailed(
                "the ledger no longer holds what was committed to it",
                detail="An older copy was put back, or a standby took over that was behind.",
                hint="The operator must find out what was lost, and start the gate again.",
            )
        self._confirm(db)
        return Page(Head(count, digest), accounts)

    def _confirm(self, db: Connection) -> None:
        """Under the lock, which the commit in question has let go of: now it was made or it never will be."""
        if self._unconfirmed is None:
            return
        last = self._unconfirmed.last
        row = db.execute(f"{_RECORD} WHERE id = %s", (last.id,)).fetchone()
        if row is not None and row[2] == last.hash:
            self._written |= {id(entry): entry for entry in self._unconfirmed.entries}
        self._unconfirmed = None

    def _end(self, page: Page, entries: Sequence[Entry]) -> None:
        db = self._db()
        if not page.entries:
            db.execute("ROLLBACK")  # there is nothing to wait for a disk for
        else:
            records, head = audit.chained(page.entries, page.head)
            if db.execute(_WRITE, _values(page, records, head)).rowcount != 1:
                raise LedgerFailed("the ledger has lost the head of its log")
            self._commit(db, _Unconfirmed(records[-1], tuple(entries)))
            self._known = head
        for entry in entries:
            self._written.pop(id(entry), None)

    def _commit(self, db: Connection, written: _Unconfirmed) -> None:
        """COMMIT, and believe nothing but the server's plain yes. A warning in it says that a standby was not waited
        for. Raises psycopg.Error where the server said no; LedgerFailed where nobody knows."""
        warnings: list[str] = []

        def note(diagnostic: psycopg.errors.Diagnostic) -> None:
            if diagnostic.severity_nonlocalized == "WARNING":
                warnings.append(diagnostic.message_primary or "")

        db.add_notice_handler(note)
        self._unconfirmed = written
        try:
            said = db.execute("COMMIT", prepare=False).statusmessage
        except psycopg.Error as error:
            if error.diag.severity_nonlocalized == "ERROR" and not db.closed:
                self._unconfirmed = None
                raise
            _log.error("a commit of the ledger was not confirmed: %s", first_line(error))
            raise _unknown() from None
        finally:
            db.remove_notice_handler(note)
        if warnings:
            _log.error("a commit of the ledger was not confirmed: %s", warnings[0])
            raise _unknown()
        self._unconfirmed = None
        if said != "COMMIT":
            raise LedgerFailed("the ledger could not be written", detail="Its server rolled the transaction back.")

    def _read(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock, self._failing("be read"):
            try:
                return self._safely(lambda db: db.execute(statement.encode(), values).fetchall())
            except BaseException:
                self._forget()
                raise

    def _safely(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which writes nothing, once more where the connection turns out to have been lost meanwhile."""
        kept = self._connection
        try:
            return work(self._db())
        except psycopg.OperationalError as error:
            if kept is None or not (kept.closed or error.diag.severity_nonlocalized == "FATAL"):
                raise
            self._forget()
            return work(self._db())

    def _db(self, *, create: bool = False) -> Connection:
        """The one connection, opened anew after a failure."""
        if self._connection is None:
            db = connect(self._url, self._busy_timeout_s)
            try:
                prepare(db, create=create)
                if self._known is None:
                    self._known = _head(db.execute(_HEAD).fetchall())
            except BaseException:
                db.close()
                raise
            self._connection = db
        return self._connection

    def _forget(self) -> None:
        db, self._connection = self._connection, None
        if db is not None:
            db.close()

    @contextmanager
    def _failing(self, verb: str) -> Iterator[None]:
        """What analysts hear has no host, no name of a role and no value; the operator's log has the driver's words,
        once for each time that the ledger fails."""
        try:
            yield
        except (psycopg.Error, OSError, ValueError, InvalidOperation) as error:
            if not self._down:
                self._down = True
                _log.error("the ledger could not %s: %s", verb, first_line(error))
            state = f" ({error.sqlstate})" if isinstance(error, psycopg.Error) and error.sqlstate else ""
            raise LedgerFailed(f"the ledger could not {verb}", detail=f"{type(error).__name__}{state}") from None
        if self._down:
            self._down = False
            _log.warning("the ledger is back")


def _unknown() -> LedgerFailed:
    return LedgerFailed(
        "the ledger's server did not confirm a commit",
        detail="The charge may stand. Nothing was asked of the data server for it.",
    )


def _values(page: Page, records: Sequence[Record], head: Head) -> list[Any]:
    """For _WRITE: rows as columns, so that any number of them is one statement."""
    log = [(r.id, e.receipt or None, r.body, r.hash) for r, e in zip(records, page.entries, strict=True)]
    sold = [(records[at].id, sale.names, sale.request.charge) for at, sale in page.sales]
    charges = [(number, name, c.epsilon, c.delta, c.kind) for number, names, c in sold for name in names]
    after = page.changed.values()
    sums = [(s.account, s.epsilon, s.delta, s.granted_epsilon, s.granted_delta, s.kind) for s in after]
    return [*_columns(log, 4), *_columns(charges, 5), *_columns(sums, 6), head.count, head.hash]


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[column] for row in rows] for column in range(width)]


def _spent(row: tuple[Any, ...]) -> Spent:
    name, epsilon, delta, granted_epsilon, granted_delta, kind = row
    return Spent(name, Decimal(epsilon), Decimal(delta), Decimal(granted_epsilon), Decimal(granted_delta), kind)


def _head(rows: list[tuple[Any, ...]]) -> Head:
    if not rows:
        raise LedgerFailed("the ledger has lost the head of its log")
    return Head(*rows[0])


def _problems(db: Connection) -> Iterator[Problem]:
    rows = db.execute("SELECT record, account, epsilon, delta, kind FROM noisegate_ledger.charge")
    charges = {(record, account): Charge(epsilon, delta, kind) for record, account, epsilon, delta, kind in rows}
    accounts = {spent.account: spent for spent in map(_spent, db.execute(_ACCOUNT))}
    books = Books(_head(db.execute(_HEAD).fetchall()), accounts, charges)
    with db.cursor("noisegate_records") as cursor:
        cursor.itersize = BATCH
        yield from audit.verify((Record(*row) for row in cursor.execute(f"{_RECORD} ORDER BY id")), books)
    for record, found in db.execute(_MISFILED):
        yield Problem(record, f"it is filed under the receipt {found}, which is not its own")
