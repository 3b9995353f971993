"""The engine for PostgreSQL, over asyncpg.

Invariant: nothing that the data server says reaches an error, a log or the caller, except totals. Errors of the driver
are dropped before ours are raised, so that not even an exception's context holds them.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import asyncpg

from noisegate.engine.generated import Settings, parametrised, plan_settings, session_sql
from noisegate.engine.totals import check_columns, to_confidential
from noisegate.errors import Canceled, EngineFailed, Internal, NoisegateError, SchemaChanged, Unavailable
from noisegate.plan.measure import FragmentPlan
from noisegate.plan.trust import Confidential

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 15.0
CATALOG_TIMEOUT_S: Final = 10.0  # for a server that is silent; it gives up on locks before
TIMEOUT_MARGIN_S: Final = 5.0  # the server's own clock comes first; ours is for a server that is silent
RETURN_TIMEOUT_S: Final = 5.0
UNCHARGED: Final = "Nothing was charged."

T = TypeVar("T")

_GONE: Final = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.WrongObjectTypeError,
)
_LOST: Final = (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError)


class PostgresEngine:
    """A bounded pool of connections to one database, opened when needed. For one event loop.

    dsn: a postgresql:// URI. fingerprint_sql: ($1 schema, $2 table) -> the fingerprint that FragmentPlan.tables holds,
    or no row; it must mean the same under every search_path. timeout_s: for one fragment.
    """

    def __init__(self, dsn: str, *, fingerprint_sql: str, timeout_s: int, connections_max: int = 8) -> None:
        self._dsn = dsn
        self._fingerprint_sql = fingerprint_sql
        self._timeout_s = timeout_s
        self._connections_max = connections_max
        self._turns = asyncio.Semaphore(connections_max)  # a queue without a clock: the caller has one
        self._pool: Any = None
        self._opening = asyncio.Lock()
        self._returning: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def snapshot(self, plans: Sequence[FragmentPlan]) -> AsyncGenerator[PostgresSnapshot]:
        """See Engine.snapshot."""
        begin = session_sql(plans, self._timeout_s)
        settings = plan_settings(plans)
        queries = {plan.digest: parametrised(plan) for plan in plans}
        async with self._turns:
            connection = await _before_charge(self._begin(begin))
            try:
                await _before_charge(_check_tables(connection, plans, self._fingerprint_sql))
                if settings:
                    await _before_charge(_apply(connection, settings))
                prepared = {plan.digest: await _prepare(connection, plan, *queries[plan.digest]) for plan in plans}
                yield PostgresSnapshot(prepared, self._timeout_s)
            finally:
                await self._give_back(connection)

    async def close(self) -> None:
        """See Engine.close."""
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(RETURN_TIMEOUT_S):
                await self._pool.close()
        except Exception:
            self._pool.terminate()

    async def _begin(self, sql: str) -> Any:
        """A connection inside its transaction. One that died while it was idle is replaced, once."""
        try:
            return await self._begin_once(sql)
        except _LOST:
            return await self._begin_once(sql)

    async def _begin_once(self, sql: str) -> Any:
        pool = await self._open_pool()
        connection = await pool.acquire(timeout=CONNECT_TIMEOUT_S)
        try:
            async with asyncio.timeout(CATALOG_TIMEOUT_S):
                await connection.execute(sql)
        except BaseException:
            await self._give_back(connection)
            raise
        return connection

    async def _open_pool(self) -> Any:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=self._connections_max,
                    statement_cache_size=4,  # the fingerprint query; generated SQL is prepared beside the cache
                    max_cached_statement_lifetime=0,
                    reset=_nothing_to_reset,
                    timeout=CONNECT_TIMEOUT_S,
                    server_settings={"application_name": "noisegate"},
                )
        return self._pool

    async def _give_back(self, connection: Any) -> None:
        """Return the connection clean, or close it, even while the caller is being cancelled."""
        task = asyncio.create_task(_return(self._pool, connection))
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)
        await asyncio.shield(task)


class PostgresSnapshot:
    """See EngineSnapshot. Plans run one after the other: they share a connection."""

    def __init__(self, prepared: Mapping[str, _Prepared], timeout_s: int) -> None:
        self._prepared = prepared
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()

    async def run(self, plan: FragmentPlan) -> Confidential:
        """See EngineSnapshot.run."""
        prepared = self._prepared.get(plan.digest)
        if prepared is None:
            raise Internal("a plan was about to run on a snapshot that was not opened for it")
        values = [secrets.randbits(64) - 2**63 for _ in range(prepared.secrets)]
        async with self._turn:
            limit = self._timeout_s + TIMEOUT_MARGIN_S
            rows = await _after_charge(prepared.statement.fetch(*values, timeout=limit))
        return to_confidential(plan, rows)


@dataclass(frozen=True, slots=True)
class _Prepared:
    statement: Any
    secrets: int


async def _check_tables(connection: Any, plans: Sequence[FragmentPlan], fingerprint_sql: str) -> None:
    """Raises SchemaChanged unless every table is what it was when the plans were made."""
    for schema, name, fingerprint in sorted({table for plan in plans for table in plan.tables}):
        if await connection.fetchval(fingerprint_sql, schema, name, timeout=CATALOG_TIMEOUT_S) != fingerprint:
            raise _schema_changed()


async def _apply(connection: Any, settings: Settings) -> None:
    """For the rest of the transaction; the plans' parsing included, which already reads constants by them."""
    values = [text for setting in settings for text in setting]
    calls = ", ".join(f"set_config(${i}, ${i + 1}, true)" for i in range(1, len(values), 2))
    await connection.fetchrow(f"SELECT {calls}", *values, timeout=CATALOG_TIMEOUT_S)


