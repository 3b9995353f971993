"""A connection to the clean room on which all steps of an exchange are written at once and answered together.

Drivers wait for each step's answer before they send the next; here a reading of seven steps takes one round trip.
Invariant: after an exchange the server has answered every message and is outside of any transaction, or the connection
is closed.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping, Sequence
from typing import Final, cast

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from noisegate.wire import messages as m

Row = tuple[bytes | None, ...]
ROLLBACK: Final = m.query(b"ROLLBACK")
MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024  # of one answer: a deparse
_HEADER = struct.Struct("!cI")


class StepRefused(Exception):
    """PostgreSQL's error at one step; those after it were not run. Carries nothing of it."""


class Lost(Exception):
    """The connection is gone, or the server did not keep to the protocol."""


def step(sql: str, params: Sequence[str] = (), *, name: bytes = b"") -> bytes:
    """Parse and run one statement: a text that holds several is refused. Its rows come as text."""
    return parse(sql, name=name) + run(name, params)


def parse(sql: str, *, name: bytes = b"") -> bytes:
    """Have a statement parsed, and its names resolved where it is a query; nothing is run."""
    if "\0" in sql:
        raise StepRefused
    return m.Parse(name, sql.encode()).encode()


def run(name: bytes, params: Sequence[str] = ()) -> bytes:
    """Run a statement that was parsed under this name before."""
    return m.Bind(b"", name, m.text_params(params)).encode() + m.execute(b"")


class Pipeline(asyncio.Protocol):
    """One exchange at a time. Made by `connect`."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answer: asyncio.Future[None] | None = None
        self._rows: list[Row] = []
        self._width = 0  # of the last description
        self._refused = False
        self._syncs = 0
        self.closed = False

    async def exchange(self, *steps: bytes, rolled_back: bool = False) -> list[Row]:
        """The rows of all steps, in order. `rolled_back`: they run in a transaction, which is rolled back.

        Raises StepRefused, Lost. Cancelled, the connection is closed.
        """
        await self._send(b"".join(steps) + m.SYNC + (ROLLBACK if rolled_back else b""), 1 + rolled_back)
        if self._refused:
            raise StepRefused
        return self._rows

    async def columns(self, sql: str, *before: bytes) -> int:
        """How many columns a query returns after other steps, all rolled back. Raises StepRefused, Lost."""
        self._width = 0
        await self.exchange(*before, parse(sql), m.describe_statement(b""), rolled_back=True)
        return self._width

    async def _send(self, data: bytes, syncs: int) -> None:
        if self.closed or self._transport is None:
            raise Lost
        self._rows, self._refused, self._syncs = [], False, syncs
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        try:
            await self._answer
        except asyncio.CancelledError:
            self.terminate()
            raise

    def terminate(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol -----------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._fail()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        buffer, at = self._buffer, 0
        try:
            while len(buffer) - at >= 5:
                kind, length = _HEADER.unpack_from(buffer, at)
                if not 4 <= length <= MESSAGE_BYTES_MAX:
                    raise m.ProtocolViolation("invalid length")
                end = at + 1 + length
                if end > len(buffer):
                    break
                self._message(kind, bytes(buffer[at + 5 : end]))
                at = end
        except (m.ProtocolViolation, struct.error):
            self.terminate()
            self._fail()
            return
        del buffer[:at]

    def _message(self, kind: bytes, body: bytes) -> None:
        match kind:
            case b"D":
                self._rows.append(m.decode_data_row(body))
            case b"T":
                self._width = len(m.decode_row_description(body))
            case b"E":
                if m.decode_fields(body).get("V") in ("FATAL", "PANIC"):
                    raise m.ProtocolViolation("the session ends")
                self._refused = True
            case b"Z":
                self._ready()
            case b"R" if body != b"\0\0\0\0":
                raise m.ProtocolViolation("a password is asked for")

    def _ready(self) -> None:
        self._syncs -= 1
        if self._syncs <= 0 and self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def _fail(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Lost())


async def connect(dsn: str, settings: Mapping[str, str]) -> Pipeline:
    """Log in over the unix socket that a postgresql:// URI names, without a password. Raises Lost."""
    try:
        parts = conninfo_to_dict(dsn)
    except ProgrammingError:
        raise Lost from None
    path = f"{parts.get('host')}/.s.PGSQL.{parts.get('port', 5432)}"
    pipeline = Pipeline()
    try:
        await asyncio.get_running_loop().create_unix_connection(lambda: pipeline, path)
        login = {"user": str(parts.get("user")), "database": str(parts.get("dbname")), **settings}
        await pipeline._send(m.startup(login), 1)
    except OSError:
        raise Lost from None
    if pipeline._refused:
        pipeline.terminate()
        raise Lost
    return pipeline
