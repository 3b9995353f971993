"""More of dates and times on private rows: ages, bins, formats, multiples of intervals."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from fractions import Fraction

from noisegate.errors import Unsupported
from noisegate.query import interval as iv
from noisegate.query.constants import Const
from noisegate.query.interval import ANY, Interval, between
from noisegate.query.total.buckets import written
from noisegate.query.total.dates import DAYS_MAX, finite, parts_of
from noisegate.query.total.table import function, wrong_types
from noisegate.query.values import INTS, TIMES, Value, in_range, tame_float, tame_numeric

_STAMPS = ("timestamp", "timestamptz")


def today(context: Const | None, a: Value) -> Value:
    """The statement's own date at midnight, in the type of `a`: what age(a) counts from."""
    if context is None or context.text is None or a.type not in _STAMPS:
        raise wrong_types("age", a)
    day = dt.date.fromisoformat(context.text.partition("|")[0])
    number = Fraction((day - dt.date(2000, 1, 1)).days * 86400)
    sql = f"'{day.isoformat()} 00:00:00'::pg_catalog.{a.type}"
    slack = 86400 if a.type == "timestamptz" else 0
    bound = between(number - slack, number + slack)
    return Value(sql, a.type, bound=bound, const=Const(a.type, day.isoformat(), number), null=False)


@function("age", "timestamps [or one, from the statement's current_date]", "NULL near the ends of the calendar")
def age(a: Value, b: Value) -> Value:
    if a.type != b.type or a.type not in _STAMPS:
        raise wrong_types("age", a, b)
    bound = iv.add(iv.sub(a.bound, b.bound), between(-3 * 86400, 3 * 86400))
    return Value(f"pg_catalog.age({finite(a)}, {finite(b)})", "interval", bound=bound, element="age")


@function("isfinite", "date, timestamp, interval")
def isfinite(a: Value) -> Value:
    if a.type not in (*TIMES, "interval"):
        raise wrong_types("isfinite", a)
    return Value(f"pg_catalog.isfinite({a.sql})", "bool")


@function("date_bin", "constant interval, timestamp, constant origin", "NULL near the ends of the calendar")
def date_bin(stride: Value, a: Value, origin: Value) -> Value:
    parts = parts_of(stride)
    if parts is None or a.type not in _STAMPS or origin.type != a.type:
        raise wrong_types("date_bin", stride, a, origin)
    months, days, micros = parts
    step = Fraction(days * 86400) + Fraction(micros, 1_000_000)
    if months or not 0 < step <= DAYS_MAX * 86400 or days < 0 or micros < 0:
        raise Unsupported("date_bin takes a positive interval of days and less on private rows", name="date_bin")
    if origin.const is None or origin.const.number is None:
        raise Unsupported("date_bin takes a constant origin on private rows", name="date_bin")
    sql = f"pg_catalog.date_bin({stride.sql}, {finite(a)}, {origin.sql})"
    bound = iv.add(a.bound, Interval(-step, Fraction(0))) if a.bound.finite else ANY
    return Value(sql, a.type, bound=bound)


@function("make_date", "integers", "NULL where there is no such day in the years 1 to 9999")
def make_date(y: Value, m: Value, d: Value) -> Value:
    if any(v.type not in INTS for v in (y, m, d)):
        raise wrong_types("make_date", y, m, d)
    year, month, day = y.sql, m.sql, d.sql
    leap = f"({year}) % 4 = 0 AND (({year}) % 100 <> 0 OR ({year}) % 400 = 0)"
    february = f"(CASE WHEN {leap} THEN 29 ELSE 28 END)"
    last = f"(CASE WHEN {month} IN (4, 6, 9, 11) THEN 30 WHEN {month} = 2 THEN {february} ELSE 31 END)"
    known = f"{year} BETWEEN 1 AND 9999 AND {month} BETWEEN 1 AND 12 AND {day} BETWEEN 1 AND {last}"
    made = ", ".join(f"({v})::pg_catalog.int4" for v in (year, month, day))
    bound = ANY
    if y.bound.lo is not None and y.bound.hi is not None and y.bound.within(1, 9999):
        first, after = dt.date(int(y.bound.lo), 1, 1), dt.date(int(y.bound.hi), 12, 31)
        bound = between(*(Fraction((x - dt.date(2000, 1, 1)).days) for x in (first, after)))
    return Value(f"(CASE WHEN {known} THEN pg_catalog.make_date({made}) END)", "date", bound=bound)


