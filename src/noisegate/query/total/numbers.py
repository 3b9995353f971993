"""Arithmetic and rounding on private rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from noisegate.errors import Unsupported
from noisegate.query import interval as iv
from noisegate.query.interval import Interval
from noisegate.query.total.calendar import multiple
from noisegate.query.total.dates import date_and_time, date_plus, time_minus, time_plus
from noisegate.query.total.listed import mapped, rounded_values
from noisegate.query.total.table import function, operator, wrong_types
from noisegate.query.values import (
    INT_RANGES,
    INTS,
    NUMBERS,
    Value,
    check_exponents,
    in_range,
    single,
    tame_float,
    tame_numeric,
)

IntervalRule = Callable[[Interval, Interval], Interval]
_WIDTH = {"int2": 0, "int4": 1, "int8": 2}


def _int_type(a: Value, b: Value) -> str:
    return max(a.type, b.type, key=lambda t: _WIDTH[t])


def _carrier(*values: Interval) -> str:
    fits = all(v.within(-(2**63), 2**63 - 1) for v in values)
    return "pg_catalog.int8" if fits else "pg_catalog.numeric"


def _int_arithmetic(symbol: str, rule: IntervalRule, a: Value, b: Value) -> Value:
    """Integers in int8, or in numeric where int8 might overflow: exact either way."""
    safe = rule(a.safe, b.safe)
    carrier = _carrier(a.safe, b.safe, safe)
    sql = f"(({a.sql})::{carrier} {symbol} ({b.sql})::{carrier})"
    return Value(sql, _int_type(a, b), safe, rule(a.bound, b.bound), 0, finite=mapped(symbol, a, b))


def _numeric_arithmetic(symbol: str, rule: IntervalRule, a: Value, b: Value) -> Value:
    a, b = tame_numeric(a), tame_numeric(b)
    scale = None
    if a.scale is not None and b.scale is not None:
        scale = a.scale + b.scale if symbol == "*" else max(a.scale, b.scale)
    safe, bound = rule(a.safe, b.safe), rule(a.bound, b.bound)
    return Value(f"({a.sql} {symbol} {b.sql})", "numeric", safe, bound, scale, finite=mapped(symbol, a, b))


def _float_arithmetic(symbol: str, rule: IntervalRule, a: Value, b: Value) -> Value:
    a, b = tame_float(a), tame_float(b)
    assert a.exponents is not None and b.exponents is not None
    (al, ah), (bl, bh) = a.exponents, b.exponents
    if symbol == "*":
        exponents = check_exponents(al + bl - 1, ah + bh + 1)
    elif symbol == "/":
        exponents = check_exponents(al - bh - 1, ah - bl + 1)
    else:  # a difference may cancel all but the last of 17 digits
        exponents = check_exponents(min(al, bl) - 17, max(ah, bh) + 1)
    return Value(f"({a.sql} {symbol} {b.sql})", "float8", bound=rule(a.bound, b.bound), exponents=exponents)


def _double(a: Value) -> Value:
    """A float4 as float8: sums, products and quotients of two such, rounded to float4, are float4's own."""
    if a.type == "float8":
        return a
    return replace(a, sql=f"({a.sql})::pg_catalog.float8", type="float8", column=None, const=None)


def _arithmetic(symbol: str, rule: IntervalRule, a: Value, b: Value) -> Value:
    if a.type in INTS and b.type in INTS:
        return _int_arithmetic(symbol, rule, a, b)
    if a.type == b.type == "numeric":
        return _numeric_arithmetic(symbol, rule, a, b)
    if a.type == b.type == "float8":
        return _float_arithmetic(symbol, rule, a, b)
    if a.type == b.type == "float4":
        return single(_float_arithmetic(symbol, rule, _double(a), _double(b)))
    if {a.type, b.type} == {"float4", "float8"}:
        return _float_arithmetic(symbol, rule, _double(a), _double(b))
    raise wrong_types(symbol, a, b)


