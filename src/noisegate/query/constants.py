"""Constants of a fragment: which subexpressions are constant, their values as the session computed them, and their
typed literals in the engine's SQL. This is the only way that anything of an analyst's text reaches the engine (I1).
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache

from psycopg.adapt import Loader, Transformer
from psycopg.pq import Format

from noisegate.errors import TooComplex, Unsupported, about
from noisegate.query.tree import (
    FIELD,
    AnyOf,
    Array,
    Call,
    Cast,
    Expr,
    Given,
    Literal,
    Name,
    Op,
    Param,
    Subquery,
    children,
    walk,
)
from noisegate.query.words import ANSWERED_AGGREGATES, OTHER_AGGREGATES

Span = tuple[int, int]

# Functions whose value is one constant per statement: what may stand in a constant subexpression.
CONSTANT_FUNCTIONS = frozenset(
    "now current_date current_time current_timestamp localtime localtimestamp transaction_timestamp "
    "statement_timestamp current_setting current_user session_user user date_trunc date_part extract make_date "
    "make_timestamp make_timestamptz make_interval to_date to_timestamp to_number to_char timezone date_bin age "
    "lower upper length substr left right btrim ltrim rtrim concat replace split_part abs round trunc floor ceil "
    "ceiling power sqrt exp ln log mod sign div greatest least coalesce nullif justify_days justify_hours "
    "justify_interval string_to_array regexp_split_to_array like_escape similar_to_escape similar_escape initcap "
    "reverse repeat lpad rpad translate cbrt log10 upper degrees radians pi concat_ws array_append array_cat "
    "jsonb_build_object jsonb_build_array to_jsonb bit_length char_length octet_length strpos position".split()
)

_AGGREGATES = ANSWERED_AGGREGATES | OTHER_AGGREGATES
RECORD = 2249  # the type of a row value
CONSTANTS_MAX = 800  # two columns each, and PostgreSQL's SELECT has 1664 at most
_ZONE_ARGUMENT = {"timezone": 0, "date_trunc": 2}
_TRIED = "TRIED"  # marks a call that is evaluated for its errors only
_PATTERNS = frozenset({"~", "~*", "!~", "!~*"})
_SAMPLES = {
    "timezone": "pg_catalog.timezone({}, '2000-01-01 00:00:00+00'::pg_catalog.timestamptz)",
    "~": "(''::pg_catalog.text OPERATOR(pg_catalog.~) {})",
    "to_char": "pg_catalog.to_char('2000-01-01 00:00:00'::pg_catalog.timestamp, {})",
}
# What a total form needs to know of the session, read once per fragment: the day, and how it prints values.
CONTEXT: Span = (-1, -1)
_CONTEXT_SQL = (
    "(pg_catalog.to_char(CURRENT_DATE::pg_catalog.timestamp, 'YYYY-MM-DD') || '|' || "
    "pg_catalog.current_setting('DateStyle') || '|' || pg_catalog.current_setting('extra_float_digits'))"
)

_BASES = {
    16: "bool", 19: "text", 20: "int8", 21: "int2", 23: "int4", 25: "text", 700: "float4", 701: "float8",
    705: "text", 1042: "bpchar", 1043: "text", 1082: "date", 1083: "time", 1114: "timestamp", 1184: "timestamptz",
    1186: "interval", 1700: "numeric", 2950: "uuid", 3802: "jsonb",
}  # fmt: skip
_FIRST_USER_OID = 16384
_EPOCH = dt.date(2000, 1, 1)
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Const:
    """A constant. `base` as in plan.catalog.ColumnType.base. `text` is its canonical text, None for NULL; `items` are
    the elements of an array. `number` is its value where it has one: a number; days or seconds since 2000-01-01."""

    base: str
    text: str | None
    number: Fraction | None = None
    items: tuple[Const, ...] | None = None


def constant_parts(exprs: Iterable[Expr]) -> list[Expr]:
    """The maximal subexpressions without a column. Raises Unsupported where one calls a function that is not one
    constant per statement."""
    found: list[Expr] = []
    context = False
    for expr in exprs:
        stack = [expr]
        while stack:
            node = stack.pop()
            if isinstance(node, Literal) and node.type == FIELD:
                continue
            if is_constant(node):
                _check_constant(node)
                found.append(node)
            else:
                found += _tries(node)
                context = context or _needs_context(node)
                stack.extend(children(node))
    return [*found, Call("", (), *CONTEXT, extras=_TRIED)] if context else found


def _tries(node: Expr) -> list[Expr]:
    """A time zone, pattern or format that is applied to a column is tried on a constant, in the session: a wrong one is
    refused before anything is charged. It stands before the constant itself, whose value then replaces this one's."""
    sample, arg = "", None
    if isinstance(node, Call) and node.name in _ZONE_ARGUMENT and len(node.args) > _ZONE_ARGUMENT[node.name]:
        sample, arg = "timezone", node.args[_ZONE_ARGUMENT[node.name]]
    elif isinstance(node, Op) and node.op in _PATTERNS and len(node.args) == 2:
        sample, arg = "~", node.args[1]
    elif isinstance(node, Call) and len(node.args) > 1 and node.name in ("to_char", "regexp_replace", "regexp_like"):
        sample, arg = "to_char" if node.name == "to_char" else "~", node.args[1]
    if arg is None or not is_constant(arg):
        return []
    _check_constant(arg)
    return [Call(sample, (arg,), arg.start, arg.end, extras=_TRIED)]


