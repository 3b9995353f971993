"""Roots, powers, logarithms and histogram buckets on private rows. Each is computed only where it is defined and where
its result is far from its type's ends; elsewhere it is NULL."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from noisegate.errors import Unsupported
from noisegate.query import interval as iv
from noisegate.query.interval import ANY, Interval, between
from noisegate.query.total.table import function, operator, wrong_types
from noisegate.query.values import FINITE_MAX, FLOAT_EXPONENT, INTS, Value, tame_float, tame_numeric

_EXP_MAX = 138  # e^138 is below 1e60
_NUMERICS = ("numeric", "float8")
_SMALLEST = "'1e-100'::pg_catalog.numeric"
_LARGEST = "'1e100'::pg_catalog.numeric"


def _argument(name: str, a: Value) -> Value:
    if a.type == "numeric":
        return tame_numeric(a)
    if a.type == "float8":
        return tame_float(a)
    raise wrong_types(name, a)


def _result(a: Value, sql: str, bound: Interval, exponents: tuple[int, int]) -> Value:
    return Value(sql, a.type, bound=bound, exponents=exponents if a.type == "float8" else None)


def _positive(bound: Interval) -> Interval:
    """The part of a bound on which a root or logarithm is defined."""
    return iv.meet(bound, Interval(Fraction(0), None))


@operator("|/", "numeric, double precision", "NULL where negative")
@function("sqrt", "numeric, double precision", "NULL where negative")
def sqrt(a: Value) -> Value:
    a = _argument("sqrt", a)
    bound = iv.monotone(_positive(a.bound), math.sqrt)
    if bound.lo is None:
        bound = Interval(Fraction(0), bound.hi)
    low, high = a.exponents or (0, 0)
    return _result(
        a, f"(CASE WHEN {a.sql} >= 0 THEN pg_catalog.sqrt({a.sql}) END)", bound, (low // 2 - 1, high // 2 + 1)
    )


@operator("||/", "double precision")
@function("cbrt", "double precision")
def cbrt(a: Value) -> Value:
    if a.type != "float8":
        raise wrong_types("cbrt", a)
    a = tame_float(a)
    assert a.exponents is not None
    bound = iv.monotone(a.bound, lambda x: math.copysign(abs(x) ** (1 / 3), x))
    return _result(a, f"pg_catalog.cbrt({a.sql})", bound, (a.exponents[0] // 3 - 1, a.exponents[1] // 3 + 1))


def _above_zero(a: Value) -> str:
    """The condition under which a logarithm is defined, of a value that `_argument` tamed."""
    return f"{a.sql} > 0" if a.type == "float8" else f"{a.sql} BETWEEN {_SMALLEST} AND {_LARGEST}"


def _logarithm(name: str, of: str, by: Callable[[float], float]) -> None:
    @function(name, "numeric, double precision", "NULL where not positive")
    def rule(a: Value, b: Value | None = None) -> Value:
        if b is not None:
            if name != "log":
                raise TypeError("1 positional argument")
            return _log_of_base(a, b)
        a = _argument(name, a)
        bound = iv.monotone(_positive(a.bound), by)
        return _result(a, f"(CASE WHEN {_above_zero(a)} THEN pg_catalog.{of}({a.sql}) END)", bound, (-17, 3))


for _name, _of, _by in (("ln", "ln", math.log), ("log", "log", math.log10), ("log10", "log10", math.log10)):
    _logarithm(_name, _of, _by)


def _log_of_base(base: Value, a: Value) -> Value:
    if base.type != "numeric" or a.type != "numeric":
        raise wrong_types("log", base, a)
    base, a = tame_numeric(base), tame_numeric(a)
    bound = ANY
    if base.const is not None and base.const.number is not None and base.const.number > 1:
        by = float(base.const.number)
        bound = iv.monotone(_positive(a.bound), lambda x: math.log(x) / math.log(by))
    defined = f"{_above_zero(base)} AND {base.sql} <> 1 AND {_above_zero(a)}"
    return Value(f"(CASE WHEN {defined} THEN pg_catalog.log({base.sql}, {a.sql}) END)", "numeric", bound=bound)


@function("exp", "numeric, double precision", "NULL beyond 1e-60 .. 1e60")
def exp(a: Value) -> Value:
    a = _argument("exp", a)
    bound = iv.exponential(Fraction(math.e), iv.meet(a.bound, between(-_EXP_MAX, _EXP_MAX)))
    sql = f"(CASE WHEN {a.sql} BETWEEN -{_EXP_MAX} AND {_EXP_MAX} THEN pg_catalog.exp({a.sql}) END)"
    return _result(a, sql, bound, (-FLOAT_EXPONENT, FLOAT_EXPONENT))


def _power(name: str) -> Callable[[Value, Value], Value]:
    def rule(a: Value, b: Value) -> Value:
        if a.type != b.type:
            raise wrong_types(name, a, b)
        a, b = _argument(name, a), _argument(name, b)
        size = _size_of_power(a, b)
        whole = f"{b.sql} = pg_catalog.trunc({b.sql})"
        some = (
            f"(CASE WHEN {size} <= {_EXP_MAX} AND ({a.sql} > 0 OR {whole}) THEN pg_catalog.power({a.sql}, {b.sql}) END)"
        )
        none = (
            f"(CASE WHEN {b.sql} > 0 THEN '0'::pg_catalog.{a.type} WHEN {b.sql} = 0 THEN '1'::pg_catalog.{a.type} END)"
        )
        sql = f"(CASE WHEN {a.sql} = 0 THEN {none} ELSE {some} END)"
        return _result(a, sql, _bound_of_power(a, b), (-FLOAT_EXPONENT, FLOAT_EXPONENT))

    return rule


def _size_of_power(a: Value, b: Value) -> str:
    """|b ln |a||, or NULL where it might not be computed."""
    if a.type == "float8":
        return f"pg_catalog.abs({b.sql} * pg_catalog.ln(NULLIF(pg_catalog.abs({a.sql}), 0)))"
    base = (
        f"(CASE WHEN pg_catalog.abs({a.sql}) BETWEEN {_SMALLEST} AND {_LARGEST} "
        f"THEN pg_catalog.ln((pg_catalog.abs({a.sql}))::pg_catalog.float8) END)"
    )
    exponent = f"(CASE WHEN {b.sql} BETWEEN -1000 AND 1000 THEN (pg_catalog.round({b.sql}, 30))::pg_catalog.float8 END)"
    return f"pg_catalog.abs({exponent} * {base})"


def _bound_of_power(a: Value, b: Value) -> Interval:
    if b.const is not None and b.const.number is not None:
        return iv.power(a.bound, b.const.number)
    if a.const is not None and a.const.number is not None and a.const.number > 0:
        return iv.exponential(a.const.number, b.bound)
    if a.bound.lo is not None and a.bound.lo >= 1 and a.bound.hi is not None and b.bound.finite:
        return iv.hull([iv.exponential(a.bound.lo, b.bound), iv.exponential(a.bound.hi, b.bound)])
    return ANY


for _name in ("power", "pow"):
    function(_name, "numeric, double precision", "NULL where not real, or beyond 1e-60 .. 1e60")(_power(_name))
operator("^", "numeric, double precision", "NULL where not real, or beyond 1e-60 .. 1e60")(_power("^"))


def _wave(name: str) -> None:
    @function(name, "double precision", "NULL beyond 1e60")
    def rule(a: Value) -> Value:
        if a.type != "float8":
            raise wrong_types(name, a)
        a = tame_float(a)
        return Value(f"pg_catalog.{name}({a.sql})", "float8", bound=between(-1, 1), exponents=(-61, 1))


for _name in ("sin", "cos"):
    _wave(_name)


@function("atan", "double precision", "NULL beyond 1e60")
def atan(a: Value) -> Value:
    if a.type != "float8":
        raise wrong_types("atan", a)
    return Value(f"pg_catalog.atan({tame_float(a).sql})", "float8", bound=between(-2, 2), exponents=(-61, 1))


def _angle(name: str, factor: float) -> None:
    @function(name, "double precision", "NULL beyond 1e60")
    def rule(a: Value) -> Value:
        if a.type != "float8":
            raise wrong_types(name, a)
        a = tame_float(a)
        assert a.exponents is not None
        low, high = a.exponents
        bound = iv.monotone(a.bound, lambda x: x * factor)
        return Value(f"pg_catalog.{name}({a.sql})", "float8", bound=bound, exponents=(low - 3, high + 3))


_angle("degrees", 180 / math.pi)
_angle("radians", math.pi / 180)


@function("div", "numeric", "NULL where the divisor is 0")
def div(a: Value, b: Value) -> Value:
    if a.type != "numeric" or b.type != "numeric":
        raise wrong_types("div", a, b)
    a, b = tame_numeric(a), tame_numeric(b)
    q = iv.div(a.bound, b.bound)
    bound = Interval(
        None if q.lo is None else Fraction(math.trunc(q.lo)), None if q.hi is None else Fraction(math.trunc(q.hi))
    )
    return Value(f"pg_catalog.div({a.sql}, NULLIF({b.sql}, 0))", "numeric", bound=bound, scale=0)


@function("width_bucket", "number, constant low, high and count; number, constant array of thresholds", "NULL for NaN")
def width_bucket(a: Value, b: Value, c: Value | None = None, d: Value | None = None) -> Value:
    if c is None or d is None:
        return _between_thresholds(a, b)
    low, high, count = (v.const.number if v.const is not None else None for v in (b, c, d))
    if low is None or high is None or count is None or d.type not in INTS:
        raise Unsupported(
            "width_bucket takes constant limits and a constant count on private rows", name="width_bucket"
        )
    if low == high or not 0 < count < 10**6:
        raise Unsupported("width_bucket needs two different limits and 1 to 999999 buckets", name="width_bucket")
    if not a.type == b.type == c.type or a.type not in _NUMERICS:
        raise wrong_types("width_bucket", a, b, c)
    number = f"NULLIF({a.sql}, 'NaN'::pg_catalog.{a.type})"
    sql = f"pg_catalog.width_bucket({number}, {b.sql}, {c.sql}, ({d.sql})::pg_catalog.int4)"
    first, last = 0, int(count) + 1
    if a.bound.lo is not None and a.bound.lo >= low < high:
        first = 1
    if a.bound.hi is not None and a.bound.hi < high > low:
        last = int(count)
    return _buckets(sql, int(count) + 1, first, last)


def _between_thresholds(a: Value, b: Value) -> Value:
    items = b.const.items if b.const is not None else None
    if items is None or not items or any(i.text is None for i in items) or a.type != b.element:
        raise Unsupported("width_bucket takes a constant array of thresholds on private rows", name="width_bucket")
    if a.type in INTS:
        a = replace(a, sql=f"({a.sql})::pg_catalog.{a.type}") if a.safe == iv.meet(a.safe, _ends(a)) else a
    return _buckets(f"pg_catalog.width_bucket({a.sql}, {b.sql})", len(items), 0, len(items))


def _ends(a: Value) -> Interval:
    bits = {"int2": 15, "int4": 31, "int8": 63}[a.type]
    return between(-(2**bits), 2**bits - 1)


def _buckets(sql: str, most: int, first: int, last: int) -> Value:
    finite = tuple(str(i) for i in range(first, last + 1)) if last - first < FINITE_MAX else None
    return Value(sql, "int4", between(0, most), between(first, last), 0, finite=finite)
