"""The ledger's thread: nothing blocks the loop, nothing is lost, and a store that fails closes it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from ledger import laws
from noisegate.errors import BadSetting, BudgetExceeded, LedgerFailed, NoisegateError
from noisegate.ledger import audit
from noisegate.ledger.asynchronous import FLUSH_EVERY_S, AsyncLedger
from noisegate.ledger.audit import AuditEntry
from noisegate.ledger.interface import Request
from noisegate.ledger.sqlite import SqliteLedger
from noisegate.plan.trust import Receipt


class Observed(SqliteLedger):
    """A real ledger that counts its commits, and whose store can be held up or taken away."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.begun = self.commits = 0
        self.failing = False
        self.gate = threading.Event()
        self.gate.set()

    def transact(
        self, requests: Sequence[Request], entries: Sequence[AuditEntry] = ()
    ) -> list[Receipt | NoisegateError]:
        self.begun += 1
        self.gate.wait()
        if self.failing:
            self._forget()
            hidden = self.path.with_name("hidden")
            self.path.rename(hidden)
            try:
                return super().transact(requests, entries)
            finally:
                hidden.rename(self.path)
        done = super().transact(requests, entries)
        self.commits += 1
        return done


def relayed(text: str = "SELECT 1") -> AuditEntry:
    return AuditEntry(audit.RELAYED, analyst="alice", sql=text, outcome="ok", seconds=0.001)


def run(path: Path, body: Callable[[Observed, AsyncLedger], Awaitable[None]], **settings: float) -> SqliteLedger:
    """Run `body`, close the ledger, and hand back the store, verified."""

    async def main() -> None:
        store = Observed(path)
        ledger = AsyncLedger(store, **settings)  # type: ignore[arg-type]
        try:
            await body(store, ledger)
        finally:
            store.failing = False
            store.gate.set()
            await ledger.close()

    asyncio.run(main())
    after = SqliteLedger(path, create=False)
    assert after.verify() == []
    return after


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what another thread does
            await asyncio.sleep(0.005)


async def pay(ledger: AsyncLedger, epsilon: str = "0.01") -> Receipt:
    return await ledger.charge("alice", laws.accounts(), laws.price(epsilon), ["digest"], laws.asked())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def test_fifty_sessions_are_exact_and_share_commits(path: Path) -> None:
    async def body(store: Observed, ledger: AsyncLedger) -> None:
        async def session() -> int:
            bought = 0
            try:
                while True:
                    receipt = await pay(ledger)
                    await ledger.ended(receipt, laws.asked(), "ok", 0.1)
                    bought += 1
            except BudgetExceeded:
                return bought

        assert sum(await asyncio.gather(*(session() for _ in range(50)))) == 100
        assert (await ledger.balance(laws.OWN)).epsilon == 1
        assert store.commits < 60  # 100 charges, 50 refusals and 100 endings

    after = run(path, body)
    assert sorted(laws.events(after)) == ["asked"] * 100 + ["ended"] * 100


def test_a_receipt_is_durable_when_it_is_heard_of(path: Path) -> None:
    async def body(store: Observed, ledger: AsyncLedger) -> None:
        receipt = await pay(ledger)
        other = SqliteLedger(path, create=False)
        assert [r.values["event"] for r in other.related(receipt.id)] == ["asked"]
        assert other.balance(laws.SHARED).epsilon == Decimal("0.01")
        other.close()

    run(path, body)


def test_refusals_reach_their_own_caller(path: Path) -> None:
    async def body(store: Observed, ledger: AsyncLedger) -> None:
        store.gate.clear()
        charges = [asyncio.create_task(pay(ledger, e)) for e in ("0.9", "NaN", "0.2", "0.1")]
        await asyncio.sleep(0.05)
        store.gate.set()
        results = await asyncio.gather(*charges, return_exceptions=True)
        assert [type(r) for r in results] == [Receipt, BadSetting, BudgetExceeded, Receipt]

    run(path, body)


def test_relayed_statements_are_grouped(path: Path) -> None:
    async def body(store: Observed, ledger: AsyncLedger) -> None:
        for number in range(1000):
            ledger.relayed(relayed(str(number)))
        assert store.commits == 0
        await ledger.flush()
        assert store.commits == 1
        other = SqliteLedger(path, create=False)
        assert [r.values["sql"] for r in other.records()] == [str(n) for n in range(1000)]
        other.close()

    run(path, body, flush_every_s=60)


def test_a_record_is_written_without_being_asked_for(path: Path) -> None:
    assert FLUSH_EVERY_S <= 1

    async def body(store: Observed, ledger: AsyncLedger) -> None:
        ledger.relayed(relayed())
        await until(lambda: store.commits == 1)

    run(path, body)


def test_records_go_before_the_charge_that_follows_them(path: Path) -> None:
    async def body(store: Observed, ledger: AsyncLedger) -> None:
        ledger.relayed(relayed("SET noisegate.epsilon = 0.01"))
        await pay(ledger)
        assert store.commits == 1

    after = run(path, body, flush_every_s=60)
    assert laws.events(after) == ["relayed", "asked"]