def _needs_context(node: Expr) -> bool:
    if isinstance(node, Cast):
        return node.type.startswith(("text", "character"))
    return isinstance(node, Call) and node.name == "age" and len(node.args) == 1


def _evaluated(sql: str, part: Expr) -> str:
    if isinstance(part, Call) and part.extras == _TRIED:
        return _SAMPLES[part.name].format(sql[part.start : part.end]) if part.name else _CONTEXT_SQL
    return sql[part.start : part.end]


def is_constant(node: Expr) -> bool:
    return not any(isinstance(n, Name | Subquery | Given) or _over_rows(n) for n in walk(node))


def _over_rows(node: Expr) -> bool:
    """An aggregate or a window function: its value depends on rows, whatever its arguments."""
    return isinstance(node, Call) and (node.star or node.over is not None or node.name in _AGGREGATES)


def _check_constant(node: Expr) -> None:
    for n in walk(node):
        special = isinstance(n, Call) and (n.extras or n.filter or n.distinct or n.over or n.order or n.within)
        if isinstance(n, Call) and (special or n.name not in CONSTANT_FUNCTIONS):
            raise Unsupported(
                f"function {n.name} is not supported in a private question",
                name=n.name,
                hint="docs/sql.md lists the functions that are.",
            ).about(n.start, n.end)
        if not isinstance(n, (Literal, Param, Array, AnyOf)) and isinstance(n, Name):
            raise Unsupported("a constant was expected")


def evaluation_sql(sql: str, parts: Iterable[Expr]) -> str:
    """One SELECT that computes the parts in the session: for each, a word about its type and its value.

    Raises TooComplex past CONSTANTS_MAX.
    """
    parts = tuple(parts)
    if len(parts) > CONSTANTS_MAX:
        raise TooComplex(
            "the private question holds too many constants",
            detail=f"At most {CONSTANTS_MAX} are read; a list such as x IN (1, 2, 3) is one.",
        )
    columns = [
        "(SELECT t.typcategory::pg_catalog.text || t.typtype::pg_catalog.text || t.oid::pg_catalog.text "
        f"FROM pg_catalog.pg_type t WHERE t.oid = pg_catalog.pg_typeof({text})::pg_catalog.oid), ({text})"
        for text in (_evaluated(sql, p) for p in parts)
    ]
    return "SELECT " + ", ".join(columns)


def decode_row(parts: Iterable[Expr], row: tuple[bytes | None, ...]) -> Mapping[Span, Const]:
    """Values of `evaluation_sql`'s row, in binary format, by the span of their expression."""
    found: dict[Span, Const] = {}
    for i, part in enumerate(parts):
        word = (row[2 * i] or b"?").decode()
        category, kind, oid = word[:1], word[1:2], int(word[2:] or 0)
        data = row[2 * i + 1]
        with about(part.start, part.end):
            if oid == RECORD:
                raise Unsupported(
                    "row values are not supported on private rows",
                    hint="Compare column by column: a < 1 OR (a = 1 AND b < 2).",
                )
            if kind not in ("b", "e", "p"):  # base types, enums, arrays of them; 'p' is unknown
                raise Unsupported("a constant of this type is not supported in a private question")
            found[(part.start, part.end)] = _decode_array(data) if category == "A" else decode(oid, data, kind == "e")
    return found


def decode(oid: int, data: bytes | None, enum: bool = False) -> Const:
    """A binary value. Raises Unsupported for a type that has no literal form here."""
    base = "enum" if enum else _BASES.get(oid, "")
    if not base:
        raise Unsupported(
            "a constant of this type is not supported in a private question",
            hint="Cast it to a number, text, date or timestamp.",
        )
    if data is None:
        return Const(base, None)
    match base:
        case "bool":
            return Const(base, "true" if data == b"\x01" else "false")
        case "date":
            return _date(struct.unpack("!i", data)[0])
        case "timestamp" | "timestamptz":
            return _timestamp(base, struct.unpack("!q", data)[0])
        case "time":
            return Const(base, _time_text(struct.unpack("!q", data)[0]))
        case "interval":
            micros, days, months = struct.unpack("!qii", data)
            return Const(base, f"{months} months {days} days {micros} microseconds")
        case "text" | "bpchar" | "enum":
            try:
                return Const(base, data.decode("utf-8"))
            except UnicodeDecodeError:  # of a domain or a composite, taken for an enum
                raise Unsupported("a constant of this type is not supported in a private question") from None
        case "jsonb":
            return Const(base, data[1:].decode("utf-8"))
        case "uuid":
            return Const(base, str(_loader(2950).load(data)))
        case _:
            return _number(base, _loader(oid).load(data))


