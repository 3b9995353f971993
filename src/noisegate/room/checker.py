"""Asking the clean room how PostgreSQL reads a statement. Nothing is run: a throw-away view (or SQL function, where
there are parameters) is made and deparsed in a transaction that is always rolled back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from noisegate.errors import Unavailable, Unsupported
from noisegate.plan.reading import OutputType, Reading, ReadSettings
from noisegate.room.pipeline import Lost, Pipeline, StepRefused, connect, parse, run, step

STATEMENT_TIMEOUT_MS: Final = 5000
ANSWER_TIMEOUT_S: Final = 10.0  # for all steps of one reading together

# Constants are written under these, whatever the session's settings were when they were read.
_CANONICAL: Final = {
    "search_path": "", "DateStyle": "ISO, MDY", "IntervalStyle": "postgres", "TimeZone": "UTC",
    "extra_float_digits": "1", "bytea_output": "hex",
}  # fmt: skip
_AT_START: Final = _CANONICAL | {
    "client_encoding": "UTF8",
    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
    "application_name": "noisegate checker",
}

# Statements that every connection has parsed from its beginning on, by name.
_OWN: Final = {
    b"begin": "BEGIN",
    b"set": "SELECT set_config('search_path', $1, true), set_config('DateStyle', $2, true), "
    "set_config('IntervalStyle', $3, true), set_config('TimeZone', $4, true)",
    b"canonical": "SELECT " + ", ".join(f"set_config('{name}', '{text}', true)" for name, text in _CANONICAL.items()),
    b"view": "SELECT pg_catalog.pg_get_viewdef(pg_catalog.to_regclass('pg_temp._ng_v'))",
    b"types": """
SELECT pg_catalog.format_type(a.atttypid, a.atttypmod),
       CASE WHEN o.oid IS NOT NULL THEN quote_ident(n.nspname) || '.' || quote_ident(o.collname) END
FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_collation o ON o.oid = a.attcollation
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = o.collnamespace
WHERE a.attrelid = pg_catalog.to_regclass('pg_temp._ng_v')::pg_catalog.oid AND a.attnum > 0 ORDER BY a.attnum""",
    b"function": """
SELECT pg_catalog.pg_get_function_sqlbody(p.oid) FROM pg_catalog.pg_proc p
WHERE p.proname = '_ng_f' AND p.pronamespace = pg_catalog.pg_my_temp_schema()""",
    b"views": """
SELECT n.nspname, c.relname, pg_catalog.pg_get_viewdef(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'v' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'""",
    b"names": """
SELECT t.oid, quote_ident(n.nspname) || '.' || quote_ident(t.typname), pg_catalog.format_type(t.oid, NULL)
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.oid = ANY ($1::pg_catalog.oid[])""",
}
_BODY: Final = re.compile(r"\A\s*BEGIN ATOMIC\s(.*?);?\s*END\s*\Z", re.DOTALL)
_USER: Final = re.compile(r'"\$user"|(?<![^\s,])\$user(?![^\s,])')

_Result = TypeVar("_Result")


class Checker:
    """A small pool of connections under the role `noisegate_checker`. Connections are opened when first needed."""

    def __init__(self, dsn: str, size: int = 2) -> None:
        """`dsn` is CleanRoom.checker_dsn(database)."""
        self._dsn = dsn
        self._idle: asyncio.LifoQueue[Pipeline | None] = asyncio.LifoQueue()
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
        path = _named(settings.search_path, analyst)
        values = path, settings.date_style, settings.interval_style, settings.time_zone

        async def ask(room: Pipeline) -> Reading:
            if param_types:
                return await _body(room, sql, values, param_types)
            return await _view(room, sql, values, n_columns)

        return await self._answer(ask)

    async def describe(self, sql: str, n_columns: int = 0) -> tuple[OutputType, ...]:
        """Types and collations of the `n_columns` (0: find out) output columns of a query without parameters, all names
        in it qualified.

        Raises Unsupported, Unavailable.
        """

        async def ask(room: Pipeline) -> tuple[OutputType, ...]:
            count = n_columns or await room.columns(sql)
            rows = await room.exchange(run(b"begin"), _make_view(sql, count), run(b"types"), rolled_back=True)
            return _outputs(rows, count)

        return await self._answer(ask)

    async def accepts(self, sql: str) -> None:
        """Have PostgreSQL read a query without parameters, all names in it qualified; nothing is run.

        Raises Unsupported where it refuses the query, Unavailable.
        """

        async def ask(room: Pipeline) -> None:
            await room.exchange(parse(sql))

        await self._answer(ask)

    async def views(self) -> dict[tuple[str, str], str]:
        """(schema, name) -> PostgreSQL's deparse of the mirrored views, as of a reading. Raises Unavailable."""

        async def ask(room: Pipeline) -> dict[tuple[str, str], str]:
            rows = await room.exchange(run(b"views"))
            return {(_text(schema), _text(name)): _body_of(_text(sql)) for schema, name, sql in rows}

        return await self._answer(ask)

    async def type_names(self, oids: tuple[int, ...]) -> dict[int, str]:
        """The qualified names of types of the clean room, as SQL writes them. Raises Unavailable."""

        async def ask(room: Pipeline) -> dict[int, str]:
            return {oid: shown for oid, (_, shown) in (await _names(room, oids)).items()}

        return await self._answer(ask)

    async def close(self) -> None:
        """Close the idle connections. Readings under way end with Unavailable or as usual."""
        for _ in range(self._idle.qsize()):
            room = self._idle.get_nowait()
            if room is not None:
                room.terminate()
            self._idle.put_nowait(None)

    async def _answer(self, ask: Callable[[Pipeline], Awaitable[_Result]]) -> _Result:
        for _ in range(2):  # where a connection is gone, once more on a new one
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    return await self._try(ask)
            except Lost:
                continue
            except TimeoutError:
                break
            except StepRefused:
                # Which error it was is PostgreSQL's word about a text that it accepted elsewhere: no help to anybody.
                raise _not_analysed() from None
        raise Unavailable("the clean room does not answer")

    async def _try(self, ask: Callable[[Pipeline], Awaitable[_Result]]) -> _Result:
        """Lend a connection. One that was lost, or on which a reading was cancelled, has closed itself."""
        room = await self._idle.get()
        try:
            if room is None or room.closed:
                room = await self._connect()
            return await ask(room)
        finally:
            self._idle.put_nowait(room)

    async def _connect(self) -> Pipeline:
        room = await connect(self._dsn, _AT_START)
        try:
            # The session's temporary schema, made once and for all: made by a view it would go with it, each time.
            await room.exchange(step("CREATE TEMP VIEW _ng_v AS SELECT"), step("DROP VIEW pg_temp._ng_v"))
            await room.exchange(*(parse(sql, name=name) for name, sql in _OWN.items()))
        except BaseException as error:
            room.terminate()
            raise Lost from None if isinstance(error, StepRefused) else error
        return room


