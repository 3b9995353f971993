"""Arrays on private rows: membership, containment, length, elements. Nothing here makes an array of a row's values."""

from __future__ import annotations

from fractions import Fraction

from noisegate.errors import Unsupported
from noisegate.query.constants import Const, render
from noisegate.query.interval import Interval, between
from noisegate.query.total import logic
from noisegate.query.total.table import function, operator, wrong_types
from noisegate.query.values import INT_RANGES, INTS, Value

_LENGTHS = between(0, 2**28)
_AT_LEAST_0 = Interval(Fraction(0), None)  # a sum of lengths needs an upper end of its own
ELEMENTS = frozenset("bool int2 int4 int8 numeric float4 float8 text date time timestamp timestamptz uuid".split())


def constant(const: Const) -> Value:
    """An array constant; its elements have one type, which an empty array does not tell."""
    if const.items is None or (not const.items and const.text is None):
        raise Unsupported("a NULL array is not supported on private rows")
    kinds = {i.base for i in const.items}
    element = kinds.pop() if len(kinds) == 1 else ""
    if element not in ELEMENTS:
        return Value("", "array", const=const, null=False)
    items = ", ".join(render(i) for i in const.items)
    sql = f"(ARRAY[{items}]::pg_catalog.{element}[])"
    return Value(sql, "array", const=const, null=False, element=element)


def _same(what: str, a: Value, b: Value) -> None:
    """Two arrays of one element type, at most one of them a row's: two long ones would cost the square."""
    if a.type != "array" or b.type != "array" or not a.element or a.element != b.element:
        raise wrong_types(what, a, b)
    if a.const is None and b.const is None:
        raise Unsupported(f"{what} takes a constant array on one side, on private rows", name=what)


def _set_operator(symbol: str) -> None:
    @operator(symbol, "array or jsonb, and a constant one")
    def rule(a: Value, b: Value) -> Value:
        if a.type == b.type == "jsonb" and symbol != "&&":
            if a.const is None and b.const is None:
                raise Unsupported(f"{symbol} takes a constant on one side, on private rows", name=symbol)
        else:
            _same(symbol, a, b)
        return Value(f"({a.sql} OPERATOR(pg_catalog.{symbol}) {b.sql})", "bool")


for _symbol in ("@>", "<@", "&&"):
    _set_operator(_symbol)


def any_of(what: str, a: Value, b: Value, every: bool) -> Value:
    """`a op ANY (array of the row)`."""
    if b.type != "array" or not b.element:
        raise wrong_types("any", a, b)
    if what not in logic.COMPARISONS:
        word = {"~~": "LIKE", "!~~": "NOT LIKE", "~~*": "ILIKE", "!~~*": "NOT ILIKE"}.get(what, what)
        raise Unsupported(
            f"{word} {'ALL' if every else 'ANY'} over an array column is not supported on private rows",
            name=("any", "all"),
            hint="Compare with = ANY, or match a constant list of patterns.",
        )
    left, _ = logic.comparable(what, a, Value("", b.element))
    return Value(f"({left} {what} {'ALL' if every else 'ANY'} ({b.sql}))", "bool", null=True)


def _array(name: str, a: Value) -> None:
    if a.type != "array":
        raise wrong_types(name, a)


@function("cardinality", "array")
def cardinality(a: Value) -> Value:
    _array("cardinality", a)
    return Value(f"pg_catalog.cardinality({a.sql})", "int4", _LENGTHS, _AT_LEAST_0, 0)


def _dimension(name: str) -> None:
    @function(name, "array, constant dimension")
    def rule(a: Value, b: Value) -> Value:
        _array(name, a)
        if b.type not in INTS or b.const is None or not b.safe.within(-1000, 1000):
            raise Unsupported(f"{name} takes a constant dimension on private rows", name=name)
        sql = f"pg_catalog.{name}({a.sql}, ({b.sql})::pg_catalog.int4)"
        if name == "array_length":
            return Value(sql, "int4", _LENGTHS, _AT_LEAST_0, 0)
        return Value(sql, "int4", INT_RANGES["int4"], scale=0)


for _name in ("array_length", "array_lower", "array_upper"):
    _dimension(_name)


@function("array_ndims", "array")
def array_ndims(a: Value) -> Value:
    _array("array_ndims", a)
    return Value(f"pg_catalog.array_ndims({a.sql})", "int4", between(0, 6), between(0, 6), 0)


def subscript(a: Value, index: Value) -> Value:
    """`a[i]`: NULL outside of the array; of a jsonb, as `->`."""
    if a.type == "jsonb":
        if index.type not in ("text", "int4") or index.const is None:
            raise wrong_types("[", a, index)
        return Value(f"({a.sql} OPERATOR(pg_catalog.->) {index.sql})", "jsonb")
    if a.type != "array" or not a.element or index.type not in INTS or not index.safe.within(-(2**31), 2**31 - 1):
        raise wrong_types("[", a, index)
    limits = INT_RANGES.get(a.element)
    value = Value(f"({a.sql})[({index.sql})::pg_catalog.int4]", a.element)
    if limits is None:
        return value
    return Value(value.sql, a.element, limits, scale=0)
