"""Casts on private rows. A value that does not fit the target is NULL."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from noisegate.errors import NoisegateError, Unsupported
from noisegate.query import interval as iv
from noisegate.query.interval import between
from noisegate.query.total.dates import as_date, as_timestamp
from noisegate.query.total.numbers import narrow
from noisegate.query.values import INTS, NUMBERS, TEXTS, Value, in_range, tame_float, tame_numeric

_NAMES = {
    "smallint": "int2", "integer": "int4", "bigint": "int8", "real": "float4", "double precision": "float8",
    "numeric": "numeric", "text": "text", "character varying": "text", "character": "bpchar", "bpchar": "bpchar",
    "boolean": "bool", "date": "date", "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz", "time without time zone": "time", "interval": "interval",
    "uuid": "uuid",
}  # fmt: skip
_TYPE = re.compile(r"([a-z ]+?)\s*(?:\(([0-9]+)(?:,(-?[0-9]+))?\))?( with(?:out)? time zone)?\Z")


def target_of(type_sql: str) -> tuple[str, int | None, int | None]:
    """(base, first modifier, second modifier) of a type as PostgreSQL prints it."""
    m = _TYPE.match(type_sql)
    base = _NAMES.get((m.group(1) + (m.group(4) or "")).strip()) if m else None
    if m is None or base is None:
        raise _refuse(type_sql)
    first, second = m.group(2), m.group(3)
    return base, int(first) if first else None, int(second) if second else None


def cast(a: Value, type_sql: str) -> Value:
    """`a::type_sql`, total."""
    base, first, second = target_of(type_sql)
    if a.const is not None and a.const.text is None:
        return replace(a, type=base, sql=f"NULL::pg_catalog.{base}")
    rule = _RULES.get(base)
    if rule is None:
        raise _refuse(type_sql, a)
    value = rule(a, type_sql)
    if base == "numeric" and first is not None:
        return _numeric_modifier(value, first, second or 0)
    if base in TEXTS and first is not None:
        kind = "varchar" if base == "text" else "bpchar"
        return replace(value, sql=f"({value.sql})::pg_catalog.{kind}({first})", column=None)
    if first is not None:
        raise _refuse(type_sql, a)
    return value


def _refuse(type_sql: str, a: Value | None = None) -> NoisegateError:
    source = f" of {a.type}" if a is not None else ""
    return Unsupported(f"a cast{source} to {type_sql} is not supported on private rows", name=type_sql.split("(")[0])


def _to_int(target: str) -> Callable[[Value, str], Value]:
    def rule(a: Value, type_sql: str) -> Value:
        if a.type in INTS:
            return replace(narrow(a, target), bound=a.bound, scale=0, const=None)
        if a.type == "numeric":
            tamed = tame_numeric(a)
            sql = tamed.sql if tamed is not a else f"NULLIF({a.sql}, 'NaN'::pg_catalog.numeric)"  # NaN has every scale
            whole = Value(f"pg_catalog.round({sql})", "int8", iv.rounded(tamed.safe), iv.rounded(a.bound), 0)
            return narrow(whole, target)
        if a.type == "float8":
            tamed = tame_float(a)
            whole = Value(
                f"(pg_catalog.round({tamed.sql}))::pg_catalog.numeric",
                "int8",
                between(-(10**300), 10**300),
                iv.rounded(a.bound),
                0,
            )
            return narrow(whole, target)
        if a.type == "bool" and target == "int4":
            return Value(f"({a.sql})::pg_catalog.int4", "int4", between(0, 1), between(0, 1), 0)
        raise _refuse(type_sql, a)

    return rule


def _to_numeric(a: Value, type_sql: str) -> Value:
    if a.type in INTS:
        return replace(a, sql=f"({a.sql})::pg_catalog.numeric", type="numeric", scale=0, column=None, const=None)
    if a.type == "numeric":
        return a
    if a.type in ("float4", "float8"):
        return Value(f"({a.sql})::pg_catalog.numeric", "numeric", bound=a.bound)
    raise _refuse(type_sql, a)


def _numeric_modifier(a: Value, precision: int, scale: int) -> Value:
    top = 10 ** (precision - scale) if precision >= scale else 1
    whole = Value(f"pg_catalog.round({tame_numeric(a).sql}, {scale})", "numeric", bound=iv.rounded(a.bound, scale))
    kept = in_range(whole, between(-(top - 1), top - 1) if top > 1 else between(-1, 1))
    return replace(kept, sql=f"pg_catalog.round({kept.sql}, {scale})", scale=max(scale, 0), bound=whole.bound)


def _to_float(target: str) -> Callable[[Value, str], Value]:
    def rule(a: Value, type_sql: str) -> Value:
        if a.type in INTS:
            digits = 19 if target == "float4" else 40  # a product of integers may be beyond both types
            a = in_range(a, between(-(10**digits), 10**digits))
            return Value(f"({a.sql})::pg_catalog.{target}", target, bound=a.bound, exponents=(0, 41))
        if a.type == "numeric":
            tamed = tame_numeric(a)
            exponent = 100 if tamed.scale is None else min(tamed.scale, 100)
            if tamed.scale is None or tamed.scale > 100:  # tiny numerics would underflow: 1e-100 is enough of zero
                tamed = replace(tamed, sql=f"pg_catalog.round({tamed.sql}, 100)")
            if target == "float4":
                raise _refuse(type_sql, a)
            return Value(
                f"({tamed.sql})::pg_catalog.float8",
                "float8",
                bound=a.bound,
                exponents=(-exponent, min(101, _digits(tamed))),
            )
        if a.type == target:
            return a
        if a.type == "float4" and target == "float8":
            return replace(a, sql=f"({a.sql})::pg_catalog.float8", type="float8", column=None)
        raise _refuse(type_sql, a)

    return rule


def _digits(a: Value) -> int:
    return len(str(int(a.safe.magnitude))) if a.safe.finite else 101


def _to_text(target: str) -> Callable[[Value, str], Value]:
    def rule(a: Value, type_sql: str) -> Value:
        if a.type == target:
            return a
        if a.type in TEXTS:  # blanks at the end count in one, and not in the other
            return replace(a, sql=f"({a.sql})::pg_catalog.{target}", type=target)
        if a.type in NUMBERS - {"float4", "float8"} or a.type in ("bool", "uuid", "enum"):
            return Value(f"({a.sql})::pg_catalog.text", "text")
        raise _refuse(type_sql, a)

    return rule


def _to_bool(a: Value, type_sql: str) -> Value:
    if a.type == "bool":
        return a
    if a.type in INTS:
        return Value(f"({a.sql} <> 0)", "bool")
    raise _refuse(type_sql, a)


def _to_date(a: Value, type_sql: str) -> Value:
    if a.type == "date":
        return a
    if a.type in ("timestamp", "timestamptz"):
        return as_date(a)
    raise _refuse(type_sql, a)


def _to_timestamp(target: str) -> Callable[[Value, str], Value]:
    def rule(a: Value, type_sql: str) -> Value:
        if a.type == target:
            return a
        if a.type in ("date", "timestamp", "timestamptz"):
            return as_timestamp(a, target)
        raise _refuse(type_sql, a)

    return rule


def _same(base: str) -> Callable[[Value, str], Value]:
    def rule(a: Value, type_sql: str) -> Value:
        if a.type == base:
            return a
        raise _refuse(type_sql, a)

    return rule


_RULES: dict[str, Callable[[Value, str], Value]] = {
    **{t: _to_int(t) for t in ("int2", "int4", "int8")},
    "numeric": _to_numeric,
    "float4": _to_float("float4"),
    "float8": _to_float("float8"),
    "text": _to_text("text"),
    "bpchar": _to_text("bpchar"),
    "bool": _to_bool,
    "date": _to_date,
    "timestamp": _to_timestamp("timestamp"),
    "timestamptz": _to_timestamp("timestamptz"),
    **{t: _same(t) for t in ("time", "interval", "uuid")},
}
