"""More text on private rows: what makes text longer, cuts or searches it. Sizes are constants."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from noisegate.errors import Unsupported
from noisegate.query.interval import Interval, between
from noisegate.query.total.table import function, wrong_types
from noisegate.query.total.texts import BYTES_MAX, short, text_only
from noisegate.query.values import INTS, TEXTS, Value

LENGTH_MAX = 10_000  # of lpad, rpad
_LENGTHS = between(0, 2**30)
_AT_LEAST_0 = Interval(Fraction(0), None)


def _constant_text(name: str, b: Value, what: str) -> str:
    if b.type not in TEXTS or b.const is None or b.const.text is None:
        raise Unsupported(f"{name} takes {what} on private rows", name=name)
    return b.const.text


def _below(a: Value, limit: int) -> str:
    """The text where it is shorter than `limit` bytes, else NULL."""
    return f"(CASE WHEN pg_catalog.octet_length({a.sql}) < {limit} THEN {a.sql} END)"


def _plain(name: str) -> None:
    @function(name, "text", "NULL past 10 MB")
    def rule(a: Value) -> Value:
        text_only(name, a)
        return Value(f"pg_catalog.{name}({short(a)})", "text", collation=a.collation)


for _name in ("initcap", "reverse"):
    _plain(_name)


@function("replace", "text, constant text, constant text", "NULL past 10 MB")
def replace_text(a: Value, b: Value, c: Value) -> Value:
    text_only("replace", a)
    old = _constant_text("replace", b, "a constant text to look for")
    new = _constant_text("replace", c, "a constant replacement")
    growth = -(-len(new.encode()) // max(len(old.encode()), 1)) + 1
    sql = f"pg_catalog.replace({_below(a, min(BYTES_MAX, 10 * BYTES_MAX // growth))}, {b.sql}, {c.sql})"
    return Value(sql, "text", collation=a.collation)


@function("translate", "text, constant characters, constant characters", "NULL past 10 MB")
def translate(a: Value, b: Value, c: Value) -> Value:
    text_only("translate", a)
    for v in (b, c):
        _constant_text("translate", v, "constant sets of characters")
    return Value(f"pg_catalog.translate({short(a)}, {b.sql}, {c.sql})", "text", collation=a.collation)


@function("split_part", "text, constant text, constant position", "NULL past 10 MB")
def split_part(a: Value, b: Value, c: Value) -> Value:
    text_only("split_part", a)
    _constant_text("split_part", b, "a constant delimiter")
    if c.type not in INTS or c.const is None or not c.safe.within(-10_000, 10_000) or c.const.number == 0:
        raise Unsupported("split_part takes a constant position other than 0 on private rows", name="split_part")
    return Value(
        f"pg_catalog.split_part({short(a)}, {b.sql}, ({c.sql})::pg_catalog.int4)", "text", collation=a.collation
    )


def _position(name: str) -> None:
    @function(name, "text, constant text", "NULL past 10 MB")
    def rule(a: Value, b: Value) -> Value:
        text_only(name, a, b)
        if a.const is None and b.const is None:
            raise Unsupported(f"{name} takes a constant text to look for on private rows", name=name)
        sql = f"pg_catalog.strpos({short(a)}, {short(b)})"
        return Value(sql, "int4", _LENGTHS, _up_to(a.chars), 0)


for _name in ("strpos", "position"):
    _position(_name)


def _up_to(chars: int | None) -> Interval:
    return _AT_LEAST_0 if chars is None else between(0, chars)


def _pad(name: str) -> None:
    @function(name, "text, constant length [, constant text]", "NULL past 10 MB")
    def rule(a: Value, b: Value, c: Value | None = None) -> Value:
        text_only(name, a)
        if c is not None:
            _constant_text(name, c, "a constant text to fill with")
        if b.type not in INTS or b.const is None or not b.safe.within(-LENGTH_MAX, LENGTH_MAX):
            raise Unsupported(f"{name} takes a constant length up to {LENGTH_MAX} on private rows", name=name)
        rest = f", {c.sql}" if c is not None else ""
        return Value(f"pg_catalog.{name}({short(a)}, ({b.sql})::pg_catalog.int4{rest})", "text", collation=a.collation)


for _name in ("lpad", "rpad"):
    _pad(_name)


@function("repeat", "text, constant number", "NULL past 10 MB")
def repeat(a: Value, b: Value) -> Value:
    text_only("repeat", a)
    if b.type not in INTS or b.const is None or b.const.number is None or not b.safe.within(-LENGTH_MAX, LENGTH_MAX):
        raise Unsupported(f"repeat takes a constant number up to {LENGTH_MAX} on private rows", name="repeat")
    limit = BYTES_MAX // max(int(b.const.number), 1)
    return Value(f"pg_catalog.repeat({_below(a, limit)}, ({b.sql})::pg_catalog.int4)", "text", collation=a.collation)


_PRINTED = TEXTS | INTS | {"numeric", "bool", "uuid", "enum"}


def _joined(name: str, args: tuple[Value, ...]) -> str:
    """The arguments as the function prints them. Types that print by a setting are refused."""
    for a in args:
        if a.type not in _PRINTED or not a.sql:
            raise wrong_types(name, *args)
    return ", ".join(short(a) if a.type in TEXTS else a.sql for a in args)


@function("concat", "texts, integers, numerics, booleans, enums, uuids", "NULL past 10 MB")
def concat(*args: Value) -> Value:
    if not args or len(args) > 30:
        raise wrong_types("concat", *args)
    return Value(f"pg_catalog.concat({_joined('concat', args)})", "text")


@function("concat_ws", "constant text, then as concat", "NULL past 10 MB")
def concat_ws(separator: Value, *args: Value) -> Value:
    _constant_text("concat_ws", separator, "a constant separator")
    if not args or len(args) > 30:
        raise wrong_types("concat_ws", *args)
    return Value(f"pg_catalog.concat_ws({separator.sql}, {_joined('concat_ws', args)})", "text")


def _counts(name: str) -> Callable[..., Value]:
    def rule(*args: Value) -> Value:
        if not args or any(not a.sql for a in args):
            raise wrong_types(name, *args)
        limits = between(0, len(args))
        return Value(f"pg_catalog.{name}({', '.join(a.sql for a in args)})", "int4", limits, limits, 0)

    return rule


for _name in ("num_nulls", "num_nonnulls"):
    function(_name, "any values")(_counts(_name))


@function("ascii", "text", "NULL past 10 MB")
def ascii_code(a: Value) -> Value:
    text_only("ascii", a)
    return Value(f"pg_catalog.ascii({short(a)})", "int4", between(0, 0x10FFFF), between(0, 0x10FFFF), 0)
