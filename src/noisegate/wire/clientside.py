"""The client's half of a session: judges each message and passes it on, drops it, or holds the client for a flow.

Invariant: a message is passed on unchanged with its entry in the room's queue, or it does not reach the room at all.
The last branch of the dispatch refuses.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from noisegate.errors import NoisegateError, Unsupported
from noisegate.wire import expect, flows, refusals, reports
from noisegate.wire import messages as m
from noisegate.wire.context import Context
from noisegate.wire.expect import Entry, Exchange
from noisegate.wire.faults import fault
from noisegate.wire.frames import LENGTH, MESSAGE_BYTES_MAX, Gatherer
from noisegate.wire.gate import Verdict, all_relayed
from noisegate.wire.names import RESERVED, Closed, Portal, Prepared
from noisegate.wire.runs import PortalRun, RelayedRun, now

log = logging.getLogger(__name__)

HELD_BYTES_MAX = MESSAGE_BYTES_MAX
"""Of messages that wait behind a held one; more is not read from the client."""

_SYNC, _TERMINATE = b"SX"
_IN_COPY = b"dcfHSX"


@dataclass(frozen=True, slots=True)
class Hold:
    """Hold the client while the flow runs. again: then judge the same message once more."""

    flow: Coroutine[Any, Any, None]
    again: bool = False


Action = Hold | bytes | None
"""None: pass the message on. bytes: send these in its place."""


class InvalidText(NoisegateError):
    """A text is not in the encoding that both sides speak."""

    sqlstate = "22021"


class ReservedName(NoisegateError):
    """A statement or portal name of the gate's own."""

    sqlstate = "42602"


