"""The engine against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from noisegate.engine.early import Early
from noisegate.engine.postgres import PostgresEngine
from noisegate.errors import Canceled, EngineFailed, Internal, NoisegateError, SchemaChanged, Unavailable
from noisegate.plan.measure import DeclaredGroups, FragmentPlan
from noisegate.plan.trust import Confidential
from noisegate.room.catalog_sql import FINGERPRINT_SQL, FINGERPRINTS_SQL
from noisegate.room.embedded import EmbeddedServer
from support.fragments import fragment, measurement, selection
from support.servers import new_database

SCHEMA = """
CREATE TABLE users (id bigint PRIMARY KEY, plan text, spent numeric);
INSERT INTO users SELECT i, CASE i % 3 WHEN 0 THEN 'free' WHEN 1 THEN 'pro' END, i FROM generate_series(1, 30) i;
"""
TABLE = ("public", "users")
UNGROUPED = DeclaredGroups(((),))


@pytest.fixture
def dsn(data_server: EmbeddedServer) -> str:
    return new_database(data_server, SCHEMA)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))  # type: ignore[arg-type]


@asynccontextmanager
async def engine_on(dsn: str, timeout_s: int = 30, connections_max: int = 8) -> AsyncIterator[PostgresEngine]:
    engine = PostgresEngine(
        dsn, fingerprints_sql=FINGERPRINTS_SQL, timeout_s=timeout_s, connections_max=connections_max
    )
    try:
        yield engine
    finally:
        await engine.close()


def execute(dsn: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def fingerprint(dsn: str) -> str:
    with psycopg.connect(dsn, cursor_factory=psycopg.RawCursor) as connection:
        row = connection.execute(FINGERPRINT_SQL, TABLE).fetchone()
        assert row is not None
        return str(row[0])


def plan(dsn: str, sql: str, *, secrets: int = 0, settings: tuple[tuple[str, str], ...] = ()) -> FragmentPlan:
    return fragment(
        (measurement("n"),),
        UNGROUPED,
        sql=sql,
        secrets=secrets,
        tables=((*TABLE, fingerprint(dsn)),),
        settings=settings,
    )


def count(dsn: str) -> FragmentPlan:
    return plan(dsn, "SELECT count(*) AS n FROM public.users")


async def ask(engine: PostgresEngine, question: FragmentPlan) -> Confidential:
    async with engine.snapshot([question]) as snapshot:
        return await snapshot.run(question)


def the_total(answer: Confidential) -> int:
    (((), (total,)),) = answer.rows
    return total


# What it returns


def test_totals_by_key(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn) as engine:
            grouped = fragment(
                (measurement("n", "s"),),
                DeclaredGroups((("free",), ("pro",), (None,))),
                keys=1,
                sql="SELECT plan AS k0, count(*) AS n, sum(spent) AS s FROM public.users GROUP BY 1",
                tables=((*TABLE, fingerprint(dsn)),),
            )
            answer = await ask(engine, grouped)
            assert answer.digest == grouped.digest
            assert dict(answer.rows) == {("free",): (10, 165), ("pro",): (10, 145), (None,): (10, 155)}

    run(test)


def test_groups_below_the_minimum_are_not_fetched(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn) as engine:
            units = measurement("n")
            selected = fragment(
                (units,),
                selection(units, 4),
                keys=1,
                sql="SELECT (id / 10)::text AS k0, count(*) AS n FROM public.users GROUP BY 1",
            )
            assert sorted((await ask(engine, selected)).rows) == [(("0",), (9,)), (("1",), (10,)), (("2",), (10,))]

    run(test)


def test_secrets_are_fresh_signed_and_in_no_text(dsn: str) -> None:
    async def test() -> None:
        sql = (
            "SELECT ({secret:1}::numeric - {secret:0} * 0) AS n, {secret:1}::numeric AS s,"
            " length('{secret:0}')::bigint AS t,"
            " (SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%' || {secret:1} || '%') AS u"
        )
        question = fragment((measurement("n", "s", "t", "u"),), UNGROUPED, sql=sql, secrets=2)
        seen = set()
        async with engine_on(dsn) as engine:
            for _ in range(20):
                async with engine.snapshot([question]) as snapshot:
                    for _ in range(2):
                        ((_, (n, s, t, u)),) = (await snapshot.run(question)).rows
                        assert (n, t, u) == (s, 10, 0)
                        seen.add(n)
        assert len(seen) == 40
        assert all(-(2**63) <= n < 2**63 for n in seen)
        assert min(seen) < 0 < max(seen)

    run(test)


def test_values_have_one_text_whatever_the_role_and_database_say(dsn: str) -> None:
    execute(dsn, "ALTER DATABASE " + dsn.split("/")[3].split("?")[0] + " SET DateStyle = 'SQL, DMY'")
    name = dsn.split("/")[3].split("?")[0]
    for setting in ("TimeZone = 'Asia/Tokyo'", "IntervalStyle = 'iso_8601'", "extra_float_digits = -5",
                    "bytea_output = 'escape'", "search_path = 'nowhere'", "transform_null_equals = on"):  # fmt: skip
        execute(dsn, f"ALTER DATABASE {name} SET {setting}")
    keys = (
        "'2024-02-03 12:00+00'::timestamptz::text",
        "'1 day 2 hours'::interval::text",
        "(1/3::float8)::text",
        r"'\x00ff'::bytea::text",
        "(NULL = NULL)::text",
        "current_setting('search_path')",
        "current_setting('jit')",
        "current_setting('transaction_read_only')",
    )

    async def test() -> None:
        async with engine_on(dsn) as engine:
            sql = "SELECT " + ", ".join(f"{key} AS k{i}" for i, key in enumerate(keys)) + ", 1::bigint AS n"
            question = fragment((measurement("n"),), UNGROUPED, keys=len(keys), sql=sql)
            ((texts, _),) = (await ask(engine, question)).rows
            assert texts == (
                "2024-02-03 12:00:00+00", "1 day 02:00:00", "0.3333333333333333", r"\x00ff", None,
                "pg_catalog, pg_temp", "off", "on",
            )  # fmt: skip

    run(test)


def test_a_plans_time_zone_holds_from_parsing_on_and_for_it_alone(dsn: str) -> None:
    async def test() -> None:
        sql = "SELECT extract(hour FROM '2024-02-03 12:00+00'::timestamptz)::bigint AS n"
        async with engine_on(dsn, connections_max=1) as engine:
            tokyo = plan(dsn, sql, settings=(("TimeZone", "Asia/Tokyo"),))
            assert the_total(await ask(engine, tokyo)) == 21
            assert the_total(await ask(engine, plan(dsn, sql))) == 12

    run(test)


def test_a_connection_whose_settings_changed_is_replaced(dsn: str) -> None:
    async def test() -> None:
        drift = plan(dsn, "SELECT length(set_config('TimeZone', 'Asia/Tokyo', false))::bigint AS n")
        commit = plan(dsn, "SELECT extract(hour FROM '2024-02-03 12:00+00'::timestamptz)::bigint AS n")
        async with engine_on(dsn, connections_max=1) as engine:
            async with engine.snapshot([drift]) as snapshot:
                await snapshot.run(drift)
                (connection,) = engine._connections._out
                await connection.driver.execute("COMMIT")
            assert the_total(await ask(engine, commit)) == 12
            assert connection.driver.is_closed()

    run(test)


# One state of the data


def test_fragments_of_a_statement_see_one_state(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn) as engine:
            first, second = count(dsn), plan(dsn, "SELECT count(id) AS n FROM public.users")
            async with engine.snapshot([first, second]) as snapshot:
                before = the_total(await snapshot.run(first))
                await asyncio.to_thread(execute, dsn, "INSERT INTO users SELECT i FROM generate_series(100, 199) i")
                assert the_total(await snapshot.run(second)) == before == 30
            assert the_total(await ask(engine, second)) == 130

    run(test)


def test_tables_cannot_change_between_the_check_and_the_run(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn) as engine:
            question = count(dsn)
            async with engine.snapshot([question]) as snapshot:
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    await asyncio.to_thread(
                        execute, dsn, "SET lock_timeout = '200ms'; ALTER TABLE users DROP CONSTRAINT users_pkey"
                    )
                assert the_total(await snapshot.run(question)) == 30

    run(test)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE users DROP CONSTRAINT users_pkey",
        "ALTER TABLE users ALTER plan TYPE varchar(9)",
        "CREATE TABLE more () INHERITS (users)",
        "DROP TABLE users",
        "CREATE SCHEMA elsewhere; ALTER TABLE users SET SCHEMA elsewhere",
        "ALTER TABLE users RENAME TO people; CREATE VIEW users AS SELECT * FROM people",
    ],
)
def test_a_changed_table_is_refused_before_the_charge(dsn: str, change: str) -> None:
    async def test() -> None:
        async with engine_on(dsn, connections_max=1) as engine:
            question = count(dsn)
            for _ in range(2):  # the second time, in a state of the database in which they were found before
                assert the_total(await ask(engine, question)) == 30
            await asyncio.to_thread(execute, dsn, change)
            with pytest.raises(SchemaChanged):
                async with engine.snapshot([question]):
                    raise AssertionError("the charge would come here")

    run(test)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) AS n FROM public.nothing",
        "SELECT count(*) AS n FROM public.users WHERE",
        "SELECT count(*)::int AS n FROM public.users",
        "SELECT count(*) AS other FROM public.users",
        "SELECT 1::bigint AS n, 2::bigint AS m",
        "SELECT count(*) AS n FROM users",
    ],
)
def test_a_query_that_the_server_or_the_plan_does_not_know_is_refused_before_the_charge(dsn: str, sql: str) -> None:
    async def test() -> None:
        async with engine_on(dsn) as engine:
            with pytest.raises(Internal) as refusal:
                async with engine.snapshot([plan(dsn, sql)]):
                    raise AssertionError("the charge would come here")
            assert "Nothing was charged." in refusal.value.detail

    run(test)


def test_fingerprints_are_computed_again_unless_the_state_and_the_tables_are_known(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn, connections_max=1) as engine:
            moved = (("public", "users", "another"),)

            async def is_taken(*, for_known: bool) -> bool:
                for _ in range(2):
                    await ask(engine, count(dsn))
                async with engine.on(count(dsn).tables):
                    (connection,) = engine._connections._out
                if for_known:
                    await wait_for(lambda: not engine._connections._out)
                    connection.checked |= set(moved)
                try:
                    async with engine.on(moved):
                        return True
                except SchemaChanged:
                    return False

            assert not await is_taken(for_known=False)
            # The server may do something of its own in between, but not each time.
            assert any([await is_taken(for_known=True) for _ in range(5)])
            (connection,) = engine._connections._idle or engine._connections._out
            await wait_for(lambda: not engine._connections._out)
            connection.checked |= set(moved)
            await asyncio.to_thread(execute, dsn, "CREATE TABLE other_table ()")
            with pytest.raises(SchemaChanged):
                async with engine.on(moved):
                    raise AssertionError("the state is another one")

    run(test)


def test_only_the_plans_of_the_snapshot_run(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn) as engine, engine.snapshot([count(dsn)]) as snapshot:
            with pytest.raises(Internal):
                await snapshot.run(plan(dsn, "SELECT 1::bigint AS n"))

    run(test)


def test_a_query_is_parsed_once_for_a_connection_but_not_after_a_failure(dsn: str) -> None:
    async def test() -> None:
        prepared = plan(dsn, "SELECT count(*) AS n FROM pg_prepared_statements WHERE statement LIKE '%count(*) AS n%'")
        async with engine_on(dsn, connections_max=1) as engine:
            assert [the_total(await ask(engine, question)) for question in [prepared] * 3] == [1, 1, 1]
            many = [plan(dsn, f"SELECT {i} + count(*) AS n FROM public.users") for i in range(40)]
            assert [the_total(await ask(engine, question)) for question in many] == [30 + i for i in range(40)]
            (connection,) = engine._connections._out or engine._connections._idle
            assert len(connection.prepared) == 16
            wrong = plan(dsn, "SELECT NULL::bigint AS n")
            with pytest.raises(Internal):
                await ask(engine, wrong)
            assert not connection.prepared

    run(test)


# Early


def test_what_was_begun_early_is_used_where_it_is_on_the_plans_tables(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn, connections_max=1) as engine:
            question = count(dsn)
            gone = ("public", "gone", "")
            for tables in (question.tables, (), (("public", "users", "another"),), (*question.tables, gone)):
                early = Early(engine)
                early.begin(tables)
                async with early.snapshot([question]) as snapshot:
                    assert the_total(await snapshot.run(question)) == 30
                early.drop()

    run(test)


def test_nothing_is_begun_early_in_front_of_others(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn, connections_max=1) as engine:
            question = count(dsn)
            async with engine.snapshot([question]):
                early = Early(engine)
                early.begin(question.tables)
                assert early._opening is None

    run(test)


def test_what_was_begun_early_and_is_not_wanted_goes_back(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn, connections_max=1) as engine:
            for steps in (0, 1, 50):
                early = Early(engine)
                early.begin(count(dsn).tables)
                for _ in range(steps):
                    await asyncio.sleep(0.001)
                early.drop()
            assert the_total(await ask(engine, count(dsn))) == 30

    run(test)


def test_an_error_of_what_was_begun_early_is_the_statements_own(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn, connections_max=1) as engine:
            question = count(dsn)
            await asyncio.to_thread(execute, dsn, "ALTER TABLE users DROP CONSTRAINT users_pkey")
            early = Early(engine)
            early.begin(question.tables)
            with pytest.raises(SchemaChanged):
                async with early.snapshot([question]):
                    raise AssertionError("the charge would come here")
            early.drop()
            with pytest.raises(ZeroDivisionError):
                early.begin(count(dsn).tables)
                async with early.snapshot([count(dsn)]):
                    raise ZeroDivisionError
            assert the_total(await ask(engine, count(dsn))) == 30

    run(test)


def test_a_statement_that_is_cancelled_takes_its_early_begin_along(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn, connections_max=1) as engine:

            async def statement(early: Early) -> None:
                early.begin(count(dsn).tables)
                try:
                    async with early.snapshot([count(dsn)]):
                        await asyncio.sleep(60)
                finally:
                    early.drop()

            for steps in (1, 2, 5, 30):
                task = asyncio.create_task(statement(Early(engine)))
                for _ in range(steps):
                    await asyncio.sleep(0.001)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert the_total(await ask(engine, count(dsn))) == 30

    run(test)


# Faults


def whole_story(error: BaseException) -> str:
    """Everything that could be printed of an error."""
    parts = [repr(error), *map(str, error.args), str(getattr(error, "__dict__", ""))]
    for other in (error.__cause__, error.__context__):
        if other is not None:
            parts.append(whole_story(other))
    return " ".join(parts)


def test_an_error_about_a_row_shows_nothing_of_it(dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    execute(dsn, "UPDATE users SET plan = 'Jane Doe, 4 Elm St' WHERE id = 7")
    sql = "SELECT sum(CASE WHEN id = 7 THEN plan::numeric ELSE 1 END) AS n FROM public.users"

    async def test() -> None:
        async with engine_on(dsn) as engine:
            question = plan(dsn, sql)
            async with engine.snapshot([question]) as snapshot:
                with pytest.raises(EngineFailed) as failure:
                    await snapshot.run(question)
            assert "Jane" not in whole_story(failure.value)
            assert failure.value.__context__ is None
            assert str(failure.value) == str(EngineFailed())
            assert the_total(await ask(engine, count(dsn))) == 30, "and the connection is clean"

    caplog.set_level(logging.DEBUG)
    run(test)
    assert "Jane" not in caplog.text
    assert "22P02" not in caplog.text
    assert "engine error" in caplog.text


def test_a_result_of_a_wrong_shape_is_a_fault(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn) as engine:
            for sql in (
                "SELECT NULL::bigint AS n",
                "SELECT 0.5 AS n",
                "SELECT i AS n FROM generate_series(1, 2::int8) i",
            ):
                with pytest.raises(Internal):
                    await ask(engine, plan(dsn, sql))

    run(test)


def sleeping(dsn: str) -> int:
    rows = execute(dsn, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(31)%'"
                        " AND pid <> pg_backend_pid()")  # fmt: skip
    return int(str(rows[0][0]))


async def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


def test_cancelling_reaches_the_server_and_gives_the_connection_back(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn, connections_max=1) as engine:
            slow = plan(dsn, "SELECT count(pg_sleep(31)) AS n FROM public.users")
            asked = asyncio.create_task(ask(engine, slow))
            await wait_for(lambda: sleeping(dsn) == 1)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            await wait_for(lambda: sleeping(dsn) == 0)
            assert the_total(await ask(engine, count(dsn))) == 30

    run(test)


def test_a_slow_query_is_stopped_by_the_policys_clock(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn, timeout_s=3) as engine:
            with pytest.raises(Canceled) as failure:
                await ask(engine, plan(dsn, "SELECT count(pg_sleep(31)) AS n FROM public.users"))
            assert failure.value.__context__ is None
            assert sleeping(dsn) == 0
            assert the_total(await ask(engine, count(dsn))) == 30

    run(test)


def test_an_error_of_the_callers_passes_and_leaves_the_connection_clean(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn, connections_max=1) as engine:
            for _ in range(3):
                with pytest.raises(ZeroDivisionError):
                    async with engine.snapshot([count(dsn)]):
                        raise ZeroDivisionError
            assert the_total(await ask(engine, count(dsn))) == 30
            locks = "SELECT count(*) FROM pg_locks WHERE relation = 'users'::regclass"
            await wait_for(lambda: execute(dsn, locks) == [(0,)])

    run(test)


def test_more_statements_than_connections_wait_their_turn(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn, connections_max=2) as engine:
            question = count(dsn)
            answers = await asyncio.gather(*(ask(engine, question) for _ in range(20)))
            assert [the_total(answer) for answer in answers] == [30] * 20
            backends = execute(dsn, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'noisegate'"
                                    " AND datname = current_database()")  # fmt: skip
            assert backends == [(2,)]

    run(test)


def test_a_role_without_the_right_to_read_is_told_so(dsn: str, data_server: EmbeddedServer) -> None:
    execute(dsn, "DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
    question = count(dsn)

    async def test() -> None:
        async with engine_on(dsn.replace("postgres@", "reader@")) as engine:
            with pytest.raises(Unavailable) as refusal:
                await ask(engine, question)
            assert "GRANT SELECT" in refusal.value.hint or "grant SELECT" in refusal.value.hint
            execute(dsn, "GRANT SELECT ON users TO reader")
            assert the_total(await ask(engine, question)) == 30

    run(test)
    execute(dsn, "REVOKE SELECT ON users FROM reader")


def test_a_server_that_was_ended_during_the_run_fails_it_with_the_constant_text(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn) as engine:
            slow = plan(dsn, "SELECT count(pg_sleep(31)) AS n FROM public.users")
            asked = asyncio.create_task(ask(engine, slow))
            await wait_for(lambda: sleeping(dsn) == 1)
            execute(dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'noisegate'"
                         " AND datname = current_database()")  # fmt: skip
            with pytest.raises(EngineFailed):
                await asked
            assert the_total(await ask(engine, count(dsn))) == 30

    run(test)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(tmp_path / "data", name="own", settings={"fsync": "off"})
    server.start()
    yield server
    server.stop()


def test_a_dead_server_is_unavailable_until_it_is_back(own_server: EmbeddedServer) -> None:
    dsn = new_database(own_server, SCHEMA)
    question = count(dsn)

    async def test() -> None:
        async with engine_on(dsn) as engine:
            assert the_total(await ask(engine, question)) == 30
            await asyncio.to_thread(own_server.stop)
            for _ in range(2):
                with pytest.raises(Unavailable) as refusal:
                    await ask(engine, question)
                assert refusal.value.message == "the data server cannot be reached"
                assert refusal.value.__context__ is None
            await asyncio.to_thread(own_server.start)
            answers = await asyncio.gather(*(ask(engine, question) for _ in range(4)))
            assert [the_total(answer) for answer in answers] == [30] * 4

    run(test)


@pytest.mark.parametrize("dsn", ["not a dsn", "postgresql://nobody@127.0.0.1:1/none", "host=localhost"])
def test_a_wrong_address_is_unavailable(dsn: str) -> None:
    async def test() -> None:
        async with engine_on(dsn) as engine:
            with pytest.raises(NoisegateError) as refusal:
                async with engine.snapshot([]):
                    raise AssertionError("the charge would come here")
            assert isinstance(refusal.value, Unavailable)

    run(test)
