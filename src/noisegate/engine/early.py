"""A snapshot that is opened before it is known to be wanted: while a text is being read and planned, the engine gets
ready for the tables that it names.

Opening reads catalogs only and costs nobody anything, so one that is not wanted is given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from noisegate.engine.interface import Engine, EngineSnapshot, Table, tables_of
from noisegate.errors import NoisegateError
from noisegate.plan.measure import FragmentPlan

_unwanted: set[asyncio.Task[None]] = set()


@dataclass(frozen=True, slots=True)
class _Opening:
    tables: frozenset[Table]
    manager: AbstractAsyncContextManager[EngineSnapshot]
    entered: asyncio.Task[EngineSnapshot]


class Early:
    """For one statement. Whoever calls `begin` calls `drop`, whatever happens in between."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._opening: _Opening | None = None

    def begin(self, tables: Iterable[Table]) -> None:
        """Open one on these tables, unless it would keep a statement waiting that is further on. Once."""
        tables = frozenset(tables)
        if tables and self._opening is None and not self._engine.busy:
            manager = self._engine.on(tables)
            self._opening = _Opening(tables, manager, asyncio.create_task(_enter(manager)))

    @asynccontextmanager
    async def snapshot(self, plans: Sequence[FragmentPlan]) -> AsyncGenerator[EngineSnapshot]:
        """As Engine.snapshot; the one that was begun, if it is on these plans' tables."""
        entered = await self._entered(tables_of(plans))
        if entered is None:
            self.drop()  # first, lest statements that hold one connection wait for another
            async with self._engine.snapshot(plans) as snapshot:
                yield snapshot
            return
        opening, self._opening = self._opening, None
        assert opening is not None
        async with AsyncExitStack() as stack:
            stack.push_async_exit(opening.manager)
            await entered.accept(plans)
            yield entered

    async def _entered(self, wanted: frozenset[Table]) -> EngineSnapshot | None:
        """None where it is on other tables, or failed for one that is not wanted."""
        opening = self._opening
        if opening is None or not wanted <= opening.tables:
            return None
        try:
            return await opening.entered
        except NoisegateError:
            if wanted == opening.tables:
                raise
            return None

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
