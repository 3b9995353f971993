"""What becomes of a statement that runs in the clean room: each reports to the gate exactly once."""

from __future__ import annotations

import time
from collections.abc import Sequence

from noisegate.wire import messages as m
from noisegate.wire import reports
from noisegate.wire.gate import Answer, Gate, Identity, Question, Statement
from noisegate.wire.names import Names

OK = "ok"
LOST = "08006"  # the connection went before the statement's end

now = time.monotonic


class RelayedRun:
    """The statements of one simple Query, or one statement of a longer text, as the client wrote them."""

    __slots__ = ("_began", "_gate", "_identity", "_index", "_offset", "_statements", "started")

    def __init__(self, gate: Gate, identity: Identity, statements: Sequence[Statement], offset: int = 0) -> None:
        self._gate = gate
        self._identity = identity
        self._statements = statements
        self._index = 0
        self._offset = offset
        self.started = self._began = now()

    def completed(self, kind: int, body: bytes) -> bytes | None:
        self._report(OK)
        return None

    def failed(self, fields: m.Fields) -> m.Fields | None:
        self._report(fields.get("C", "XX000"))
        if fields.get("C") == reports.TRIPWIRE:
            return reports.of_tripwire()
        return reports.shifted(fields, self._offset) if self._offset else None

    def skipped(self) -> None:
        return None

    def lost(self) -> None:
        self._report(LOST)

    def _report(self, outcome: str) -> None:
        if self._index < len(self._statements):
            ended = now()
            text = self._statements[self._index].text
            self._gate.relayed(self._identity, text, outcome, ended - self._began)
            self._index += 1
            self._began = ended


class PortalRun:
    """An Execute of a portal that names no private table. What the portal means is settled when the reply comes."""

    __slots__ = ("_gate", "_identity", "_names", "_portal", "started")

    def __init__(self, gate: Gate, identity: Identity, names: Names, portal: bytes) -> None:
        self._gate = gate
        self._identity = identity
        self._names = names
        self._portal = portal
        self.started = now()

    def completed(self, kind: int, body: bytes) -> bytes | None:
        self._report(OK)
        return None

    def failed(self, fields: m.Fields) -> m.Fields | None:
        self._report(fields.get("C", "XX000"))
        return reports.of_tripwire() if fields.get("C") == reports.TRIPWIRE else None

    def skipped(self) -> None:
        return None

    def lost(self) -> None:
        self._report(LOST)

    def _report(self, outcome: str) -> None:
        portal = self._names.portals.get(self._portal)
        if portal is not None and portal.prepared is not None and not portal.reported:
            portal.reported = True  # fetched in parts it is still one statement
            self._gate.relayed(self._identity, portal.prepared.text, outcome, now() - self.started)


class PreparingRun:
    """A Parse or Bind: reported only if the room refuses it. text: None for that of the statement as it is then."""

    __slots__ = ("_gate", "_identity", "_names", "_statement", "_text", "started")

    def __init__(self, gate: Gate, identity: Identity, names: Names, statement: bytes, text: str | None) -> None:
        self._gate = gate
        self._identity = identity
        self._names = names
        self._statement = statement
        self._text = text
        self.started = now()

    def completed(self, kind: int, body: bytes) -> bytes | None:
        return None

    def failed(self, fields: m.Fields) -> m.Fields | None:
        prepared = self._names.statements.get(self._statement)
        text = self._text
        if text is None and prepared is not None:
            text = prepared.text
        if text is not None:
            self._gate.relayed(self._identity, text, fields.get("C", "XX000"), now() - self.started)
        return None

    def skipped(self) -> None:
        return None

    def lost(self) -> None:
        return None


class PrivateRun:
    """A private statement, from the question to the client's CommandComplete (or the first suspension)."""

    __slots__ = ("_ended", "_gate", "_offset", "_question", "answer", "started")

    def __init__(self, gate: Gate, question: Question, offset: int) -> None:
        self._gate = gate
        self._question = question
        self._offset = offset
        self._ended = False
        self.answer: Answer | None = None
        self.started = now()

    def completed(self, kind: int, body: bytes) -> bytes | None:
        answer = self.answer
        notices = b"" if self._ended or answer is None else b"".join(map(reports.notice, answer.notices))
        self.end(OK)
        if answer is not None and answer.tag is not None and kind == ord("C"):
            return notices + m.command_complete(answer.tag)
        return notices + m.frame(bytes((kind,)), body) if notices else None

    def failed(self, fields: m.Fields) -> m.Fields | None:
        self.end(fields.get("C", "XX000"))
        if fields.get("C") == reports.TRIPWIRE:
            return reports.of_tripwire()
        if self.answer is not None and self.answer.relay:
            return reports.shifted(fields, self._offset)
        return reports.of_rewritten(fields)

    def skipped(self) -> None:
        self.end("25P02")

    def lost(self) -> None:
        self.end(LOST)

    def end(self, outcome: str) -> None:
        if not self._ended:
            self._ended = True
            self._gate.finished(self._question, self.answer, outcome, now() - self.started)
