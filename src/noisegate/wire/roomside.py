"""The clean room's half of a session: relays its replies, keeps what it owes, speaks with it while the client waits.

Invariant: a reply goes to the client unless its entry is hidden. States: `expect` (what the room owes), `skip` (the
room discards until Sync, so nothing may be sent to it), `tx` (the last ReadyForQuery's byte; stale while anything is
owed), `opened` (a message was sent since the last Sync), `copying` (the client sends COPY data), `held` (the client's
bytes wait).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from noisegate.wire import messages as m
from noisegate.wire import reports
from noisegate.wire.expect import DONE, END, ENDS, LOOK, PASS, QUERY, STEPS, SYNC, Entry, Exchange, Expect
from noisegate.wire.faults import fault
from noisegate.wire.frames import LENGTH, Gatherer
from noisegate.wire.links import Link
from noisegate.wire.names import Names
from noisegate.wire.runs import Refusals, now

log = logging.getLogger(__name__)

ENCODINGS = frozenset({"UTF8", "SQL_ASCII"})  # those under which the bytes of a text are what the room will read
_ROWS = b"Dd"  # DataRow, CopyData

_ABORTED = "current transaction is aborted, commands ignored until end of transaction block"

Reply = tuple[int, bytes]


class RoomError(Exception):
    """The room answered a hidden statement with an error."""

    def __init__(self, fields: m.Fields) -> None:
        super().__init__(fields.get("C", "XX000"))
        self.fields = fields


class RoomSide:
    """`ended` is called once, when the room is gone or the session must end: with what the client is told last."""

    def __init__(self, link: Link, client: Link, refusals: Refusals, ended: Callable[[bytes], None]) -> None:
        self._link = link
        self._client = client
        self._refusals = refusals
        self._ended = ended
        self._gatherer = Gatherer()
        self._passing = 0  # bytes still to come of a long row that is relayed in pieces
        self._orphan: Exchange | None = None
        self._drained: asyncio.Future[None] | None = None
        self.expect = Expect()
        self.names = Names()
        self.skip = False
        self.tx = b"I"
        self.opened = False
        self.copying = False
        self.held = False
        self.closed = False
        self.saw_fatal = False
        self._farewell: bytes | None = None
        self.backslash_quotes = False  # standard_conforming_strings is off
        self.timed_out = False  # the gate's own clock sent the cancel that is on its way
        self._moment = now()  # when the bytes came that are being worked on
        self.progress = self._moment  # when the last statement ended, or the session last changed

    # --- to the room -------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        self._link.write(data)

    def send(self, data: bytes, entry: Entry) -> None:
        """One message whose replies are the client's."""
        self.expect.push(entry)
        self._link.write(data)

    def send_hidden(self, *messages: bytes) -> None:
        """Messages that cannot fail and whose replies nobody needs."""
        nobody = Exchange()
        for message in messages:
            self.expect.push(Entry(message[0], hidden=nobody))
        self._link.write(b"".join(messages))

    async def exchange(self, *messages: bytes, own_sync: bool | None = None) -> list[Reply]:
        """Run hidden messages; their replies. Raises RoomError; the room then discards until a Sync, unless the
        exchange had its own.

        own_sync: end with a Sync whose ReadyForQuery is swallowed. By default exactly when no message was sent since
        the last one: hidden work in front of an implicit transaction would change what the client's messages mean.
        """
        if self.skip:
            raise RoomError({"S": "ERROR", "V": "ERROR", "C": "25P02", "M": _ABORTED})
        own = not self.opened if own_sync is None else own_sync
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        exchange = Exchange(done=partial(_wake, waiter))
        for message in messages:
            self.expect.push(Entry(message[0], hidden=exchange))
        if own and messages[-1] != m.SYNC:
            self.expect.push(Entry(SYNC, hidden=exchange))
            messages += (m.SYNC,)
        elif not own:
            messages += (m.FLUSH,)
            self.opened = True
        self._link.write(b"".join(messages))
        try:
            await waiter
        except asyncio.CancelledError:
            self._orphan = exchange
            raise
        if exchange.error is not None or exchange.dropped:
            raise RoomError(exchange.error or {"S": "ERROR", "V": "ERROR", "C": "25P02", "M": _ABORTED})
        return exchange.replies

    def take_orphan(self) -> m.Fields | None:
        """The error, if any, of an exchange whose caller was cancelled; to be asked after `drain`."""
        orphan, self._orphan = self._orphan, None
        return None if orphan is None else orphan.error

    async def drain(self) -> None:
        """Wait until the room owes nothing."""
        if not self.expect.entries:
            return
        if self.opened:
            self._link.write(m.FLUSH)
        self._drained = asyncio.get_running_loop().create_future()
        await self._drained

    # --- from the room -----------------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        self._moment = now()
        try:
            self._work(data)
        except Exception as error:
            log.error("a session failed: %s", fault(error))
            self.closed = True
            self._ended(reports.fatal("XX000", reports.HIDDEN_FAILED))

    def _work(self, data: bytes) -> None:
        if self._passing:
            data = self._pass_on(data)
        data = self._gatherer.add(data)
        entries = self.expect.entries
        begin = at = 0
        size = len(data)
        while size - at >= 5 and not self.closed:
            length = LENGTH(data, at + 1)[0]
            if length < 4:
                break
            end = at + 1 + length
            kind = data[at]
            head = entries[0] if entries else None
            step = STEPS[head.kind][kind] if head is not None and head.hidden is None else LOOK
            if end > size:
                if step == PASS and kind in _ROWS:
                    self._passing = end - size
                    at = size
                break
            if step == END:
                self._end(self.expect.pop())
            elif step != PASS:
                body = data[at + 5 : end]
                instead = self._reply(kind, body) if head is None or step == LOOK else self._answer(head, kind, body)
                if instead is not None:
                    self._relay(data, begin, at)
                    begin = end
                    if instead:
                        self._client.write(instead)
            at = end
        self._relay(data, begin, at)
        if at < size and not self.closed and not self._gatherer.keep(data, at):
            self._fatal("08P01", "the clean room sent a message that is too long")
        if self._farewell is not None:
            self._ended(self._farewell)

    def _relay(self, data: bytes, begin: int, end: int) -> None:
        if begin < end:
            self._client.write(data if end - begin == len(data) else data[begin:end])

    def _pass_on(self, data: bytes) -> bytes:
        length = min(self._passing, len(data))
        self._passing -= length
        self._client.write(data[:length])
        return data[length:]

    def _reply(self, kind: int, body: bytes) -> bytes | None:
        """What the client gets in place of this reply; None: the reply as it is."""
        handler = _HANDLERS.get(kind)
        if handler is not None:
            return handler(self, body)
        if not self.expect.entries:
            log.error("the clean room sent an answer to nothing (type %d)", kind)
            return self._fatal("XX000", "the clean room is out of step")
        return self._answer(self.expect.entries[0], kind, body)

    def _answer(self, head: Entry, kind: int, body: bytes) -> bytes | None:
        hidden, run, instead = head.hidden, head.run, None
        if hidden is not None:
            hidden.replies.append((kind, body))
            instead = b""
        if kind == _READY:
            self.tx = body
            if body == b"I":
                self.names.transaction_ended()
        elif STEPS[head.kind][kind] == DONE:
            if run is not None:
                instead = run.completed(kind, body)
            if hidden is None:
                self.names.completed(body[:-1])
            self.progress = self._moment
            self.copying = self.timed_out = False
        if kind in ENDS[head.kind]:
            self._end(self.expect.pop())
        return instead

    def _end(self, entry: Entry) -> None:
        if entry.change is not None:
            entry.change.commit(self.names)
        elif entry.kind == QUERY:
            self.names.simple_query()
        if entry.hidden is not None:
            entry.hidden.settle()
        if not self.expect.entries:
            self._check_drained()

    def _check_drained(self) -> None:
        if not self.expect.entries:
            self.progress = self._moment
            drained, self._drained = self._drained, None
            if drained is not None:
                _wake(drained)

    def _parameter_status(self, body: bytes) -> bytes | None:
        self.note_setting(*m.decode_parameter_status(body))
        return b"" if self.closed else None

    def note_setting(self, name: str, value: str) -> None:
        if name == "standard_conforming_strings":
            self.backslash_quotes = value != "on"
        elif name == "client_encoding" and value not in ENCODINGS:
            hint = "SET client_encoding TO 'UTF8'"
            self._fatal("22023", f"client encoding {value} is not supported: noisegate reads UTF8", hint)

    def _notification(self, body: bytes) -> bytes | None:
        return None

    def _notice(self, body: bytes) -> bytes | None:
        entries = self.expect.entries
        return b"" if entries and entries[0].hidden is not None else None

    def _copy_in(self, body: bytes) -> bytes | None:
        entries = self.expect.entries
        if not entries or entries[0].hidden is not None:
            return self._fatal("XX000", "the clean room is out of step")
        self.expect.copy_in()
        if self.held:  # the client cannot send data: it waits for a statement that cannot run before the COPY's end
            self._link.write(m.frame(b"f", b"COPY FROM STDIN cannot stand in front of a private statement\0"))
            return b""
        self.copying = True
        return None

    def _error(self, body: bytes) -> bytes | None:
        fields = m.decode_fields(body)
        entries = self.expect.entries
        if fields.get("V") in ("FATAL", "PANIC") or not entries:
            self.saw_fatal = True
            return None
        head = entries[0]
        self.copying = False
        dropped, discards = self.expect.fail()
        self.skip = self.skip or discards
        instead: bytes | None = b""
        if head.hidden is not None:
            if self.timed_out and fields.get("C") == "57014":
                fields["M"] = reports.STATEMENT_TIMEOUT
            head.hidden.error = head.hidden.error or fields
        else:
            instead = self._visible_error(head, fields)
        self._drop(dropped, head)
        self._check_drained()
        return instead

    def _visible_error(self, head: Entry, fields: m.Fields) -> bytes | None:
        instead = head.run.failed(fields) if head.run is not None else None
        if head.change is not None:
            self._refusals.report(head.change, self.names, fields)
        if self.timed_out and fields.get("C") == "57014":
            instead = (instead or fields) | {"M": reports.STATEMENT_TIMEOUT}
        self.timed_out = False
        return None if instead is None else m.error_response(instead)

    def _drop(self, dropped: list[Entry], head: Entry) -> None:
        for entry in dropped:
            if entry.hidden is not None:
                entry.hidden.dropped = True
                entry.hidden.settle()
            elif entry.run is not None and entry is not head:
                entry.run.skipped()

    def _fatal(self, sqlstate: str, message: str, hint: str = "") -> bytes:
        """The session must end; what was relayed before goes first."""
        self.closed = True
        self._farewell = reports.fatal(sqlstate, message, hint=hint)
        return b""

    # --- the end -----------------------------------------------------------------------------------------------------

    def lost(self) -> None:
        """The room's connection is gone."""
        if not self.closed:
            self.closed = True
            self._ended(b"" if self.saw_fatal else reports.fatal("57P01", "the clean room ended the connection"))

    def writable(self, writable: bool) -> None:
        (self._client.resume if writable else self._client.pause)("room")

    def pause(self, paused: bool) -> None:
        """The client does not read fast enough."""
        (self._link.pause if paused else self._link.resume)("client")

    def abandon(self) -> bool:
        """The session ends: report what was under way. Whether the room was still busy."""
        self.closed = True
        busy = bool(self.expect.entries)
        for entry in self.expect.entries:
            if entry.run is not None:
                entry.run.lost()
        self.expect.entries.clear()
        return busy


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


_READY = ord("Z")
_HANDLERS: dict[int, Callable[[RoomSide, bytes], bytes | None]] = {
    ord("S"): RoomSide._parameter_status,
    ord("A"): RoomSide._notification,
    ord("N"): RoomSide._notice,
    ord("G"): RoomSide._copy_in,
    ord("E"): RoomSide._error,
}
