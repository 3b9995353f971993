"""Real clients through the gate: psycopg, asyncpg, psql."""

from __future__ import annotations

import asyncio
import datetime
import os
import signal
import subprocess
import time
from decimal import Decimal

import asyncpg
import psycopg
import pytest
from psycopg import sql
from wirekit import PASSWORD, PATIENCE_S, ROLE, GateThread

from noisegate.room.embedded import binaries


def test_psycopg(gate: GateThread) -> None:
    with psycopg.connect(gate.dsn(), autocommit=True) as connection:
        notices: list[str | None] = []
        connection.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary))
        assert connection.execute("SELECT 1").fetchone() == (1,)
        cursor = connection.execute("SELECT id, v, d FROM secret WHERE d < %s ORDER BY id", [datetime.date(2024, 1, 4)])
        assert cursor.fetchall() == [
            (1, Decimal("1.25"), datetime.date(2024, 1, 2)),
            (2, Decimal("2.25"), datetime.date(2024, 1, 3)),
        ]
        assert notices == ["price: 0.5"]
        with connection.cursor(binary=True) as binary:
            assert binary.execute("SELECT v FROM secret WHERE id = %s", [3]).fetchone() == (Decimal("3.25"),)
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as raised:
            connection.execute("SELECT /*refuse*/ * FROM secret")
        assert raised.value.diag.message_hint == "the hint"
        assert raised.value.diag.statement_position == "26"
        assert raised.value.diag.source_function is None
        assert connection.info.backend_pid == connection.execute("SELECT pg_backend_pid()").fetchone()[0]


def test_psycopg_transactions_and_prepared_statements(gate: GateThread) -> None:
    with psycopg.connect(gate.dsn(), prepare_threshold=0) as connection:
        for limit in range(1, 4):
            found = connection.execute("SELECT count(id) FROM secret WHERE id <= %s", [limit]).fetchone()
            assert found == (limit,)
        with pytest.raises(psycopg.errors.DivisionByZero), connection.transaction():
            connection.execute("SELECT id FROM secret")
            connection.execute("SELECT 1/0")
        assert connection.execute("SELECT max(id) FROM secret").fetchone() == (5,)
        connection.rollback()
        assert all(question.in_transaction for question in gate.gate.questions)


def test_psycopg_pipeline(gate: GateThread) -> None:
    with psycopg.connect(gate.dsn(), autocommit=True) as connection:
        with connection.pipeline():
            cursors = [
                connection.execute(text)
                for text in ("SELECT 1", "SELECT id FROM secret WHERE id = 2", "SELECT 3", "SELECT max(v) FROM secret")
            ]
            assert [cursor.fetchone()[0] for cursor in cursors] == [1, 2, 3, Decimal("5.25")]
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded), connection.pipeline() as pipeline:
            connection.execute("SELECT /*budget*/ id FROM secret")
            connection.execute("SELECT id FROM secret")
            pipeline.sync()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_psycopg_server_cursor_and_copy(gate: GateThread) -> None:
    with psycopg.connect(gate.dsn()) as connection:
        with connection.cursor("named") as cursor:
            cursor.itersize = 2
            cursor.execute("SELECT id FROM secret ORDER BY id")
            assert [row[0] for row in cursor] == [1, 2, 3, 4, 5]
        with connection.cursor() as cursor, cursor.copy("COPY (SELECT id FROM secret ORDER BY 1) TO STDOUT") as copy:
            assert [row[0] for row in copy.rows()] == ["1", "2", "3", "4", "5"]
        connection.execute("CREATE TEMP TABLE mine(x int, y text)")
        with connection.cursor() as cursor:
            with cursor.copy("COPY mine FROM STDIN") as copy:
                for number in range(10_000):
                    copy.write_row((number, "text"))
            assert connection.execute("SELECT sum(x) FROM mine").fetchone() == (49995000,)


def test_relayed_results_are_those_of_the_room(
    gate: GateThread, direct: psycopg.Connection[tuple[object, ...]]
) -> None:
    texts = [
        "SELECT * FROM noisy",
        "SELECT typname, oid FROM pg_type ORDER BY oid",
        "SELECT ARRAY[1,2], '{\"a\":1}'::jsonb, now() IS NULL, interval '1 day', NULL",
    ]
    with psycopg.connect(gate.dsn(), autocommit=True) as connection:
        for text in texts:
            for binary in (False, True):
                ours = connection.execute(sql.SQL(text), binary=binary)  # type: ignore[arg-type]
                theirs = direct.execute(sql.SQL(text), binary=binary)  # type: ignore[arg-type]
                assert ours.fetchall() == theirs.fetchall()
                assert repr(ours.description) == repr(theirs.description)


