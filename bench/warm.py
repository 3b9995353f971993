"""What a relayed statement costs in the gate's own code: no sockets, no other process, a warm processor.

Both halves of a session get the bytes that pgbench and a room send for `SELECT 1`; its record is made and buffered.
Each figure is the least of many short bursts, which is steady also on a machine with other work. The rest of a real
statement's time is system calls, waking up, and running the same code with cold caches.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from noisegate.gateway import Gateway
from noisegate.ledger.asynchronous import AsyncLedger
from noisegate.ledger.audit import RelayedEntry
from noisegate.ledger.sqlite import SqliteLedger
from noisegate.planning.cache import Cache
from noisegate.wire import messages as m
from noisegate.wire.asking import Asking
from noisegate.wire.clientside import ClientSide
from noisegate.wire.context import Context
from noisegate.wire.gate import Identity, Statement, Verdict
from noisegate.wire.links import Link
from noisegate.wire.roomside import RoomSide
from noisegate.wire.runs import Refusals

BURST = 10
RECORDS = 1000  # in one transaction of the ledger
_IDENTITY = Identity("alice", "demo", "local", "pgbench")
_READY = m.ready_for_query()
_REPLIES = (
    m.frame(b"T", b"\0\1?column?\0" + b"\0" * 18) + m.frame(b"D", b"\0\1\0\0\0\x011") + m.command_complete("SELECT 1")
)
_BIND_TO_SYNC = m.frame(b"D", b"P\0") + m.execute(b"") + m.SYNC
STATEMENTS = {
    "simple": (m.query(b"SELECT 1;"), _REPLIES + _READY),
    "extended": (
        m.Parse(b"", b"SELECT 1;").encode() + m.Bind(b"", b"").encode() + _BIND_TO_SYNC,
        m.frame(b"1") + m.frame(b"2") + _REPLIES + _READY,
    ),
    "prepared": (m.Bind(b"", b"P_0").encode() + _BIND_TO_SYNC, m.frame(b"2") + _REPLIES + _READY),
}


class Nowhere(asyncio.Transport):
    """Takes what is written."""

    def write(self, data: object) -> None:
        return None

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        return None


class Relaying(Gateway):
    """The part of a gateway that relayed statements meet; the rest of its rooms is not built."""

    def __init__(self, ledger: AsyncLedger) -> None:
        self._ledger = ledger
        self._classified: Cache[tuple[Statement, ...]] = Cache(4096)
        self._classified.put("SELECT 1;", (Statement("SELECT 1", 0, Verdict.RELAY),))


def links(gate: Gateway) -> tuple[Link, Link]:
    """The client's and the room's link of a session."""
    client, room = Link(), Link()
    for link in (client, room):
        link.connection_made(Nowhere())
    half = RoomSide(room, client, Refusals(gate, _IDENTITY), _ended)
    client.attach(ClientSide(Context(half, client, gate, _IDENTITY, Asking(gate), 180000), _ended))
    room.attach(half)
    return client, room


def _ended(last_words: bytes) -> None:
    raise AssertionError(last_words)


def least(work: Callable[[], object], bursts: int) -> float:
    """Microseconds of one call."""
    found = []
    for _ in range(bursts):
        started = time.perf_counter()
        for _ in range(BURST):
            work()
        found.append(time.perf_counter() - started)
    found.sort()
    return found[len(found) // 100] / BURST * 1e6


async def statements(bursts: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = AsyncLedger(SqliteLedger(Path(folder) / "ledger.sqlite"))
        client, room = links(Relaying(ledger))
        client.data_received(m.Parse(b"P_0", b"SELECT 1;").encode() + m.SYNC)
        room.data_received(m.frame(b"1") + _READY)
        for mode, exchange in STATEMENTS.items():
            print(f"  {mode:24} {await _turns(client, room, exchange, ledger, bursts):6.1f} us")
        await ledger.close()


async def _turns(client: Link, room: Link, exchange: tuple[bytes, bytes], ledger: AsyncLedger, bursts: int) -> float:
    asked, answered = exchange

    def statement() -> None:
        client.data_received(asked)
        room.data_received(answered)

    figures = []
    for _ in range(20):
        figures.append(least(statement, bursts // 20))
        await ledger.flush()
    return min(figures)


def records(bursts: int) -> float:
    """Microseconds of one record on the ledger's thread."""
    entries: Sequence[RelayedEntry] = [
        RelayedEntry("alice", "local", "pgbench", "demo", "SELECT 1", "ok", 1e-4, 1.7e9 + i / RECORDS)
        for i in range(RECORDS)
    ]
    with tempfile.TemporaryDirectory() as folder:
        ledger = SqliteLedger(Path(folder) / "ledger.sqlite")
        found = []
        for _ in range(bursts):
            started = time.process_time()
            ledger.record(entries)
            found.append(time.process_time() - started)
        ledger.close()
    return sorted(found)[len(found) // 10] / RECORDS * 1e6


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--bursts", type=int, default=6000, help=f"of {BURST} statements")
    chosen = arguments.parse_args()
    print("a relayed SELECT 1, on the event loop")
    asyncio.run(statements(chosen.bursts))
    print(f"  {'its record, on a thread':24} {records(chosen.bursts // 100):6.1f} us of processor time")


if __name__ == "__main__":
    main()
