"""What a charge costs in both stores: the gate's own time, the disk's time, and charges per second from many sessions.

python bench/ledger.py [FOLDER]     (the folder decides which disk; default: the current one)

PostgreSQL is the embedded one with its own settings, fsync on, in the same folder, on a unix socket.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import psycopg

from noisegate.ledger import audit
from noisegate.ledger.accounts import AccountLimit, analyst_account, dataset_account
from noisegate.ledger.asynchronous import AsyncLedger
from noisegate.ledger.audit import AuditEntry
from noisegate.ledger.interface import Ledger
from noisegate.ledger.postgres import PostgresLedger
from noisegate.ledger.sqlite import SqliteLedger
from noisegate.plan.measure import Charge
from noisegate.room.embedded import EmbeddedServer

PRICE = Charge(Decimal("0.1"), Decimal("1e-9"))
LIMIT = Charge(Decimal(10**9), Decimal("0.5"))
Make = Callable[[str], Ledger]  # a store of this name, new at its first call
CHARGES, SESSIONS, RELAYED = 1000, 50, 20_000
SQL = "SELECT plan, count(*), avg(amount) FROM users JOIN purchases USING (user_id) WHERE country = 'FR' GROUP BY plan"


def accounts(analyst: str) -> list[AccountLimit]:
    return [
        AccountLimit(analyst_account(analyst, "demo"), "analyst", LIMIT),
        AccountLimit(dataset_account("demo"), "dataset", LIMIT),
    ]


def asked() -> AuditEntry:
    plan = "\n".join(f"line {number} of a plan" for number in range(40))
    return AuditEntry(audit.ASKED, database="demo", client_address="10.0.0.7", sql=SQL, plan=plan)


def fsync_seconds(folder: Path) -> float:
    """Median time of making 8 kB of a file durable: what any durable charge must wait for."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(200):
            os.pwrite(file.fileno(), bytes(8192), 0)
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def one_by_one(make: Make) -> tuple[float, float]:
    """Median seconds of one charge: (elapsed, processor time of this process)."""
    ledger = make("one")
    limits, elapsed, busy = accounts("alice"), [], time.process_time()
    for _ in range(CHARGES):
        start = time.perf_counter()
        ledger.charge("alice", limits, PRICE, ["digest"], asked())
        elapsed.append(time.perf_counter() - start)
    busy = time.process_time() - busy
    assert ledger.balance(limits[1].name).epsilon == CHARGES * PRICE.epsilon
    ledger.close()
    return statistics.median(elapsed), busy / CHARGES


async def many_sessions(make: Make) -> tuple[float, float]:
    """(charges per second, processor seconds per charge) of 50 sessions that each wait for their own charges."""
    ledger = AsyncLedger(make("many"))

    async def session(number: int) -> None:
        limits = accounts(f"analyst{number}")
        for _ in range(CHARGES // SESSIONS):
            entry = asked()
            receipt = await ledger.charge(f"analyst{number}", limits, PRICE, ["digest"], entry)
            ledger.finished(receipt, entry, "ok", 0.1)

    start, busy = time.perf_counter(), time.process_time()
    await asyncio.gather(*(session(number) for number in range(SESSIONS)))
    elapsed, busy = time.perf_counter() - start, time.process_time() - busy
    assert (await ledger.balance(dataset_account("demo"))).epsilon == CHARGES * PRICE.epsilon
    await ledger.close()
    return CHARGES / elapsed, busy / CHARGES


async def relayed_statements(make: Make) -> tuple[float, float]:
    """Seconds per relayed statement: (of the event loop, of the processor in all, until durable)."""
    ledger = AsyncLedger(make("relayed"), buffer_records=10 * RELAYED)
    busy, loop = time.process_time(), 0.0
    for _ in range(RELAYED):
        start = time.perf_counter()
        ledger.relayed(AuditEntry(audit.RELAYED, analyst="alice", database="demo", sql="SELECT 1", outcome="ok"))
        loop += time.perf_counter() - start
        if _ % 100 == 0:
            await asyncio.sleep(0)
    await ledger.flush()
    busy = time.process_time() - busy
    await ledger.close()
    return loop / RELAYED, busy / RELAYED


@contextmanager
def postgres(folder: Path) -> Iterator[Make]:
    server = EmbeddedServer(folder / "data", name="ledger")
    server.start()

    def make(name: str) -> Ledger:
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as db:
            if not db.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                db.execute(f'CREATE DATABASE "{name}"'.encode())
        return PostgresLedger(server.dsn(name))

    try:
        yield make
    finally:
        server.stop()


def measure(make: Make) -> list[float]:
    """The figures of one store, in the order of LINES."""
    elapsed, busy = one_by_one(make)
    rate, shared = asyncio.run(many_sessions(make))
    loop, record = asyncio.run(relayed_statements(make))
    start = time.perf_counter()
    store = make("relayed")
    assert store.verify() == [] and store.head().count == RELAYED
    checked = RELAYED / (time.perf_counter() - start)
    store.close()
    return [elapsed * 1e3, busy * 1e3, rate, shared * 1e3, loop * 1e6, record * 1e6, checked]


LINES = (
    "one charge, elapsed, ms",
    "one charge, this process's processor time, ms (target: under 1)",
    f"charges per second, {SESSIONS} sessions (target: 200)",
    "  processor time of each, ms",
    "a relayed statement, event loop, us",
    "a relayed statement, processor time, us",
    "audit verify, records per second",
)


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else ".") as name:
        folder = Path(name)
        disk = fsync_seconds(folder)
        file = measure(lambda store: SqliteLedger(folder / f"{store}.sqlite"))
        with postgres(folder) as make:
            shared = measure(make)
    print(f"one fdatasync of this disk: {disk * 1e3:.3f} ms; load {os.getloadavg()[0]:.1f}")
    print(f"{'':66}{'SQLite':>11}{'PostgreSQL':>11}")
    for line, one, other in zip(LINES, file, shared, strict=True):
        print(f"{line:66}{one:11.3f}{other:11.3f}")


if __name__ == "__main__":
    main()
