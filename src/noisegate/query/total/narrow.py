"""What a condition (WHERE, FILTER, a branch of CASE) says about the range of a column or an expression.

Claim: every row that passes has its column inside the narrowed interval (NaN and NULL aside, which sums leave out).
Because: each rule reads one conjunct `column op constant`. The interval only chooses a sensitivity; the generated SQL
clamps to it regardless. Checked by: tests/privacy/test_narrow.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction

from noisegate.query.constants import Const, Span
from noisegate.query.interval import ANY, Interval, meet
from noisegate.query.total.scope import Scope
from noisegate.query.tree import AnyOf, Cast, Expr, Name, Op
from noisegate.query.values import INTS, TIMES, Value

ValueOf = Callable[[Expr], Value | None]

_FLIPPED = {"=": "=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_STEPS = {
    "int2": Fraction(1), "int4": Fraction(1), "int8": Fraction(1), "date": Fraction(1),
    "timestamp": Fraction(1, 10**6), "timestamptz": Fraction(1, 10**6),
}  # fmt: skip
_WIDENING = frozenset({"integer", "bigint", "numeric", "double precision"})


_OPPOSITE = {"=": "<>", "<>": "=", "<": ">=", ">": "<=", "<=": ">", ">=": "<"}


def narrowings(conjuncts: Iterable[Expr], scope: Scope) -> dict[tuple[str, str], Interval]:
    """(alias, column) -> interval, from conditions that all must hold."""
    found: dict[tuple[str, str], Interval] = {}
    for conjunct in conjuncts:
        for value, interval in _narrow(conjunct, scope, lambda e: scope.column(e) if isinstance(e, Name) else None):
            if value.column is not None:
                found[value.column] = meet(found.get(value.column, ANY), interval)
    return found


def narrowed_by(condition: Expr, holds: bool, scope: Scope, value_of: ValueOf) -> dict[str, Interval]:
    """A value's SQL -> interval, where `condition` is true, or where it is not (false or NULL)."""
    found: dict[str, Interval] = dict(scope.narrowed)
    for part in _parts(condition, holds):
        for value, interval in _narrow(part, scope, value_of):
            found[value.sql] = meet(found.get(value.sql, ANY), interval)
    return found


def _parts(condition: Expr, holds: bool) -> list[Expr]:
    """Conditions that all hold, on values that are not NULL."""
    if isinstance(condition, Op) and condition.op == "not":
        return _parts(condition.args[0], False) if holds else []  # NOT NULL is no truth
    if isinstance(condition, Op) and condition.op == ("and" if holds else "or"):
        return [p for a in condition.args for p in _parts(a, holds)]
    if holds:
        return [condition]
    if isinstance(condition, Op) and condition.op in _OPPOSITE and len(condition.args) == 2:
        return [Op(_OPPOSITE[condition.op], condition.args, condition.start, condition.end)]
    return []


def _narrow(conjunct: Expr, scope: Scope, value_of: ValueOf) -> list[tuple[Value, Interval]]:
    if isinstance(conjunct, AnyOf) and conjunct.op == "=" and not conjunct.every:
        array = scope.constants.get((conjunct.array.start, conjunct.array.end))
        items = array.items or () if array is not None else ()
        known = [c.number for c in items if c.number is not None]
        if not items or len(known) < len(items) or len({c.base for c in items}) > 1:
            return []
        return _named(conjunct.arg, Interval(min(known), max(known)), items[0].base, value_of)
    if not isinstance(conjunct, Op) or conjunct.op not in _FLIPPED or len(conjunct.args) != 2:
        return []
    left, right = conjunct.args
    const = _number(right, scope.constants)
    if const is not None and const.number is not None:
        return _named(left, _side(conjunct.op, const.number, const.base), const.base, value_of)
    const = _number(left, scope.constants)
    if const is not None and const.number is not None:
        return _named(right, _side(_FLIPPED[conjunct.op], const.number, const.base), const.base, value_of)
    return []


def _number(expr: Expr, constants: Mapping[Span, Const]) -> Const | None:
    return constants.get((expr.start, expr.end))


def _side(op: str, number: Fraction, base: str) -> Interval:
    """Strict comparisons of types with a least step end one step before the constant."""
    step = _STEPS.get(base, Fraction(0))
    match op:
        case "=":
            return Interval(number, number)
        case "<":
            return Interval(None, number - step)
        case "<=":
            return Interval(None, number)
        case ">":
            return Interval(number + step, None)
        case ">=":
            return Interval(number, None)
        case _:
            return ANY


def _named(expr: Expr, interval: Interval, base: str, value_of: ValueOf) -> list[tuple[Value, Interval]]:
    """What an interval of `expr` says of it and of what stands beneath a cast. `base`: of the interval's constant."""
    found: list[tuple[Value, Interval]] = []
    value = value_of(expr)
    if value is not None and value.const is None:
        found.append((value, _for_type(interval, base, value.type)))
    if isinstance(expr, Cast) and expr.type in _WIDENING:
        inner = value_of(expr.arg)
        plain = inner is not None and inner.const is None and (inner.type in INTS or inner.type == "numeric")
        if plain and inner is not None and _widens(inner.type, expr.type):
            found.append((inner, interval))
    return found


def _for_type(interval: Interval, base: str, target: str) -> Interval:
    """A strict bound's step is that of the constant's type: the value's own may be finer."""
    if base in _STEPS and base != target and not (base in INTS and target in INTS):
        step = _STEPS[base]
        interval = Interval(
            None if interval.lo is None else interval.lo - step, None if interval.hi is None else interval.hi + step
        )
    return _in_units(interval, base, target)


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