@operator("+", "numbers; date + integer; timestamp + interval", "exact in a wider type; floats guarded")
def plus(a: Value, b: Value) -> Value:
    if b.type in ("date", "timestamp", "timestamptz", "time") and (a.type == "interval" or a.type in INTS):
        a, b = b, a
    if a.type == "date" and b.type in INTS:
        return date_plus(a, b, "+")
    if a.type in ("date", "timestamp", "timestamptz", "time") and b.type == "interval":
        return time_plus(a, b, "+")
    if a.type == "date" and b.type == "time":
        return date_and_time(a, b)
    return _arithmetic("+", iv.add, a, b)


@operator("-", "numbers; date - date; date - integer; timestamp - interval", "exact in a wider type; floats guarded")
def minus(a: Value, b: Value) -> Value:
    if a.type == b.type and a.type in ("date", "timestamp", "timestamptz", "time"):
        return time_minus(a, b)
    if a.type == "date" and b.type in INTS:
        return date_plus(a, b, "-")
    if a.type in ("date", "timestamp", "timestamptz", "time") and b.type == "interval":
        return time_plus(a, b, "-")
    return _arithmetic("-", iv.sub, a, b)


@operator("*", "numbers", "exact in a wider type; floats guarded")
def times(a: Value, b: Value) -> Value:
    if "interval" in (a.type, b.type):
        return multiple(a, b) if a.type == "interval" else multiple(b, a)
    return _arithmetic("*", iv.mul, a, b)


@operator("/", "numbers", "NULL where the divisor is 0")
def divide(a: Value, b: Value) -> Value:
    divisor = f"NULLIF({b.sql}, 0)"
    if a.type in INTS and b.type in INTS:
        safe, bound = iv.div_int(a.safe, b.safe), iv.div_int(a.bound, b.bound)
        if _carrier(a.safe, b.safe, iv.neg(a.safe)) == "pg_catalog.int8":
            sql = f"(({a.sql})::pg_catalog.int8 / ({divisor})::pg_catalog.int8)"
        else:
            sql = f"pg_catalog.div(({a.sql})::pg_catalog.numeric, ({divisor})::pg_catalog.numeric)"
        return Value(sql, _int_type(a, b), safe, bound, 0, finite=mapped("/", a, b))
    if a.type == b.type == "numeric":
        a, b = tame_numeric(a), tame_numeric(b)
        return Value(f"({a.sql} / NULLIF({b.sql}, 0))", "numeric", bound=iv.div(a.bound, b.bound))
    if a.type == b.type == "float8":
        a, b = tame_float(a), tame_float(b)
        return _float_arithmetic("/", iv.div, a, replace(b, sql=f"NULLIF({b.sql}, 0)"))
    if a.type == b.type == "float4":
        return single(divide(_double(a), _double(b)))
    if {a.type, b.type} == {"float4", "float8"}:
        return divide(_double(a), _double(b))
    raise wrong_types("/", a, b)


@operator("%", "integers, numeric", "NULL where the divisor is 0")
def remainder(a: Value, b: Value) -> Value:
    if a.type in INTS and b.type in INTS:
        carrier = _carrier(a.safe, b.safe)
        sql = f"(({a.sql})::{carrier} % (NULLIF({b.sql}, 0))::{carrier})"
        safe, bound = iv.mod_int(a.safe, b.safe), iv.mod_int(a.bound, b.bound)
        return Value(sql, _int_type(a, b), safe, bound, 0, finite=mapped("%", a, b))
    if a.type == b.type == "numeric":
        a, b = tame_numeric(a), tame_numeric(b)
        scale = max(a.scale, b.scale) if a.scale is not None and b.scale is not None else None
        return Value(
            f"({a.sql} % NULLIF({b.sql}, 0))", "numeric", iv.mod(a.safe, b.safe), iv.mod(a.bound, b.bound), scale
        )
    raise wrong_types("%", a, b)


@function("mod", "integers, numeric", "NULL where the divisor is 0")
def mod(a: Value, b: Value) -> Value:
    return remainder(a, b)


