"""Messages one at a time, for the few that come before a session: start-up, TLS, authentication."""

from __future__ import annotations

import asyncio

from noisegate.wire import messages as m
from noisegate.wire.frames import LENGTH
from noisegate.wire.links import Link

STARTUP_BYTES_MAX = 10_000  # PostgreSQL's MAX_STARTUP_PACKET_LENGTH
MESSAGE_BYTES_MAX = 64 * 1024
BUFFER_BYTES_MAX = 128 * 1024  # beyond it nothing is read until somebody takes messages


class Inbox:
    """Receiver of a link. Its coroutines raise EOFError when the other side is gone, ProtocolViolation on nonsense."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._buffer = bytearray()
        self._more: asyncio.Future[None] | None = None
        self.gone = False
        link.attach(self)

    def received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > BUFFER_BYTES_MAX:
            self._link.pause("inbox")
        self._wake()

    def lost(self) -> None:
        self.gone = True
        self._wake()

    def writable(self, writable: bool) -> None:
        return None  # what is written before a session is short

    def waiting(self) -> bool:
        """Bytes are there that nobody has taken."""
        return bool(self._buffer)

    def rest(self) -> bytes:
        """Everything not yet taken, for whoever receives from now on."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        self._link.resume("inbox")
        return rest

    async def startup_packet(self) -> bytes:
        """The body of a packet without a type byte."""
        await self._need(4)
        length = LENGTH(self._buffer, 0)[0]
        if not 8 <= length <= STARTUP_BYTES_MAX:
            raise m.ProtocolViolation("invalid length of startup packet")
        return (await self._take(length))[4:]

    async def message(self) -> tuple[bytes, bytes]:
        """Type and body."""
        await self._need(5)
        length = LENGTH(self._buffer, 1)[0]
        if not 4 <= length <= MESSAGE_BYTES_MAX:
            raise m.ProtocolViolation("invalid message length")
        frame = await self._take(length + 1)
        return frame[:1], frame[5:]

    async def _take(self, size: int) -> bytes:
        await self._need(size)
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        if len(self._buffer) <= BUFFER_BYTES_MAX:
            self._link.resume("inbox")
        return taken

    async def _need(self, size: int) -> None:
        while len(self._buffer) < size:
            if self.gone:
                raise EOFError
            self._more = asyncio.get_running_loop().create_future()
            await self._more

    def _wake(self) -> None:
        more, self._more = self._more, None
        if more is not None and not more.done():
            more.set_result(None)
