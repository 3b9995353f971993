"""Dates and times on private rows. Values near the ends of the calendar are NULL where an operation could overflow."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from noisegate.errors import Unsupported
from noisegate.query import interval as iv
from noisegate.query.interval import ANY, Interval, between
from noisegate.query.total import buckets
from noisegate.query.total.table import function, wrong_types
from noisegate.query.values import TIMES, Value

# Fields of extract and date_part: range (ANY: grows with the value), decimals, the types that have the field.
_CALENDAR = ("date", "timestamp", "timestamptz")
_CLOCK = ("timestamp", "timestamptz", "time", "interval")
FIELDS: dict[str, tuple[Interval, int, tuple[str, ...]]] = {
    "millennium": (ANY, 0, (*_CALENDAR, "interval")), "century": (ANY, 0, (*_CALENDAR, "interval")),
    "decade": (ANY, 0, (*_CALENDAR, "interval")), "year": (ANY, 0, (*_CALENDAR, "interval")),
    "isoyear": (ANY, 0, _CALENDAR), "quarter": (between(1, 4), 0, _CALENDAR),
    "month": (between(1, 12), 0, (*_CALENDAR, "interval")), "week": (between(1, 53), 0, _CALENDAR),
    "day": (between(1, 31), 0, (*_CALENDAR, "interval")), "doy": (between(1, 366), 0, _CALENDAR),
    "dow": (between(0, 6), 0, _CALENDAR), "isodow": (between(1, 7), 0, _CALENDAR),
    "hour": (between(0, 24), 0, _CLOCK),
    "minute": (between(0, 59), 0, _CLOCK),
    "second": (between(0, 60), 6, _CLOCK),
    "milliseconds": (between(0, 60_000), 3, _CLOCK),
    "microseconds": (between(0, 60_000_000), 0, _CLOCK),
    "epoch": (ANY, 6, (*_CALENDAR, "time", "interval")), "julian": (ANY, -1, _CALENDAR),
    "timezone": (between(-60_000, 60_000), 0, ("timestamptz",)),
    "timezone_hour": (between(-16, 16), 0, ("timestamptz",)),
    "timezone_minute": (between(-59, 59), 0, ("timestamptz",)),
}  # fmt: skip
TRUNC_FIELDS = frozenset(
    "microseconds milliseconds second minute hour day week month quarter year decade century millennium".split()
)
DAYS_MAX = 366_000  # about a thousand years
_UNIX = 10957 * 86400  # seconds from 1970-01-01 to 2000-01-01
_YEAR_DAYS = Fraction(3652425, 10000)

# At most 3,100 years are added or taken away at once: from here, PostgreSQL's calendar (4714 BC to 294276) holds that.
_SANE = {
    "date": ("'1500-01-01 BC'::pg_catalog.date", "'290000-01-01'::pg_catalog.date"),
    "timestamp": ("'1500-01-01 BC'::pg_catalog.timestamp", "'290000-01-01'::pg_catalog.timestamp"),
    "timestamptz": ("'1500-01-01 00:00:00+00 BC'::pg_catalog.timestamptz",
                    "'290000-01-01 00:00:00+00'::pg_catalog.timestamptz"),
}  # fmt: skip


def sane(a: Value) -> str:
    """The value where it is infinite or well inside the calendar, else NULL."""
    if a.const is not None:
        return a.sql
    lo, hi = _SANE[a.type]
    return f"(CASE WHEN {a.sql} BETWEEN {lo} AND {hi} OR NOT pg_catalog.isfinite({a.sql}) THEN {a.sql} END)"


def finite(a: Value) -> str:
    """The value where it is finite and well inside the calendar, else NULL."""
    lo, hi = _SANE[a.type]
    return (
        a.sql
        if a.const is not None and a.const.number is not None
        else (f"(CASE WHEN {a.sql} BETWEEN {lo} AND {hi} THEN {a.sql} END)")
    )


def _field(value: Value, name: str) -> str:
    if value.const is None or value.const.text is None:
        raise Unsupported(f"the field of {name} must be a constant", name=name)
    return value.const.text.lower()


def _extract(name: str) -> Callable[[Value, Value], Value]:
    def rule(field: Value, a: Value) -> Value:
        word = _field(field, name)
        if word not in FIELDS or a.type not in FIELDS[word][2]:
            raise Unsupported(f"{name}({word}) of {a.type} is not supported on private rows", name=word)
        limits, scale, _ = FIELDS[word]
        if a.type == "interval":
            limits = _INTERVAL_FIELDS.get(word, ANY)
        bound = limits if limits.finite else _of_interval(word, a) if a.type == "interval" else _grown(word, a)
        listed = buckets.field(word, a) if a.type != "interval" else None
        if listed is not None and not limits.finite:
            bound = between(int(listed[0]), int(listed[-1]))
        result = "numeric" if name == "extract" else "float8"
        sql = (
            f"pg_catalog.{name}('{word}'::pg_catalog.text, {sane(a) if a.type == 'date' else a.sql})"
            if name == "date_part"
            else (f"EXTRACT({word} FROM {a.sql})")
        )
        if result == "float8":
            return Value(sql, result, bound=bound, finite=listed)
        if a.type == "date":  # whole numbers, whatever the field
            scale = 0
        return Value(sql, result, limits if limits.finite else ANY, bound, scale if scale >= 0 else None, finite=listed)

    return rule


_INTERVAL_FIELDS = {
    "month": between(-11, 11), "minute": between(-59, 59), "second": between(-60, 60),
    "milliseconds": between(-60_000, 60_000), "microseconds": between(-60_000_000, 60_000_000),
}  # fmt: skip
_YEARS = {"year": 1, "decade": 10, "century": 100, "millennium": 1000}


def _of_interval(word: str, a: Value) -> Interval:
    """Bounds of a field of an interval that came from two timestamps."""
    if word == "hour" and a.element:
        return between(-23, 23)
    if word == "day" and a.element == "age":
        return between(-31, 31)
    if not a.bound.finite or (word != "epoch" and not a.element):
        return ANY
    assert a.bound.lo is not None and a.bound.hi is not None
    if word == "epoch":  # an age counts months of 30 days and years of 365.25
        slack = 0 if a.element == "difference" else a.bound.magnitude / 50 + 31 * 86400
        return Interval(a.bound.lo - slack, a.bound.hi + slack)
    days = Interval(a.bound.lo / 86400 - 1, a.bound.hi / 86400 + 1)
    if word == "day":
        return iv.rounded(days)
    assert days.lo is not None and days.hi is not None
    length = _YEARS[word] * _YEAR_DAYS
    return iv.rounded(Interval(days.lo / length - 1, days.hi / length + 1))


def _grown(word: str, a: Value) -> Interval:
    """Bounds of a field that grows with the value, from the bounds of the value."""
    if not a.bound.finite or a.type not in TIMES:
        return ANY
    assert a.bound.lo is not None and a.bound.hi is not None
    if word == "julian":
        days = iv.mul(buckets.wall_clock(a), iv.point(Fraction(1, 86400)))
        return iv.add(days, between(2451545, 2451546))
    day = Fraction(1) if a.type == "date" else Fraction(86400)
    lo, hi = a.bound.lo / day, a.bound.hi / day  # days since 2000-01-01
    if word == "epoch":
        return Interval(lo * 86400 + _UNIX - 86400, hi * 86400 + _UNIX + 86400)
    years = {"year": 1, "isoyear": 1, "decade": 10, "century": 100, "millennium": 1000}[word]
    return iv.rounded(Interval((2000 + lo / _YEAR_DAYS - 2) / years, (2000 + hi / _YEAR_DAYS + 2) / years + 1))


function("extract", "a constant field of date, timestamp, time", "fields that the type has")(_extract("extract"))
function("date_part", "a constant field of date, timestamp, time", "fields that the type has")(_extract("date_part"))


@function("date_trunc", "a constant field, timestamp [, a constant zone]", "NULL near the ends of the calendar")
def date_trunc(field: Value, a: Value, zone: Value | None = None) -> Value:
    word = _field(field, "date_trunc")
    if word not in TRUNC_FIELDS or a.type not in ("timestamp", "timestamptz"):
        raise Unsupported(f"date_trunc({word}) of {a.type} is not supported on private rows", name="date_trunc")
    rest = f", {_zone(zone)}" if zone is not None else ""
    sql = f"pg_catalog.date_trunc('{word}'::pg_catalog.text, {sane(a)}{rest})"
    longest = {"millennium": 366_000, "century": 36_600, "decade": 3_660}.get(word, 400) * 86400
    bound = iv.add(a.bound, between(-longest, 0)) if a.bound.finite else ANY
    return Value(sql, a.type, bound=bound, finite=buckets.truncated(word, a) if zone is None else None)


def _zone(zone: Value) -> str:
    """The zone's name, after a use of it that PostgreSQL folds while it plans: a name that the data server does not
    know fails then, whatever the rows; left to the rows, the error would tell whether there is one."""
    if zone.type != "text" or zone.const is None or zone.const.text is None:
        raise Unsupported("a time zone must be a constant text on private rows", name="zone")
    known = f"pg_catalog.timezone({zone.sql}, '2000-01-01 00:00:00+00'::pg_catalog.timestamptz)"
    return f"(CASE WHEN {known} IS NOT NULL THEN {zone.sql} END)"


@function("timezone", "a constant zone, timestamp", "NULL near the ends of the calendar")
def timezone(zone: Value, a: Value) -> Value:
    result = {"timestamp": "timestamptz", "timestamptz": "timestamp"}.get(a.type)
    if result is None:
        raise wrong_types("at time zone", a)
    bound = iv.add(a.bound, between(-86400 * 2, 86400 * 2)) if a.bound.finite else ANY
    return Value(f"pg_catalog.timezone({_zone(zone)}, {sane(a)})", result, bound=bound)


def date_plus(a: Value, b: Value, symbol: str) -> Value:
    """date +- integer, where the integer is known to be small."""
    if not b.safe.within(-1_000_000, 1_000_000):
        raise Unsupported("a number of days must be a constant below a million on private rows", name=symbol)
    rule = iv.add if symbol == "+" else iv.sub
    return Value(f"({sane(a)} {symbol} ({b.sql})::pg_catalog.int4)", "date", bound=rule(a.bound, b.bound))


def time_plus(a: Value, b: Value, symbol: str) -> Value:
    """date, timestamp or time +- an interval of at most a thousand years, constant or a multiple of a constant."""
    parts = parts_of(b)
    if parts is None and b.safe.finite and a.type != "time":
        result = "timestamp" if a.type == "date" else a.type
        start = iv.mul(a.bound, iv.point(86400)) if a.type == "date" else a.bound
        bound = iv.add(start, b.bound) if symbol == "+" else iv.sub(start, b.bound)
        return Value(f"({sane(a)} {symbol} {b.sql})", result, bound=bound)
    if parts is None:
        raise Unsupported("an interval must be a constant, or a constant times a number, on private rows", name=symbol)
    months, days, micros = parts
    if abs(months) > 12_000 or abs(days) > DAYS_MAX or abs(micros) > DAYS_MAX * 86_400_000_000:
        raise Unsupported("an interval must be below a thousand years on private rows", name=symbol)
    if a.type == "time":
        return Value(f"({a.sql} {symbol} {b.sql})", "time")
    result = "timestamp" if a.type == "date" else a.type
    size = abs(months) * 31 * 86400 + (abs(days) + 2) * 86400 + abs(micros) // 1_000_000 + 1
    bound = a.bound if a.type != "date" else iv.mul(a.bound, iv.point(86400))
    return Value(f"({sane(a)} {symbol} {b.sql})", result, bound=iv.add(bound, between(-size, size)))


def date_and_time(a: Value, b: Value) -> Value:
    """date + time of day"""
    bound = iv.add(iv.mul(a.bound, iv.point(86400)), between(0, 86400))
    return Value(f"({sane(a)} + {b.sql})", "timestamp", bound=bound)


def time_minus(a: Value, b: Value) -> Value:
    """date - date in days; timestamp - timestamp as an interval."""
    if a.type == "time":
        return Value(f"({a.sql} - {b.sql})", "interval", bound=between(-86400, 86400), element="difference")
    sql = f"({finite(a)} - {finite(b)})"
    if a.type == "date":
        return Value(sql, "int4", between(-200_000_000, 200_000_000), iv.sub(a.bound, b.bound), 0)
    return Value(sql, "interval", bound=iv.sub(a.bound, b.bound), element="difference")


def parts_of(b: Value) -> tuple[int, int, int] | None:
    """(months, days, microseconds) of a constant interval."""
    if b.type != "interval" or b.const is None or b.const.text is None:
        return None
    months, days, micros = (int(w) for w in b.const.text.split()[::2])
    return months, days, micros


def as_date(a: Value) -> Value:
    """timestamp::date"""
    bound = ANY
    if a.bound.finite:
        bound = iv.add(iv.mul(a.bound, iv.point(Fraction(1, 86400))), between(-2, 1))
        bound = iv.rounded(bound)
    days = None
    if a.finite is not None and all(t.endswith(" 00:00:00") for t in a.finite):
        days = tuple(t.removesuffix(" 00:00:00") for t in a.finite)
    return Value(f"({sane(a)})::pg_catalog.date", "date", bound=bound, finite=days)


def as_timestamp(a: Value, target: str) -> Value:
    """date or the other timestamp type, cast."""
    scale = 86400 if a.type == "date" else 1
    bound = iv.add(iv.mul(a.bound, iv.point(scale)), between(-86400 * 2, 86400 * 2)) if a.bound.finite else ANY
    local = buckets.wall_clock(a) if a.type == "date" else None
    return Value(f"({sane(a)})::pg_catalog.{target}", target, bound=bound, local=local)
