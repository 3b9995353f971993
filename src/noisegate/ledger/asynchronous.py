"""A ledger for an event loop: one thread of its own does all the writing, and commits what waits together.

Invariant: the loop never waits for a disk. Charges that arrive while a commit runs share the next one; records of
statements that cost nothing are buffered and written with the next charge, or at most FLUSH_EVERY_S later.

When the store fails, or the buffer is full, the ledger is closed to new work: `check` raises, charges raise, and
buffered records are kept and tried again every FLUSH_EVERY_S until they are durable. Nothing is dropped.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from noisegate.errors import LedgerFailed, NoisegateError
from noisegate.ledger.accounts import AccountLimit, Spent
from noisegate.ledger.audit import AuditEntry, Entry
from noisegate.ledger.interface import Ledger, Request
from noisegate.plan.measure import Charge
from noisegate.plan.trust import Receipt

FLUSH_EVERY_S = 0.5
BUFFER_RECORDS = 20_000
BUFFER_BYTES = 64 * 2**20
COMMIT_RECORDS = 2_000  # in one transaction, so that a charge never waits long for records
COMMIT_CHARGES = 200
PAUSE_S = 0.002  # of whoever adds to a buffer that is half full

T = TypeVar("T")


@dataclass
class _Waiting:
    """What the loop has handed over. Guarded by the condition of AsyncLedger."""

    charges: deque[tuple[Request, Future[Receipt]]] = field(default_factory=deque)
    calls: deque[tuple[Callable[[], Any], Future[Any]]] = field(default_factory=deque)
    entries: deque[Entry] = field(default_factory=deque)
    bytes: int = 0
    flushes: list[Future[None]] = field(default_factory=list)  # wait until `entries` is empty
    due: float | None = None  # monotonic time at which `entries` must be written
    stop: bool = False


class AsyncLedger:
    """Owns `ledger` (and its thread) from construction to `close`. Use from one event loop."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        flush_every_s: float = FLUSH_EVERY_S,
        buffer_records: int = BUFFER_RECORDS,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self._ledger = ledger
        self._flush_every_s = flush_every_s
        self._buffer_records = buffer_records
        self._buffer_bytes = buffer_bytes
        self._half = buffer_records // 2, buffer_bytes // 2
        self._nearly_all = buffer_records * 9 // 10, buffer_bytes * 9 // 10
        self._waiting = _Waiting()
        self._lock = threading.Lock()  # of the condition: taken directly, it costs a third
        self._changed = threading.Condition(self._lock)
        self._failure: LedgerFailed | None = None  # why `entries` could not be written the last time
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    # For the loop

    async def charge(
        self,
        analyst: str,
        accounts: Sequence[AccountLimit],
        charge: Charge,
        digests: Sequence[str],
        asked: AuditEntry,
    ) -> Receipt:
        """As Ledger.charge. Cancelled while it waits for its turn, nothing is charged; later, the charge stands."""
        future: Future[Receipt] = Future()
        with self._changed:
            self._open()
            self._waiting.charges.append((Request(analyst, tuple(accounts), charge, tuple(digests), asked), future))
            self._changed.notify()
        return await asyncio.wrap_future(future)

    async def ended(self, receipt: Receipt, asked: AuditEntry, outcome: str, seconds: float) -> None:
        """As Ledger.ended: returns when the record is durable. `finished` is the same without waiting."""
        self.finished(receipt, asked, outcome, seconds)
        await self.flush()

    def finished(self, receipt: Receipt, asked: AuditEntry, outcome: str, seconds: float) -> None:
        """Buffer the record that closes a charged statement. Never blocks. Raises LedgerFailed as `relayed` does."""
        self.relayed(asked.ended(receipt.id, outcome, seconds))

    def relayed(self, entry: Entry) -> None:
        """Buffer a record of something that cost nothing. Waits PAUSE_S, no longer, where half the buffer is full.

        Raises LedgerFailed, and keeps nothing, where the buffer is full: the caller must then end what it would have
        let pass. Ask `check` beforehand.
        """
        size = entry.size
        with self._lock:
            waiting = self._waiting
            if waiting.stop:
                raise _closed()
            if len(waiting.entries) >= self._buffer_records or waiting.bytes + size > self._buffer_bytes:
                raise LedgerFailed("the audit log cannot take more records")
            waiting.entries.append(entry)
            waiting.bytes += size
            pressed = self._fuller_than(self._half)
            if waiting.due is None:
                waiting.due = time.monotonic() + self._flush_every_s
            elif not pressed:
                return  # the thread knows that there are records, and has time
            self._changed.notify()
            catching_up = pressed and self._failure is None
        if catching_up:
            time.sleep(PAUSE_S)  # the thread writes dozens of records meanwhile: the loop cannot outrun it

    def check(self) -> None:
        """Raises LedgerFailed when a statement that costs nothing may not be relayed now, because its record might be
        lost: the records before it could not be written, or nine tenths of the buffer are full."""
        # Without the lock: each of these is read whole, and a moment later they may be others in any case.
        if self._waiting.stop:
            raise _closed()
        failure = self._failure
        if failure is not None:
            raise LedgerFailed(failure.message, detail=failure.detail)
        if self._fuller_than(self._nearly_all):
            raise LedgerFailed("the audit log is too far behind")

    async def flush(self) -> None:
        """Returns when all that was buffered before is durable. Raises LedgerFailed when the next attempt fails."""
        future: Future[None] = Future()
        with self._changed:
            if not self._waiting.entries:
                return
            self._open()
            self._waiting.flushes.append(future)
            self._changed.notify()
        await asyncio.wrap_future(future)

    async def balance(self, account: str) -> Spent:
        """As Ledger.balance."""
        return await self.call(lambda: self._ledger.balance(account))

    async def call(self, function: Callable[[], T]) -> T:
        """Run a function of the ledger (a reader) on its thread."""
        future: Future[T] = Future()
        with self._changed:
            self._open()
            self._waiting.calls.append((function, future))
            self._changed.notify()
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """Write what is buffered, end the thread, close the ledger. Raises LedgerFailed where records were lost."""
        with self._changed:
            self._waiting.stop = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)
        if self._waiting.entries:
            raise LedgerFailed(f"{len(self._waiting.entries)} records of the audit log could not be written")

    def _fuller_than(self, level: tuple[int, int]) -> bool:
        """level: records and bytes."""
        return len(self._waiting.entries) > level[0] or self._waiting.bytes > level[1]

    def _open(self) -> None:
        if self._waiting.stop:
            raise _closed()

    # For the thread

    def _run(self) -> None:
        while self._step():
            pass
        self._ledger.close()

    def _step(self) -> bool:
        """Wait for work, do all that waits. False when the ledger is closed and nothing is left that could be done."""
        with self._changed:
            while not self._has_work():
                self._changed.wait(self._patience())  # anew each time: a first record sets when it is due
            waiting = self._waiting
            charges = [waiting.charges.popleft() for _ in range(min(len(waiting.charges), COMMIT_CHARGES))]
            calls = [waiting.calls.popleft() for _ in range(len(waiting.calls))]
            entries = list(itertools.islice(waiting.entries, COMMIT_RECORDS if charges or self._must_flush() else 0))
        if charges or entries:
            self._commit([c for c in charges if c[1].set_running_or_notify_cancel()], entries)
        for function, future in calls:
            if future.set_running_or_notify_cancel():
                _resolve(future, function)
        with self._changed:
            rest = self._waiting
            more = bool(rest.charges or rest.calls or (rest.entries and self._failure is None))
            return more or not rest.stop

    def _has_work(self) -> bool:
        waiting = self._waiting
        return bool(waiting.charges or waiting.calls or waiting.stop or self._must_flush())

    def _must_flush(self) -> bool:
        waiting = self._waiting
        late = waiting.due is not None and time.monotonic() >= waiting.due
        pressed = self._fuller_than(self._half) and self._failure is None  # after a failure, wait for the next `due`
        return bool(late or pressed or waiting.flushes or waiting.stop)

    def _patience(self) -> float | None:
        """Seconds until something is due; None: nothing is."""
        due = self._waiting.due
        return None if due is None else max(due - time.monotonic(), 0)

    def _commit(self, charges: list[tuple[Request, Future[Receipt]]], entries: list[Entry]) -> None:
        """One transaction; then everybody who waited for it hears the outcome."""
        results: Sequence[Receipt | NoisegateError]
        try:
            results = self._ledger.transact([request for request, _ in charges], entries)
            failure = None
        except Exception as error:  # whatever it was, nothing was committed that anybody may rely on
            failure = error if isinstance(error, LedgerFailed) else LedgerFailed(f"the ledger failed: {error!r}")
            results = [failure] * len(charges)
        self._settle(entries, failure)
        for (_, future), result in zip(charges, results, strict=True):
            if isinstance(result, Receipt):
                future.set_result(result)
            else:
                future.set_exception(result)

    def _settle(self, entries: list[Entry], failure: LedgerFailed | None) -> None:
        with self._changed:
            waiting = self._waiting
            for entry in entries if failure is None else ():
                waiting.entries.popleft()
                waiting.bytes -= entry.size
            self._failure = failure if waiting.entries else None  # a failed charge has told its own caller
            behind = failure is None and len(entries) == COMMIT_RECORDS  # else what is left came during the commit
            pause = 0 if behind else self._flush_every_s
            waiting.due = time.monotonic() + pause if waiting.entries else None
            answered = [] if waiting.entries and failure is None else waiting.flushes[:]
            del waiting.flushes[: len(answered)]
        for future in answered:
            if future.set_running_or_notify_cancel():
                future.set_exception(failure) if failure else future.set_result(None)


def _closed() -> LedgerFailed:
    return LedgerFailed("the ledger is closed")


def _resolve(future: Future[Any], function: Callable[[], Any]) -> None:
    try:
        future.set_result(function())
    except Exception as error:
        future.set_exception(error)
