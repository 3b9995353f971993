"""One TCP, TLS or unix connection: bytes to whoever receives them at the moment, and flow control."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

WRITE_BUFFER_BYTES_MAX = 256 * 1024


class Receiver(Protocol):
    def received(self, data: bytes) -> None: ...

    def lost(self) -> None: ...

    def writable(self, writable: bool) -> None: ...


class Link(asyncio.Protocol):
    """`receiver` may be replaced at any time; bytes that come before there is one are kept for it.

    Reading is paused for as long as at least one reason holds; a reason is any hashable name.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._receiver: Receiver | None = None
        self._early = bytearray()
        self._pauses: set[str] = set()
        self.closed = False

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    def replace_transport(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_MAX)

    def attach(self, receiver: Receiver) -> None:
        self._receiver = receiver
        early, self._early = bytes(self._early), bytearray()
        if early:
            receiver.received(early)
        if self.closed:
            receiver.lost()

    def write(self, data: bytes) -> None:
        if not self.closed and self._transport is not None:
            self._transport.write(data)

    def pause(self, reason: str) -> None:
        self._pauses.add(reason)
        if len(self._pauses) == 1 and not self.closed:
            self.transport.pause_reading()

    def resume(self, reason: str) -> None:
        if reason in self._pauses:
            self._pauses.discard(reason)
            if not self._pauses and not self.closed:
                self.transport.resume_reading()

    def close(self) -> None:
        """After what was written has been sent; `abort` does not wait for that."""
        if self._transport is not None and not self.closed:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None and not self.closed:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.replace_transport(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        if self._receiver is None:
            self._early += data
        else:
            self._receiver.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._receiver is not None:
            self._receiver.lost()

    def pause_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.writable(False)

    def resume_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.writable(True)