async def _prepare(connection: Any, plan: FragmentPlan, sql: str, secret_count: int) -> _Prepared:
    """Have the generated SQL parsed: a question of the catalog only, so what it refuses need not be charged."""
    statement = await _accepted(connection.prepare(sql, timeout=CATALOG_TIMEOUT_S))
    check_columns(plan, [(a.name, a.type.name) for a in statement.get_attributes()])
    return _Prepared(statement, secret_count)


async def _nothing_to_reset(connection: Any) -> None:
    """All settings were for the transaction, which wrote nothing and is over."""


async def _return(pool: Any, connection: Any) -> None:
    """Never raises: whatever happens to a connection now, the caller's own outcome counts."""
    try:
        async with asyncio.timeout(RETURN_TIMEOUT_S):
            await connection.execute("ROLLBACK")
    except Exception:
        with suppress(asyncpg.InterfaceError):  # a connection that was lost has left the pool by itself
            connection.terminate()
    with suppress(Exception):  # the pool closes what it cannot reset
        await pool.release(connection, timeout=RETURN_TIMEOUT_S)


# Errors. Each is made inside the except block and raised outside of it, so that the driver's does not stay with it.


async def _before_charge(step: Awaitable[T]) -> T:
    try:
        return await step
    except NoisegateError:
        raise
    except Exception as error:
        failure = _refusal(error)
    raise failure


async def _accepted(step: Awaitable[T]) -> T:
    try:
        return await step
    except asyncpg.InsufficientPrivilegeError:
        failure: NoisegateError = _not_permitted()
    except _LOST:
        failure = _unreachable()
    except Exception:
        log.error("the data server does not accept a generated query")
        failure = Internal("the data server does not accept the generated query", detail=UNCHARGED)
    raise failure


async def _after_charge(step: Awaitable[T]) -> T:
    try:
        return await step
    except (asyncpg.QueryCanceledError, TimeoutError):
        failure: NoisegateError = Canceled(
            "the data server took longer than the policy allows for one question", detail="The charge stands."
        )
    except Exception:
        failure = EngineFailed()
    log.warning("engine error")
    raise failure


def _refusal(error: Exception) -> NoisegateError:
    if isinstance(error, _GONE):
        return _schema_changed()
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return _not_permitted()
    if isinstance(error, asyncpg.LockNotAvailableError):
        return Unavailable("a table of this question is being altered; ask again later", detail=UNCHARGED)
    return _unreachable()


def _schema_changed() -> NoisegateError:
    return SchemaChanged(
        "the data server's tables have changed since this question was planned; ask again", detail=UNCHARGED
    )


def _not_permitted() -> NoisegateError:
    return Unavailable(
        "the data server does not let noisegate read a table of this question",
        detail=UNCHARGED,
        hint="The data owner can grant SELECT on it to noisegate's role.",
    )


def _unreachable() -> NoisegateError:
    return Unavailable("the data server cannot be reached", detail=UNCHARGED)