def _make_view(sql: str, n_columns: int) -> bytes:
    """A statement of its own, so that the text cannot hold a second one; the newline ends a comment at its end."""
    names = ", ".join(f"c{i}" for i in range(n_columns))
    columns = f"({names})" if names else ""
    return step(f"CREATE TEMP VIEW _ng_v{columns} AS {sql}\n")


async def _view(room: Pipeline, sql: str, settings: Sequence[str], n_columns: int) -> Reading:
    """The reading through a temporary view."""
    begin = run(b"begin") + run(b"set", settings)
    if not n_columns:
        n_columns = await room.columns(sql, begin)
    rows = await room.exchange(
        begin, _make_view(sql, n_columns), run(b"canonical"), run(b"view"), run(b"types"), rolled_back=True
    )
    text, *types = rows[2:]
    return Reading(_body_of(_text(text[0])), _outputs(types, n_columns))


async def _body(room: Pipeline, sql: str, settings: Sequence[str], param_types: tuple[int, ...]) -> Reading:
    """The reading through the stored body of a temporary SQL function: parameters stay $1, $2 ..."""
    names = await _names(room, param_types)
    if any(oid not in names for oid in param_types):
        raise _not_analysed()
    types = ", ".join(names[oid][0] for oid in param_types)
    function = f"CREATE FUNCTION pg_temp._ng_f({types}) RETURNS SETOF record LANGUAGE sql "
    rows = await room.exchange(
        run(b"begin"),
        run(b"set", settings),
        # Parsed only: a view's grammar holds one query and nothing else, a function's body may hold several statements.
        parse(f"CREATE TEMP VIEW _ng_v AS {sql}\n"),
        step(f"{function}BEGIN ATOMIC {sql}\n; END"),
        run(b"canonical"),
        run(b"function"),
        rolled_back=True,
    )
    found = _BODY.match(_text(rows[-1][0]))
    if found is None:
        raise _not_analysed()
    return Reading(found[1].strip().removesuffix(";"), ())


async def _names(room: Pipeline, oids: tuple[int, ...]) -> dict[int, tuple[str, str]]:
    """(schema and name, as format_type has it) of types."""
    rows = await room.exchange(run(b"names", ["{" + ",".join(map(str, oids)) + "}"]))
    return {int(_text(oid)): (_text(name), _text(shown)) for oid, name, shown in rows}


def _outputs(rows: Sequence[Sequence[bytes | None]], n_columns: int) -> tuple[OutputType, ...]:
    if len(rows) != n_columns:
        raise _not_analysed()
    return tuple(OutputType(_text(sql), None if coll is None else coll.decode()) for sql, coll in rows)


def _body_of(view: str) -> str:
    return view.strip().removesuffix(";")


def _text(cell: bytes | None) -> str:
    if cell is None:
        raise _not_analysed()
    return cell.decode()


def _named(search_path: str, analyst: str) -> str:
    """The search path with "$user" (the checker's own name there) replaced by the analyst's."""
    quoted = '"' + analyst.replace('"', '""') + '"'
    return _USER.sub(lambda _: quoted, search_path)


def _not_analysed() -> Unsupported:
    return Unsupported(
        "this statement cannot be analysed",
        hint="Columns of type record, and parameters of unknown type, are not supported.",
    )
