"""Typed values on private rows: the engine's SQL of an expression that cannot fail, with what is known of its range.

Invariant: whatever the row, evaluating `Value.sql` does not raise, loop, sleep or have side effects. Where the original
expression would raise (overflow, division by zero), the value is NULL or the exact result in a wider type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from noisegate.errors import Unsupported
from noisegate.query.constants import Const
from noisegate.query.interval import ANY, Interval, between, point

INT_RANGES: Mapping[str, Interval] = {
    "int2": between(-(2**15), 2**15 - 1),
    "int4": between(-(2**31), 2**31 - 1),
    "int8": between(-(2**63), 2**63 - 1),
}
INTS = frozenset(INT_RANGES)
NUMBERS = INTS | {"numeric", "float4", "float8"}
TEXTS = frozenset({"text", "bpchar"})
TIMES = frozenset({"date", "timestamp", "timestamptz"})

FINITE_MAX = 1000  # values of an expression whose values are listed
_PRINTED_ALIKE = INTS | {"text", "date"}  # a constant's text is what the engine prints

FLOAT_EXPONENT = 60  # floats outside 1e-60..1e60 (and not 0) are NULL in arithmetic: products cannot over- or underflow
FLOAT_LIMIT = 300
NUMERIC_LIMIT = 10**100  # numerics without a declared precision are NULL beyond it in arithmetic


@dataclass(frozen=True, slots=True)
class Value:
    """One expression over a private row.

    type: 'int4', 'numeric', 'text', 'enum' ... (plan.catalog.ColumnType.base). An integer's SQL may have type int8 or
    numeric: `safe` tells. safe: contains every value whatever the data. bound: contains every value that the policy
    and the WHERE clause allow; it chooses a sensitivity, which the generated SQL then enforces. scale: decimals.
    exponents: of a float, (least, greatest) decimal exponent of a nonzero value, where guarded. finite: canonical texts
    of all values that it takes while its columns are within their bounds; the engine may yield others, which a group
    key drops. null: it may be NULL where PostgreSQL would not have raised. Numbers of an interval are seconds.
    """

    sql: str
    type: str
    safe: Interval = ANY
    bound: Interval = ANY
    scale: int | None = None
    exponents: tuple[int, int] | None = None
    const: Const | None = None
    enum_type: str | None = None
    labels: tuple[str, ...] = ()
    column: tuple[str, str] | None = None  # (alias, column) where the value is a plain column
    collation: str | None = None
    finite: tuple[str, ...] | None = None
    null: bool = True
    element: str = ""  # of an array: its items' type; of an interval: 'age' or 'difference' of two timestamps
    local: Interval | None = None  # of a timestamptz made of a date: its bound by the session's own clocks
    chars: int | None = None  # of a text: the most characters that it may have, by its type
    respelled: bool = False  # of a column of a nested query: equal numerics may show different trailing zeros

    @property
    def known(self) -> tuple[str, ...] | None:
        """`finite`, or what type and constant say of themselves."""
        if self.type == "bool":
            return ("false", "true")
        if self.type == "enum":
            return self.labels or None
        if self.const is not None and self.const.text is not None and self.type in _PRINTED_ALIKE:
            return (self.const.text,)
        return self.finite

    @property
    def wide(self) -> bool:
        """An integer whose SQL needs numeric, because int8 might not hold it."""
        return self.type in INTS and not self.safe.within(-(2**63), 2**63 - 1)


def in_range(value: Value, interval: Interval) -> Value:
    """NULL where an integer or numeric is outside `interval` (finite, integers), NaN and infinities included.

    One evaluation: clamp to one step outside, then NULLIF both ends. Fractions within that step stay.
    """
    assert interval.lo is not None and interval.hi is not None
    if value.safe.within(int(interval.lo), int(interval.hi)) and value.scale is not None:
        return value
    low, high = interval.lo - 1, interval.hi + 1
    sql = f"NULLIF(NULLIF(LEAST(GREATEST({value.sql}, {number(low)}), {number(high)}), {number(low)}), {number(high)})"
    return replace(value, sql=sql, safe=interval if value.scale == 0 else Interval(low, high), column=None)


def number(x: Fraction | int) -> str:
    """A number as an exact literal; numeric unless it is an integer that fits int8."""
    x = Fraction(x)
    if x.denominator == 1:
        kind = "int8" if -(2**63) <= x < 2**63 else "numeric"
        return f"'{x.numerator}'::pg_catalog.{kind}"
    digits = _decimals(x.denominator)
    scaled = x * 10**digits
    text = str(abs(scaled.numerator)).rjust(digits + 1, "0")
    return f"'{'-' if x < 0 else ''}{text[:-digits]}.{text[-digits:]}'::pg_catalog.numeric"


def _decimals(denominator: int) -> int:
    """Digits after the point of 1/denominator. Raises Unsupported where the decimal does not end."""
    digits = 0
    while denominator % 10 == 0:
        denominator, digits = denominator // 10, digits + 1
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator, digits = denominator // prime, digits + 1
    if denominator != 1:
        raise Unsupported("a bound of this expression is not a decimal number")
    return digits


def of_const(const: Const, sql: str) -> Value:
    """A constant as a value. `sql` is its typed literal."""
    if const.number is None:
        empty = const.text is None
        return Value(sql, const.base, const=const, bound=point(0) if empty else ANY, null=empty)
    here = point(const.number)
    scale = 0 if const.base in INTS else _scale_of(const) if const.base == "numeric" else None
    exponents = None
    if const.base in ("float4", "float8"):
        exponents = _exponents_of(const.number)
    return Value(sql, const.base, here, here, scale, exponents, const, null=False)


def _scale_of(const: Const) -> int:
    text = const.text or ""
    return len(text.partition(".")[2])


def _exponents_of(x: Fraction) -> tuple[int, int]:
    if x == 0:
        return (0, 0)
    power = 0
    size = abs(x)
    while size >= 10 and power < 400:
        size, power = size / 10, power + 1
    while size < 1 and power > -400:
        size, power = size * 10, power - 1
    return (power, power + 1)


def tame_float(value: Value) -> Value:
    """A float that arithmetic may use: NULL outside 1e-60..1e60, NaN and infinities included."""
    if value.exponents is not None:
        return value
    v = value.sql
    limits = f"'1e-{FLOAT_EXPONENT}'::pg_catalog.float8 AND '1e{FLOAT_EXPONENT}'::pg_catalog.float8"
    sql = f"(CASE WHEN {v} = 0 OR pg_catalog.abs({v}) BETWEEN {limits} THEN {v} END)"
    return replace(value, sql=sql, exponents=(-FLOAT_EXPONENT, FLOAT_EXPONENT), column=None)


def single(value: Value) -> Value:
    """A float8 or numeric as float4: NULL where float4 would overflow or underflow; NaN and infinities too."""
    v = value.sql
    inside = f"{v} = 0 OR pg_catalog.abs({v}) BETWEEN '1e-37' AND '3e38'"
    sql = f"((CASE WHEN {inside} THEN {v} END)::pg_catalog.float4)"
    return Value(sql, "float4", bound=value.bound, exponents=(-37, 39), null=value.null)


def tame_numeric(value: Value) -> Value:
    """A numeric that arithmetic may use: its range is known to be smaller, or it is NULL beyond 1e100. A product of two
    such is far from numeric's and double precision's ends."""
    if value.const is not None or value.safe.within(-NUMERIC_LIMIT, NUMERIC_LIMIT):
        return value
    return in_range(value, between(-NUMERIC_LIMIT, NUMERIC_LIMIT))


def check_exponents(low: int, high: int) -> tuple[int, int]:
    if low < -FLOAT_LIMIT or high > FLOAT_LIMIT:
        raise Unsupported("this arithmetic on double precision is too deep to guard", hint="Cast its parts to numeric.")
    return (low, high)
