"""Casts on private rows. A value that does not fit the target is NULL."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from noisegate.errors import NoisegateError, Unsupported
from noisegate.query import interval as iv
from noisegate.query.constants import Const
from noisegate.query.interval import between
from noisegate.query.total.dates import as_date, as_timestamp, sane
from noisegate.query.total.jsons import scalar, small
from noisegate.query.total.logic import FLOATS
from noisegate.query.total.numbers import narrow
from noisegate.query.total.parse import read
from noisegate.query.total.table import function
from noisegate.query.values import INTS, NUMBERS, TEXTS, TIMES, Value, in_range, single, tame_float, tame_numeric

_BY_STYLE = FLOATS | TIMES

_NAMES = {
    "smallint": "int2", "integer": "int4", "bigint": "int8", "real": "float4", "double precision": "float8",
    "numeric": "numeric", "text": "text", "character varying": "text", "character": "bpchar", "bpchar": "bpchar",
    "boolean": "bool", "date": "date", "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz", "time without time zone": "time", "interval": "interval",
    "uuid": "uuid", "jsonb": "jsonb", "json": "json",
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


def cast(a: Value, type_sql: str, context: Const | None = None) -> Value:
    """`a::type_sql`, total. `context`: how the session prints values (query.constants)."""
    if type_sql.endswith("[]"):
        return _to_array(a, type_sql)
    base, first, second = target_of(type_sql)
    if a.const is not None and a.const.text is None:
        return replace(a, type=base, sql=f"NULL::pg_catalog.{base}")
    rule = _RULES.get(base)
    if rule is None:
        raise _refuse(type_sql, a)
    if base in TEXTS and a.type in _BY_STYLE:
        _check_style(a, context)
    value = replace(rule(a, type_sql), null=a.null or a.type in TEXTS, finite=_same_texts(a, base, first))
    if base == "numeric" and first is not None:
        return _numeric_modifier(value, first, second or 0)
    if base in TEXTS and first is not None:
        kind = "varchar" if base == "text" else "bpchar"
        return replace(value, sql=f"({value.sql})::pg_catalog.{kind}({first})", column=None, chars=first)
    if first is not None:
        raise _refuse(type_sql, a)
    return value


def _same_texts(a: Value, base: str, modifier: int | None) -> tuple[str, ...] | None:
    """Listed values that the other type prints alike."""
    if a.type == "bool" and base == "int4":
        return ("0", "1")
    known = a.known
    if known is None or a.type in FLOATS or base in FLOATS or modifier is not None:
        return None
    if a.type in ("timestamp", "timestamptz") and base == "date":
        whole = all(t.endswith(" 00:00:00") for t in known)
        return tuple(t.removesuffix(" 00:00:00") for t in known) if whole else None
    if a.type in INTS | {"numeric"} and base in INTS | {"numeric", "text"}:
        return known if all(t.lstrip("-").isdigit() for t in known) else None
    return known if base == "text" and a.type in ("text", "bool", "enum", "date") else None


def _to_array(a: Value, type_sql: str) -> Value:
    """An array of the same elements, or of varchar as text."""
    base, first, _ = target_of(type_sql[:-2])
    if a.type != "array" or first is not None or (a.element and a.element != base):
        raise _refuse(type_sql, a)
    return replace(a, sql=f"({a.sql})::pg_catalog.{base}[]", element=base, column=None)


def _check_style(a: Value, context: Const | None) -> None:
    """The engine prints dates as ISO and floats with all digits: the session must do the same."""
    _, style, digits = (context.text or "").split("|") if context is not None else ("", "", "0")
    if (a.type in FLOATS and int(digits) < 1) or (a.type in TIMES and not style.startswith("ISO")):
        raise Unsupported(
            f"a cast of {a.type} to text is answered in the ISO style only",
            name="text",
            hint="SET DateStyle = ISO; SET extra_float_digits = 1. Or use to_char.",
        )


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
        if a.type in TEXTS:
            return narrow(Value(read(a, "int"), "int8", between(-(10**40), 10**40), scale=0), target)
        if a.type == "jsonb":
            return rule(Value(scalar(a, "numeric"), "numeric"), type_sql)
        raise _refuse(type_sql, a)

    return rule


def _to_numeric(a: Value, type_sql: str) -> Value:
    if a.type in INTS:
        return replace(a, sql=f"({a.sql})::pg_catalog.numeric", type="numeric", scale=0, column=None, const=None)
    if a.type == "numeric":
        return a
    if a.type in ("float4", "float8"):
        return Value(f"({a.sql})::pg_catalog.numeric", "numeric", bound=a.bound)
    if a.type in TEXTS:
        return Value(read(a, "numeric"), "numeric")
    if a.type == "jsonb":
        return Value(scalar(a, "numeric"), "numeric")
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
                return single(Value(tamed.sql, "float8", bound=a.bound))
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
        if a.type == "float8":
            return single(a)
        if a.type in TEXTS:
            read_as = Value(read(a, "float8"), "float8")
            return read_as if target == "float8" else single(read_as)
        if a.type == "jsonb":
            return rule(Value(scalar(a, "numeric"), "numeric"), type_sql)
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
        if a.type in NUMBERS or a.type in TIMES or a.type in ("bool", "uuid", "enum", "time"):
            return Value(f"({a.sql})::pg_catalog.text", "text")
        if a.type == "jsonb":
            return Value(f"({small(a)})::pg_catalog.text", "text")
        raise _refuse(type_sql, a)

    return rule


def _to_bool(a: Value, type_sql: str) -> Value:
    if a.type == "bool":
        return a
    if a.type in INTS:
        return Value(f"({a.sql} <> 0)", "bool")
    if a.type in TEXTS:
        return Value(read(a, "bool"), "bool")
    if a.type == "jsonb":
        return Value(scalar(a, "bool"), "bool")
    raise _refuse(type_sql, a)


def _to_date(a: Value, type_sql: str) -> Value:
    if a.type == "date":
        return a
    if a.type in ("timestamp", "timestamptz"):
        return as_date(a)
    if a.type in TEXTS:
        return Value(read(a, "date"), "date")
    raise _refuse(type_sql, a)


def _to_timestamp(target: str) -> Callable[[Value, str], Value]:
    def rule(a: Value, type_sql: str) -> Value:
        if a.type == target:
            return a
        if a.type in ("date", "timestamp", "timestamptz"):
            return as_timestamp(a, target)
        if a.type in TEXTS:
            return Value(read(a, target), target)
        raise _refuse(type_sql, a)

    return rule


def _to_time(a: Value, type_sql: str) -> Value:
    if a.type == "time":
        return a
    if a.type in ("timestamp", "timestamptz"):
        return Value(f"({sane(a)})::pg_catalog.time", "time")
    if a.type in TEXTS:
        return Value(read(a, "time"), "time")
    raise _refuse(type_sql, a)


def _to_uuid(a: Value, type_sql: str) -> Value:
    if a.type == "uuid":
        return a
    if a.type in TEXTS:
        return Value(read(a, "uuid"), "uuid")
    raise _refuse(type_sql, a)


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
    "time": _to_time,
    "uuid": _to_uuid,
    **{t: _same(t) for t in ("interval", "jsonb", "json")},
}


@function("date", "date, timestamp or text", "as the cast")
def date(a: Value) -> Value:
    return cast(a, "date")
