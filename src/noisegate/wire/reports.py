"""Errors and notices as the client sees them: made here, or the clean room's rebuilt.

Invariant: an error that the gate causes never shows the gate's own SQL, functions or positions in text that the
client did not send; an error that the client causes is PostgreSQL's own, byte for byte but for its position.
"""

from __future__ import annotations

from noisegate.errors import NoisegateError
from noisegate.wire import messages as m
from noisegate.wire.gate import Notice

TRIPWIRE = "NG001"  # raised by the clean room when a private table is scanned there
UNRECOGNISED = "this statement reads a private table in a way that noisegate does not recognise"
HIDDEN_FAILED = "noisegate could not complete this statement"
STATEMENT_TIMEOUT = "canceling statement due to statement timeout"
USER_CANCEL = "canceling statement due to user request"
IDLE_TIMEOUT = "terminating connection due to idle-in-transaction timeout"

_KEPT_OF_REFUSAL = frozenset("SVCMDH")
_OF_REWRITTEN = frozenset("Ppq")  # they point into a text that the client did not send
_DATA_EXCEPTIONS = "22"
_SHOWN_OF_HIDDEN = frozenset({"25P02", "57014"})


def fatal(sqlstate: str, message: str, detail: str = "", hint: str = "") -> bytes:
    return m.error_response(_fields("FATAL", sqlstate, message, detail, hint))


def notice(notice: Notice) -> bytes:
    return m.notice_response(_fields("NOTICE", notice.sqlstate, notice.message, notice.detail, notice.hint))


def of_refusal(raised: m.Fields, error: NoisegateError, offset: int) -> m.Fields:
    """What noisegate.refuse raised, without PL/pgSQL's marks, with the position in the text that the client sent.

    offset: start of the statement in that text, in characters. If the room raised something else, that is shown by
    the rules of `of_hidden`.
    """
    if raised.get("C") != error.sqlstate or raised.get("M") != error.message:
        return of_hidden(raised)
    kept = {code: value for code, value in raised.items() if code in _KEPT_OF_REFUSAL and value}
    if error.position is not None:
        kept["P"] = str(offset + error.position)
    return kept


def of_hidden(raised: m.Fields) -> m.Fields:
    """An error of a hidden statement: failed transactions, cancels and wrong values (1/0, an unknown time zone) are the
    client's, everything else is a fault. The room holds no private row that its texts could show."""
    if raised.get("C") in _SHOWN_OF_HIDDEN or raised.get("C", "").startswith(_DATA_EXCEPTIONS):
        return {code: value for code, value in raised.items() if code in _KEPT_OF_REFUSAL}
    return _fields("ERROR", "XX000", HIDDEN_FAILED)


def of_tripwire() -> m.Fields:
    hint = "Aggregate over the table itself, with its name written in the statement."
    return _fields("ERROR", "0A000", UNRECOGNISED, hint=hint)


def of_rewritten(raised: m.Fields) -> m.Fields:
    """An error of the statement that ran in place of the client's."""
    return {code: value for code, value in raised.items() if code not in _OF_REWRITTEN}


def shifted(raised: m.Fields, offset: int) -> m.Fields:
    """An error of one statement of a longer text, with its position in that text."""
    if not offset or not raised.get("P", "").isdigit():
        return raised
    return raised | {"P": str(int(raised["P"]) + offset)}


def _fields(severity: str, sqlstate: str, message: str, detail: str = "", hint: str = "") -> m.Fields:
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": message, "D": detail, "H": hint}
    return {code: value for code, value in fields.items() if value}
