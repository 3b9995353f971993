"""What the analyst's role cannot do in the clean room, and what it must be able to do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg
import pytest

from noisegate.room.cluster import CleanRoom
from noisegate.room.embedded import binaries

REFUSED = [
    "DO $$ BEGIN PERFORM 1; END $$",
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'",
    "CREATE TABLE public.t (id int)",
    "CREATE SCHEMA mine",
    "CREATE ROLE other",
    "ALTER SYSTEM SET work_mem = '1GB'",
    "SET ROLE noisegate_analysts",
    "SET ROLE noisegate_checker",
    "SET temp_file_limit = -1",
    "SET track_activities = on",
    "SET session_replication_role = replica",
    "INSERT INTO countries VALUES ('XX', 'X')",
    "UPDATE users SET plan = 'paid'",
    "DELETE FROM users",
    "TRUNCATE users",
    "BEGIN; LOCK users IN EXCLUSIVE MODE",
    "DROP POLICY answered_through_aggregates_only ON users",
    "ALTER TABLE users DISABLE ROW LEVEL SECURITY",
    "SELECT * FROM noisegate.build",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, '')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT loread(0, 1)",
    "SELECT lowrite(0, '')",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_advisory_xact_lock(1)",
    "SELECT pg_try_advisory_lock(1)",
    "SELECT pg_advisory_unlock(1)",
    "SELECT pg_sleep(0)",
    "SELECT pg_sleep_for('0')",
    "SELECT pg_sleep_until(now())",
    "SELECT pg_export_snapshot()",
    "SELECT pg_logical_emit_message(false, 'a', 'b')",
    "SELECT pg_notify('a', 'b')",
    "SELECT query_to_xml('SELECT 1', true, true, '')",
    "SELECT table_to_xml('countries', true, true, '')",
    "SELECT * FROM ts_stat('SELECT to_tsvector(name) FROM countries')",
    "SELECT ts_rewrite('a'::tsquery, 'SELECT 1')",
    "SELECT pg_terminate_backend(1)",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('.')",
    "COPY countries TO '/tmp/x'",
    "COPY countries TO PROGRAM 'cat'",
    "COPY countries FROM STDIN",
    "SELECT * FROM pg_authid",
    "LOAD 'plpgsql'",
]

ALLOWED = [
    "SELECT pg_advisory_unlock_all()",
    "SELECT pg_database_size(current_database())",
    "SELECT pg_total_relation_size('users')",
    "SELECT pg_postmaster_start_time(), inet_client_addr(), txid_current()",
    "SELECT * FROM pg_locks",
    "SELECT * FROM pg_stat_activity",
    "SELECT * FROM pg_stat_user_tables",
    "SELECT has_table_privilege('users', 'SELECT') AS yes",
    "CREATE TEMP TABLE mine AS SELECT * FROM countries",
    "CREATE TEMP VIEW shown AS SELECT count(*) FROM users",
    "DISCARD ALL",
    'SELECT upper(name) COLLATE "C", moods FROM countries ORDER BY 1',
]


@pytest.mark.parametrize("statement", REFUSED)
def test_refused(as_analyst: psycopg.Connection, statement: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        as_analyst.execute(statement.encode())
    assert caught.value.sqlstate == "42501"


@pytest.mark.parametrize("statement", ALLOWED)
def test_allowed(as_analyst: psycopg.Connection, statement: str) -> None:
    assert as_analyst.execute(statement.encode()).statusmessage


def test_memory_is_limited(room: CleanRoom) -> None:
    """What the limit does to a session that exceeds it is in the embedded server's tests."""
    limits = Path(f"/proc/{room.server.pid}/limits").read_text().splitlines()
    assert next(line for line in limits if "address space" in line).split()[3:5] == [str(3 << 29)] * 2


def test_temporary_files_are_limited(as_analyst: psycopg.Connection) -> None:
    assert as_analyst.execute("SHOW temp_file_limit").fetchone() == ("1GB",)
    assert as_analyst.execute("SHOW max_connections").fetchone() == ("400",)


def test_refuse_raises_exactly_what_it_is_told(as_analyst: psycopg.Connection) -> None:
    with pytest.raises(psycopg.Error) as caught:
        as_analyst.execute("SELECT noisegate.refuse('53400', 'too dear', 'left: 0.1', 'wait')")
    told = caught.value.diag
    assert (told.sqlstate, told.message_primary, told.message_detail, told.message_hint) == (
        "53400",
        "too dear",
        "left: 0.1",
        "wait",
    )
    with pytest.raises(psycopg.Error) as caught:
        as_analyst.execute("SELECT noisegate.refuse('0A000', 'no', '', '')")
    assert caught.value.diag.message_detail is None and caught.value.diag.message_hint is None


@pytest.mark.parametrize(
    "command",
    [
        "\\d", "\\d users", "\\d+ users", "\\dt", "\\dt+", "\\dn+", "\\du", "\\l", "\\l+", "\\dT+", "\\dD", "\\df",
        "\\dv", "\\di", "\\ds", "\\dp", "\\dx", "\\dO", "\\dL", "\\dconfig", "\\drg",
        "\\d \"Web log\".*", "\\sf upper(text)",
    ],
)  # fmt: skip
def test_psql_commands(room: CleanRoom, command: str) -> None:
    room.ensure_role("alice")
    psql = [str(binaries() / "psql"), "-X", "-v", "ON_ERROR_STOP=1", room.server.dsn("people", "alice"), "-c", command]
    done = subprocess.run(psql, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_psql_shows_the_table_as_the_owner_made_it(room: CleanRoom) -> None:
    room.ensure_role("alice")
    psql = [str(binaries() / "psql"), "-X", room.server.dsn("people", "alice"), "-c", "\\d+ users"]
    shown = subprocess.run(psql, capture_output=True, text=True, timeout=30).stdout
    for expected in (
        "numeric(2,2)", "what they've paid for", '"users_pkey" PRIMARY KEY', "REFERENCES countries(code)",
        "character(2)", "small", "mood", "bit(3)", 'POLICY "answered_through_aggregates_only"',
    ):  # fmt: skip
        assert expected in shown
    assert "secret" not in shown