@operator("-", "numbers", "exact in a wider type")
def negative(a: Value) -> Value:
    if a.type in INTS:
        carrier = _carrier(a.safe, iv.neg(a.safe))
        return Value(f"(- ({a.sql})::{carrier})", a.type, iv.neg(a.safe), iv.neg(a.bound), 0)
    if a.type in ("numeric", "float4", "float8"):
        safe, bound = iv.neg(a.safe), iv.neg(a.bound)
        return replace(a, sql=f"(- {a.sql})", safe=safe, bound=bound, column=None, const=None, finite=None)
    raise wrong_types("-", a)


@operator("+", "numbers")
def positive(a: Value) -> Value:
    if a.type in NUMBERS:
        return a
    raise wrong_types("+", a)


@function("abs", "numbers", "exact in a wider type")
def absolute(a: Value) -> Value:
    if a.type in INTS:
        carrier = _carrier(a.safe, iv.neg(a.safe))
        return Value(f"pg_catalog.abs(({a.sql})::{carrier})", a.type, iv.absolute(a.safe), iv.absolute(a.bound), 0)
    if a.type in NUMBERS:
        return replace(
            a,
            sql=f"pg_catalog.abs({a.sql})",
            safe=iv.absolute(a.safe),
            bound=iv.absolute(a.bound),
            column=None,
            const=None,
        )
    raise wrong_types("abs", a)


@operator("@", "numbers", "exact in a wider type")
def absolute_operator(a: Value) -> Value:
    return absolute(a)


def _rounding(name: str) -> Callable[[Value], Value]:
    def rule(a: Value) -> Value:
        if a.type in ("numeric", "float8"):
            if a.type == "numeric":  # the largest numerics have no next integer
                a = tame_numeric(a)
            scale = 0 if a.type == "numeric" else None
            exponents = (min(0, a.exponents[0]), a.exponents[1] + 1) if a.exponents else None
            listed = rounded_values(name, a.bound) if a.type == "numeric" else None
            sql, safe, bound = f"pg_catalog.{name}({a.sql})", iv.rounded(a.safe), iv.rounded(a.bound)
            return Value(sql, a.type, safe, bound, scale, exponents, finite=listed)
        raise wrong_types(name, a)

    return rule


for _name in ("floor", "ceil", "ceiling"):
    function(_name, "numeric, double precision")(_rounding(_name))


def _digits(name: str) -> Callable[..., Value]:
    plain = _rounding(name)

    def rule(a: Value, b: Value | None = None) -> Value:
        if b is None:
            return plain(a)
        if a.type != "numeric" or b.type not in INTS or b.const is None or b.const.number is None:
            raise Unsupported(f"{name} takes a numeric and a constant number of digits on private rows", name=name)
        digits = int(b.const.number)
        if not -100 <= digits <= 100:
            raise Unsupported(f"{name} takes -100 to 100 digits on private rows", name=name)
        scale = max(0, digits if a.scale is None else min(digits, a.scale))
        a = tame_numeric(a)
        return Value(
            f"pg_catalog.{name}({a.sql}, '{digits}'::pg_catalog.int4)",
            "numeric",
            iv.rounded(a.safe, digits),
            iv.rounded(a.bound, digits),
            max(0, digits) if digits > 0 else scale,
        )

    return rule


for _name in ("round", "trunc"):
    function(_name, "numeric, double precision; numeric and a constant number of digits")(_digits(_name))


@function("sign", "numeric, double precision")
def sign(a: Value) -> Value:
    if a.type in ("numeric", "float8"):
        return Value(
            f"pg_catalog.sign({a.sql})",
            a.type,
            iv.between(-1, 1),
            iv.between(-1, 1),
            0 if a.type == "numeric" else None,
            (0, 1) if a.type == "float8" else None,
        )
    raise wrong_types("sign", a)


def narrow(value: Value, target: str) -> Value:
    """An integer of PostgreSQL type `target` as SQL of exactly that type; NULL where it does not fit."""
    limits = INT_RANGES[target]
    return replace(
        value,
        sql=f"({in_range(value, limits).sql})::pg_catalog.{target}",
        safe=iv.meet(value.safe, limits),
        type=target,
        column=None,
    )