@function("to_timestamp", "double precision", "NULL outside the years 1500 BC to 290000")
def to_timestamp(a: Value) -> Value:
    if a.type != "float8":
        raise wrong_types("to_timestamp", a)
    bound = iv.sub(a.bound, iv.point(946_684_800))
    kept = f"(CASE WHEN {a.sql} BETWEEN -100000000000 AND 9000000000000 THEN {a.sql} END)"
    return Value(f"pg_catalog.to_timestamp({kept})", "timestamptz", bound=bound)


def multiple(interval: Value, b: Value) -> Value:
    """A constant interval times a number; NULL past a thousand years."""
    parts = parts_of(interval)
    if parts is None or b.type != "float8":
        raise wrong_types("*", interval, b)
    months, days, micros = parts
    size = Fraction(abs(months) * 31 + abs(days)) * 86400 + Fraction(abs(micros), 1_000_000)
    if not 0 < size <= DAYS_MAX * 86400:
        raise Unsupported("an interval must be below a thousand years on private rows", name="*")
    most = int(DAYS_MAX * 86400 / size)
    kept = f"(CASE WHEN {b.sql} BETWEEN -{most} AND {most} THEN {b.sql} END)"
    rest = Fraction(days * 86400) + Fraction(micros, 1_000_000)
    one = iv.hull([iv.point(rest + months * n * 86400) for n in (28, 31)])
    safe = between(-size * most, size * most)
    return Value(f"({interval.sql} * {kept})", "interval", safe, iv.meet(iv.mul(one, b.bound), safe))


_DATE_FORMAT = re.compile(
    r"(?:YYYY|IYYY|YY|Q|MM|Month|MONTH|month|Mon|MON|mon|DDD|DD|IDDD|ID|Day|DAY|day|Dy|DY|dy|D|WW|IW|W|HH24|HH12|HH|MI|"
    r'SS|MS|US|AM|PM|am|pm|CC|J|FM|T(?=HH)|"[^"\\]*"|[-/.,:; _])+\Z'
)
_NUMBER_FORMAT = re.compile(r"(?:FM)?(?:S|MI|[$])?[09,]{1,30}(?:\.[09]{0,30})?(?:S|MI|PR|%)?\Z")


@function("to_char", "timestamp or number, constant format", "a list of patterns; NULL near the types' ends")
def to_char(a: Value, b: Value) -> Value:
    template = b.const.text if b.const is not None else None
    if b.type != "text" or template is None:
        raise Unsupported("to_char takes a constant format on private rows", name="to_char")
    known = _DATE_FORMAT if a.type in _STAMPS else _NUMBER_FORMAT
    if len(template) > 100 or not known.match(template):
        raise Unsupported(
            "to_char takes formats of plain patterns on private rows, such as YYYY-MM-DD or 999.99", name="to_char"
        )
    if a.type in _STAMPS:
        return Value(f"pg_catalog.to_char({finite(a)}, {b.sql})", "text", finite=written(template, a))
    return Value(f"pg_catalog.to_char({_printable(a)}, {b.sql})", "text")


def _printable(a: Value) -> str:
    if a.type in INTS:
        kept = in_range(a, between(-(2**63), 2**63 - 1))
        return f"({kept.sql})::pg_catalog.{'int8' if a.type != 'int4' or not _plain(a) else 'int4'}"
    if a.type == "numeric":
        return tame_numeric(replace(a, safe=ANY, scale=None)).sql
    if a.type == "float8":
        return tame_float(replace(a, exponents=None)).sql
    raise wrong_types("to_char", a)


def _plain(a: Value) -> bool:
    return a.safe.within(-(2**31), 2**31 - 1)
