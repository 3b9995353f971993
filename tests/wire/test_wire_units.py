"""The parts without sockets: messages, frames, the queue of expected replies, SCRAM, error texts."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
import scramp
from hypothesis import given
from hypothesis import strategies as st

from noisegate.errors import Refused
from noisegate.wire import messages as m
from noisegate.wire import reports
from noisegate.wire.expect import BIND, COPY_END, DESCRIBE, EXECUTE, PARSE, QUERY, SYNC, Entry, Exchange, Expect
from noisegate.wire.frames import MESSAGE_BYTES_MAX, Gatherer
from noisegate.wire.names import Closed, Names, Portal, Prepared
from noisegate.wire.scram import MECHANISM, MECHANISM_PLUS, ScramFailed, ScramServer, make_verifier, mock_verifier

_name = st.binary(max_size=20).map(lambda data: data.replace(b"\0", b""))
_section = st.lists(st.one_of(st.none(), st.binary(max_size=20)), max_size=5)


@given(_name, _name, st.lists(st.integers(0, 2**32 - 1), max_size=5))
def test_parse_round_trip(name: bytes, text: bytes, types: list[int]) -> None:
    message = m.Parse(name, text, tuple(types))
    assert m.Parse.decode(message.encode()[5:]) == message


@given(_name, _name, _section)
def test_bind_round_trip(portal: bytes, statement: bytes, values: list[bytes | None]) -> None:
    params = b"\0\1\0\1" + struct.pack("!H", len(values))
    params += b"".join(struct.pack("!i", -1 if v is None else len(v)) + (v or b"") for v in values)
    message = m.Bind(portal, statement, params, m.ALL_BINARY)
    body = message.encode()[5:]
    assert m.Bind.decode(body) == message
    assert m.bind_names(body) == (portal, statement)


@given(st.binary(max_size=60))
def test_decoders_raise_nothing_else(body: bytes) -> None:
    for decode in (m.decode_query, m.Parse.decode, m.Bind.decode, m.decode_target, m.decode_execute, m.bind_names):
        try:
            decode(body)
        except m.ProtocolViolation:
            continue


@given(st.binary(max_size=100))
def test_startup_decoders_raise_nothing_else(body: bytes) -> None:
    for decode in (m.decode_startup_parameters, m.decode_sasl_initial):
        try:
            decode(body)
        except m.ProtocolViolation:
            continue
    m.decode_fields(body)


def test_startup_parameters_round_trip() -> None:
    parameters = {"user": "ana", "options": "-c a=b", "é": ""}
    assert m.decode_startup_parameters(m.startup(parameters)[8:]) == parameters
    for body in (b"", b"\0\0", b"user\0\0", b"user\0x\0", b"\xff\0a\0\0"):
        with pytest.raises(m.ProtocolViolation):
            m.decode_startup_parameters(body)


@given(st.lists(st.binary(max_size=50), max_size=8), st.data())
def test_gatherer_gives_every_frame_once(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(m.frame(b"d", body) for body in bodies)
    gatherer, seen = Gatherer(), b""
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        ready = gatherer.add(stream[:cut])
        stream = stream[cut:]
        at = 0
        while len(ready) - at >= 5:
            end = at + 1 + struct.unpack_from("!I", ready, at + 1)[0]
            if end > len(ready):
                break
            seen += ready[at:end]
            at = end
        assert gatherer.keep(ready, at)
    assert seen == b"".join(m.frame(b"d", body) for body in bodies)


def test_gatherer_refuses_long_frames_before_they_come() -> None:
    tracemalloc.start()
    gatherer = Gatherer()
    header = b"Q" + struct.pack("!I", MESSAGE_BYTES_MAX + 1)
    assert not gatherer.keep(gatherer.add(header), 0)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
    for length in range(4):
        assert not Gatherer().keep(b"Q" + struct.pack("!I", length), 0)


def _queue(*kinds: int) -> Expect:
    expect = Expect()
    for kind in kinds:
        expect.push(Entry(kind, doubtful=kind == PARSE))
    return expect


def _kinds(expect: Expect) -> list[int]:
    return [entry.kind for entry in expect.entries]


def test_error_drops_up_to_the_next_sync() -> None:
    expect = _queue(BIND, EXECUTE, QUERY, SYNC, QUERY)
    dropped, discards = expect.fail()
    assert [entry.kind for entry in dropped] == [BIND, EXECUTE, QUERY]
    assert (_kinds(expect), discards) == ([SYNC, QUERY], False)


def test_error_without_sync_makes_the_room_discard() -> None:
    expect = _queue(PARSE, DESCRIBE, QUERY)
    assert expect.doubts == 1
    assert expect.fail()[1]
    assert (_kinds(expect), expect.doubts) == ([], 0)


@pytest.mark.parametrize("head", [QUERY, SYNC])
def test_error_of_query_or_sync_keeps_its_entry(head: int) -> None:
    expect = _queue(head, PARSE)
    assert expect.fail() == ([], False)
    assert _kinds(expect) == [head, PARSE]


def test_copy_in_swallows_syncs_before_the_data_ends() -> None:
    expect = _queue(EXECUTE, SYNC, SYNC, COPY_END, SYNC, QUERY)
    expect.copy_in()
    assert _kinds(expect) == [EXECUTE, SYNC, QUERY]
    later = _queue(EXECUTE, COPY_END, SYNC)
    later.pop()
    assert _kinds(later) == [SYNC]


def test_an_exchange_is_done_once_whether_answered_or_dropped() -> None:
    done: list[int] = []
    exchange = Exchange(done=lambda: done.append(1))
    expect = Expect()
    for kind in (PARSE, BIND):
        expect.push(Entry(kind, hidden=exchange))
    exchange.settle()
    assert done == []
    exchange.settle()
    assert done == [1]


def test_names_change_only_by_commits() -> None:
    names = Names()
    first = Prepared(b"s", "SELECT 1", ())
    first.commit(names)
    Portal(b"p", b"s").commit(names)
    Prepared(b"s", "SELECT 2", ()).commit(names)
    assert names.portals[b"p"].prepared is first
    Closed(b"S", b"s").commit(names)
    assert b"s" not in names.statements
    names.completed(b"ROLLBACK")
    assert names.portals == {}
    Prepared(b"", "SELECT 1", ()).commit(names)
    Prepared(b"t", "SELECT 1", ()).commit(names)
    names.completed(b"DEALLOCATE")
    assert set(names.statements) == {b""}
    names.simple_query()
    assert names.statements == {}


# --- SCRAM -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end_point", [None, b"certificate hash"])
def test_scram_against_another_implementation(end_point: bytes | None) -> None:
    mechanism = MECHANISM if end_point is None else MECHANISM_PLUS
    binding = None if end_point is None else ("tls-server-end-point", end_point)
    for password, good in (("pencil", True), ("pen", False)):
        server = ScramServer(mechanism, make_verifier("pencil"), end_point)
        client = scramp.ScramClient([mechanism], "user", password, channel_binding=binding)
        client.set_server_first(server.first(client.get_client_first().encode()).decode())
        final = client.get_client_final().encode()
        if good:
            client.set_server_final(server.final(final).decode())
        else:
            with pytest.raises(ScramFailed):
                server.final(final)


def test_scram_binding_must_be_this_certificates() -> None:
    server = ScramServer(MECHANISM_PLUS, make_verifier("pencil"), b"mine")
    client = scramp.ScramClient([MECHANISM_PLUS], "u", "pencil", channel_binding=("tls-server-end-point", b"another"))
    client.set_server_first(server.first(client.get_client_first().encode()).decode())
    with pytest.raises(ScramFailed):
        server.final(client.get_client_final().encode())


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_scram_raises_nothing_else(first: bytes, final: bytes) -> None:
    for mechanism, end_point in ((MECHANISM, None), (MECHANISM_PLUS, b"x")):
        server = ScramServer(mechanism, make_verifier("pencil", b"0" * 16, 1), end_point)
        with pytest.raises(ScramFailed):
            server.first(b"n,,n=,r=abc" if mechanism == MECHANISM and b"," in first else first)
            server.final(final)


def test_mock_verifiers_look_real_and_stay() -> None:
    known = make_verifier("x")
    mock = mock_verifier(b"secret", "nobody")
    assert [len(part) for part in mock[:3]] == [len(part) for part in known[:3]]
    assert mock[3] == known[3]
    assert mock == mock_verifier(b"secret", "nobody")
    assert mock != mock_verifier(b"other", "nobody")
    assert mock[0] != mock_verifier(b"secret", "noone")[0]


# --- error texts -----------------------------------------------------------------------------------------------------


def test_refusals_are_rebuilt() -> None:
    raised = {"S": "ERROR", "V": "ERROR", "C": "42501", "M": "no", "D": "", "W": "PL/pgSQL", "F": "pl_exec.c", "R": "x"}
    error = Refused("no", position=3)
    assert reports.of_refusal(raised, error, 10) == {"S": "ERROR", "V": "ERROR", "C": "42501", "M": "no", "P": "13"}
    other = reports.of_refusal(raised | {"M": "function noisegate.refuse does not exist", "C": "42883"}, error, 0)
    assert (other["C"], other["M"]) == ("XX000", reports.HIDDEN_FAILED)
    failed = reports.of_refusal(raised | {"C": "25P02", "M": "aborted"}, error, 0)
    assert (failed["C"], failed["M"]) == ("25P02", "aborted")


def test_positions_are_shifted() -> None:
    assert reports.shifted({"P": "4", "M": "x"}, 10) == {"P": "14", "M": "x"}
    assert reports.shifted({"M": "x"}, 10) == {"M": "x"}


def test_parameters_are_readable_for_the_audit() -> None:
    section = b"\0\2\0\0\0\1" + b"\0\3" + b"\0\0\0\2ab" + b"\0\0\0\2\xff\0"[:6] + b"\xff\xff\xff\xff"
    with pytest.raises(IndexError):  # three values, two formats: the room has refused it before
        m.readable_params(section)
    one_format = b"\0\1\0\1" + b"\0\2" + b"\0\0\0\2\xff\0" + b"\xff\xff\xff\xff"
    assert m.readable_params(one_format) == ("\\xff00", None)
    assert m.readable_params(b"\0\0\0\2\0\0\0\2ab\0\0\0\0") == ("ab", "")
    assert m.readable_params(m.NO_PARAMS) == ()
