"""Intervals contain every value: points are drawn from intervals, and each result must hold the exact outcome."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from noisegate.query import interval as iv
from noisegate.query.interval import ANY, Interval

FRACTIONS = st.fractions(-1000, 1000, max_denominator=50)
INTEGERS = st.integers(-1000, 1000).map(Fraction)


@st.composite
def around(draw: st.DrawFn, points: st.SearchStrategy[Fraction] = FRACTIONS) -> tuple[Interval, Fraction]:
    """An interval, open or closed at either end, and a point inside."""
    lo, x, hi = sorted(draw(st.tuples(points, points, points)))
    return Interval(draw(st.sampled_from([lo, None])), draw(st.sampled_from([hi, None]))), x


def holds(interval: Interval, x: Fraction) -> bool:
    return (interval.lo is None or interval.lo <= x) and (interval.hi is None or x <= interval.hi)


def truncated_remainder(x: Fraction, y: Fraction) -> Fraction:
    return x - y * math.trunc(x / y)


@given(around(), around())
def test_sums_differences_and_products(a: tuple[Interval, Fraction], b: tuple[Interval, Fraction]) -> None:
    (i, x), (j, y) = a, b
    assert holds(iv.add(i, j), x + y)
    assert holds(iv.sub(i, j), x - y)
    assert holds(iv.mul(i, j), x * y)
    assert holds(iv.neg(i), -x)
    assert holds(iv.absolute(i), abs(x))
    assert holds(iv.hull([i, j]), x) and holds(iv.hull([i, j]), y)


@given(around(), around())
def test_quotients(a: tuple[Interval, Fraction], b: tuple[Interval, Fraction]) -> None:
    (i, x), (j, y) = a, b
    if y:
        assert holds(iv.div(i, j), x / y)
        assert holds(iv.mod(i, j), truncated_remainder(x, y))


@given(around(INTEGERS), around(INTEGERS))
def test_integer_quotients(a: tuple[Interval, Fraction], b: tuple[Interval, Fraction]) -> None:
    (i, x), (j, y) = a, b
    if y:
        assert holds(iv.div_int(i, j), Fraction(math.trunc(x / y)))


@given(around(), st.integers(-3, 3))
def test_every_way_to_round(a: tuple[Interval, Fraction], digits: int) -> None:
    interval, x = a
    unit = Fraction(10) ** -digits
    ways: list[Callable[[Fraction], int]] = [math.floor, math.ceil, math.trunc, round]
    for way in ways:
        assert holds(iv.rounded(interval, digits), way(x / unit) * unit)


@given(around(), around())
def test_what_is_in_both_is_in_the_common_part(a: tuple[Interval, Fraction], b: tuple[Interval, Fraction]) -> None:
    (i, x), (j, _) = a, b
    common = iv.meet(i, j)
    if holds(j, x):
        assert holds(common, x)
    if common.finite:
        assert common.lo is not None and common.hi is not None and common.lo <= common.hi


@given(around(), around())
def test_without_a_common_part_a_point_of_the_first_is_left(
    a: tuple[Interval, Fraction], b: tuple[Interval, Fraction]
) -> None:
    i, j = a[0], b[0]
    common = iv.meet(i, j)
    if i.finite and common != ANY and common.finite:
        assert common.lo is not None and common.hi is not None
        assert holds(i, common.lo) and holds(i, common.hi)


@given(around())
def test_within_is_true_only_of_what_is_inside(a: tuple[Interval, Fraction]) -> None:
    interval, x = a
    if interval.within(-10, 10):
        assert -10 <= x <= 10
    if interval.finite:
        assert abs(x) <= interval.magnitude