class ClientSide:
    """`ended` is called once, with what the client is told last, when the session must end."""

    def __init__(self, context: Context, ended: Callable[[bytes], None]) -> None:
        self._context = context
        self._gate = context.gate
        self._identity = context.identity
        self._room = context.room
        self._client = context.client
        self._ended = ended
        self._gatherer = Gatherer()
        self._waiting = bytearray()
        self._flow: asyncio.Task[None] | None = None
        self._moment = 0.0  # when the bytes came that are being worked on
        self.closed = False

    # --- bytes -------------------------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        if self.closed:
            return
        if self._room.held:
            self._waiting += data
            if len(self._waiting) > HELD_BYTES_MAX:
                self._client.pause("held")
            return
        self._moment = now()
        try:
            self._work(self._gatherer.add(data))
        except Exception as error:  # nothing that the client or the gate does may leave a session half alive
            log.error("a session failed: %s", fault(error))
            self._end(reports.fatal("XX000", reports.HIDDEN_FAILED))

    def _work(self, data: bytes) -> None:
        room = self._room
        begin = at = 0
        size = len(data)
        while size - at >= 5:
            length = LENGTH(data, at + 1)[0]
            end = at + 1 + length
            if length < 4 or end > size:
                break
            try:
                judge = None if room.skip or room.copying else _JUDGES.get(data[at])
                action = (judge or self._unusual(data[at]))(self, data[at + 5 : end])
            except m.ProtocolViolation as violation:
                self._end(reports.fatal("08P01", str(violation)))
                return
            if action is not None:
                if begin < at:
                    self._room.write(data[begin:at])
                begin = end
                if isinstance(action, bytes):
                    if action:
                        self._room.write(action)
                else:
                    self._hold(action.flow, data[at if action.again else end :])
                    return
            at = end
        if begin < at:
            self._room.write(data if at - begin == size else data[begin:at])
        if at == size or self.closed:
            return
        if not self._gatherer.keep(data, at):
            self._end(reports.fatal("08P01", "invalid message length"))

    # --- holding -----------------------------------------------------------------------------------------------------

    def _hold(self, flow: Coroutine[Any, Any, None], rest: bytes) -> None:
        """Run a flow; `rest` is worked on when it has ended."""
        self._room.held = True
        self._waiting += rest
        self._flow = asyncio.get_running_loop().create_task(flow)
        self._flow.add_done_callback(self._release)

    def _release(self, flow: asyncio.Task[None]) -> None:
        self._flow = None
        if self.closed or flow.cancelled():
            return
        error = flow.exception()
        if error is not None:
            log.error("a session's flow failed: %s", fault(error))
            self._end(reports.fatal("XX000", reports.HIDDEN_FAILED))
            return
        self._room.held = False
        waiting, self._waiting = bytes(self._waiting), bytearray()
        self._client.resume("held")
        self.received(waiting)

    # --- judging -----------------------------------------------------------------------------------------------------

    def _unusual(self, kind: int) -> Callable[[ClientSide, bytes], Action]:
        """The judge of a message in `skip` or COPY, or of an unknown type."""
        room = self._room
        if room.skip and kind != _SYNC and kind != _TERMINATE:
            return ClientSide._drop
        if room.copying and kind not in _IN_COPY:
            raise m.ProtocolViolation(f"unexpected message type 0x{kind:02X} during COPY from stdin")
        try:
            return _JUDGES[kind]
        except KeyError:
            raise m.ProtocolViolation(f"invalid frontend message type {kind}") from None

    def _drop(self, body: bytes) -> Action:
        return b""

    def _query(self, body: bytes) -> Action:
        if self._room.backslash_quotes:
            return self._restore()
        text = _text(m.decode_query(body))
        if text is None:
            return Hold(refusals.refuse_simple(self._context, _invalid_text()))
        statements = self._gate.classify(text)
        if not all_relayed(statements):
            return Hold(flows.simple_query(self._context, text, statements))
        run = RelayedRun(self._gate, self._identity, statements, self._moment)
        self._room.expect.add(Entry(expect.QUERY, None, run))
        self._room.opened = False
        return None

    def _parse(self, body: bytes) -> Action:
        if self._room.backslash_quotes:
            return self._restore()
        parse = m.Parse.decode(body)
        text = _text(parse.text)
        if text is None:
            return self._refuse(_invalid_text())
        if parse.name.startswith(RESERVED):
            return self._refuse(_reserved())
        statements = tuple(self._gate.classify(text))
        if len(statements) == 1 and statements[0].verdict is Verdict.REFUSE:
            return self._extended(refusals.refuse_parse(self._context, statements[0]))
        prepared = Prepared(parse.name, text, statements, sent=self._moment)
        self._room.opened = True
        self._room.expect.push(Entry(expect.PARSE, prepared, doubtful=not prepared.relayed))
        if prepared.relayed:
            return None
        self._room.expect.push(Entry(expect.DESCRIBE, hidden=_Description(prepared)))
        return parse.encode() + m.describe_statement(parse.name)

    def _bind(self, body: bytes) -> Action:
        portal, statement = m.bind_names(body)
        if portal.startswith(RESERVED) or statement.startswith(RESERVED):
            return self._refuse(_reserved())
        room = self._room
        prepared = room.names.statements.get(statement)
        harmless = self._coming(statement) if prepared is None else prepared.relayed
        change = Portal(portal, statement, self._moment)
        room.opened = True
        if harmless and not room.expect.doubts:
            room.expect.add(Entry(expect.BIND, change))
            return None
        m.Bind.decode(body)  # malformed: the room would end the session too
        change.body = body
        room.expect.push(Entry(expect.BIND, change, doubtful=True))
        return None

    def _coming(self, statement: bytes) -> bool:
        """A harmless Parse of this name is on its way, and nothing doubtful is."""
        return any(
            isinstance(entry.change, Prepared) and entry.change.name == statement for entry in self._room.expect.entries
        )

    def _describe(self, body: bytes) -> Action:
        if body.startswith(RESERVED, 1):
            return self._refuse(_reserved())
        m.decode_target(body)
        self._room.opened = True
        self._room.expect.add(expect.DESCRIBED)
        return None

    def _close(self, body: bytes) -> Action:
        target, name = m.decode_target(body)
        if name.startswith(RESERVED):
            return self._refuse(_reserved())
        self._room.opened = True
        self._room.expect.add(Entry(expect.CLOSE, Closed(target, name)))
        return None

    def _execute(self, body: bytes) -> Action:
        name = m.decode_execute(body)
        if name.startswith(RESERVED):
            return self._refuse(_reserved())
        room = self._room
        portal = room.names.portals.get(name)
        settled = portal is None or portal.body is None
        if room.expect.doubts or not settled:
            return self._extended(flows.execute_portal(self._context, name, m.frame(b"E", body)))
        run = PortalRun(self._gate, self._identity, room.names, name, self._moment)
        room.opened = True
        room.expect.add(Entry(expect.EXECUTE, None, run))
        return None

    def _sync(self, body: bytes) -> Action:
        room = self._room
        room.skip = False
        if not room.copying:  # the room ignores it there
            room.opened = False
            room.expect.add(expect.SYNCED)
        return None

    def _flush(self, body: bytes) -> Action:
        return None

    def _copy_data(self, body: bytes) -> Action:
        return None  # outside COPY the room ignores it

    def _copy_end(self, body: bytes) -> Action:
        self._room.copying = False
        if self._room.expect.entries:
            self._room.expect.add(Entry(expect.COPY_END))
        return None

    def _terminate(self, body: bytes) -> Action:
        self._end(b"")
        return b""

    def _function_call(self, body: bytes) -> Action:
        error = Unsupported("function calls by the protocol's own message are not supported", hint="Use SELECT.")
        return Hold(refusals.refuse_simple(self._context, error))

    def _refuse(self, error: NoisegateError) -> Action:
        return self._extended(refusals.refuse_message(self._context, error))

    def _restore(self) -> Action:
        flow = flows.run_extended(self._context, flows.restore_strings(self._context))
        return Hold(flow, again=True)

    def _extended(self, flow: Coroutine[Any, Any, None]) -> Action:
        return Hold(flows.run_extended(self._context, flow))

    # --- the end -----------------------------------------------------------------------------------------------------

    def lost(self) -> None:
        self._end(b"")

    def writable(self, writable: bool) -> None:
        self._room.pause(not writable)

    def _end(self, last_words: bytes) -> None:
        if not self.closed:
            self.closed = True
            self._ended(last_words)

    def stop(self) -> asyncio.Task[None] | None:
        """No more work; the flow that was cancelled, if any."""
        self.closed = True
        if self._flow is not None:
            self._flow.cancel()
        return self._flow


class _Description(Exchange):
    """The hidden Describe behind a private Parse: what it tells is kept with the statement."""

    def __init__(self, prepared: Prepared) -> None:
        super().__init__(done=self._told)
        self._prepared = prepared

    def _told(self) -> None:
        if not self.dropped and self.error is None:
            flows.learn(self._prepared, self.replies)


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _invalid_text() -> NoisegateError:
    return InvalidText('invalid byte sequence for encoding "UTF8"')


def _reserved() -> NoisegateError:
    return ReservedName("names of statements and portals that begin with _ng are noisegate's own")


_JUDGES: dict[int, Callable[[ClientSide, bytes], Action]] = {
    ord("Q"): ClientSide._query,
    ord("P"): ClientSide._parse,
    ord("B"): ClientSide._bind,
    ord("D"): ClientSide._describe,
    ord("C"): ClientSide._close,
    ord("E"): ClientSide._execute,
    ord("S"): ClientSide._sync,
    ord("H"): ClientSide._flush,
    ord("d"): ClientSide._copy_data,
    ord("c"): ClientSide._copy_end,
    ord("f"): ClientSide._copy_end,
    ord("X"): ClientSide._terminate,
    ord("F"): ClientSide._function_call,
}
