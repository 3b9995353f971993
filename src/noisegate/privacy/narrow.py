"""What a WHERE or FILTER clause says about the range of a column.

Claim: every row that passes has its column inside the narrowed interval (NaN and NULL aside, which sums leave out).
Because: each rule reads one conjunct `column op constant`. The interval only chooses a sensitivity; the generated SQL
clamps to it regardless. Checked by: tests/privacy/test_narrow.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from noisegate.query.constants import Const, Span
from noisegate.query.interval import ANY, Interval, meet
from noisegate.query.total import Scope
from noisegate.query.tree import AnyOf, Cast, Expr, Name, Op
from noisegate.query.values import INTS, TIMES

_FLIPPED = {"=": "=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_WIDENING = frozenset({"integer", "bigint", "numeric", "double precision"})


def narrowings(conjuncts: Iterable[Expr], scope: Scope) -> dict[tuple[str, str], Interval]:
    """(alias, column) -> interval, from conditions that all must hold."""
    found: dict[tuple[str, str], Interval] = {}
    for conjunct in conjuncts:
        hit = _narrow_one(conjunct, scope)
        if hit is not None:
            column, interval = hit
            found[column] = meet(found.get(column, ANY), interval)
    return found


def _narrow_one(conjunct: Expr, scope: Scope) -> tuple[tuple[str, str], Interval] | None:
    if isinstance(conjunct, AnyOf) and conjunct.op == "=" and not conjunct.every:
        array = scope.constants.get((conjunct.array.start, conjunct.array.end))
        items = array.items or () if array is not None else ()
        known = [c.number for c in items if c.number is not None]
        if not items or len(known) < len(items) or len({c.base for c in items}) > 1:
            return None
        return _column(conjunct.arg, Interval(min(known), max(known)), items[0].base, scope)
    if not isinstance(conjunct, Op) or conjunct.op not in _FLIPPED or len(conjunct.args) != 2:
        return None
    left, right = conjunct.args
    const = _number(right, scope.constants)
    if const is not None and const.number is not None:
        return _column(left, _side(conjunct.op, const.number), const.base, scope)
    const = _number(left, scope.constants)
    if const is not None and const.number is not None:
        return _column(right, _side(_FLIPPED[conjunct.op], const.number), const.base, scope)
    return None


def _number(expr: Expr, constants: Mapping[Span, Const]) -> Const | None:
    return constants.get((expr.start, expr.end))


def _side(op: str, number: Fraction) -> Interval:
    match op:
        case "=":
            return Interval(number, number)
        case "<" | "<=":
            return Interval(None, number)
        case ">" | ">=":
            return Interval(number, None)
        case _:
            return ANY


def _column(expr: Expr, interval: Interval, base: str, scope: Scope) -> tuple[tuple[str, str], Interval] | None:
    """`base`: of the constant that the interval comes from."""
    if isinstance(expr, Cast) and expr.type in _WIDENING and isinstance(expr.arg, Name):
        inner = scope.column(expr.arg)
        if inner.type not in INTS and inner.type != "numeric":
            return None
        return (inner.column, interval) if inner.column is not None and _widens(inner.type, expr.type) else None
    if not isinstance(expr, Name):
        return None
    value = scope.column(expr)
    if value.column is None:
        return None
    return value.column, _in_units(interval, base, value.type)


def _in_units(interval: Interval, base: str, target: str) -> Interval:
    """From a constant's units to the column's. Dates count days, timestamps seconds; zones move them by a day."""
    if base == target or not {base, target} <= TIMES:
        return interval
    if base == "date":
        interval = _times(interval, Fraction(86400))
    elif target == "date":
        interval = _times(interval, Fraction(1, 86400))
    slack = (1 if target == "date" else 86400) * 2 if "timestamptz" in (base, target) else 0
    return Interval(
        None if interval.lo is None else interval.lo - slack, None if interval.hi is None else interval.hi + slack
    )


def _times(interval: Interval, factor: Fraction) -> Interval:
    """`factor` is positive."""
    return Interval(
        None if interval.lo is None else interval.lo * factor, None if interval.hi is None else interval.hi * factor
    )


def _widens(base: str, target: str) -> bool:
    order = ["int2", "int4", "int8", "numeric"]
    names = {"integer": "int4", "bigint": "int8", "numeric": "numeric"}
    return target in names and order.index(names[target]) >= order.index(base)
