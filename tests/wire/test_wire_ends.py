"""How things stop: cancels, disconnects, clocks, the room's death, nonsense on the socket."""

from __future__ import annotations

import random
import resource
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wirekit import (
    FLUSH,
    PATIENCE_S,
    SYNC,
    TERMINATE,
    GateThread,
    Raw,
    WordGate,
    bind,
    close,
    describe,
    error,
    eventually,
    execute,
    kinds,
    parse,
    query,
    rows,
    status,
)

from noisegate.room.embedded import EmbeddedServer
from noisegate.wire import ServerConfig
from noisegate.wire import messages as m

StartGate = Callable[..., GateThread]


def _cancel(gate: GateThread, pid: int, secret: bytes) -> None:
    with Raw(gate.port, connect=False) as other:
        other.send(m.cancel_request(pid, secret))
        assert other.at_end()


def _backends(room_server: EmbeddedServer, pid: int) -> int:
    with psycopg.connect(room_server.dsn("postgres"), autocommit=True) as connection:
        found = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone()
        return int(found[0]) if found else 0


def _sleeping(room_server: EmbeddedServer, pid: int) -> bool:
    with psycopg.connect(room_server.dsn("postgres"), autocommit=True) as connection:
        asleep = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
        return connection.execute(asleep, [pid]).fetchone() is not None


@pytest.mark.parametrize("minor", [0, 2])
def test_cancel_during_the_gates_work(gate: GateThread, minor: int) -> None:
    with Raw(gate.port, connect=False) as raw:
        raw.login(minor=minor)
        raw.send(query("SELECT /*slow*/ id FROM secret"), query("SELECT 'next'"))
        assert gate.gate.working.wait(PATIENCE_S)
        _cancel(gate, raw.pid, raw.secret)
        replies = raw.until("Z")
        assert kinds(replies) == "EZ"
        assert error(replies)["C"] == "57014"
        assert error(replies)["M"] == "canceling statement due to user request"
        assert gate.gate.cancelled == 1
        assert [outcome for _, _, outcome in gate.gate.finishes] == ["57014"]
        assert rows(raw.until("Z")) == [["next"]]


def test_cancel_in_a_pipeline(raw: Raw, gate: GateThread) -> None:
    raw.send(parse("", "SELECT /*slow*/ id FROM secret"), bind(), execute(), parse("", "SELECT 1"), SYNC)
    assert gate.gate.working.wait(PATIENCE_S)
    _cancel(gate, raw.pid, raw.secret)
    replies = raw.until("Z")
    assert (kinds(replies), error(replies)["C"]) == ("12EZ", "57014")
    assert kinds(raw.query("SELECT 1")) == "TDCZ"


@pytest.mark.parametrize("begin", ["SELECT 0", "BEGIN"])
def test_cancel_during_a_hidden_statement(raw: Raw, gate: GateThread, room_server: EmbeddedServer, begin: str) -> None:
    raw.query(begin)
    raw.send(query("SELECT /*hiddensleep*/ id FROM secret"))
    assert eventually(lambda: _sleeping(room_server, raw.pid))
    _cancel(gate, raw.pid, raw.secret)
    replies = raw.until("Z")
    assert (kinds(replies), error(replies)["C"]) == ("EZ", "57014")
    assert status(replies) == ("E" if begin == "BEGIN" else "I")
    raw.query("ROLLBACK")
    assert len(rows(raw.query("SELECT id FROM secret"))) == 5


@pytest.mark.parametrize("text", ["SELECT pg_sleep(30)", "SELECT /*sleeprows*/ id FROM secret"])
def test_cancel_of_what_the_room_runs(raw: Raw, gate: GateThread, room_server: EmbeddedServer, text: str) -> None:
    raw.send(query(text))
    assert eventually(lambda: _sleeping(room_server, raw.pid))
    _cancel(gate, raw.pid, raw.secret)
    replies = raw.until("Z")
    assert error(replies)["C"] == "57014"
    assert kinds(raw.query("SELECT 1")) == "TDCZ"


