"""Regular expressions on private rows. Patterns are constants, tried in the session before anything is charged.

Claim: a match neither fails nor takes more than a time linear in the text, times a constant of the pattern. Because:
PostgreSQL matches without backtracking where there are no back-references; those and look-around are refused, and so
are long patterns and large counts, whose automata are large. A text past 1 MB is NULL.
Checked by: tests/query/test_functions.py, tests/query/test_total.py.
"""

from __future__ import annotations

import re

from noisegate.errors import Unsupported
from noisegate.query.constants import quote_literal
from noisegate.query.interval import Interval, between, point
from noisegate.query.total.table import function, operator, wrong_types
from noisegate.query.values import TEXTS, Value

PATTERN_MAX = 500
COPIES_MAX = 1000  # the product of all counts {m,n}
TEXT_MAX = 1_000_000
_COUNT = re.compile(r"\{(\d*)(?:,(\d*))?\}")
_FLAGS = frozenset("gcinsx")


def checked(pattern: str, name: str) -> None:
    """Raises Unsupported for a pattern that may take long."""
    bare = re.sub(r"\\\\", "", pattern)
    problem = ""
    if len(pattern) > PATTERN_MAX:
        problem = f"has more than {PATTERN_MAX} characters"
    elif pattern.startswith("***"):
        problem = "begins with a director"
    elif re.search(r"\\[1-9]", bare):
        problem = "refers back to a group"
    elif re.search(r"\(\?(?![:])", bare.replace("\\(", "")):
        problem = "looks around or sets options"
    elif re.search(r"\\[mMyYAZ]", bare) and len(pattern) > 100:
        problem = "is long and has constraint escapes"
    else:
        copies = 1
        for low, high in _COUNT.findall(bare):
            copies *= max(int((high or low or "1")[:6]), 1)
        if copies > COPIES_MAX:
            problem = f"repeats a part more than {COPIES_MAX} times"
    if problem:
        raise Unsupported(f"a pattern that {problem} is not supported on private rows", name=name)


def _literal(name: str, a: Value, b: Value) -> str:
    """The pattern, after a use of it that PostgreSQL folds while it plans: one that the data server does not take fails
    then, whatever the rows."""
    if a.type not in TEXTS or b.type not in TEXTS:
        raise wrong_types(name, a, b)
    if b.const is None:
        raise Unsupported(f"the pattern of {name} must be a constant on private rows", name=name)
    if b.const.text is None:
        return b.sql
    checked(b.const.text, name)
    return f"(CASE WHEN ''::pg_catalog.text OPERATOR(pg_catalog.~) {b.sql} IS NOT NULL THEN {b.sql} END)"


def short(a: Value) -> str:
    return f"(CASE WHEN pg_catalog.octet_length({a.sql}) <= {TEXT_MAX} THEN {a.sql} END)"


def _match(symbol: str) -> None:
    @operator(symbol, "text, constant pattern", "the pattern is checked beforehand; NULL past 1 MB")
    def rule(a: Value, b: Value) -> Value:
        pattern = _literal(symbol, a, b)
        return Value(f"({short(a)} OPERATOR(pg_catalog.{symbol}) {pattern})", "bool")


for _symbol in ("~", "~*", "!~", "!~*"):
    _match(_symbol)


def _flags(name: str, flags: Value | None) -> str:
    if flags is None:
        return ""
    text = flags.const.text if flags.const is not None else None
    if flags.type != "text" or text is None or not set(text) <= _FLAGS:
        raise Unsupported(f"{name} takes constant flags of g, c, i, n, s, x on private rows", name=name)
    return f", {flags.sql}"


@function(
    "regexp_like", "text, constant pattern [, constant flags]", "the pattern is checked beforehand; NULL past 1 MB"
)
def regexp_like(a: Value, b: Value, flags: Value | None = None) -> Value:
    pattern, rest = _literal("regexp_like", a, b), _flags("regexp_like", flags)
    if flags is not None and flags.const is not None and "g" in (flags.const.text or ""):
        raise Unsupported("regexp_like takes no flag g", name="regexp_like")
    return Value(f"pg_catalog.regexp_like({short(a)}, {pattern}{rest})", "bool")


@function("regexp_count", "text, constant pattern", "the pattern is checked beforehand; NULL past 1 MB")
def regexp_count(a: Value, b: Value) -> Value:
    sql = f"pg_catalog.regexp_count({short(a)}, {_literal('regexp_count', a, b)})"
    return Value(sql, "int4", between(0, TEXT_MAX + 1), Interval(point(0).lo, None), 0)


@function("regexp_substr", "text, constant pattern", "the pattern is checked beforehand; NULL past 1 MB")
def regexp_substr(a: Value, b: Value) -> Value:
    return Value(f"pg_catalog.regexp_substr({short(a)}, {_literal('regexp_substr', a, b)})", "text")


@function(
    "regexp_replace",
    "text, constant pattern, constant replacement [, constant flags]",
    "the pattern is checked beforehand; NULL past 1 MB",
)
def regexp_replace(a: Value, b: Value, c: Value, flags: Value | None = None) -> Value:
    pattern, rest = _literal("regexp_replace", a, b), _flags("regexp_replace", flags)
    text = c.const.text if c.const is not None else None
    if c.type != "text" or text is None or len(text) > 50 or re.search(r"\\[1-9&]", text):
        raise Unsupported(
            "regexp_replace takes a constant replacement of at most 50 characters, without \\1 or \\&, on private rows",
            name="regexp_replace",
        )
    return Value(
        f"pg_catalog.regexp_replace({short(a)}, {pattern}, {quote_literal(text)}::pg_catalog.text{rest})", "text"
    )


def substring_pattern(a: Value, b: Value) -> Value:
    """substring(text from pattern)"""
    return Value(f'pg_catalog."substring"({short(a)}, {_literal("substring", a, b)})', "text")
