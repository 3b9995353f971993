"""A gate in a thread, a small Gate that rewrites `secret`, and a client that speaks the protocol by hand."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import scramp
import uvloop

from noisegate.errors import BudgetExceeded, Refused, TooManyConnections
from noisegate.wire import Server, ServerConfig, serve
from noisegate.wire.gate import Answer, Hidden, Identity, Notice, Question, RoomAddress, Statement, Verdict
from noisegate.wire.messages import Bind, Parse, decode_fields, decode_row_description, frame
from noisegate.wire.scram import Verifier, make_verifier

PATIENCE_S = 60.0  # with something that happens at once unless the machine stalls
PASSWORD = "wonder land"
ROLE = "ana"

ROOM_SCRIPT = r"""
CREATE SCHEMA noisegate;
CREATE FUNCTION noisegate.refuse(s text, m text, d text, h text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION USING ERRCODE = s, MESSAGE = m, DETAIL = d, HINT = h; END $$;
CREATE FUNCTION noisegate.tripwire() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION USING ERRCODE = 'NG001', MESSAGE = 'tripwire'; END $$;
CREATE TABLE secret (id int, v numeric(10,2), t text, d date);
INSERT INTO secret VALUES (0, 0, '', '2000-01-01');
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY answered_through_aggregates_only ON secret USING (noisegate.tripwire());
CREATE VIEW hides AS SELECT * FROM secret;
ALTER VIEW hides SET (security_invoker = true);
CREATE TABLE noisy (id int, v numeric(10,2), t text, d date);
INSERT INTO noisy SELECT i, i + 0.25, 'row ' || i, date '2024-01-01' + i FROM generate_series(1, 5) i;
GRANT USAGE ON SCHEMA noisegate TO PUBLIC;
GRANT SELECT ON secret, noisy, hides TO PUBLIC;
"""


_TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|\$\$.*?\$\$|--[^\n]*|/\*.*?\*/|;|[^;'\"$/-]+|.", re.S)
_PRIVATE = re.compile(r"\bsecret\b", re.I)
_REFUSED = re.compile(r"\s*(do|alter|vacuum|create\s+function)\b", re.I)


def _split(text: str) -> list[tuple[str, int]]:
    pieces, start, at = [], 0, 0
    for token in _TOKEN.findall(text):
        if token == ";":
            pieces.append((text[start:at], start))
            start = at + 1
        at += len(token)
    pieces.append((text[start:], start))
    trimmed = [(piece.strip(), start + len(piece) - len(piece.lstrip())) for piece, start in pieces]
    return [(piece, start) for piece, start in trimmed if piece]


def _statement(text: str, offset: int) -> Statement:
    if _REFUSED.match(text):
        return Statement(text, offset, Verdict.REFUSE, Refused("this kind is never run", hint="none", position=1))
    return Statement(text, offset, Verdict.PRIVATE if _PRIVATE.search(text) else Verdict.RELAY)


@dataclass
class WordGate:
    """Statements that name `secret` are private and read `noisy` instead. Marks in comments steer `answer`."""

    room: RoomAddress
    sessions_max: int = 1000
    identities: list[Identity] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    finishes: list[tuple[str, Answer | None, str]] = field(default_factory=list)
    relays: list[tuple[str, str]] = field(default_factory=list)
    departures: list[Identity] = field(default_factory=list)
    hidden_rows: list[list[tuple[bytes | None, ...]]] = field(default_factory=list)
    cancelled: int = 0
    working: threading.Event = field(default_factory=threading.Event)
    hidden_object: Hidden | None = None

    def classify(self, text: str) -> Sequence[Statement]:
        return tuple(_statement(piece, start) for piece, start in _split(text))

    async def admit(self, identity: Identity) -> RoomAddress:
        if len(self.identities) - len(self.departures) >= self.sessions_max:
            raise TooManyConnections("too many sessions")
        self.identities.append(identity)
        return self.room

    async def answer(self, question: Question, hidden: Hidden) -> Answer:
        self.questions.append(question)
        self.hidden_object = hidden
        for mark in re.findall(r"/\*(\w+)\*/", question.text):
            special = await getattr(self, f"_{mark}")(question, hidden)
            if special is not None:
                return special
        rewritten = re.sub(_PRIVATE, "noisy", question.text)
        return Answer(rewritten, notices=(Notice("price: 0.5", detail="left: 9.5"),))

    async def _slow(self, question: Question, hidden: Hidden) -> None:
        self.working.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def _nap(self, question: Question, hidden: Hidden) -> None:
        await asyncio.sleep(0.1)

    async def _refuse(self, question: Question, hidden: Hidden) -> None:
        where = question.text.index("secret") + 1
        raise Refused("rows are never shown", detail="the détail", hint="the hint", position=where)

    async def _budget(self, question: Question, hidden: Hidden) -> None:
        raise BudgetExceeded("no budget left")

    async def _crash(self, question: Question, hidden: Hidden) -> None:
        raise RuntimeError("confidential text")

    async def _hidden(self, question: Question, hidden: Hidden) -> None:
        self.hidden_rows.append(await hidden.query("SELECT 7::int4, NULL::text"))

    async def _params(self, question: Question, hidden: Hidden) -> None:
        self.hidden_rows.append(await hidden.query("SELECT $1", bind=True))

    async def _hiddenfail(self, question: Question, hidden: Hidden) -> None:
        await hidden.query("SELECT * FROM nowhere")

    async def _hiddensleep(self, question: Question, hidden: Hidden) -> None:
        self.working.set()
        await hidden.query("SELECT pg_sleep(30)")

    async def _swallow(self, question: Question, hidden: Hidden) -> None:
        try:
            await hidden.query("SELECT * FROM nowhere")
        except Exception:
            return

    async def _wrongtype(self, question: Question, hidden: Hidden) -> Answer:
        return Answer("SELECT 'x'::text")

    async def _badsql(self, question: Question, hidden: Hidden) -> Answer:
        return Answer("SELECT no_such_column FROM noisy")

    async def _raises(self, question: Question, hidden: Hidden) -> Answer:
        return Answer("SELECT (1/(id-3))::bigint FROM noisy")

    async def _plan(self, question: Question, hidden: Hidden) -> Answer:
        return Answer("SELECT unnest(ARRAY['a plan','of two lines']) AS \"QUERY PLAN\"", tag="EXPLAIN")

    async def _relay(self, question: Question, hidden: Hidden) -> Answer:
        return Answer("", relay=True)

    async def _sleeprows(self, question: Question, hidden: Hidden) -> Answer:
        return Answer("SELECT id FROM noisy WHERE pg_sleep(30) IS NOT NULL")

    def finished(self, question: Question, answer: Answer | None, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.finishes.append((question.text, answer, outcome))

    def relayed(self, identity: Identity, text: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.relays.append((text, outcome))

    def left(self, identity: Identity) -> None:
        self.departures.append(identity)


class Analysts(dict[str, Verifier]):
    def verifier(self, analyst: str) -> Verifier | None:
        return self.get(analyst)


class GateThread:
    """A server on a loop of its own."""

    def __init__(self, gate: WordGate, config: ServerConfig, new_loop: Any = uvloop.new_event_loop) -> None:
        self.gate = gate
        self.loop = new_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        analysts = Analysts({ROLE: make_verifier(PASSWORD)})
        self.server: Server = self.run(serve(config, {"data": gate}, analysts))

    @property
    def port(self) -> int:
        return self.server.port

    def run(self, work: Coroutine[Any, Any, Any], timeout: float = PATIENCE_S) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def tick(self, now: float, statement_s: float | None, idle_s: float | None) -> None:
        """What the server's clock does several times a second, at a moment of the test's choice."""

        async def check() -> None:
            for session in self.server._door.sessions.all():
                session.check_clocks(now, statement_s, idle_s)

        self.run(check())

    def stop(self) -> None:
        self.run(self.server.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()

    def dsn(self, **more: object) -> str:
        values = {"host": "127.0.0.1", "port": self.port, "user": ROLE, "password": f"'{PASSWORD}'", "dbname": "data"}
        return " ".join(f"{key}={value}" for key, value in (values | more).items())


def eventually(condition: Any, seconds: float = PATIENCE_S) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())


Message = tuple[str, bytes]


class Raw:
    """A blocking connection that sends and reads single messages."""

    def __init__(self, port: int, *, connect: bool = True, timeout: float = PATIENCE_S, **parameters: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.buffer = b""
        self.pid, self.secret, self.settings = 0, b"", dict[str, str]()
        self.minor = 0
        if connect:
            self.login(**parameters)

    def login(self, minor: int = 0, password: str = PASSWORD, user: str = ROLE, **parameters: str) -> None:
        self.startup(minor, {"user": user, "database": "data", **parameters})
        self.authenticate(password)
        for kind, body in iter(self.read, ("Z", b"I")):
            if kind == "E":
                raise ServerError(body)
            if kind == "K":
                self.pid, self.secret = struct.unpack("!I", body[:4])[0], body[4:]
            elif kind == "S":
                name, value = body.split(b"\0")[:2]
                self.settings[name.decode()] = value.decode()

    def startup(self, minor: int, parameters: dict[str, str]) -> None:
        pairs = b"".join(f"{k}\0{v}\0".encode() for k, v in parameters.items()) + b"\0"
        self.send(struct.pack("!II", len(pairs) + 8, 3 << 16 | minor) + pairs)

    def authenticate(self, password: str) -> None:
        kind, body = self.read()
        if kind == "v":
            self.minor = struct.unpack("!I", body[:4])[0] & 0xFFFF
            kind, body = self.read()
        if kind != "R":
            raise ServerError(body)
        client = scramp.ScramClient(["SCRAM-SHA-256"], "ignored", password)
        first = client.get_client_first().encode()
        self.send(frame(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first))
        client.set_server_first(self.expect("R")[4:].decode())
        self.send(frame(b"p", client.get_client_final().encode()))
        client.set_server_final(self.expect("R")[4:].decode())

    def send(self, *messages: bytes) -> None:
        self.socket.sendall(b"".join(messages))

    def read(self) -> Message:
        header = self._exactly(5)
        return chr(header[0]), self._exactly(struct.unpack("!I", header[1:])[0] - 4)

    def expect(self, kind: str) -> bytes:
        got, body = self.read()
        if got == "E" != kind:
            raise ServerError(body)
        assert got == kind, (got, body)
        return body

    def until(self, kind: str) -> list[Message]:
        messages = [self.read()]
        while messages[-1][0] != kind:
            messages.append(self.read())
        return messages

    def ask(self, *messages: bytes) -> list[Message]:
        """Send, and read to ReadyForQuery."""
        self.send(*messages)
        return self.until("Z")

    def query(self, text: str) -> list[Message]:
        return self.ask(frame(b"Q", text.encode() + b"\0"))

    def at_end(self) -> bool:
        """The server closed the connection (whatever else it said before)."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def _exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError
            self.buffer += more
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ServerError(Exception):
    def __init__(self, body: bytes) -> None:
        self.fields = decode_fields(body)
        super().__init__(str(self.fields))


def parse(name: str, text: str, *types: int) -> bytes:
    return Parse(name.encode(), text.encode(), types).encode()


def bind(portal: str = "", statement: str = "", params: Sequence[str | None] = (), binary: bool = False) -> bytes:
    values = b"".join(
        struct.pack("!i", -1) if value is None else struct.pack("!i", len(value.encode())) + value.encode()
        for value in params
    )
    section = b"\0\0" + struct.pack("!H", len(params)) + values
    return Bind(portal.encode(), statement.encode(), section, b"\0\1\0\1" if binary else b"\0\0").encode()


def describe(kind: str, name: str = "") -> bytes:
    return frame(b"D", kind.encode() + name.encode() + b"\0")


def close(kind: str, name: str = "") -> bytes:
    return frame(b"C", kind.encode() + name.encode() + b"\0")


def execute(portal: str = "", limit: int = 0) -> bytes:
    return frame(b"E", portal.encode() + b"\0" + struct.pack("!i", limit))


def query(text: str) -> bytes:
    return frame(b"Q", text.encode() + b"\0")


SYNC, FLUSH, TERMINATE = frame(b"S"), frame(b"H"), frame(b"X")


def kinds(messages: Sequence[Message]) -> str:
    return "".join(kind for kind, _ in messages)


def error(messages: Sequence[Message]) -> dict[str, str]:
    return next(decode_fields(body) for kind, body in messages if kind == "E")


def errors(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [decode_fields(body) for kind, body in messages if kind == "E"]


def rows(messages: Sequence[Message]) -> list[list[str | None]]:
    return [_row(body) for kind, body in messages if kind == "D"]


def _row(body: bytes) -> list[str | None]:
    values: list[str | None] = []
    at = 2
    for _ in range(struct.unpack_from("!H", body)[0]):
        length = struct.unpack_from("!i", body, at)[0]
        at += 4
        values.append(None if length < 0 else body[at : at + length].decode())
        at += max(length, 0)
    return values


def tags(messages: Sequence[Message]) -> list[str]:
    return [body[:-1].decode() for kind, body in messages if kind == "C"]


def columns(messages: Sequence[Message]) -> list[tuple[str, int, int]]:
    return next(decode_row_description(body) for kind, body in messages if kind == "T")


def status(messages: Sequence[Message]) -> str:
    return messages[-1][1].decode()