def test_asyncpg(gate: GateThread) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=gate.port, user=ROLE, password=PASSWORD, database="data", ssl=False
        )
        assert await connection.fetchval("SELECT 40 + $1::int", 2) == 42
        found = await connection.fetch("SELECT id, v FROM secret WHERE id < $1 ORDER BY id", 3)
        assert [tuple(row) for row in found] == [(1, Decimal("1.25")), (2, Decimal("2.25"))]
        statement = await connection.prepare("SELECT t FROM secret WHERE id = $1")
        assert [await statement.fetchval(number) for number in (1, 2)] == ["row 1", "row 2"]
        async with connection.transaction():
            cursor = [row["id"] async for row in connection.cursor("SELECT id FROM secret ORDER BY id", prefetch=2)]
            assert cursor == [1, 2, 3, 4, 5]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT /*refuse*/ id FROM secret")
        await connection.execute("CREATE TEMP TABLE mine(x int)")
        await connection.copy_records_to_table("mine", records=[(1,), (2,)])
        assert await connection.fetchval("SELECT sum(x) FROM mine") == 3
        await connection.reset()
        await connection.close()

    asyncio.run(work())
    assert len(gate.gate.questions) == 5


def test_asyncpg_cancels(gate: GateThread) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=gate.port, user=ROLE, password=PASSWORD, database="data", ssl=False
        )
        asking = asyncio.create_task(connection.fetch("SELECT /*slow*/ id FROM secret"))
        assert await asyncio.to_thread(gate.gate.working.wait, PATIENCE_S)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()

    asyncio.run(work())
    assert gate.gate.cancelled == 1


def _psql(gate: GateThread, *commands: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    arguments = [part for command in commands for part in ("-c", command)]
    return subprocess.run(
        [str(binaries() / "psql"), "-X", "-h", "127.0.0.1", "-p", str(gate.port), "-U", ROLE, "-d", "data", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={"PATH": os.defpath, "PGPASSWORD": PASSWORD, "LC_ALL": "C.UTF-8"},
    )


def test_psql(gate: GateThread) -> None:
    done = _psql(gate, "SELECT id, t AS é FROM secret WHERE id < 3 ORDER BY 1", r"\d noisy", r"\dt", r"\l", r"\du")
    assert done.returncode == 0, done.stderr
    assert " id |   é   \n----+-------\n  1 | row 1\n  2 | row 2\n(2 rows)\n" in done.stdout
    assert "NOTICE:  price: 0.5\nDETAIL:  left: 9.5" in done.stderr
    assert "numeric(10,2)" in done.stdout


def test_psql_script(gate: GateThread) -> None:
    script = r"""
\set VERBOSITY verbose
BEGIN;
SELECT /*refuse*/ id
  FROM secret;
SELECT 1;
ROLLBACK;
SELECT id FROM secret LIMIT 1 \gdesc
SELECT id FROM secret WHERE id = $1 \bind 2 \g
\set FETCH_COUNT 2
SELECT 'fetched ' || id AS f FROM secret ORDER BY id;
SELECT 1 \; SELECT count(*) FROM secret;
\unset FETCH_COUNT
\startpipeline
SELECT 'in a pipeline' \bind \sendpipeline
SELECT t FROM secret WHERE id = 4 \bind \sendpipeline
\endpipeline
"""
    done = _psql(gate, stdin=script)
    assert "ERROR:  42501: rows are never shown\nLINE 2:   FROM secret;\n               ^\n" in done.stderr
    assert "exec_stmt_raise" not in done.stderr
    assert "ERROR:  25P02" in done.stderr
    assert " id     | integer" in done.stdout
    for text in ("fetched 5", "in a pipeline", "row 4"):
        assert text in done.stdout
    assert "server closed" not in done.stderr


def test_psql_ctrl_c(gate: GateThread) -> None:
    command = [str(binaries() / "psql"), "-X", "-h", "127.0.0.1", "-p", str(gate.port), "-U", ROLE, "-d", "data"]
    psql = subprocess.Popen(
        [*command, "-c", "SELECT /*slow*/ id FROM secret", "-c", "SELECT 'after'"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.defpath, "PGPASSWORD": PASSWORD},
    )
    assert gate.gate.working.wait(PATIENCE_S)
    time.sleep(0.1)
    psql.send_signal(signal.SIGINT)
    out, err = psql.communicate(timeout=PATIENCE_S)
    assert "canceling statement due to user request" in err
    assert gate.gate.cancelled == 1
    assert "after" in out or psql.returncode != 0
