"""The laws of a ledger, for every implementation: each takes a callable that opens the same store again and again.

The callable is picklable: some laws open the store from other processes, some of which are killed.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, Protocol

import pytest

from noisegate.errors import BadSetting, BudgetExceeded, Internal, LedgerFailed, NoisegateError
from noisegate.ledger import audit
from noisegate.ledger.accounts import AccountLimit
from noisegate.ledger.asynchronous import AsyncLedger
from noisegate.ledger.audit import AuditEntry
from noisegate.ledger.interface import Ledger, Request
from noisegate.plan.measure import Charge
from noisegate.plan.trust import Receipt

Opener = Callable[[], Ledger]
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["noisegate.ledger.sqlite", "noisegate.ledger.postgres", "pytest"])
OWN, SHARED = "analyst:alice@demo", "dataset:demo"


def price(epsilon: str, delta: str = "0", kind: str = "basic") -> Charge:
    return Charge(Decimal(epsilon), Decimal(delta), kind)


def accounts(
    own: str = "1", shared: str = "100", *, delta: str = "0", ceiling: str | None = None
) -> list[AccountLimit]:
    top = None if ceiling is None else price(ceiling, delta)
    return [AccountLimit(OWN, "analyst", price(own, delta), top), AccountLimit(SHARED, "dataset", price(shared, delta))]


def asked(sql: str = "SELECT count(*) FROM users") -> AuditEntry:
    return AuditEntry(audit.ASKED, database="demo", client_address="127.0.0.1", sql=sql, parameters=("1", None))


def pay(ledger: Ledger, epsilon: str = "0.1", of: list[AccountLimit] | None = None, delta: str = "0") -> Receipt:
    return ledger.charge("alice", of or accounts(), price(epsilon, delta), ["digest"], asked())


def events(ledger: Ledger) -> list[str]:
    return [record.values["event"] for record in ledger.records()]


@contextmanager
def opened(open_ledger: Opener) -> Iterator[Ledger]:
    ledger = open_ledger()
    try:
        yield ledger
    finally:
        ledger.close()


def whole(open_ledger: Opener) -> None:
    with opened(open_ledger) as ledger:
        assert ledger.verify() == []


# What a charge is


def a_charge_takes_from_all_accounts_and_is_recorded(open_ledger: Opener) -> None:
    with opened(open_ledger) as ledger:
        digests = ["one", "two", "two"]
        receipt = ledger.charge("alice", accounts(delta="1e-6"), price("0.1", "1e-9"), digests, asked())
        assert receipt.accounts == (OWN, SHARED)
        assert (receipt.charge, receipt.digests) == (price("0.1", "1e-9"), ("one", "two", "two"))
        for digest in ("two", "one", "two"):
            receipt.use(digest)
        with pytest.raises(Internal):
            receipt.use("two")
        for name in (OWN, SHARED):
            spent = ledger.balance(name)
            assert (spent.epsilon, spent.delta, spent.kind) == (Decimal("0.1"), Decimal("1e-9"), "basic")
        [record] = ledger.records()
        values = record.values
        assert values["event"] == "asked" and values["receipt"] == receipt.id and values["analyst"] == "alice"
        assert values["price"] == {"kind": "basic", "epsilon": "0.1", "delta": "0.000000001"}
        assert values["accounts"] == [OWN, SHARED] and values["digests"] == ["one", "two", "two"]
        assert values["parameters"] == ["1", None] and values["sql"] == "SELECT count(*) FROM users"
        ledger.ended(receipt, asked(), "ok", 0.25)
        first, last = ledger.related(receipt.id)
        assert first == record and last.values["outcome"] == "ok" and last.values["duration_us"] == 250_000
        assert "sql" not in last.values
    whole(open_ledger)


def receipts_are_different(open_ledger: Opener) -> None:
    with opened(open_ledger) as ledger:
        assert len({pay(ledger).id for _ in range(10)}) == 10


def all_or_none(open_ledger: Opener) -> None:
    """A charge that one of its accounts cannot pay leaves no trace in the other."""
    for own, shared, message, shows in (
        ("1", "0.5", "the data set's budget", False),
        ("0.5", "1", "your budget", True),
        ("0.5", "0.5", "your budget", True),  # both: the analyst's own first
    ):
        with opened(open_ledger) as ledger:
            before = ledger.balances(), ledger.head()
            with pytest.raises(BudgetExceeded, match=message) as refusal:
                pay(ledger, "0.6", accounts(own, shared))
            assert "It costs epsilon 0.6" in refusal.value.detail
            assert ("epsilon 0.5 left" in refusal.value.detail) == shows
            assert "0.5" not in refusal.value.message + refusal.value.hint
            assert shows or "0.5" not in refusal.value.detail  # what is left depends on others
            assert (ledger.balances(), ledger.head()) == before
    whole(open_ledger)


def delta_is_a_budget_of_its_own(open_ledger: Opener) -> None:
    with opened(open_ledger) as ledger:
        for _ in range(3):
            pay(ledger, "0.01", accounts(delta="3e-9"), "1e-9")
        with pytest.raises(BudgetExceeded, match="your budget") as refusal:
            pay(ledger, "0.01", accounts(delta="3e-9"), "1e-9")
        assert "epsilon 0.97 and delta 0 left" in refusal.value.detail
        pay(ledger, "0.97", accounts(delta="3e-9"))
    whole(open_ledger)


def exact(open_ledger: Opener) -> None:
    """Ten times 0.1 is 1, and then nothing is left, not even the least amount."""
    with opened(open_ledger) as ledger:
        for _ in range(10):
            pay(ledger, "0.1")
        assert ledger.balance(OWN).epsilon == 1
        for least in ("0.1", "1e-40"):
            with pytest.raises(BudgetExceeded):
                pay(ledger, least)
        big = accounts("1e23", "1e23")
        pay(ledger, "1e-40", big)
        pay(ledger, "99999999999999999999998.9999999999999999999999999999999999999999", big)
        assert ledger.balance(OWN).epsilon == Decimal("1e23")
        with pytest.raises(BudgetExceeded):
            pay(ledger, "1e-40", big)
    whole(open_ledger)


NONSENSE = (
    "0",
    "-0",
    "-0.1",
    "NaN",
    "sNaN",
    "Infinity",
    "-Infinity",
    "1e-300",
    "1e24",
    "1e300",
    "1e-41",
    "0.1" + "0" * 40 + "1",
)


def nonsense_is_refused(open_ledger: Opener) -> None:
    with opened(open_ledger) as ledger:
        for epsilon in NONSENSE:
            with pytest.raises(BadSetting):
                pay(ledger, epsilon)
        for delta in ("-1e-9", "NaN", "Infinity", "1", "2", "1e-300"):
            with pytest.raises(BadSetting):
                pay(ledger, "0.1", accounts(delta="0.5"), delta)
        with pytest.raises(BadSetting):
            ledger.charge("alice", accounts(), Charge(0.1, Decimal(0)), ["digest"], asked())  # type: ignore[arg-type]
        own, shared = accounts()
        for wrong, digests in (([], ["d"]), ([own, own], ["d"]), ([own, shared], [])):
            with pytest.raises(Internal):
                ledger.charge("alice", wrong, price("0.1"), digests, asked())
        with pytest.raises(Internal):
            ledger.charge("alice", accounts(), price("0.1", kind="zcdp"), ["digest"], asked())
        assert ledger.balances() == [] and ledger.head().count == 0
    whole(open_ledger)


def an_account_keeps_its_accounting(open_ledger: Opener) -> None:
    with opened(open_ledger) as ledger:
        pay(ledger)
        other = [AccountLimit(OWN, "analyst", price("1", kind="zcdp"))]
        with pytest.raises(LedgerFailed, match="accounting"):
            ledger.charge("alice", other, price("0.1", kind="zcdp"), ["digest"], asked())
        assert ledger.balance(OWN).epsilon == Decimal("0.1")


def any_name_is_a_name(open_ledger: Opener) -> None:
    """Quotes, percent signs, braces and backslashes are letters."""
    names = ("analyst:o'neil\\'@demo", "analyst:%s{}%25@demo", 'analyst:"";--@démo', "analyst:$1\\x27@demo")
    with opened(open_ledger) as ledger:
        for number, name in enumerate(names, 1):
            account = AccountLimit(name, "analyst", price("1"), price("2"))
            for _ in range(number):
                ledger.charge("alice", [account], price("0.1"), ["digest"], asked())
            ledger.grant(account, price("0.5"), "because", "bob")
            assert ledger.balance(name).epsilon == number * Decimal("0.1")
        assert [spent.account for spent in ledger.balances()] == sorted(names)
    whole(open_ledger)


def a_lowered_policy_binds_at_once(open_ledger: Opener) -> None:
    with opened(open_ledger) as ledger:
        pay(ledger, "0.5")
        with pytest.raises(BudgetExceeded) as refusal:
            pay(ledger, "0.1", accounts("0.2"))
        assert "You have epsilon 0 left, of epsilon 0.2" in refusal.value.detail


# Grants


def grants_move_the_limit_below_the_ceiling(open_ledger: Opener) -> None:
    own = accounts("1", ceiling="1.5")
    with opened(open_ledger) as ledger:
        pay(ledger, "1", own)
        with pytest.raises(BudgetExceeded):
            pay(ledger, "0.5", own)
        with pytest.raises(BadSetting, match="ceiling"):
            ledger.grant(own[0], price("0.6"), "too much", "bob")
        with pytest.raises(BadSetting, match="ceiling"):
            ledger.grant(accounts("1")[0], price("0.1"), "no ceiling is declared", "bob")
        for nothing in ("0", "-0.1", "NaN"):
            with pytest.raises(BadSetting):
                ledger.grant(own[0], price(nothing), "nonsense", "bob")
        assert ledger.grant(own[0], price("0.5"), "quarterly report", "bob").granted_epsilon == Decimal("0.5")
        pay(ledger, "0.5", own)
        with pytest.raises(BudgetExceeded):
            pay(ledger, "1e-40", own)
        values = [r.values for r in ledger.records() if r.values["event"] == "grant"]
        assert [(v["reason"], v["operator"], v["accounts"]) for v in values] == [("quarterly report", "bob", [OWN])]
        with pytest.raises(BudgetExceeded):  # the policy's ceiling is lowered after the grant: the ceiling counts
            pay(ledger, "0.1", accounts("1", ceiling="1.2"))
    whole(open_ledger)


# Several at once


def one_commit_for_many(open_ledger: Opener) -> None:
    """`transact` decides in order; a refusal among them touches nobody else."""
    with opened(open_ledger) as ledger:
        one, more = price("0.4"), price("NaN")
        requests = [Request("alice", tuple(accounts()), c, ("digest",), asked()) for c in (one, more, one, one)]
        results = ledger.transact(requests, [AuditEntry(audit.RELAYED, sql="SELECT 1")])
        assert [type(r) for r in results] == [Receipt, BadSetting, Receipt, BudgetExceeded]
        assert ledger.balance(OWN).epsilon == Decimal("0.8")
        assert events(ledger) == ["relayed", "asked", "asked"]
    whole(open_ledger)


def threads_never_overspend(open_ledger: Opener) -> None:
    with opened(open_ledger) as ledger:

        def spend(_: int) -> bool:
            try:
                pay(ledger, "0.01")
            except BudgetExceeded:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(spend, range(150))) == 100
        assert ledger.balance(OWN).epsilon == 1
    whole(open_ledger)


def _race(open_ledger: Opener, barrier: Any, done: Connection) -> None:
    with opened(open_ledger) as ledger:
        bought = 0
        barrier.wait()
        try:
            while True:
                pay(ledger, "0.01", accounts("2", "1"))
                bought += 1
        except BudgetExceeded:
            done.send(bought)
        except NoisegateError as error:
            done.send(repr(error))


def processes_never_overspend(open_ledger: Opener) -> None:
    """Eight processes open the store at once and race for the last unit: exactly 100 of them are sold."""
    barrier = processes.Barrier(8)
    ours, theirs = processes.Pipe(duplex=False)
    children = [processes.Process(target=_race, args=(open_ledger, barrier, theirs)) for _ in range(8)]
    for child in children:
        child.start()
    results = [ours.recv() for _ in children]
    for child in children:
        child.join()
    assert all(isinstance(r, int) for r in results), results
    assert sum(results) == 100
    with opened(open_ledger) as ledger:
        assert ledger.balance(SHARED).epsilon == 1
    whole(open_ledger)


def _race_sessions(open_ledger: Opener, sessions: int, barrier: Any, done: Connection) -> None:
    async def session(ledger: AsyncLedger) -> int:
        bought = 0
        try:
            while True:
                of = accounts("2", "1")
                receipt = await ledger.charge("alice", of, price("0.01"), ["digest"], asked())
                ledger.finished(receipt, asked(), "ok", 0.001)
                bought += 1
        except BudgetExceeded:
            return bought

    async def gate() -> int:
        ledger = AsyncLedger(open_ledger())
        barrier.wait()
        try:
            return sum(await asyncio.gather(*(session(ledger) for _ in range(sessions))))
        finally:
            await ledger.close()

    try:
        done.send(asyncio.run(gate()))
    except NoisegateError as error:
        done.send(repr(error))


def many_gates_never_overspend(open_ledger: Opener, sessions: int) -> None:
    """Eight gates with `sessions` each, all at once: exactly 100 of the last units are sold, each with both records."""
    barrier = processes.Barrier(8)
    ours, theirs = processes.Pipe(duplex=False)
    arguments = (open_ledger, sessions, barrier, theirs)
    children = [processes.Process(target=_race_sessions, args=arguments) for _ in range(8)]
    for child in children:
        child.start()
    results = [ours.recv() for _ in children]
    for child in children:
        child.join()
    assert all(isinstance(r, int) for r in results), results
    assert sum(results) == 100
    with opened(open_ledger) as ledger:
        assert ledger.balance(SHARED).epsilon == ledger.balance(OWN).epsilon == 1
        assert sorted(events(ledger)) == ["asked"] * 100 + ["ended"] * 100
    whole(open_ledger)


# Durability


def _charge_until_killed(open_ledger: Opener, done: Connection) -> None:
    with opened(open_ledger) as ledger:
        while True:
            receipt = pay(ledger, "0.001", accounts("1000", "1000"))
            done.send(receipt.id)
            ledger.ended(receipt, asked(), "ok", 0.001)


def killed_at_any_time_it_is_whole(open_ledger: Opener) -> None:
    """SIGKILL at arbitrary moments, of two processes at work: all receipts that were heard of are charged, at most one
    more per process is, and nothing needs repair."""
    heard: set[str] = set()
    rounds = 4
    for turn in range(rounds):
        ours, theirs = processes.Pipe(duplex=False)
        children = [processes.Process(target=_charge_until_killed, args=(open_ledger, theirs)) for _ in range(2)]
        for child in children:
            child.start()
        heard.add(ours.recv())
        time.sleep(0.05 + 0.037 * turn)
        for child in children:
            child.kill()
            child.join()
        theirs.close()
        heard |= set(_rest(ours))
    with opened(open_ledger) as ledger:
        charged = {r.values["receipt"] for r in ledger.records() if r.values["event"] == "asked"}
        assert heard <= charged and len(charged) <= len(heard) + 2 * rounds
        assert ledger.balance(OWN).epsilon == len(charged) * Decimal("0.001")
    whole(open_ledger)


def _rest(pipe: Connection) -> Iterator[str]:
    """What was sent completely before the kill."""
    try:
        while pipe.poll(0):
            yield pipe.recv()
    except EOFError:
        return


def _killed_at_line(open_ledger: Opener, line: int, told: int) -> None:
    """Charge once; die at the `line`-th line of the ledger's own code. `told` is a pipe that hears of the receipt."""
    ledger = open_ledger()
    left = line

    def count(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        if f"{os.sep}ledger{os.sep}" not in frame.f_code.co_filename:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return count

    sys.settrace(count)
    receipt = pay(ledger, "0.001", accounts("1000", "1000"))
    sys.settrace(None)
    os.write(told, receipt.id.encode())


def _fork_per_line(open_ledger: Opener, done: Connection, step: int) -> None:
    """In a process without threads: one fork for each `step`-th line at which a charge may die, until one survives."""
    line = 1
    while True:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            _killed_at_line(open_ledger, line, write)
            os._exit(0)
        os.close(write)
        _, status = os.waitpid(child, 0)
        receipt = os.read(read, 100).decode()
        os.close(read)
        if os.WIFEXITED(status):
            done.send((line, receipt, os.WEXITSTATUS(status)))
            return
        line += step


def killed_at_every_line_it_is_whole(open_ledger: Opener, step: int = 1) -> None:
    """SIGKILL before each line that the ledger runs for a charge: never half a charge, nothing to repair."""
    with opened(open_ledger):
        pass
    ours, theirs = processes.Pipe(duplex=False)
    child = processes.Process(target=_fork_per_line, args=(open_ledger, theirs, step))
    child.start()
    lines, receipt, status = ours.recv()
    child.join()
    assert lines > 50 and receipt and status == 0
    with opened(open_ledger) as ledger:
        charged = [r.values["receipt"] for r in ledger.records()]
        assert receipt == charged[-1]
        assert 1 < len(charged) < lines // step  # some died before the commit, some after it
        assert ledger.balance(OWN).epsilon == ledger.balance(SHARED).epsilon == len(charged) * Decimal("0.001")
    whole(open_ledger)


def spending_outlives_everything(open_ledger: Opener) -> None:
    """Closing, opening, and time renew nothing."""
    with opened(open_ledger) as ledger:
        pay(ledger, "1")
        ledger.close()
    with opened(open_ledger) as ledger:
        assert ledger.balance(OWN).epsilon == 1
        with pytest.raises(BudgetExceeded):
            pay(ledger, "0.1")


class Breakable(Protocol):
    """How a test takes a store away from an open ledger, and gives it back."""

    def break_store(self, ledger: Ledger) -> None: ...

    def mend_store(self, ledger: Ledger) -> None: ...


def a_failure_gives_no_receipt(open_ledger: Opener, fault: Breakable) -> None:
    """A store that fails in the middle: LedgerFailed, no receipt, nothing half done; and it goes on afterwards."""
    with opened(open_ledger) as ledger:
        pay(ledger)
        fault.break_store(ledger)
        for _ in range(2):
            with pytest.raises(LedgerFailed):
                ledger.charge("alice", accounts(), price("0.1"), ["digest"], asked("x" * 200_000))
            with pytest.raises(LedgerFailed):
                ledger.record([AuditEntry(audit.RELAYED, sql="x" * 200_000)])
        fault.mend_store(ledger)
        assert ledger.balance(OWN).epsilon == Decimal("0.1")
        pay(ledger)
        assert ledger.balance(OWN).epsilon == ledger.balance(SHARED).epsilon == Decimal("0.2")
        assert events(ledger) == ["asked", "asked"]
    whole(open_ledger)


# The log


class Tamper(Protocol):
    """How a test reaches past the ledger into its store."""

    def change(self, record: int, before: str, after: str) -> None: ...

    def remove(self, record: int) -> None: ...

    def swap(self, one: int, other: int) -> None: ...

    def cut_with_head(self, last: int) -> None: ...

    def rechain(self) -> None: ...

    def set_spent(self, account: str, epsilon: str) -> None: ...

    def forget_charge(self, record: int, account: str) -> None: ...

    def refile(self, record: int, receipt: str) -> None: ...


def _some_history(ledger: Ledger) -> None:
    for _ in range(3):
        receipt = pay(ledger)
        ledger.record([AuditEntry(audit.RELAYED, analyst="alice", sql="SELECT 1", outcome="ok")])
        ledger.ended(receipt, asked(), "ok", 0.1)
    ledger.grant(accounts(ceiling="2")[0], price("0.5"), "because", "bob")
    pay(ledger)


TAMPERINGS: dict[str, tuple[Callable[[Tamper], None], str]] = {
    "a changed text": (lambda t: t.change(4, "count(*)", "sum(pay)"), "record 4: it was changed"),
    "a changed price": (lambda t: t.change(4, '"0.1"', '"0.0"'), "record 4: it was changed"),
    "a record that is none": (lambda t: t.change(4, "{", "["), "record 4: it cannot be read"),
    "a removed record": (lambda t: t.remove(5), "record 6: what stood before it is gone (record 5)"),
    "the first record removed": (lambda t: t.remove(1), "record 2: what stood before it is gone (record 1)"),
    "the last record removed": (lambda t: t.remove(11), "the log ends at record 10, its head says 11"),
    "two records swapped": (lambda t: t.swap(2, 5), "record 2: it was written as record 5"),
    "a tail cut with its head": (lambda t: t.cut_with_head(9), "a charge to analyst:alice@demo has no record"),
    "a price changed, then all rechained": (
        lambda t: (t.change(4, '"0.1"', '"0.0"'), t.rechain())[-1],
        "record 4: its charge to analyst:alice@demo is not the recorded price",
    ),
    "an ending twice, then all rechained": (
        lambda t: (t.change(2, '"event":"relayed"', '"event":"ended","receipt":"none"'), t.rechain())[-1],
        "record 2: it ends a statement that was never asked",
    ),
    "an account set back": (lambda t: t.set_spent(OWN, "0"), "the total of analyst:alice@demo is not the sum"),
    "an account from nowhere": (lambda t: t.set_spent("analyst:eve@demo", "1"), "the total of analyst:eve@demo"),
    "a charge taken out": (lambda t: t.forget_charge(4, SHARED), "record 4: its charge to dataset:demo is missing"),
    "a record filed elsewhere": (lambda t: t.refile(4, "other"), "record 4: it is filed under the receipt other"),
}


def tampering_is_found(open_ledger: Opener, tamper: Tamper, name: str) -> None:
    with opened(open_ledger) as ledger:
        _some_history(ledger)
        assert ledger.head().count == 11 and ledger.verify() == []
    act, expected = TAMPERINGS[name]
    act(tamper)
    with opened(open_ledger) as ledger:
        assert any(expected in str(problem) for problem in ledger.verify()), ledger.verify()


def a_noted_head_finds_a_cut_tail(open_ledger: Opener, tamper: Tamper) -> None:
    """Records without a charge can be cut with their head unseen; a head that was noted elsewhere tells."""
    with opened(open_ledger) as ledger:
        _some_history(ledger)
        ledger.record([AuditEntry(audit.RELAYED, sql="SELECT 1")])
        noted = ledger.head()
        assert audit.holds(ledger.records(), noted)
    tamper.cut_with_head(11)
    with opened(open_ledger) as ledger:
        assert ledger.verify() == []
        assert not audit.holds(ledger.records(), noted)


def texts_survive(open_ledger: Opener) -> None:
    """What the analyst sent stands in the log as it was."""
    texts = ("SELECT 'ä\u2028\U0001f600'", 'a\nb\t"\\', "\udc80", "x" * 100_000, "a\0b")
    with opened(open_ledger) as ledger:
        ledger.record([AuditEntry(audit.RELAYED, sql=text, parameters=(text, None, "")) for text in texts])
        values = [record.values for record in ledger.records()]
        assert [(v["sql"], v["parameters"]) for v in values] == [(text, [text, None, ""]) for text in texts]
    whole(open_ledger)


def reading_goes_on_while_others_write(open_ledger: Opener) -> None:
    with opened(open_ledger) as ledger:
        ledger.record([AuditEntry(audit.RELAYED, sql=str(i)) for i in range(1200)])
        seen = []
        for record in ledger.records():
            seen.append(record.id)
            if record.id % 400 == 0:
                with opened(open_ledger) as other:
                    pay(other)
        assert seen == list(range(1, 1204))
        assert [r.id for r in ledger.records(after=1200)] == [1201, 1202, 1203]
        stop = threading.Event()
        writer = threading.Thread(target=_write_until, args=(open_ledger, stop))
        writer.start()
        try:
            for _ in range(20):
                assert ledger.verify() == []
        finally:
            stop.set()
            writer.join()


def _write_until(open_ledger: Opener, stop: threading.Event) -> None:
    with opened(open_ledger) as ledger:
        while not stop.is_set():
            pay(ledger, "0.001", accounts("1000", "1000"))


LAWS: tuple[Callable[[Opener], None], ...] = (
    a_charge_takes_from_all_accounts_and_is_recorded,
    receipts_are_different,
    all_or_none,
    delta_is_a_budget_of_its_own,
    exact,
    nonsense_is_refused,
    an_account_keeps_its_accounting,
    any_name_is_a_name,
    a_lowered_policy_binds_at_once,
    grants_move_the_limit_below_the_ceiling,
    one_commit_for_many,
    threads_never_overspend,
    processes_never_overspend,
    killed_at_any_time_it_is_whole,
    killed_at_every_line_it_is_whole,
    spending_outlives_everything,
    texts_survive,
    reading_goes_on_while_others_write,
)
