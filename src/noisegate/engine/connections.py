"""A few connections to the data server, opened when needed and kept for a while, with the settings they were made with.

Invariant: a connection that is handed out has no transaction and the settings that it had when it was opened. What was
lost, or could not be cleaned, is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from noisegate.engine.generated import Settings, set_sql
from noisegate.engine.interface import Table
from noisegate.engine.opening import STATE_SQL, begin_sql, check_sql, execute_sql, prepare_sql, same_sql, shown_sql

CONNECT_TIMEOUT_S: Final = 15.0
CATALOG_TIMEOUT_S: Final = 10.0  # for a server that is silent; it gives up on locks before
RETURN_TIMEOUT_S: Final = 5.0
RETURNING_S: Final = 0.05  # to wait for a connection that comes back, before one is opened
IDLE_S: Final = 300.0
PREPARED_MAX: Final = 16  # plans


class Drifted(Exception):
    """A connection has other settings than it was opened with."""


@dataclass(eq=False, slots=True)
class Connection:
    """`driver`: asyncpg's. `shown`: the settings, in the server's own words for what was set. `prepared`: what was
    parsed on it, by the digests of the plans. `begun`: the tables that were looked at in its transaction; `state` and
    `checked`: a state of the database, and tables that were what they are in it; `steady`: the last transactions were
    in the same state, so the next may be."""

    driver: Any
    check_sql: str
    shown: list[str]
    drifted: bool = False
    prepared: dict[str, Any] = field(default_factory=dict)
    begun: frozenset[Table] = frozenset()
    state: str = ""
    checked: frozenset[Table] = frozenset()
    steady: bool = False

    def failed(self) -> None:
        """Nothing that is known of it counts any more."""
        self.prepared.clear()
        self.begun = self.checked = frozenset()

    def keep(self, digest: str, prepared: Any) -> None:
        while len(self.prepared) >= PREPARED_MAX:
            del self.prepared[next(iter(self.prepared))]  # the driver closes what nobody holds
        self.prepared[digest] = prepared

    async def begin(self, tables: Iterable[Table]) -> bool:
        """A transaction on these tables; False where one of them is not what it was. Raises Drifted."""
        self.begun, wanted = frozenset(), frozenset(tables)
        known = self.steady and wanted <= self.checked
        check = same_sql(self.state, self.shown) if known else execute_sql(wanted, self.shown)
        try:
            await self.driver.execute(f"{begin_sql(wanted)}; {check}")
        except asyncpg.DivisionByZeroError:
            await self.driver.execute("ROLLBACK")
            if not await self._begin_slowly(sorted(wanted)):
                return False
            known = False
        self.begun = frozenset() if known else wanted
        return True

    async def end(self) -> None:
        """Roll the transaction back. Tables that were found in it need not be looked at again in the same state."""
        if self.begun:
            state = await self.driver.fetchval(STATE_SQL) or ""
            self.steady = bool(state) and state == self.state
            self.checked = self.begun | (self.checked if self.steady else frozenset())
            self.state, self.begun = state, frozenset()
        await self.driver.execute("ROLLBACK")

    async def _begin_slowly(self, wanted: list[Table]) -> bool:
        """The same in two steps: says what differs."""
        await self.driver.execute(begin_sql(wanted))
        schemas, names = [schema for schema, _, _ in wanted], [name for _, name, _ in wanted]
        found, shown = (await self.driver.fetchrow(self.check_sql, schemas, names, timeout=CATALOG_TIMEOUT_S))[:2]
        if shown != self.shown:
            self.drifted = True
            raise Drifted
        return bool(found == [fingerprint for _, _, fingerprint in wanted])


class Connections:
    """For one event loop. At most `most` are out at a time: further takers wait, for as long as they like."""

    def __init__(self, dsn: str, *, settings: Settings, fingerprints_sql: str, most: int) -> None:
        self._dsn = dsn
        self._settings = settings
        self._fingerprints_sql = fingerprints_sql
        self._turns = asyncio.Semaphore(most)
        self._idle: dict[Connection, asyncio.TimerHandle] = {}  # the last one given back is taken first
        self._out: set[Connection] = set()
        self._returning: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether a taker would wait."""
        return self._turns.locked()

    async def take(self, *, new: bool) -> Connection:
        """An idle connection, unless it must be a new one. Raises whatever the driver does."""
        await self._turns.acquire()
        try:
            connection = await self._idle_one() if not new else None
            if connection is None:
                connection = await self._open()
        except BaseException:
            self._turns.release()
            raise
        self._out.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """End the transaction, or the connection, and then the turn. Nobody waits for it."""
        task = asyncio.create_task(self._clean(connection))
        self._returning.add(task)
        task.add_done_callback(self._returned)

    async def close(self) -> None:
        """Those that are still out, and not on their way back, are lost to their takers."""
        self._closed = True
        if self._returning:
            await asyncio.wait(self._returning, timeout=RETURN_TIMEOUT_S)
        for connection in self._out:
            connection.driver.terminate()
        while (idle := self._pop()) is not None:
            with suppress(Exception):
                await idle.driver.close(timeout=RETURN_TIMEOUT_S)

    async def _idle_one(self) -> Connection | None:
        """One that is on its way back is there sooner than a new one, and knows more."""
        connection = self._pop()
        if connection is None and self._returning:
            await asyncio.wait(self._returning, timeout=RETURNING_S, return_when=asyncio.FIRST_COMPLETED)
            connection = self._pop()
        return connection

    def _pop(self) -> Connection | None:
        while self._idle:
            connection, expiry = self._idle.popitem()
            expiry.cancel()
            if not connection.driver.is_closed():
                return connection
        return None

    async def _open(self) -> Connection:
        driver = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_TIMEOUT_S,
            statement_cache_size=4,  # the check; generated SQL is prepared beside the cache
            max_cached_statement_lifetime=0,
            server_settings={"application_name": "noisegate"},
        )
        connection = Connection(driver, check_sql(self._fingerprints_sql, self._settings), [])
        try:
            async with asyncio.timeout(CATALOG_TIMEOUT_S):
                await driver.execute(set_sql(self._settings))  # by itself: BEGIN would take it along to its ROLLBACK
                connection.shown = await driver.fetchval(f"SELECT {shown_sql(self._settings)}")
                await driver.execute(prepare_sql(self._fingerprints_sql, self._settings))
        except BaseException:
            driver.terminate()
            raise
        return connection

    async def _clean(self, connection: Connection) -> None:
        """Never raises: whatever happens to a connection now, the caller's own outcome counts."""
        driver = connection.driver
        try:
            async with asyncio.timeout(RETURN_TIMEOUT_S):
                await connection.end()
        except Exception:
            driver.terminate()
        self._out.discard(connection)
        if connection.drifted or self._closed:
            driver.terminate()
        elif not driver.is_closed():
            self._idle[connection] = asyncio.get_running_loop().call_later(IDLE_S, self._expire, connection)

    def _returned(self, task: asyncio.Task[None]) -> None:
        self._returning.discard(task)
        self._turns.release()

    def _expire(self, connection: Connection) -> None:
        del self._idle[connection]
        connection.driver.terminate()
