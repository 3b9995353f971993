"""Asking the clean room how PostgreSQL reads a statement. Nothing is run: a throw-away view (or SQL function, where
there are parameters) is made and deparsed in a transaction that is always rolled back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import asyncpg

from noisegate.errors import Unavailable, Unsupported
from noisegate.plan.reading import OutputType, Reading, ReadSettings

STATEMENT_TIMEOUT_MS: Final = 5000
ANSWER_TIMEOUT_S: Final = 10.0  # for all steps of one reading together

# Constants are written under these, whatever the session's settings were when they were read.
_CANONICAL: Final = (
    "SET LOCAL search_path = ''; SET LOCAL DateStyle = 'ISO, MDY'; SET LOCAL IntervalStyle = postgres; "
    "SET LOCAL TimeZone = 'UTC'; SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = hex"
)
_VIEW: Final = """
SELECT pg_catalog.pg_get_viewdef(c.oid) AS sql,
       ARRAY(SELECT pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY a.attnum) AS types,
       ARRAY(SELECT CASE WHEN o.oid IS NOT NULL THEN quote_ident(n.nspname) || '.' || quote_ident(o.collname) END
             FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_collation o ON o.oid = a.attcollation
             LEFT JOIN pg_catalog.pg_namespace n ON n.oid = o.collnamespace
             WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY a.attnum) AS collations
FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass('pg_temp._ng_v')
"""
_FUNCTION: Final = """
SELECT pg_catalog.pg_get_function_sqlbody(p.oid) FROM pg_catalog.pg_proc p
WHERE p.proname = '_ng_f' AND p.pronamespace = pg_catalog.pg_my_temp_schema()
"""
_BODY: Final = re.compile(r"\A\s*BEGIN ATOMIC\s(.*?);?\s*END\s*\Z", re.DOTALL)
_USER: Final = re.compile(r'"\$user"|(?<![^\s,])\$user(?![^\s,])')

_Result = TypeVar("_Result")
# The connection is gone, not the statement wrong: try once more on a new one.
_LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    OSError,
)


class Checker:
    """A small pool of connections under the role `noisegate_checker`. Connections are opened when first needed."""

    def __init__(self, dsn: str, size: int = 2) -> None:
        """`dsn` is CleanRoom.checker_dsn(database)."""
        self._dsn = dsn
        self._idle: asyncio.LifoQueue[asyncpg.Connection | None] = asyncio.LifoQueue()
        for _ in range(size):
            self._idle.put_nowait(None)

    async def read(
        self, sql: str, settings: ReadSettings, param_types: tuple[int, ...], n_columns: int, *, analyst: str
    ) -> Reading:
        """PostgreSQL's reading of one query (SELECT, VALUES, TABLE, WITH; no final semicolon) with `n_columns` output
        columns (0: find out), as the session with these settings understands it. `analyst` is what "$user" means there.

        The caller has seen the room accept `sql` as a single statement. `param_types` are the object ids of its
        parameters; where there are any, `outputs` is empty. Output columns of a reading without parameters are
        named c0, c1 ... Raises Unsupported (a text that a view cannot hold), Unavailable.
        """

        async def ask(connection: asyncpg.Connection) -> Reading:
            await connection.fetch(
                "SELECT set_config('search_path', $1, true), set_config('DateStyle', $2, true), "
                "set_config('IntervalStyle', $3, true), set_config('TimeZone', $4, true)",
                _named(settings.search_path, analyst),
                settings.date_style,
                settings.interval_style,
                settings.time_zone,
            )
            if param_types:
                return await _body(connection, sql, param_types)
            return await _view(connection, sql, n_columns or await _column_count(connection, sql))

        return await self._answer(ask)

    async def describe(self, sql: str, n_columns: int = 0) -> tuple[OutputType, ...]:
        """Types and collations of the `n_columns` (0: find out) output columns of a query without parameters, all names
        in it qualified.

        Raises Unsupported, Unavailable.
        """

        async def ask(connection: asyncpg.Connection) -> tuple[OutputType, ...]:
            await connection.execute(_CANONICAL)
            return (await _view(connection, sql, n_columns or await _column_count(connection, sql))).outputs

        return await self._answer(ask)

    async def accepts(self, sql: str) -> None:
        """Have PostgreSQL read a query without parameters, all names in it qualified; nothing is run.

        Raises Unsupported where it refuses the query, Unavailable.
        """

        async def ask(connection: asyncpg.Connection) -> None:
            await connection.execute(_CANONICAL)
            await connection.prepare(sql)

        await self._answer(ask)

    async def type_names(self, oids: tuple[int, ...]) -> dict[int, str]:
        """The qualified names of types of the clean room, as SQL writes them. Raises Unavailable."""

        async def ask(connection: asyncpg.Connection) -> dict[int, str]:
            await connection.execute(_CANONICAL)
            sql = "SELECT t.oid, pg_catalog.format_type(t.oid, NULL) FROM pg_catalog.pg_type t WHERE t.oid = ANY ($1)"
            return dict(await connection.fetch(sql, list(oids)))

        return await self._answer(ask)

    async def close(self) -> None:
        """Close the idle connections. Readings under way end with Unavailable or as usual."""
        for _ in range(self._idle.qsize()):
            connection = self._idle.get_nowait()
            if connection is not None:
                connection.terminate()
            self._idle.put_nowait(None)

    async def _answer(self, ask: Callable[[asyncpg.Connection], Awaitable[_Result]]) -> _Result:
        for _ in range(2):
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    return await self._try(ask)
            except _LOST:
                continue
            except TimeoutError:
                break
            except asyncpg.PostgresError:
                # Which error it was is PostgreSQL's word about a text that it accepted elsewhere: no help to anybody.
                raise _not_analysed() from None
        raise Unavailable("the clean room does not answer")

    async def _try(self, ask: Callable[[asyncpg.Connection], Awaitable[_Result]]) -> _Result:
        """One transaction on one connection. The connection goes back clean, or not at all (cancelled, lost)."""
        connection = await self._idle.get()
        clean = False
        try:
            if connection is None or connection.is_closed():
                connection = await self._connect()
            await connection.execute("BEGIN")
            try:
                result = await ask(connection)
            except (asyncpg.PostgresError, Unsupported):
                await connection.execute("ROLLBACK")
                clean = True
                raise
            await connection.execute("ROLLBACK")
            clean = True
            return result
        finally:
            if connection is not None and not clean:
                connection.terminate()
            self._idle.put_nowait(connection if clean else None)

    async def _connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=ANSWER_TIMEOUT_S,
            server_settings={"statement_timeout": str(STATEMENT_TIMEOUT_MS), "application_name": "noisegate checker"},
        )
        # The session's temporary schema, made once and for all: made by a view it would go with it, each time.
        await connection.execute("CREATE TEMP VIEW _ng_v AS SELECT; DROP VIEW pg_temp._ng_v")
        return connection


async def _column_count(connection: asyncpg.Connection, sql: str) -> int:
    return len((await connection.prepare(sql)).get_attributes())


async def _view(connection: asyncpg.Connection, sql: str, n_columns: int) -> Reading:
    """The reading through a temporary view. Prepared, so that the text cannot hold a second statement; the newline
    ends a comment at its end."""
    names = ", ".join(f"c{i}" for i in range(n_columns))
    columns = f"({names})" if names else ""
    await (await connection.prepare(f"CREATE TEMP VIEW _ng_v{columns} AS {sql}\n")).fetch()
    await connection.execute(_CANONICAL)
    row = await connection.fetchrow(_VIEW)
    outputs = tuple(OutputType(*pair) for pair in zip(row["types"], row["collations"], strict=True))
    if len(outputs) != n_columns:
        raise _not_analysed()
    return Reading(row["sql"].strip().removesuffix(";"), outputs)


async def _body(connection: asyncpg.Connection, sql: str, param_types: tuple[int, ...]) -> Reading:
    """The reading through the stored body of a temporary SQL function: parameters stay $1, $2 ..."""
    types = await connection.fetchval(
        "SELECT array_agg(n.nspname || '.' || quote_ident(t.typname) ORDER BY u.i) "
        "FROM unnest($1::oid[]) WITH ORDINALITY AS u(oid, i) JOIN pg_catalog.pg_type t ON t.oid = u.oid "
        "JOIN (SELECT oid, quote_ident(nspname) AS nspname FROM pg_catalog.pg_namespace) n ON n.oid = t.typnamespace",
        list(param_types),
    )
    if types is None or len(types) != len(param_types):
        raise _not_analysed()
    # Parsed only: a view's grammar holds one query and nothing else, a function's body may hold several statements.
    await connection.prepare(f"CREATE TEMP VIEW _ng_v AS {sql}\n")
    function = f"CREATE FUNCTION pg_temp._ng_f({', '.join(types)}) RETURNS SETOF record LANGUAGE sql "
    await (await connection.prepare(f"{function}BEGIN ATOMIC {sql}\n; END")).fetch()
    await connection.execute(_CANONICAL)
    found = _BODY.match(await connection.fetchval(_FUNCTION) or "")
    if found is None:
        raise _not_analysed()
    return Reading(found[1].strip().removesuffix(";"), ())


def _named(search_path: str, analyst: str) -> str:
    """The search path with "$user" (the checker's own name there) replaced by the analyst's."""
    quoted = '"' + analyst.replace('"', '""') + '"'
    return _USER.sub(lambda _: quoted, search_path)


def _not_analysed() -> Unsupported:
    return Unsupported(
        "this statement cannot be analysed",
        hint="Columns of type record, and parameters of unknown type, are not supported.",
    )
