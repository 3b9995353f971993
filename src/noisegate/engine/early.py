"""A snapshot that is opened before it is known to be wanted: while a session is asked what its text means now, the
engine gets ready for what the same text meant the last time.

Opening reads catalogs only and costs nobody anything, so one that is not wanted is given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from noisegate.engine.interface import Engine, EngineSnapshot
from noisegate.plan.measure import FragmentPlan

_unwanted: set[asyncio.Task[None]] = set()


@dataclass(frozen=True, slots=True)
class _Opening:
    plans: tuple[str, ...]  # digests
    manager: AbstractAsyncContextManager[EngineSnapshot]
    entered: asyncio.Task[EngineSnapshot]


class Early:
    """For one statement. Whoever calls `begin` calls `drop`, whatever happens in between."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._opening: _Opening | None = None

    def begin(self, plans: Sequence[FragmentPlan]) -> None:
        manager = self._engine.snapshot(plans)
        self._opening = _Opening(_digests(plans), manager, asyncio.create_task(_enter(manager)))

    @asynccontextmanager
    async def snapshot(self, plans: Sequence[FragmentPlan]) -> AsyncGenerator[EngineSnapshot]:
        """As Engine.snapshot; the one that was begun, if it is for these plans."""
        opening = self._opening
        if opening is None or opening.plans != _digests(plans):
            self.drop()  # first, lest statements that hold one connection wait for another
            async with self._engine.snapshot(plans) as snapshot:
                yield snapshot
            return
        entered = await opening.entered
        self._opening = None
        async with AsyncExitStack() as stack:
            stack.push_async_exit(opening.manager)
            yield entered

    def drop(self) -> None:
        """Give back what was begun and not used. Nobody waits for it."""
        opening, self._opening = self._opening, None
        if opening is not None:
            task = asyncio.create_task(_leave(opening))
            _unwanted.add(task)
            task.add_done_callback(_unwanted.discard)


async def _enter(manager: AbstractAsyncContextManager[EngineSnapshot]) -> EngineSnapshot:
    return await manager.__aenter__()


async def _leave(opening: _Opening) -> None:
    await asyncio.wait([opening.entered])
    if not opening.entered.cancelled() and opening.entered.exception() is None:
        await opening.manager.__aexit__(None, None, None)


def _digests(plans: Sequence[FragmentPlan]) -> tuple[str, ...]:
    return tuple(plan.digest for plan in plans)