def test_wrong_secret_cancels_nothing(raw: Raw, gate: GateThread) -> None:
    raw.send(query("SELECT pg_sleep(0.5)"))
    _cancel(gate, raw.pid, b"\0\0\0\0")
    _cancel(gate, raw.pid + 1, raw.secret)
    _cancel(gate, raw.pid, b"")
    assert kinds(raw.until("Z")) == "TDCZ"


@pytest.mark.parametrize("mark", ["slow", "hiddensleep", "sleeprows"])
def test_disconnect_ends_everything(gate: GateThread, room_server: EmbeddedServer, mark: str) -> None:
    raw = Raw(gate.port)
    raw.send(query(f"SELECT /*{mark}*/ id FROM secret"))
    assert gate.gate.working.wait(PATIENCE_S) if mark == "slow" else eventually(lambda: _sleeping(room_server, raw.pid))
    raw.close()
    assert eventually(lambda: gate.server.session_count == 0)
    assert eventually(lambda: _backends(room_server, raw.pid) == 0)
    assert [outcome for _, _, outcome in gate.gate.finishes] == ["08006"]
    assert eventually(lambda: len(gate.gate.departures) == 1)
    assert gate.gate.departures[0].session == raw.pid
    assert gate.gate.cancelled == (mark == "slow")


def test_disconnect_during_a_relayed_statement(gate: GateThread, room_server: EmbeddedServer) -> None:
    raw = Raw(gate.port)
    raw.send(query("SELECT pg_sleep(30)"))
    assert eventually(lambda: _sleeping(room_server, raw.pid))
    raw.close()
    assert eventually(lambda: _backends(room_server, raw.pid) == 0)
    assert gate.gate.relays == [("SELECT pg_sleep(30)", "08006")]


def test_terminate(gate: GateThread, room_server: EmbeddedServer) -> None:
    with Raw(gate.port) as raw:
        raw.send(TERMINATE)
        assert raw.at_end()
        assert eventually(lambda: _backends(room_server, raw.pid) == 0)


def test_the_rooms_death_reaches_the_client(raw: Raw, gate: GateThread, room_server: EmbeddedServer) -> None:
    for text in ("", "SELECT /*slow*/ id FROM secret", "SELECT pg_sleep(20)"):
        with Raw(gate.port) as victim:
            if text:
                victim.send(query(text))
                slow = "slow" in text
                assert (
                    gate.gate.working.wait(PATIENCE_S)
                    if slow
                    else eventually(lambda pid=victim.pid: _sleeping(room_server, pid))
                )
            with psycopg.connect(room_server.dsn("postgres"), autocommit=True) as connection:
                connection.execute("SELECT pg_terminate_backend(%s)", [victim.pid])
            replies = victim.until("E")
            assert error(replies)["C"] == "57P01"
            assert error(replies)["S"] == "FATAL"
            assert victim.at_end()
    assert eventually(lambda: gate.server.session_count == 1)
    assert rows(raw.query("SELECT 1")) == [["1"]]


def test_close_of_the_server(start_gate: StartGate, room_server: EmbeddedServer) -> None:
    gate = start_gate()
    idle, busy, coming = Raw(gate.port), Raw(gate.port), Raw(gate.port, connect=False)
    busy.send(query("SELECT /*slow*/ id FROM secret"))
    assert gate.gate.working.wait(PATIENCE_S)
    gate.run(gate.server.close())
    for connection in (idle, busy):
        assert error(connection.until("E"))["C"] == "57P01"
        assert connection.at_end()
        assert eventually(lambda pid=connection.pid: _backends(room_server, pid) == 0)
    assert coming.at_end()
    assert gate.gate.cancelled == 1
    assert len(gate.gate.departures) == 2
    with pytest.raises(ConnectionRefusedError):
        Raw(gate.port, connect=False)


SLOW_TEXTS = [
    "SELECT pg_sleep(20)",
    "SELECT /*slow*/ id FROM secret",
    "SELECT /*hiddensleep*/ id FROM secret",
    "SELECT /*sleeprows*/ id FROM secret",
]


