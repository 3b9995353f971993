"""The gate beside the room itself: any sequence of messages gets the same answers from both."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from wirekit import (
    FLUSH,
    PATIENCE_S,
    ROLE,
    SYNC,
    GateThread,
    Message,
    Raw,
    WordGate,
    bind,
    close,
    describe,
    execute,
    parse,
    query,
)

from noisegate.room.embedded import EmbeddedServer
from noisegate.wire import ServerConfig
from noisegate.wire import messages as m
from noisegate.wire.gate import RoomAddress


class Direct(Raw):
    """A connection to the room, which trusts its socket."""

    def __init__(self, path: str, timeout: float = PATIENCE_S) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.buffer = b""
        self.startup(0, {"user": ROLE, "database": "room"})
        self.until("Z")


@pytest.fixture(scope="module")
def shared(room_address: RoomAddress) -> Iterator[GateThread]:
    thread = GateThread(WordGate(room_address), ServerConfig(port=0))
    yield thread
    thread.stop()


@dataclass(frozen=True)
class Build:
    """A message for a table's name: `secret` at the gate, `noisy` (what it answers from) at the room."""

    text: str
    make: Callable[[str], bytes] = field(repr=False)

    def __call__(self, table: str) -> bytes:
        return self.make(self.text.replace("{}", table))


_TEXTS = [
    "SELECT 1",
    "SELECT id FROM {} ORDER BY id",
    "SELECT id, v FROM {} WHERE id < 3 ORDER BY id",
    "SELECT 1/0",
    "SELECT nope FROM {}",
    "BEGIN",
    "ROLLBACK",
    "COMMIT",
    "SAVEPOINT a",
    "ROLLBACK TO a",
    "",
    "SELEC",
    "SELECT 1; SELECT max(id) FROM {}",
    "SELECT max(id) FROM {}; SELECT 1/(id-id) FROM {}; SELECT 2",
    "BEGIN; SELECT max(v) FROM {}",
    "SELECT max(v) FROM {}; COMMIT; SELECT 3",
    "ROLLBACK; SELECT max(v) FROM {}; SAVEPOINT a",
    "SELECT max(v) FROM {}; SELEC",
    "DECLARE c CURSOR FOR SELECT id FROM {} ORDER BY id",
    "FETCH 2 FROM c",
    "CLOSE c",
    "DEALLOCATE a",
    "DEALLOCATE ALL",
    "DISCARD ALL",
    "SET LOCAL application_name = 'x'",
    "CREATE TEMP TABLE mine AS SELECT id FROM {}",
    "DROP TABLE mine",
    "COPY (SELECT id FROM {} ORDER BY id) TO STDOUT",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT max(id) FROM {}; COMMIT",
]


def _fixed(message: bytes) -> Build:
    return Build(repr(message), lambda _: message)


_texts = st.sampled_from(_TEXTS)
_names = st.sampled_from(["", "a"])
_messages: st.SearchStrategy[Build] = st.one_of(
    st.builds(Build, _texts, st.just(query)),
    st.builds(lambda name, text: Build(text, partial(parse, name)), _names, _texts),
    st.builds(lambda *a: _fixed(bind(*a)), _names, _names),
    st.builds(lambda *a: _fixed(describe(*a)), st.sampled_from("SP"), _names),
    st.builds(lambda *a: _fixed(close(*a)), st.sampled_from("SP"), _names),
    st.builds(lambda *a: _fixed(execute(*a)), _names, st.sampled_from([0, 2])),
    st.just(_fixed(SYNC)),
    st.just(_fixed(FLUSH)),
)
# What drivers send: kept together, so that most examples reach an answer.
_calls = st.builds(
    lambda name, portal, text, limit, end: [
        Build(text, partial(parse, name)),
        _fixed(bind(portal, name)),
        _fixed(describe("P", portal)),
        _fixed(execute(portal, limit)),
        _fixed(end),
    ],
    _names,
    _names,
    _texts,
    st.sampled_from([0, 2]),
    st.sampled_from([SYNC, FLUSH, b""]),
)
_sequences = st.lists(st.one_of(_messages.map(lambda one: [one]), _calls), max_size=10)


def _with_syncs(builds: list[Build]) -> list[Build]:
    """A Sync before each simple Query: without one the implicit transaction ends elsewhere (wire's README)."""
    return [part for build in builds for part in ([_fixed(SYNC), build] if build.make is query else [build])]


def _seen(connection: Raw, messages: list[bytes]) -> list[Any]:
    """What the client learns: kinds, rows, tags, SQLSTATEs, positions, states; no notices, no table OIDs."""
    connection.send(*messages, SYNC, query("ROLLBACK"), query("SELECT 'the end'"))
    seen: list[Any] = []
    while True:
        replies = connection.until("Z")
        if any(body.endswith(b"the end") for kind, body in replies if kind == "D"):
            return seen
        seen += [_essence(reply) for reply in replies if reply[0] != "N"]


def _essence(reply: Message) -> Any:
    kind, body = reply
    match kind:
        case "T":
            return kind, [(name, oid, typmod) for name, oid, typmod in m.decode_row_description(body)]
        case "E":
            fields = m.decode_fields(body)
            return kind, fields["C"]
    return kind, body


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True)
@example(sequence=[[Build(text, query)] for text in _TEXTS])
@example(sequence=[[Build("BEGIN", query), Build(text, query)] for text in _TEXTS])
@given(sequence=_sequences)
def test_same_answers(shared: GateThread, room_server: EmbeddedServer, sequence: list[list[Build]]) -> None:
    builds = _with_syncs([build for group in sequence for build in group])
    with Raw(shared.port) as gate, Direct(str(room_server.socket)) as room:
        ours = _seen(gate, [build("secret") for build in builds])
        theirs = _seen(room, [build("noisy") for build in builds])
    for number, (our, their) in enumerate(zip(ours, theirs, strict=False)):
        assert our == their, (ours[max(0, number - 8) : number + 3], theirs[max(0, number - 8) : number + 3])
    assert len(ours) == len(theirs)
