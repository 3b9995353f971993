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
from noisegate.query.values import INTS

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
        const = scope.constants.get((conjunct.array.start, conjunct.array.end))
        numbers = [c.number for c in const.items or ()] if const is not None else []
        if not numbers or any(n is None for n in numbers):
            return None
        known = [n for n in numbers if n is not None]
        return _column(conjunct.arg, Interval(min(known), max(known)), scope)
    if not isinstance(conjunct, Op) or conjunct.op not in _FLIPPED or len(conjunct.args) != 2:
        return None
    left, right = conjunct.args
    number = _number(right, scope.constants)
    if number is not None:
        return _column(left, _side(conjunct.op, number), scope)
    number = _number(left, scope.constants)
    if number is not None:
        return _column(right, _side(_FLIPPED[conjunct.op], number), scope)
    return None


def _number(expr: Expr, constants: Mapping[Span, Const]) -> Fraction | None:
    const = constants.get((expr.start, expr.end))
    return const.number if const is not None else None


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


def _column(expr: Expr, interval: Interval, scope: Scope) -> tuple[tuple[str, str], Interval] | None:
    if isinstance(expr, Cast) and expr.type in _WIDENING and isinstance(expr.arg, Name):
        inner = scope.column(expr.arg)
        if inner.type not in INTS and inner.type != "numeric":
            return None
        return (inner.column, interval) if inner.column is not None and _widens(inner.type, expr.type) else None
    if not isinstance(expr, Name):
        return None
    value = scope.column(expr)
    return (value.column, interval) if value.column is not None else None


def _widens(base: str, target: str) -> bool:
    order = ["int2", "int4", "int8", "numeric"]
    names = {"integer": "int4", "bigint": "int8", "numeric": "numeric"}
    return target in names and order.index(names[target]) >= order.index(base)