@pytest.mark.parametrize("text", SLOW_TEXTS)
def test_statement_timeout(raw: Raw, gate: GateThread, room_server: EmbeddedServer, text: str) -> None:
    slow = "slow" in text
    raw.query("SET statement_timeout = 0")
    raw.send(query(text))
    assert gate.gate.working.wait(PATIENCE_S) if slow else eventually(lambda: _sleeping(room_server, raw.pid))
    for moment in (100.0, 109.9, 110.0):
        gate.tick(moment, 10.0, None)
    replies = raw.until("Z")
    assert error(replies)["C"] == "57014"
    assert error(replies)["M"] == "canceling statement due to statement timeout"
    for moment in (111.0, 140.0):
        gate.tick(moment, 10.0, None)
    assert kinds(raw.query("SELECT 1")) == "TDCZ"
    assert gate.gate.cancelled == slow


def test_idle_in_transaction_timeout(raw: Raw, gate: GateThread) -> None:
    with Raw(gate.port) as outside:
        raw.query("BEGIN")
        for moment in (100.0, 109.9):
            gate.tick(moment, None, 10.0)
        assert status(raw.query("SELECT 1")) == "T"
        for moment in (111.0, 120.9):
            gate.tick(moment, None, 10.0)
        assert status(raw.query("SELECT 1")) == "T"
        for moment in (122.0, 132.0):
            gate.tick(moment, None, 10.0)
        fields = error(raw.until("E"))
        assert (fields["C"], fields["S"]) == ("25P03", "FATAL")
        assert raw.at_end()
        assert rows(outside.query("SELECT 1")) == [["1"]]


def test_the_servers_clock_is_running(start_gate: StartGate) -> None:
    gate = start_gate(statement_timeout_s=0.4, idle_in_transaction_timeout_s=0.4)
    with Raw(gate.port) as raw:
        started = time.monotonic()
        assert error(raw.query("SELECT pg_sleep(60)"))["C"] == "57014"
        assert time.monotonic() - started > 0.3
    with Raw(gate.port) as raw:
        raw.send(query("BEGIN"))
        assert error(raw.until("E"))["C"] == "25P03"


def test_a_client_that_does_not_read_is_not_buffered(gate: GateThread) -> None:
    with Raw(gate.port) as raw:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        raw.send(query("SELECT repeat('x', 1000) FROM generate_series(1, 300000)"))
        time.sleep(1.0)
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown_kib < 100 * 1024
        count = sum(kind == "D" for kind, _ in raw.until("Z"))
        assert count == 300_000


def test_bytes_behind_a_held_statement_are_bounded_and_kept(raw: Raw, gate: GateThread) -> None:
    behind = [query(f"SELECT {number}") for number in range(2000)]
    raw.send(query("SELECT /*nap*/ id FROM secret WHERE id = 1"), *behind)
    assert rows(raw.until("Z")) == [["1"]]
    assert [rows(raw.until("Z")) for _ in behind] == [[[str(number)]] for number in range(2000)]


def test_messages_cut_at_every_byte(raw: Raw, gate: GateThread) -> None:
    raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = (
        query("SELECT 1") + parse("", "SELECT id FROM secret WHERE id = $1") + bind(params=["4"]) + execute() + SYNC
    )
    for byte in stream:
        raw.send(bytes((byte,)))
        time.sleep(0.001)
    assert rows(raw.until("Z")) == [["1"]]
    assert rows(raw.until("Z")) == [["4"]]


def test_many_sessions_at_once(gate: GateThread) -> None:
    sessions = [Raw(gate.port) for _ in range(40)]
    for _ in range(5):
        for number, session in enumerate(sessions):
            session.send(query(f"SELECT id FROM secret WHERE id = {number % 5 + 1}"))
        for number, session in enumerate(sessions):
            assert rows(session.until("Z")) == [[str(number % 5 + 1)]]
    for session in sessions:
        session.close()
    assert eventually(lambda: gate.server.session_count == 0)
    assert len(gate.gate.finishes) == 200


