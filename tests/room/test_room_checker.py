"""PostgreSQL's reading of a statement: names resolved, constants typed, nothing run and nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
import pytest

from noisegate.errors import Unavailable, Unsupported
from noisegate.plan.reading import OutputType, Reading, ReadSettings
from noisegate.room.checker import Checker
from noisegate.room.cluster import CleanRoom

SETTINGS = ReadSettings('"$user", public', "ISO, MDY", "postgres", "UTC")
INT4, DATE = 23, 1082
T = TypeVar("T")


def _with_checker(room: CleanRoom, ask: Callable[[Checker], Awaitable[T]]) -> T:
    async def run() -> T:
        checker = Checker(room.checker_dsn("people"))
        try:
            return await ask(checker)
        finally:
            await checker.close()

    return asyncio.run(run())


def _read(
    room: CleanRoom,
    sql: str,
    n_columns: int = 1,
    *,
    settings: ReadSettings = SETTINGS,
    params: tuple[int, ...] = (),
    analyst: str = "alice",
) -> Reading:
    return _with_checker(room, lambda c: c.read(sql, settings, params, n_columns, analyst=analyst))


def test_names_are_qualified_and_constants_typed(room: CleanRoom) -> None:
    reading = _read(room, "select u.*, 1 from users u where country = 'FR' -- the end", 13)
    assert "FROM public.users u" in reading.sql and "'FR'::bpchar" in reading.sql
    assert not reading.sql.endswith(";")


def test_outputs_have_types_modifiers_and_collations(room: CleanRoom) -> None:
    reading = _read(room, "SELECT rate, country, nick, mood, count(*) FROM users GROUP BY 1, 2, 3, 4", 5)
    assert reading.outputs == (
        OutputType("numeric(2,2)", None),
        OutputType("character(2)", 'pg_catalog."default"'),
        OutputType("text", 'pg_catalog."C"'),
        OutputType("public.mood", None),
        OutputType("bigint", None),
    )
    assert _with_checker(room, lambda c: c.describe(reading.sql)) == reading.outputs


def test_parameters_stay(room: CleanRoom) -> None:
    reading = _read(
        room, "SELECT count(*) n, plan FROM users WHERE id > $1 AND born = $2 GROUP BY 2", 2, params=(INT4, DATE)
    )
    assert reading.outputs == ()
    assert reading.sql.startswith("SELECT") and "users.id > $1" in reading.sql and reading.sql.endswith("users.plan")
    described = reading.sql.replace("$1", "NULL::integer").replace("$2", "NULL::date")
    assert [o.sql for o in _with_checker(room, lambda c: c.describe(described))] == ["bigint", "text"]


def test_settings_decide_what_a_text_means(room: CleanRoom) -> None:
    german = ReadSettings("public", "SQL, DMY", "postgres", "Europe/Berlin")
    sql = "SELECT count(*) FROM users WHERE born = '01/02/2020' AND seen > '01/02/2020 00:00'"
    assert "'2020-02-01'::date" in _read(room, sql, settings=german).sql
    assert "'2020-01-31 23:00:00+00'" in _read(room, sql, settings=german).sql
    assert "'2020-01-02'::date" in _read(room, sql).sql


def test_the_search_path_is_the_sessions(room: CleanRoom) -> None:
    sql = 'SELECT count(*) FROM "Ev""ents"'
    with pytest.raises(Unsupported):
        _read(room, sql)
    assert 'FROM "Web log"."Ev""ents"' in _read(room, sql, analyst="Web log").sql
    unquoted = ReadSettings("$user,public", "ISO, MDY", "postgres", "UTC")
    assert "count(*)" in _read(room, sql, settings=unquoted, analyst="Web log").sql


REFUSED_TEXTS = [
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE users",
    "SELECT 1; END; SELECT 2",
    "SELECT nowhere FROM users",
    "SELECT 1 INTO x",
    "DELETE FROM users RETURNING id",
]


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        *((text, params) for text in REFUSED_TEXTS for params in ((), (INT4,))),
        ("SELECT row(1, 2)", ()),
        ("SELECT 1, 2, 3, 4", ()),
        ("WITH d AS (DELETE FROM users RETURNING id) SELECT id, id, id FROM d", ()),
        ("SELECT $1", (4_000_000_000,)),
    ],
)
def test_what_cannot_be_read_is_refused_and_leaves_the_connection_whole(
    room: CleanRoom, sql: str, params: tuple[int, ...]
) -> None:
    async def ask(checker: Checker) -> Reading:
        for _ in range(3):
            with pytest.raises(Unsupported):
                await checker.read(sql, SETTINGS, params, sql.count(",") or 1, analyst="alice")
        return await checker.read("SELECT count(*) FROM users", SETTINGS, (), 1, analyst="alice")

    assert "FROM public.users" in _with_checker(room, ask).sql


def test_a_cancelled_reading_does_not_spoil_the_pool(room: CleanRoom) -> None:
    async def ask(checker: Checker) -> list[Reading]:
        for delay in (0.0, 0.0005, 0.001, 0.002, 0.004, 0.008):
            tasks = [
                asyncio.create_task(checker.read("SELECT count(*) FROM users", SETTINGS, (), 1, analyst="alice"))
                for _ in range(3)
            ]
            await asyncio.sleep(delay)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        reads = [checker.read(f"SELECT {i} FROM users", SETTINGS, (), 1, analyst="alice") for i in range(20)]
        return await asyncio.gather(*reads)

    found = _with_checker(room, ask)
    assert [f"SELECT {i} AS c0" in reading.sql for i, reading in enumerate(found)] == [True] * 20


def test_a_lost_connection_is_replaced(room: CleanRoom) -> None:
    async def ask(checker: Checker) -> Reading:
        await checker.read("SELECT 1", SETTINGS, (), 1, analyst="alice")
        with psycopg.connect(room.server.dsn("people"), autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'noisegate_checker'")
        return await checker.read("SELECT 2 AS x", SETTINGS, (), 1, analyst="alice")

    assert _with_checker(room, ask).sql == "SELECT 2 AS c0"


def test_no_server_is_unavailable() -> None:
    async def ask() -> None:
        await Checker("postgresql://noisegate_checker@/people?host=%2Fnowhere").describe("SELECT 1")

    with pytest.raises(Unavailable):
        asyncio.run(ask())
