"""A loop that outruns the ledger's thread is slowed down, not refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

from noisegate.ledger.asynchronous import AsyncLedger
from noisegate.ledger.audit import RELAYED, AuditEntry
from noisegate.ledger.sqlite import SqliteLedger


def test_more_records_than_the_buffer_holds(tmp_path: Path) -> None:
    async def outrun() -> int:
        ledger = AsyncLedger(SqliteLedger(tmp_path / "ledger.sqlite"), buffer_records=200)
        for i in range(3000):
            ledger.check()
            ledger.relayed(AuditEntry(RELAYED, analyst="alice", sql=f"SELECT {i}"))
            if i % 50 == 0:
                await asyncio.sleep(0)
        await ledger.flush()
        count = await ledger.call(lambda: sum(1 for _ in SqliteLedger(tmp_path / "ledger.sqlite").records()))
        await ledger.close()
        return count

    assert asyncio.run(outrun()) == 3000
