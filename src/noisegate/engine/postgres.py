"""The engine for PostgreSQL, over asyncpg.

Invariant: nothing that the data server says reaches an error, a log or the caller, except totals. Errors of the driver
are dropped before ours are raised, so that not even an exception's context holds them.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import asyncpg

from noisegate.engine.connections import CATALOG_TIMEOUT_S, Connection, Connections, Drifted
from noisegate.engine.generated import Parameter, Settings, plan_settings, session_settings, statements
from noisegate.engine.interface import NOTHING, Givens, Table, tables_of
from noisegate.engine.totals import check_columns, to_confidential
from noisegate.errors import Canceled, EngineFailed, Internal, NoisegateError, SchemaChanged, Unavailable
from noisegate.plan.measure import FragmentPlan
from noisegate.plan.trust import Confidential

log = logging.getLogger(__name__)

TIMEOUT_MARGIN_S: Final = 5.0  # the server's own clock comes first; ours is for a server that is silent
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
    """A bounded number of connections to one database, opened when needed. For one event loop.

    dsn: a postgresql:// URI. fingerprints_sql: ($1 schemas, $2 tables) -> for each the fingerprint that
    FragmentPlan.tables holds, or NULL; it must mean the same under every search_path. timeout_s: for one fragment.
    """

    def __init__(self, dsn: str, *, fingerprints_sql: str, timeout_s: int, connections_max: int = 8) -> None:
        self._timeout_s = timeout_s
        self._connections = Connections(
            dsn, settings=session_settings(timeout_s), fingerprints_sql=fingerprints_sql, most=connections_max
        )

    @asynccontextmanager
    async def snapshot(self, plans: Sequence[FragmentPlan]) -> AsyncGenerator[PostgresSnapshot]:
        """See Engine.snapshot."""
        async with self.on(tables_of(plans)) as snapshot:
            await snapshot.accept(plans)
            yield snapshot

    @asynccontextmanager
    async def on(self, tables: Iterable[Table]) -> AsyncGenerator[PostgresSnapshot]:
        """See Engine.on."""
        connection = await _before_charge(self._begin(frozenset(tables)))
        try:
            yield PostgresSnapshot(connection, self._timeout_s)
        except BaseException:
            connection.failed()
            raise
        finally:
            self._connections.give_back(connection)

    @property
    def busy(self) -> bool:
        """See Engine.busy."""
        return self._connections.busy

    async def close(self) -> None:
        """See Engine.close."""
        await self._connections.close()

    async def _begin(self, tables: Collection[Table]) -> Connection:
        """A connection inside its transaction, on tables that are these. One that died or drifted while it was idle is
        replaced, once."""
        for new in (False, True):
            try:
                return await self._begin_once(tables, new=new)
            except (*_LOST, Drifted):
                if new:
                    raise
        raise AssertionError("the loop returns or raises")

    async def _begin_once(self, tables: Collection[Table], *, new: bool) -> Connection:
        connection = await self._connections.take(new=new)
        try:
            async with asyncio.timeout(CATALOG_TIMEOUT_S):
                if not await connection.begin(tables):
                    raise _schema_changed()
        except BaseException:
            self._connections.give_back(connection)
            raise
        return connection


class PostgresSnapshot:
    """See EngineSnapshot. Plans run one after the other: they share a connection."""

    def __init__(self, connection: Connection, timeout_s: int) -> None:
        self._connection = connection
        self._prepared: dict[str, Sequence[_Prepared]] = {}
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()

    async def accept(self, plans: Sequence[FragmentPlan]) -> None:
        """See EngineSnapshot.accept."""
        settings = plan_settings(plans)
        if settings:
            await _before_charge(_apply(self._connection.driver, settings))
        for plan in plans:
            self._prepared[plan.digest] = await _prepare(self._connection, plan)

    async def run(self, plan: FragmentPlan, givens: Givens = NOTHING) -> Confidential:
        """See EngineSnapshot.run."""
        prepared = self._prepared.get(plan.digest)
        if prepared is None:
            raise Internal("a plan was about to run on a snapshot that was not opened for it")
        drawn = [secrets.randbits(64) - 2**63 for _ in range(plan.secrets)]

        def value(parameter: Parameter) -> object:
            return drawn[parameter] if isinstance(parameter, int) else givens[parameter[0]][parameter[1]]

        values = [[value(p) for p in one.parameters] for one in prepared]  # before anything runs
        limit = self._timeout_s + TIMEOUT_MARGIN_S
        async with self._turn:
            found = [
                await _after_charge(one.statement.fetch(*those, timeout=limit))
                for one, those in zip(prepared, values, strict=True)
            ]
        first = found.pop(0) if len(found) > len(plan.more) else ()
        return to_confidential(plan, first, found)


@dataclass(frozen=True, slots=True)
class _Prepared:
    statement: Any
    parameters: tuple[Parameter, ...]


async def _apply(connection: Any, settings: Settings) -> None:
    """For the rest of the transaction; the plans' parsing included, which already reads constants by them."""
    values = [text for setting in settings for text in setting]
    calls = ", ".join(f"set_config(${i}, ${i + 1}, true)" for i in range(1, len(values), 2))
    await connection.fetchrow(f"SELECT {calls}", *values, timeout=CATALOG_TIMEOUT_S)


async def _prepare(connection: Connection, plan: FragmentPlan) -> tuple[_Prepared, ...]:
    """Have the generated SQL parsed: a question of the catalog only, so what it refuses need not be charged.

    What was parsed before stands: the digest is of the SQL, its settings and the tables' fingerprints.
    """
    kept: tuple[_Prepared, ...] | None = connection.prepared.get(plan.digest)
    if kept is None:
        queries, found = statements(plan), []
        for number, (sql, parameters) in enumerate(queries, start=1 + len(plan.more) - len(queries)):
            statement = await _accepted(connection.driver.prepare(sql, timeout=CATALOG_TIMEOUT_S))
            check_columns(plan, [(a.name, a.type.name) for a in statement.get_attributes()], number)
            found.append(_Prepared(statement, parameters))
        kept = tuple(found)
        connection.keep(plan.digest, kept)
    return kept


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
    if isinstance(error, Drifted):
        return Unavailable("the data server does not keep the settings of a session", detail=UNCHARGED)
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
