"""Text on private rows. Very long values are NULL where an operation would need more memory than PostgreSQL gives."""

from __future__ import annotations

from fractions import Fraction

from noisegate.errors import Unsupported
from noisegate.query.interval import Interval, between
from noisegate.query.total.patterns import substring_pattern
from noisegate.query.total.table import function, operator, wrong_types
from noisegate.query.values import INTS, TEXTS, Value

BYTES_MAX = 10_000_000  # longer texts are NULL in operations that copy them
_LENGTHS = between(0, 2**33)
_LENGTH_BOUND = Interval(Fraction(0), None)  # a sum of lengths needs an upper end of its own, such as least(..., 100)


def short(a: Value) -> str:
    if a.const is not None:
        return a.sql
    return f"(CASE WHEN pg_catalog.octet_length({a.sql}) < {BYTES_MAX} THEN {a.sql} END)"


def text_only(name: str, *args: Value) -> None:
    if any(a.type not in TEXTS for a in args):
        raise wrong_types(name, *args)


@function("lower", "text", "NULL past 10 MB")
def lower(a: Value) -> Value:
    text_only("lower", a)
    return Value(f"pg_catalog.lower({short(a)})", "text", collation=a.collation)


@function("upper", "text", "NULL past 10 MB")
def upper(a: Value) -> Value:
    text_only("upper", a)
    return Value(f"pg_catalog.upper({short(a)})", "text", collation=a.collation)


def _longest(name: str, a: Value) -> Interval:
    """Characters, or bytes and bits of at most four bytes each, by the type."""
    if a.chars is None:
        return _LENGTH_BOUND
    return between(0, a.chars * {"octet_length": 4, "bit_length": 32}.get(name, 1))


def _length(name: str) -> None:
    @function(name, "text")
    def rule(a: Value) -> Value:
        text_only(name, a)
        sql = short(a) if name == "bit_length" else a.sql
        return Value(f"pg_catalog.{name}({sql})", "int4", _LENGTHS, _longest(name, a), 0)


for _name in ("length", "char_length", "character_length", "octet_length", "bit_length"):
    _length(_name)


def _trim(name: str) -> None:
    @function(name, "text [, constant text]", "NULL past 10 MB")
    def rule(a: Value, b: Value | None = None) -> Value:
        text_only(name, a, *([b] if b else []))
        if b is not None and b.const is None:
            raise Unsupported(f"{name} takes a constant set of characters on private rows", name=name)
        rest = f", {b.sql}" if b is not None else ""
        return Value(f"pg_catalog.{name}({short(a)}{rest})", "text", collation=a.collation)


for _name in ("btrim", "ltrim", "rtrim"):
    _trim(_name)


def _side(name: str) -> None:
    @function(name, "text, constant integer", "NULL past 10 MB")
    def rule(a: Value, b: Value) -> Value:
        text_only(name, a)
        if b.type not in INTS or b.const is None or not b.safe.within(-1_000_000, 1_000_000):
            raise Unsupported(f"{name} takes a constant number of characters on private rows", name=name)
        return Value(f'pg_catalog."{name}"({short(a)}, ({b.sql})::pg_catalog.int4)', "text", collation=a.collation)


for _name in ("left", "right"):
    _side(_name)


def _substring(name: str) -> None:
    @function(
        name, "text, constant start [, constant length >= 0]; substring: text, constant pattern", "NULL past 10 MB"
    )
    def rule(a: Value, b: Value, c: Value | None = None) -> Value:
        text_only(name, a)
        if name == "substring" and b.type in TEXTS and c is None:
            return substring_pattern(a, b)
        if b.type not in INTS or b.const is None or not b.safe.within(-1_000_000, 1_000_000):
            raise Unsupported(f"{name} takes a constant start on private rows", name=name)
        if c is not None and (c.type not in INTS or c.const is None or not c.safe.within(0, 1_000_000_000)):
            raise Unsupported(f"{name} takes a constant length of at least 0 on private rows", name=name)
        rest = f", ({c.sql})::pg_catalog.int4" if c is not None else ""
        return Value(f"pg_catalog.substr({short(a)}, ({b.sql})::pg_catalog.int4{rest})", "text", collation=a.collation)


for _name in ("substr", "substring"):
    _substring(_name)


@operator("||", "text", "NULL past 10 MB")
def concat(a: Value, b: Value) -> Value:
    text_only("||", a, b)
    return Value(f"({short(a)} || {short(b)})", "text", collation=a.collation or b.collation)


@operator("^@", "text, constant text")
@function("starts_with", "text, constant text")
def starts_with(a: Value, b: Value) -> Value:
    text_only("starts_with", a, b)
    if b.const is None:
        raise Unsupported("starts_with takes a constant prefix on private rows", name="starts_with")
    return Value(f"pg_catalog.starts_with({a.sql}, {b.sql})", "bool")


def _like(symbol: str, word: str, cut: bool) -> None:
    @operator(symbol, f"text {word} constant pattern", "the pattern is checked beforehand")
    def rule(a: Value, b: Value) -> Value:
        text_only(word, a, b)
        if b.const is None:
            raise Unsupported(f"the pattern of {word} must be a constant on private rows", name=word.lower())
        if b.const.text is not None and _ends_in_escape(b.const.text):
            raise Unsupported("LIKE pattern must not end with escape character", name=word.lower())
        return Value(f"({short(a) if cut else a.sql} {_OPERATOR[symbol]} {b.sql})", "bool")


_OPERATOR = {
    "~~": "OPERATOR(pg_catalog.~~)", "!~~": "OPERATOR(pg_catalog.!~~)",
    "~~*": "OPERATOR(pg_catalog.~~*)", "!~~*": "OPERATOR(pg_catalog.!~~*)",
}  # fmt: skip
_like("~~", "LIKE", False)
_like("!~~", "NOT LIKE", False)
_like("~~*", "ILIKE", True)
_like("!~~*", "NOT ILIKE", True)


def _ends_in_escape(pattern: str) -> bool:
    return (len(pattern) - len(pattern.rstrip("\\"))) % 2 == 1
