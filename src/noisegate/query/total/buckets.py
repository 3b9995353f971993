"""The values that a calendar function takes while its argument stays within its bounds, as PostgreSQL prints them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from fractions import Fraction

from noisegate.query.interval import Interval
from noisegate.query.values import FINITE_MAX, Value

_EPOCH = dt.datetime(2000, 1, 1)
_WEST, _EAST = 12 * 3600, 14 * 3600  # clocks of the world, from Greenwich's

CONSTANT_FIELDS: dict[str, tuple[int, int]] = {
    "quarter": (1, 4), "month": (1, 12), "week": (1, 53), "day": (1, 31), "doy": (1, 366), "dow": (0, 6),
    "isodow": (1, 7), "hour": (0, 23), "minute": (0, 59),
}  # fmt: skip


def wall_clock(a: Value) -> Interval:
    """The bound of a date or timestamp in seconds since 2000 on the session's clocks."""
    if a.local is not None or not a.bound.finite:
        return a.local or a.bound
    assert a.bound.lo is not None and a.bound.hi is not None
    if a.type == "date":
        return Interval(a.bound.lo * 86400, a.bound.hi * 86400)
    if a.type == "timestamptz":
        return Interval(a.bound.lo - _WEST, a.bound.hi + _EAST)
    return a.bound


def _ends(a: Value) -> tuple[dt.datetime, dt.datetime] | None:
    bound = wall_clock(a)
    if bound.lo is None or bound.hi is None:
        return None
    try:
        return _moment(bound.lo), _moment(bound.hi)
    except OverflowError:
        return None


def _moment(seconds: Fraction) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=int(seconds * 1_000_000 // 1))


def _midnight(x: dt.datetime) -> dt.datetime:
    return x.replace(hour=0, minute=0, second=0, microsecond=0)


def _months(x: dt.datetime, count: int) -> dt.datetime:
    first = _midnight(x).replace(day=1)
    months = first.year * 12 + first.month - 1 + count
    return first.replace(year=months // 12, month=months % 12 + 1)


_FIRST: dict[str, Callable[[dt.datetime], dt.datetime]] = {
    "hour": lambda x: x.replace(minute=0, second=0, microsecond=0),
    "day": _midnight,
    "week": lambda x: _midnight(x) - dt.timedelta(days=x.weekday()),
    "month": lambda x: _months(x, 0),
    "quarter": lambda x: _months(x, -((x.month - 1) % 3)),
    "year": lambda x: _midnight(x).replace(month=1, day=1),
}
_NEXT: dict[str, Callable[[dt.datetime], dt.datetime]] = {
    "hour": lambda x: x + dt.timedelta(hours=1),
    "day": lambda x: x + dt.timedelta(days=1),
    "week": lambda x: x + dt.timedelta(days=7),
    "month": lambda x: _months(x, 1),
    "quarter": lambda x: _months(x, 3),
    "year": lambda x: _months(x, 12),
}


def _starts(word: str, a: Value) -> Iterator[dt.datetime]:
    """Where the periods begin that meet the bound. Raises OverflowError or ValueError at the calendar's ends."""
    ends = _ends(a)
    if ends is None:
        return
    at = _FIRST[word](ends[0])
    while at <= ends[1]:
        yield at
        at = _NEXT[word](at)


def truncated(word: str, a: Value) -> tuple[str, ...] | None:
    """Of date_trunc without a zone. A timestamptz is written by its clock, without the zone's offset, so an hour, of
    which there may be two, is not."""
    if word not in _FIRST or (word == "hour" and a.type == "timestamptz"):
        return None
    return _listed(x.isoformat(sep=" ") for x in _starts(word, a))


def _listed(texts: Iterator[str]) -> tuple[str, ...] | None:
    found: dict[str, None] = {}
    try:
        for text in texts:
            found[text] = None
            if len(found) > FINITE_MAX:
                return None
    except (OverflowError, ValueError):
        return None
    return tuple(found) or None


def field(word: str, a: Value) -> tuple[str, ...] | None:
    """Of extract and date_part."""
    if word in CONSTANT_FIELDS:
        low, high = CONSTANT_FIELDS[word]
        if word == "hour" and a.type == "time":
            high = 24
        return tuple(str(i) for i in range(low, high + 1))
    ends = _ends(a) if word in ("year", "isoyear") else None
    if ends is None:
        return None
    low, high = (e.year if word == "year" else e.isocalendar()[0] for e in ends)
    return tuple(str(y) for y in range(low, high + 1)) if high - low < FINITE_MAX else None


_MONTHS = "January February March April May June July August September October November December".split()
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_PRINT: dict[str, Callable[[dt.datetime], str]] = {
    "YYYY": lambda x: f"{x.year:04d}", "IYYY": lambda x: f"{x.isocalendar()[0]:04d}",
    "MM": lambda x: f"{x.month:02d}",
    "Month": lambda x: _MONTHS[x.month - 1].ljust(9), "Mon": lambda x: _MONTHS[x.month - 1][:3],
    "DD": lambda x: f"{x.day:02d}", "Day": lambda x: _DAYS[x.weekday()].ljust(9),
    "Dy": lambda x: _DAYS[x.weekday()][:3],
    "ID": lambda x: str(x.isoweekday()), "D": lambda x: str(x.isoweekday() % 7 + 1),
    "IW": lambda x: f"{x.isocalendar()[1]:02d}", "Q": lambda x: str((x.month + 2) // 3), "-": lambda _: "-",
    "/": lambda _: "/",
}  # fmt: skip
_PIECES = re.compile("|".join(_PRINT))
_BY_MONTH = frozenset({"YYYY", "MM", "Month", "Mon", "Q", "-", "/"})
_PERIODIC = {"HH24": 24, "MI": 60}


def written(template: str, a: Value) -> tuple[str, ...] | None:
    """Of to_char with a format of years, quarters, months, weeks and days."""
    if template in _PERIODIC:
        return tuple(f"{i:02d}" for i in range(_PERIODIC[template]))
    pieces = _PIECES.findall(template)
    if "".join(pieces) != template:
        return None
    if not {"YYYY", "IYYY"} & set(pieces) and len(pieces) == 1:  # a leap year has them all
        year = (dt.datetime(2024, 1, 1) + dt.timedelta(days=i) for i in range(366 + 6))
        return _listed(_PRINT[pieces[0]](x) for x in year)
    word = "month" if set(pieces) <= _BY_MONTH else "day"
    return _listed("".join(_PRINT[p](x) for p in pieces) for x in _starts(word, a))
