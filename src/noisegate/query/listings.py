"""The constants that VALUES and generate_series spell out: public before any row is read."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from noisegate.query.tree import NUMBER, Call, Cast, Expr, Literal, Op

Listed = tuple[str | None, ...] | None  # of a column: its values, None for NULL; None where not all are plain constants

SERIES_MAX = 1000
_NUMERIC = frozenset({NUMBER, "smallint", "integer", "bigint", "numeric"})


def listed_rows(rows: Sequence[Sequence[Expr]]) -> tuple[Listed, ...]:
    """Of the columns of VALUES."""
    return tuple(_column(column) for column in zip(*rows, strict=True))


def listed_series(call: Call) -> tuple[Listed, ...]:
    """Of generate_series over a few whole numbers."""
    ends = [_number(a) for a in call.args]
    if call.name != "generate_series" or len(ends) not in (2, 3):
        return ()
    found = [int(x) for x in ends if x is not None and x.denominator == 1]
    step = found[2] if len(found) == 3 else 1
    if len(found) < len(ends) or step == 0:
        return ()
    values = range(found[0], found[1] + (1 if step > 0 else -1), step)
    return (tuple(str(x) for x in values),) if len(values) <= SERIES_MAX else ()


def _column(items: Sequence[Expr]) -> Listed:
    found: list[str | None] = []
    for item in items:
        text = _text(item)
        if text is None and not (isinstance(item, Literal) and item.text is None):
            return None
        found.append(text)
    return tuple(found)


def _text(expr: Expr) -> str | None:
    if isinstance(expr, Literal) and expr.type == "text":
        return expr.text
    number = _number(expr)
    return None if number is None else str(number)


def _number(expr: Expr) -> Fraction | None:
    """A plain number, exactly; None for anything else."""
    match expr:
        case Literal(text=str(text), type=kind) if kind in _NUMERIC:
            try:
                return Fraction(text)
            except ValueError:  # NaN, infinities
                return None
        case Cast(arg=arg, type="bigint" | "numeric" | "double precision"):
            number = _number(arg)
            return number if number is None or expr.type != "bigint" or number.denominator == 1 else None
        case Op(op="-", args=(arg,)):
            number = _number(arg)
            return None if number is None else -number
        case _:
            return None
