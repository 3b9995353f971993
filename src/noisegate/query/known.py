"""Constants whose values are plain from PostgreSQL's own deparse: whole numbers, texts, booleans. The rest is evaluated
by the session (constants.evaluation_sql)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from typing import Final

from noisegate.query.constants import CONSTANTS_MAX
from noisegate.query.tree import NUMBER, Expr, Literal

_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_INT4_MAX: Final = 2**31 - 1


def known_row(parts: Iterable[Expr]) -> tuple[bytes | None, ...] | None:
    """What `evaluation_sql` of these parts returns in every session; None where it is not plain for all of them, and
    for more than it takes."""
    row: list[bytes | None] = []
    parts = tuple(parts)
    if len(parts) > CONSTANTS_MAX:
        return None
    for part in parts:
        cells = _cells(part) if isinstance(part, Literal) and part.text is not None else None
        if cells is None:
            return None
        row += cells
    return tuple(row)


def _cells(literal: Literal) -> tuple[bytes, bytes] | None:
    """The word about its type, and its binary value. A bare number is an integer if it fits, else a bigint."""
    text = literal.text or ""
    if literal.type == "text" and "\\" not in text:
        return b"Sb25", text.encode()
    if literal.type == "boolean" and text in ("true", "false"):
        return b"Bb16", b"\x01" if text == "true" else b"\x00"
    if literal.type not in (NUMBER, "integer", "bigint") or not _WHOLE.fullmatch(text):
        return None
    value = int(text)
    if literal.type == "bigint" or (literal.type == NUMBER and value > _INT4_MAX):
        return b"Nb20", struct.pack("!q", value)
    return (b"Nb23", struct.pack("!i", value)) if -_INT4_MAX <= value <= _INT4_MAX else None
