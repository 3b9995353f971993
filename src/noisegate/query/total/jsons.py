"""jsonb and json on private rows. What a path does not lead to is NULL; a value is read as its own type or is NULL.

Claim: nothing here raises. Because: the operators on jsonb take any document, and recurse as deep as a constant is. A
text of a document needs memory, so it is made of small ones only. json is text that each operator parses anew: only
such as cannot hold what the parser refuses (escapes that are no characters, deep nesting) is given to it.
Checked by: tests/query/test_total.py, tests/query/test_functions.py.
"""

from __future__ import annotations

from noisegate.errors import Unsupported
from noisegate.query.constants import quote_literal
from noisegate.query.interval import Interval, between, point
from noisegate.query.total.table import function, operator, wrong_types
from noisegate.query.values import INTS, Value

# A jsonb of this size on disk has at most 255 times as much in memory, and its text at most 6 times that: below 1 GB.
_STORED_MAX = 500_000
_JSON_MAX = 1_000_000
_NESTED_MAX = 500
_ESCAPED = quote_literal(r"\\u")
_NO_CHARACTER = quote_literal(r"\\u(0000|d[89a-f])")


def _steps(symbol: str, b: Value) -> None:
    """Keys and indexes are constants; a path is an array of texts."""
    path = symbol.startswith("#")
    fits = b.type == "array" and b.element == "text" if path else b.type == "text" or b.type in INTS
    if b.const is None or not fits:
        what = "a constant path" if path else "a constant key or index"
        raise Unsupported(f"{symbol} takes {what} on private rows", name=symbol)


def small(a: Value) -> str:
    """A jsonb whose text fits in memory, else NULL."""
    return f"(CASE WHEN pg_catalog.pg_column_size({a.sql}) < {_STORED_MAX} THEN {a.sql} END)"


def _parsable(a: Value) -> str:
    """A json that every operator can parse, else NULL."""
    text = f'(({a.sql})::pg_catalog.text COLLATE pg_catalog."C")'
    opened = f"pg_catalog.length({text}) - pg_catalog.length(pg_catalog.translate({text}, '[{{', ''))"
    known = f"({text} !~ {_ESCAPED} OR pg_catalog.getdatabaseencoding() = 'UTF8')"
    clean = f"{opened} < {_NESTED_MAX} AND {text} !~* {_NO_CHARACTER} AND {known}"
    return f"(CASE WHEN pg_catalog.octet_length({text}) < {_JSON_MAX} THEN CASE WHEN {clean} THEN {a.sql} END END)"


def _arrow(symbol: str) -> None:
    as_text = symbol.endswith(">>")

    @operator(symbol, f"jsonb, json {'#' if symbol[0] == '#' else ''}{symbol[-2:]} constant", "NULL past 500 KB")
    def rule(a: Value, b: Value) -> Value:
        _steps(symbol, b)
        step = f"({b.sql})::pg_catalog.int4" if b.type in INTS else b.sql
        if b.type in INTS and not b.safe.within(-(2**31), 2**31 - 1):
            raise wrong_types(symbol, a, b)
        if a.type == "jsonb":
            sql = small(a) if as_text else a.sql
        elif a.type == "json":
            sql = _parsable(a)
        else:
            raise wrong_types(symbol, a, b)
        return Value(f"({sql} OPERATOR(pg_catalog.{symbol}) {step})", "text" if as_text else a.type)


for _symbol in ("->", "->>", "#>", "#>>"):
    _arrow(_symbol)


@operator("?", "jsonb, constant text")
def has_key(a: Value, b: Value) -> Value:
    if a.type != "jsonb" or b.type != "text" or b.const is None:
        raise wrong_types("?", a, b)
    return Value(f"({a.sql} OPERATOR(pg_catalog.?) {b.sql})", "bool")


def _has(symbol: str) -> None:
    @operator(symbol, "jsonb, constant array of texts")
    def rule(a: Value, b: Value) -> Value:
        if a.type != "jsonb" or b.type != "array" or b.element != "text" or b.const is None:
            raise wrong_types(symbol, a, b)
        return Value(f"({a.sql} OPERATOR(pg_catalog.{symbol}) {b.sql})", "bool")


for _symbol in ("?|", "?&"):
    _has(_symbol)


@function("jsonb_typeof", "jsonb")
def jsonb_typeof(a: Value) -> Value:
    if a.type != "jsonb":
        raise wrong_types("jsonb_typeof", a)
    return Value(f"pg_catalog.jsonb_typeof({a.sql})", "text")


@function("json_typeof", "json", "NULL past 1 MB")
def json_typeof(a: Value) -> Value:
    if a.type != "json":
        raise wrong_types("json_typeof", a)
    return Value(f"pg_catalog.json_typeof({_parsable(a)})", "text")


@function("jsonb_array_length", "jsonb", "NULL where it is no array")
def jsonb_array_length(a: Value) -> Value:
    if a.type != "jsonb":
        raise wrong_types("jsonb_array_length", a)
    sql = f"(CASE WHEN pg_catalog.jsonb_typeof({a.sql}) = 'array' THEN pg_catalog.jsonb_array_length({a.sql}) END)"
    return Value(sql, "int4", between(0, 2**28), Interval(point(0).lo, None), 0)


def scalar(a: Value, kind: str) -> str:
    """A jsonb that is a number or boolean, as numeric or bool; else NULL."""
    word, target = ("number", "numeric") if kind == "numeric" else ("boolean", "bool")
    return f"(CASE WHEN pg_catalog.jsonb_typeof({a.sql}) = '{word}' THEN ({a.sql})::pg_catalog.{target} END)"
