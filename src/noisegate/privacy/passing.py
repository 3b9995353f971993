"""Which values of a group key can pass the conditions of a fragment, read from the text alone.

Claim: every row that passes the conditions has one of the values that are left, or NULL where that is left. Assumes:
the conditions hold for every row (WHERE, inner joins); texts are compared by deterministic collations, for which equal
means equal bytes. Because: a value is left out only where three-valued logic over comparisons of the key with constants
cannot come out true; whatever is not understood may come out any way.
Checked by: tests/privacy/test_passing.py.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from noisegate.errors import NoisegateError
from noisegate.query.constants import Const
from noisegate.query.total import Scope, compile_expr
from noisegate.query.tree import AnyOf, Cast, Expr, IsTest, Name, Op, Subquery, walk
from noisegate.query.values import INT_RANGES, INTS, Value

Outcomes = frozenset[bool | None]  # of a condition: true, false, NULL
_ANY: Outcomes = frozenset({True, False, None})
_COMPARED: dict[str, Callable[[Fraction, Fraction], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_FLIPPED = {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
ONE_TEXT = INTS | {"text", "enum", "date", "bool"}  # a constant's text is the canonical one
_EPOCH = dt.date(2000, 1, 1)


def passing(
    value: Value, values: tuple[str, ...] | None, null: bool, conjuncts: Sequence[Expr], scope: Scope
) -> tuple[tuple[str, ...] | None, bool]:
    """What is left of a key's known `values` (canonical texts) and of NULL. None where the values are neither known
    nor listed by a condition such as `key IN ('a', 'b')`."""
    about = [c for c in conjuncts if _speaks_of(c, value, scope)]
    if not about:
        return values, null
    if values is None:
        values = next((found for c in about if (found := _listed(c, value, scope)) is not None), None)

    def passes(item: str | None) -> bool:
        return all(True in _outcomes(c, _Row(value, item, scope)) for c in about)

    return values if values is None else tuple(v for v in values if passes(v)), null and passes(None)


def all_pass(value: Value, values: Sequence[str], null: bool, conjuncts: Sequence[Expr], scope: Scope) -> bool:
    """Whether every row that has one of these values (or NULL) passes the conditions, whatever else it holds."""
    rows = [_Row(value, item, scope) for item in (*values, *((None,) if null else ()))]
    return all(_outcomes(c, row) == {True} for c in conjuncts for row in rows)


def present(expr: Expr, conjuncts: Sequence[Expr], scope: Scope) -> Scope:
    """`scope`, in which the columns of `expr` that the conditions let pass only where they are not NULL say so."""
    values = [scope.column(n) for n in walk(expr) if isinstance(n, Name)] if conjuncts else []
    there = {v.sql for v in values if v.null and not passing(v, None, True, conjuncts, scope)[1]}
    if not there:
        return scope

    def column(name: Name) -> Value:
        value = scope.column(name)
        return replace(value, null=False) if value.sql in there else value

    return replace(scope, column=column)


@dataclass(frozen=True, slots=True)
class _Row:
    """Any row whose key `value` is `item`."""

    value: Value
    item: str | None
    scope: Scope


def _speaks_of(condition: Expr, value: Value, scope: Scope) -> bool:
    match condition:
        case Op(op="and" | "or" | "not"):
            return any(_speaks_of(a, value, scope) for a in condition.args)
        case Op(op=op) if op in _FLIPPED:
            return any(_is_key(a, value, scope) for a in condition.args)
        case AnyOf() | IsTest():
            return _is_key(condition.arg, value, scope)
        case _:
            return _is_key(condition, value, scope)


def _is_key(expr: Expr, value: Value, scope: Scope) -> bool:
    """Whether it is the key, or a text that is the key."""
    if isinstance(expr, Cast) and expr.type in ("text", "character varying") and value.type == "text":
        expr = expr.arg
    if any(isinstance(n, Subquery) for n in walk(expr)):
        return False  # a subquery would be resolved anew
    try:
        return compile_expr(expr, scope).sql == value.sql
    except NoisegateError:
        return False


def _listed(condition: Expr, value: Value, scope: Scope) -> tuple[str, ...] | None:
    """The texts of all values for which `key = ...` or `key IN (...)` can hold."""
    if value.type not in ONE_TEXT or value.const is not None:
        return None
    match condition:
        case Op(op="=", args=(left, right)):
            one = _constant(right if _is_key(left, value, scope) else left, scope)
            items: Sequence[Const] | None = None if one is None or one.items is not None else (one,)
        case AnyOf(op="=", every=False):
            array = _constant(condition.array, scope)
            items = array.items if array is not None else None
        case _:
            return None
    if items is None or any(not _alike(c, value) for c in items):
        return None
    return tuple(dict.fromkeys(c.text for c in items if c.text is not None and _fits(c, value)))


def _alike(const: Const, value: Value) -> bool:
    return const.base == value.type or (const.base in INTS and value.type in INTS)


def _fits(const: Const, value: Value) -> bool:
    """Whether the key's type has the constant: no smallint is 70000, and no literal of it can be written."""
    limits = INT_RANGES.get(value.type)
    if limits is None or limits.lo is None or limits.hi is None or const.number is None:
        return True
    return limits.lo <= const.number <= limits.hi


