"""The planning workers: an answer each, and a new worker for one that died, overran or was left."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import pytest

from noisegate.errors import TooComplex
from noisegate.plan.catalog import Snapshot
from noisegate.planning import pool as module
from noisegate.planning.jobs import CutJob
from noisegate.planning.pool import PlanningPool
from support.gates import policy_from

POLICY = """
database: people
dsn: ${DSN}
unit: {table: people, key: id}
tables: {people: {unit: id, columns: {id: }}}
budgets: {dataset: {epsilon: 1, delta: 1e-6}, analyst: {epsilon: 1, delta: 1e-6}}
"""
LONG = "SELECT " + "1 + " * 3000 + "1"


def with_pool(test: Callable[[PlanningPool], Awaitable[None]]) -> None:
    async def run() -> None:
        pool = PlanningPool(Snapshot(policy_from(POLICY, "postgresql:///none"), {}, {}, "1"), size=1)
        await pool.start()
        try:
            await test(pool)
        finally:
            pool.close()

    asyncio.run(asyncio.wait_for(run(), 60))


async def works(pool: PlanningPool) -> None:
    assert (await pool.cut(CutJob("SELECT 1 AS y"))).split.remainder == "SELECT 1 AS y"


def test_a_worker_that_died_is_replaced() -> None:
    async def test(pool: PlanningPool) -> None:
        await works(pool)
        (worker,) = pool._all
        os.kill(worker._process.pid, signal.SIGKILL)
        with pytest.raises(TooComplex):
            await pool.cut(CutJob("SELECT 1"))
        await works(pool)

    with_pool(test)


def test_a_worker_that_overran_is_ended_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(pool: PlanningPool) -> None:
        (worker,) = pool._all
        with monkeypatch.context() as patch:
            patch.setattr(module, "JOB_SECONDS", 1e-5)
            with pytest.raises(TooComplex):
                await pool.cut(CutJob(LONG))
        assert worker._process.poll() is not None
        await works(pool)

    with_pool(test)


def test_a_cancelled_question_takes_its_own_answer_with_it() -> None:
    async def test(pool: PlanningPool) -> None:
        (worker,) = pool._all
        for steps in range(4):
            left = asyncio.create_task(pool.cut(CutJob(LONG)))
            for _ in range(steps):
                await asyncio.sleep(0)
            left.cancel()
            await works(pool)
        assert pool._all == {worker}

    with_pool(test)
