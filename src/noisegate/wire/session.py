"""One session: both halves joined, its end, and what reaches it from outside (a cancel, the clocks).

Invariant: a session lives exactly as long as both of its connections; whichever side goes, the engine's work is
cancelled, the room's query too, and every statement under way is reported once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from noisegate.wire import messages as m
from noisegate.wire import reports
from noisegate.wire.asking import Asking
from noisegate.wire.clientside import ClientSide
from noisegate.wire.context import Context
from noisegate.wire.gate import Gate, Identity
from noisegate.wire.links import Link
from noisegate.wire.room import RoomConnection
from noisegate.wire.roomside import RoomSide
from noisegate.wire.runs import Refusals

LAST_WORDS_TIMEOUT_S = 5.0  # for a client that does not read its last message


class Session:
    """`on_end` is called once. Start with `start`; `secret` is what a CancelRequest must bring."""

    def __init__(
        self,
        client: Link,
        room: RoomConnection,
        gate: Gate,
        identity: Identity,
        secret: bytes,
        on_end: Callable[[Session], None],
    ) -> None:
        self.identity = identity
        self.secret = secret
        self.room = RoomSide(room.link, client, Refusals(gate, identity), self.end)
        self._asking = Asking(gate)
        self._context = Context(self.room, client, gate, identity, self._asking, room.version)
        self._client_side = ClientSide(self._context, self.end)
        self._client = client
        self._connection = room
        self._on_end = on_end
        self._ended = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._finishing: asyncio.Task[None] | None = None
        self._watched: tuple[object, ...] = ()
        self._watched_since = 0.0

    def start(self, early: bytes) -> None:
        """Begin to relay. early: what the client sent behind its last start-up message."""
        for name, value in self._connection.settings.items():
            self.room.note_setting(name, value)
        self._connection.link.attach(self.room)
        rest = self._connection.inbox.rest()
        if rest:
            self.room.received(rest)
        if early:
            self._client_side.received(early)
        self._client.attach(self._client_side)

    def cancel(self, reason: str = reports.USER_CANCEL) -> None:
        """Stop what runs: the engine's work, or the room's query, or both."""
        self._asking.cancel(reason)
        if self.room.expect.entries:
            self.room.timed_out = reason == reports.STATEMENT_TIMEOUT
            self._spawn_cancel()

    def check_clocks(self, now: float, statement_s: float | None, idle_s: float | None) -> None:
        """Called several times a second. Cancels a statement, or ends a session that idles in a transaction."""
        room = self.room
        busy = bool(room.expect.entries) or room.held
        head = room.expect.entries[0] if room.expect.entries else None
        watched = (busy, head, room.held, room.progress)
        if watched != self._watched:
            self._watched, self._watched_since = watched, now
        waited = now - self._watched_since
        if busy and statement_s is not None and waited >= statement_s:
            self._watched_since = now
            self.cancel(reports.STATEMENT_TIMEOUT)
        elif not busy and room.tx != b"I" and idle_s is not None and waited >= idle_s:
            self.end(reports.fatal("25P03", reports.IDLE_TIMEOUT))

    def end(self, last_words: bytes) -> None:
        """Close both sides. last_words: a message for the client, or nothing."""
        if self._ended:
            return
        self._ended = True
        self._client.write(last_words)
        self._client.close()
        flow = self._client_side.stop()
        busy = self.room.abandon() or flow is not None
        self._connection.link.write(m.TERMINATE)
        self._connection.link.close()
        loop = asyncio.get_running_loop()
        loop.call_later(LAST_WORDS_TIMEOUT_S, self._abort)
        self._finishing = loop.create_task(self._finish(flow, busy))

    async def _finish(self, flow: asyncio.Task[None] | None, busy: bool) -> None:
        """The session counts as gone when nothing of it runs any more."""
        if busy:
            await self._connection.cancel()
        waited_for = [*self._tasks, *([flow] if flow is not None else [])]
        await asyncio.gather(*waited_for, return_exceptions=True)
        self._context.gate.left(self.identity)
        self._on_end(self)

    def _abort(self) -> None:
        self._client.abort()
        self._connection.link.abort()

    def _spawn_cancel(self) -> None:
        task = asyncio.get_running_loop().create_task(self._connection.cancel())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