def _constant(expr: Expr, scope: Scope) -> Const | None:
    return scope.constants.get((expr.start, expr.end))


def _outcomes(condition: Expr, row: _Row) -> Outcomes:
    match condition:
        case Op(op="not", args=(arg,)):
            return frozenset(_not(x) for x in _outcomes(arg, row))
        case Op(op=("and" | "or") as word):
            return _connected([_outcomes(a, row) for a in condition.args], word == "or")
        case Op(op=op, args=(left, right)) if op in _FLIPPED:
            if _is_key(left, row.value, row.scope):
                return _compared(op, row, _constant(right, row.scope))
            if _is_key(right, row.value, row.scope):
                return _compared(_FLIPPED[op], row, _constant(left, row.scope))
            return _ANY
        case AnyOf() if _is_key(condition.arg, row.value, row.scope):
            array = _constant(condition.array, row.scope)
            if array is None or array.items is None:
                return _ANY
            return _connected([_compared(condition.op, row, c) for c in array.items], not condition.every)
        case IsTest() if _is_key(condition.arg, row.value, row.scope):
            return _tested(condition, row)
        case _ if row.value.type == "bool" and _is_key(condition, row.value, row.scope):
            return frozenset({None if row.item is None else row.item == "true"})
        case _:
            return _ANY


def _not(x: bool | None) -> bool | None:
    return None if x is None else not x


def _connected(parts: Sequence[Outcomes], either: bool) -> Outcomes:
    """OR of the parts (false of none), or AND (true of none)."""
    found: set[bool | None] = {not either}
    for part in parts:
        found = {_both(a, b, either) for a in found for b in part}
    return frozenset(found)


def _both(a: bool | None, b: bool | None, either: bool) -> bool | None:
    if either in (a, b):
        return either
    return None if None in (a, b) else not either


def _tested(test: IsTest, row: _Row) -> Outcomes:
    if test.test in ("null", "unknown"):
        return frozenset({(row.item is None) != test.negated})
    if row.value.type == "bool":
        return frozenset({(row.item == test.test) != test.negated})
    return _ANY


def _compared(op: str, row: _Row, const: Const | None) -> Outcomes:
    if const is None or const.items is not None:
        return _ANY
    if row.item is None or const.text is None:
        return frozenset({None})
    if not _alike(const, row.value):
        return _ANY
    if op in _COMPARED:
        number = _number(row.value.type, row.item)
        return _ANY if number is None or const.number is None else frozenset({_COMPARED[op](number, const.number)})
    if op not in ("=", "<>") or row.value.type not in ONE_TEXT | {"bpchar", "uuid"}:
        return _ANY
    item, text = row.item, const.text
    if row.value.type == "bpchar":
        item, text = item.rstrip(" "), text.rstrip(" ")
    return frozenset({(item == text) == (op == "=")})


def _number(kind: str, item: str) -> Fraction | None:
    """A value on the scale of `Const.number`, where its type has one that is simple."""
    if kind in INTS:
        return Fraction(item)
    try:
        return Fraction((dt.date.fromisoformat(item) - _EPOCH).days) if kind == "date" else None
    except ValueError:
        return None