def test_close_writes_what_is_buffered(path: Path) -> None:
    async def body(store: Observed, ledger: AsyncLedger) -> None:
        for _ in range(5000):
            ledger.relayed(relayed())

    after = run(path, body, flush_every_s=60)
    assert after.head().count == 5000


def test_a_closed_ledger_takes_nothing(path: Path) -> None:
    ledgers: list[AsyncLedger] = []

    async def body(store: Observed, ledger: AsyncLedger) -> None:
        ledgers.append(ledger)

    run(path, body)

    async def late() -> None:
        for attempt in (pay(ledgers[0]), ledgers[0].balance(laws.OWN)):
            with pytest.raises(LedgerFailed, match="closed"):
                await attempt
        for call in (lambda: ledgers[0].relayed(relayed()), ledgers[0].check):
            with pytest.raises(LedgerFailed, match="closed"):
                call()

    asyncio.run(late())


def test_a_failing_store_closes_the_ledger_and_keeps_the_records(path: Path) -> None:
    async def body(store: Observed, ledger: AsyncLedger) -> None:
        ledger.check()
        store.failing = True
        ledger.relayed(relayed("kept"))
        with pytest.raises(LedgerFailed):
            await ledger.flush()
        with pytest.raises(LedgerFailed):
            ledger.check()
        with pytest.raises(LedgerFailed):
            await pay(ledger)
        tried = store.begun
        await until(lambda: store.begun >= tried + 2)  # it tries again by itself
        with pytest.raises(LedgerFailed):
            ledger.check()
        assert store.commits == 0
        store.failing = False
        await until(lambda: store.commits == 1)
        await ledger.flush()
        ledger.check()
        await pay(ledger)

    after = run(path, body, flush_every_s=0.05)
    assert laws.events(after) == ["relayed", "asked"]
    assert after.balance(laws.OWN).epsilon == Decimal("0.01")


def test_close_says_when_records_were_lost(path: Path) -> None:
    async def main() -> None:
        store = Observed(path)
        ledger = AsyncLedger(store)
        store.failing = True
        ledger.relayed(relayed())
        with pytest.raises(LedgerFailed, match="1 records of the audit log could not be written"):
            await ledger.close()

    asyncio.run(main())


@pytest.mark.parametrize("bound", ["records", "bytes"])
def test_a_full_buffer_refuses(path: Path, bound: str) -> None:
    async def body(store: Observed, ledger: AsyncLedger) -> None:
        store.gate.clear()
        taken = 0
        with pytest.raises(LedgerFailed, match="cannot take more"):
            for _ in range(1000):
                ledger.relayed(relayed("x" * 700))
                taken += 1
        assert 90 <= taken <= 100
        with pytest.raises(LedgerFailed, match="behind"):
            ledger.check()
        store.gate.set()
        await ledger.flush()
        ledger.check()
        ledger.relayed(relayed())

    settings = {"buffer_records": 100} if bound == "records" else {"buffer_bytes": 100_000}
    after = run(path, body, flush_every_s=60, **settings)
    assert 91 <= after.head().count <= 101


def test_the_loop_runs_while_the_disk_waits(path: Path) -> None:
    async def body(store: Observed, ledger: AsyncLedger) -> None:
        store.gate.clear()
        charge = asyncio.create_task(pay(ledger))
        await until(lambda: store.begun == 1)
        for _ in range(100):  # they would never end if they waited for the disk
            ledger.relayed(relayed())
            await asyncio.sleep(0)
        assert not charge.done()
        store.gate.set()
        assert (await charge).accounts == (laws.OWN, laws.SHARED)

    run(path, body)


def test_a_cancelled_charge_is_made_or_not_but_never_half(path: Path) -> None:
    async def body(store: Observed, ledger: AsyncLedger) -> None:
        store.gate.clear()
        running = asyncio.create_task(pay(ledger))
        await until(lambda: store.begun == 1)  # its commit has begun: it cannot be taken back
        waiting = asyncio.create_task(pay(ledger))
        await asyncio.sleep(0)
        for task in (running, waiting):
            task.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        assert running.cancelled() and waiting.cancelled()
        store.gate.set()
        await pay(ledger)
        assert (await ledger.balance(laws.OWN)).epsilon == Decimal("0.02")

    after = run(path, body)
    assert laws.events(after) == ["asked", "asked"]


def test_an_idle_ledger_sleeps(path: Path) -> None:
    async def body(store: Observed, ledger: AsyncLedger) -> None:
        await pay(ledger)
        ledger.relayed(relayed())
        await ledger.flush()
        before = time.process_time()
        await asyncio.sleep(1)
        assert time.process_time() - before < 0.1
        store.failing = True
        with pytest.raises(LedgerFailed):
            await pay(ledger)
        before = time.process_time()
        await asyncio.sleep(1)
        assert time.process_time() - before < 0.1

    run(path, body)