# --- nonsense --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fuzzed(room_address: Any) -> Any:
    thread = GateThread(WordGate(room_address), ServerConfig(port=0))
    yield thread
    thread.stop()


fuzz = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@fuzz
@given(st.binary(max_size=300))
def test_random_bytes_before_login(fuzzed: GateThread, data: bytes) -> None:
    with Raw(fuzzed.port, connect=False) as raw:
        try:
            raw.send(data)
            raw.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        assert raw.at_end()
    with Raw(fuzzed.port) as sound:
        assert rows(sound.query("SELECT 1")) == [["1"]]


@fuzz
@given(st.binary(max_size=300))
def test_random_bytes_after_login(fuzzed: GateThread, data: bytes) -> None:
    with Raw(fuzzed.port) as raw:
        try:
            raw.send(data)
            raw.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        assert raw.at_end()
    assert eventually(lambda: fuzzed.server.session_count == 0)


_TEXTS = st.sampled_from(
    """SELECT 1 | SELECT id FROM secret | SELECT 1/0 | BEGIN | ROLLBACK | COMMIT | | SELEC | DISCARD ALL
    | SELECT /*refuse*/ id FROM secret | SELECT 1; SELECT id FROM secret | VACUUM | DEALLOCATE ALL
    | SELECT /*badsql*/ id FROM secret | DECLARE c CURSOR FOR SELECT id FROM secret | CLOSE c | FETCH c
    | SAVEPOINT a | ROLLBACK TO a | BEGIN; SELECT id FROM secret; ROLLBACK | SELECT * FROM hides
    | SET standard_conforming_strings = off""".split("|")
)
_NAMES = st.sampled_from(["", "a", "b"])
_MESSAGES = st.one_of(
    st.builds(query, _TEXTS),
    st.builds(parse, _NAMES, _TEXTS),
    st.builds(bind, _NAMES, _NAMES),
    st.builds(describe, st.sampled_from("SP"), _NAMES),
    st.builds(close, st.sampled_from("SP"), _NAMES),
    st.builds(execute, _NAMES, st.sampled_from([0, 1, 2])),
    st.just(SYNC),
    st.just(FLUSH),
    st.just(m.frame(b"c")),
    st.just(m.frame(b"d", b"1\n")),
)


@settings(fuzz, max_examples=150)
@given(st.lists(_MESSAGES, max_size=25), st.integers(0, 2**32))
def test_any_sequence_of_messages_is_answered(fuzzed: GateThread, messages: list[bytes], seed: int) -> None:
    """Every Query and Sync outside a skipped stretch gets its ReadyForQuery; a last Sync and Query always do."""
    before = len(fuzzed.gate.questions), len(fuzzed.gate.finishes)
    with Raw(fuzzed.port) as raw:
        stream, chance = b"".join(messages), random.Random(seed)
        while stream:
            cut = chance.randint(1, len(stream))
            raw.send(stream[:cut])
            stream = stream[cut:]
        raw.send(SYNC, query("ROLLBACK"), query("SELECT 'the end'"))
        while rows(raw.until("Z")) != [["the end"]]:
            pass
    assert eventually(lambda: fuzzed.server.session_count == 0)
    after = len(fuzzed.gate.questions), len(fuzzed.gate.finishes)
    assert after[0] - before[0] == after[1] - before[1]


def test_a_frame_that_says_it_is_short(gate: GateThread) -> None:
    for header in (b"Q\0\0\0\3", b"Q\0\0\0\0", b"Q\xff\xff\xff\xff", b"\0\0\0\0\4"):
        with Raw(gate.port) as raw:
            raw.send(header + b"xxxx")
            assert error(raw.until("E"))["C"] == "08P01"
            assert raw.at_end()


def test_struct_sizes_in_binds(raw: Raw) -> None:
    raw.ask(parse("s", "SELECT id FROM secret"), SYNC)
    raw.send(m.frame(b"B", b"\0s\0\0\0" + struct.pack("!H", 3) + b"\0\0\0\1"))
    assert error(raw.until("E"))["C"] == "08P01"
    assert raw.at_end()
