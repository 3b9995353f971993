"""What becomes of a statement that runs in the clean room: each reports to the gate exactly once.

`started` is always in loop seconds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from noisegate.wire import messages as m
from noisegate.wire import reports
from noisegate.wire.gate import Answer, Gate, Identity, Question, Statement
from noisegate.wire.names import Change, Closed, Names, Prepared

OK = "ok"
LOST = "08006"  # the connection went before the statement's end

now = time.monotonic


class RelayedRun:
    """The statements of one simple Query, or one statement of a longer text, as the client wrote them."""

    __slots__ = ("_began", "_gate", "_identity", "_index", "_offset", "_statements")

    def __init__(
        self, gate: Gate, identity: Identity, statements: Sequence[Statement], started: float, offset: int = 0
    ) -> None:
        self._gate = gate
        self._identity = identity
        self._statements = statements
        self._index = 0
        self._offset = offset
        self._began = started

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

    __slots__ = ("_gate", "_identity", "_names", "_portal", "_started")

    def __init__(self, gate: Gate, identity: Identity, names: Names, portal: bytes, started: float) -> None:
        self._gate = gate
        self._identity = identity
        self._names = names
        self._portal = portal
        self._started = started

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
            self._gate.relayed(self._identity, portal.prepared.text, outcome, now() - self._started)


class Refusals:
    """Reports a session's Parse and Bind messages, which count as statements only where the room refuses them."""

    def __init__(self, gate: Gate, identity: Identity) -> None:
        self._gate = gate
        self._identity = identity

    def report(self, change: Change, names: Names, fields: m.Fields) -> None:
        """names: as they are when the error comes, so that a Bind is reported with the text that it was refused for."""
        if isinstance(change, Closed):
            return
        prepared = change if isinstance(change, Prepared) else names.statements.get(change.statement)
        if prepared is not None:
            self._gate.relayed(self._identity, prepared.text, fields.get("C", "XX000"), now() - change.sent)


class PrivateRun:
    """A private statement, from the question to the client's CommandComplete (or the first suspension)."""

    __slots__ = ("_ended", "_gate", "_offset", "_question", "_started", "answer")

    def __init__(self, gate: Gate, question: Question, offset: int) -> None:
        self._gate = gate
        self._question = question
        self._offset = offset
        self._ended = False
        self.answer: Answer | None = None
        self._started = now()

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
            self._gate.finished(self._question, self.answer, outcome, now() - self._started)
