"""Comparisons, boolean operators and choices between values on private rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from noisegate.errors import Unsupported
from noisegate.query.constants import render
from noisegate.query.interval import Interval, hull, meet
from noisegate.query.total.table import OPERATORS, function, operator, wrong_types
from noisegate.query.values import FINITE_MAX, INTS, NUMBERS, TEXTS, TIMES, Value

FLOATS = frozenset({"float4", "float8"})
EXACT = NUMBERS - FLOATS

_COMPARED_ALONE = frozenset({"bool", "uuid", "time", "interval", "jsonb"})
_PATTERN_OPERATORS = frozenset("~~ ~~* !~~ !~~* ~ ~* !~ !~*".split())
COMPARISONS = ("=", "<>", "<", ">", "<=", ">=")


def comparable(what: str, a: Value, b: Value) -> tuple[str, str]:
    """Both sides as SQL that PostgreSQL compares without conversion errors."""
    if a.type == "enum" or b.type == "enum":
        return _enums(what, a, b)
    for family in (EXACT, FLOATS, TEXTS, TIMES):  # a numeric beside a float would be cast to it, and may not fit
        if a.type in family and b.type in family:
            return a.sql, b.sql
    if a.type == b.type and a.type in _COMPARED_ALONE:
        return a.sql, b.sql
    raise wrong_types(what, a, b)


def _enums(what: str, a: Value, b: Value) -> tuple[str, str]:
    if a.type != b.type:
        raise wrong_types(what, a, b)
    known = a if a.enum_type else b
    if known.enum_type is None or (a.enum_type and b.enum_type and a.enum_type != b.enum_type):
        raise wrong_types(what, a, b)

    def side(v: Value) -> str:
        if v.const is None:
            return v.sql
        if v.const.text is not None and v.const.text not in known.labels:
            raise Unsupported("a constant is not a label of the enum it is compared with")
        return render(v.const, known.enum_type)

    return side(a), side(b)


def _comparison(symbol: str) -> None:
    @operator(symbol, "two values of one family: numbers, texts, dates and timestamps, enums, booleans, uuids")
    def rule(a: Value, b: Value) -> Value:
        left, right = comparable(symbol, a, b)
        return Value(f"({left} {symbol} {right})", "bool")


for _symbol in COMPARISONS:
    _comparison(_symbol)


@operator("is distinct from", "two values of one family")
def is_distinct(a: Value, b: Value) -> Value:
    left, right = comparable("is distinct from", a, b)
    return Value(f"({left} IS DISTINCT FROM {right})", "bool")


@operator("not", "boolean")
def logical_not(a: Value) -> Value:
    condition(a)
    return Value(f"(NOT {a.sql})", "bool")


def connect(word: str, args: Sequence[Value]) -> Value:
    """AND and OR of any number of conditions."""
    for a in args:
        condition(a)
    return Value("(" + f" {word.upper()} ".join(a.sql for a in args) + ")", "bool", null=any(a.null for a in args))


def condition(a: Value) -> Value:
    if a.type != "bool":
        raise wrong_types("condition", a)
    return a


def any_of(what: str, a: Value, items: Sequence[Value], every: bool) -> Value:
    """`a op ANY (array)` over constants, written as OR (AND for ALL) of comparisons of a list."""
    if what not in COMPARISONS:
        if what in _PATTERN_OPERATORS:
            like = OPERATORS[(what, 2)].rule
            return connect("and" if every else "or", [like(a, b) for b in items]) if items else _empty(every)
        raise Unsupported(f"{what} ANY is not supported on private rows", name=("any", "all"))
    if not items:
        return _empty(every)
    sides = [comparable(what, a, b) for b in items]
    left = sides[0][0]
    word = "ALL" if every else "ANY"
    return Value(f"({left} {what} {word} (ARRAY[{', '.join(s[1] for s in sides)}]))", "bool")


def _empty(every: bool) -> Value:
    return Value("true" if every else "false", "bool")


def unify(what: str, args: Sequence[Value]) -> tuple[list[Value], Value]:
    """Branches of one type: their SQL cast alike, and a value with their common type and hull to start from."""
    known = next((a for a in args if not _is_null(a)), args[0])
    if known.type == "enum":
        enum = next((a for a in args if a.enum_type), None)
        if enum is None:
            raise Unsupported(f"an enum constant stands where noisegate does not know its type ({what})", name=what)
        cast = [replace(a, sql=comparable(what, a, enum)[0]) for a in args]
        return cast, replace(enum, column=None, const=None)
    same = [a for a in args if not _is_null(a)]
    if any(a.type != known.type and not (a.type in TEXTS and known.type in TEXTS) for a in same):
        raise wrong_types(what, *args)
    if known.type in ("array", "json"):
        raise wrong_types(what, *args)
    result = Value(
        "",
        known.type,
        hull(a.safe for a in same) if same else known.safe,
        hull(a.bound for a in same) if same else known.bound,
    )
    if same and all(a.scale is not None for a in same):
        result = replace(result, scale=max(a.scale or 0 for a in same))
    if same and all(a.exponents is not None for a in same):
        result = replace(
            result,
            exponents=(
                min(a.exponents[0] for a in same if a.exponents),
                max(a.exponents[1] for a in same if a.exponents),
            ),
        )
    result = replace(result, finite=_listed(same, result), null=any(a.null for a in args))
    carrier = _carrier(result)
    return [replace(a, sql=f"({a.sql}){carrier}") for a in args], result


def _listed(args: Sequence[Value], result: Value) -> tuple[str, ...] | None:
    """The values of all branches, where they are listed and print alike in the common type."""
    if result.type not in INTS | {"text", "date", "timestamp"} and not (result.type == "numeric" and result.scale == 0):
        return None
    found: dict[str, None] = {}
    for a in args:
        known = a.known
        if known is None and a.type == "numeric" and a.const is not None and a.const.text is not None:
            known = (a.const.text,)
        if known is None:
            return None
        found.update(dict.fromkeys(known))
    return tuple(found) if len(found) <= FINITE_MAX else None


def _is_null(a: Value) -> bool:
    return a.const is not None and a.const.text is None and a.const.items is None


def _carrier(a: Value) -> str:
    if a.type in INTS:
        return "::pg_catalog.numeric" if a.wide else "::pg_catalog.int8"
    return f"::pg_catalog.{a.type}" if a.type not in ("enum", "other") else ""


def _cut(name: str, bound: Interval, args: Sequence[Value]) -> Interval:
    """The bound of LEAST and GREATEST, which ignore NULLs: only a constant that is not NULL cuts for certain."""
    limits = [a.const.number for a in args if a.const is not None and a.const.number is not None]
    if name == "least" and limits:
        return meet(bound, Interval(None, min(limits)))
    if name == "greatest" and limits:
        return meet(bound, Interval(max(limits), None))
    return bound


def _choice(name: str, sql: str) -> None:
    @function(name, "values of one type")
    def rule(*args: Value) -> Value:
        same, result = unify(name, args)
        bound, safe = _cut(name, result.bound, args), result.safe
        if result.type in INTS or result.type == "numeric":
            safe = _cut(name, safe, args)
        return replace(result, bound=bound, safe=safe, sql=f"{sql}({', '.join(a.sql for a in same)})")


for _name in ("coalesce", "greatest", "least"):
    _choice(_name, _name.upper())


@function("nullif", "two values of one family")
def nullif(a: Value, b: Value) -> Value:
    left, right = comparable("nullif", a, b)
    return replace(a, sql=f"NULLIF({left}, {right})", column=None, const=None)


def case(whens: Sequence[tuple[Value, Value]], default: Value | None) -> Value:
    """CASE WHEN: conditions, results of one type."""
    results = [r for _, r in whens] + ([default] if default is not None else [])
    same, result = unify("case", results)
    parts = [f"WHEN {condition(c).sql} THEN {r.sql}" for (c, _), r in zip(whens, same, strict=False)]
    tail = f" ELSE {same[-1].sql}" if default is not None else ""
    null = default is None or any(a.null for a in results)
    return replace(result, sql=f"(CASE {' '.join(parts)}{tail} END)", null=null)