def text_of(base: str, data: bytes | None) -> str | None:
    """The canonical text of a binary value of a type named as in Const.base. Raises Unsupported for other types."""
    oid = next((oid for oid, name in _BASES.items() if name == base), 0)
    return decode(oid, data).text


@cache
def _loader(oid: int) -> Loader:
    return Transformer().get_loader(oid, Format.BINARY)  # type: ignore[return-value]


def _number(base: str, value: object) -> Const:
    if isinstance(value, float):
        text = repr(value)
        if value != value or value in (float("inf"), float("-inf")):
            return Const(base, {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[text])
        return Const(base, text, Fraction(value))
    if isinstance(value, Decimal):
        if not value.is_finite():
            return Const(base, "NaN" if value.is_nan() else "Infinity" if value > 0 else "-Infinity")
        if abs(value.adjusted()) > 1000:
            raise Unsupported("a constant is too large for a private question")
        return Const(base, format(value, "f"), Fraction(value))
    if isinstance(value, int):
        return Const(base, str(value), Fraction(value))
    raise Unsupported("a constant of this type is not supported in a private question")


def _date(days: int) -> Const:
    if days in (2**31 - 1, -(2**31)):
        return Const("date", "infinity" if days > 0 else "-infinity")
    try:
        return Const("date", (_EPOCH + dt.timedelta(days=days)).isoformat(), Fraction(days))
    except OverflowError:
        raise Unsupported("a date constant is outside the years 1 to 9999") from None


def _timestamp(base: str, micros: int) -> Const:
    if micros in (2**63 - 1, -(2**63)):
        return Const(base, "infinity" if micros > 0 else "-infinity")
    days, rest = divmod(micros, _DAY_US)
    zone = "+00" if base == "timestamptz" else ""
    return Const(base, f"{_date(days).text} {_time_text(rest)}{zone}", Fraction(micros, 1_000_000))


def _time_text(micros: int) -> str:
    seconds, fraction = divmod(micros, 1_000_000)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{clock}.{fraction:06d}" if fraction else clock


def _decode_array(data: bytes | None) -> Const:
    if data is None:
        return Const("array", None)
    dims, _, element = struct.unpack_from("!iiI", data)
    if dims > 1:
        raise Unsupported("arrays of more than one dimension are not supported in private questions")
    items: list[Const] = []
    at = 12 + 8 * dims
    while at < len(data):
        (size,) = struct.unpack_from("!i", data, at)
        at += 4
        items.append(decode(element, None if size < 0 else data[at : at + size], element >= _FIRST_USER_OID))
        at += max(size, 0)
    return Const("array", "", None, tuple(items))


_SQL_TYPES = {
    "bool": "bool", "int2": "int2", "int4": "int4", "int8": "int8", "float4": "float4", "float8": "float8",
    "numeric": "numeric", "text": "text", "bpchar": "bpchar", "date": "date", "time": "time",
    "timestamp": "timestamp", "timestamptz": "timestamptz", "interval": "interval", "uuid": "uuid",
    "jsonb": "jsonb",
}  # fmt: skip


def quote_literal(text: str) -> str:
    """A string literal that is safe whatever standard_conforming_strings says. Raises Unsupported for a NUL."""
    if "\0" in text:
        raise Unsupported("a text constant holds a NUL character")
    quoted = text.replace("'", "''")
    if "\\" in quoted:
        escaped = quoted.replace("\\", "\\\\")
        return f" E'{escaped}'"
    return f"'{quoted}'"


def quote_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def render(const: Const, enum_type: str | None = None) -> str:
    """The typed literal of a constant in the engine's SQL. `enum_type`: the qualified type of an enum constant."""
    if const.base == "enum":
        if enum_type is None:
            raise Unsupported("an enum constant stands where noisegate does not know its type")
        type_sql = enum_type
    elif const.base in _SQL_TYPES:
        type_sql = "pg_catalog." + _SQL_TYPES[const.base]
    else:
        raise Unsupported("a constant of this type is not supported in a private question")
    return f"NULL::{type_sql}" if const.text is None else f"{quote_literal(const.text)}::{type_sql}"
