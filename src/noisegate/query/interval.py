"""Closed intervals over the rationals, None for an open end. Pure arithmetic; every result contains every value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Interval:
    """[lo, hi]; None means unbounded on that side."""

    lo: Fraction | None
    hi: Fraction | None

    @property
    def finite(self) -> bool:
        return self.lo is not None and self.hi is not None

    @property
    def magnitude(self) -> Fraction:
        """The largest absolute value. Raises ValueError where it is unbounded."""
        if self.lo is None or self.hi is None:
            raise ValueError("unbounded")
        return max(abs(self.lo), abs(self.hi))

    def within(self, lo: int, hi: int) -> bool:
        return self.lo is not None and self.hi is not None and lo <= self.lo and self.hi <= hi


ANY = Interval(None, None)


def between(lo: int | Fraction, hi: int | Fraction) -> Interval:
    return Interval(Fraction(lo), Fraction(hi))


def point(value: int | Fraction) -> Interval:
    return Interval(Fraction(value), Fraction(value))


def add(a: Interval, b: Interval) -> Interval:
    return Interval(
        None if a.lo is None or b.lo is None else a.lo + b.lo,
        None if a.hi is None or b.hi is None else a.hi + b.hi,
    )


def neg(a: Interval) -> Interval:
    return Interval(None if a.hi is None else -a.hi, None if a.lo is None else -a.lo)


def sub(a: Interval, b: Interval) -> Interval:
    return add(a, neg(b))


def mul(a: Interval, b: Interval) -> Interval:
    if a.lo is None or a.hi is None or b.lo is None or b.hi is None:
        return ANY
    ends = [x * y for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
    return Interval(min(ends), max(ends))


def div(a: Interval, b: Interval) -> Interval:
    """Real quotient; unbounded where the divisor may be 0."""
    if a.lo is None or a.hi is None or b.lo is None or b.hi is None or b.lo <= 0 <= b.hi:
        return ANY
    ends = [x / y for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
    return Interval(min(ends), max(ends))


def div_int(a: Interval, b: Interval) -> Interval:
    """Integer quotient, truncated towards 0: |a / b| <= |a|."""
    if b.lo is not None and b.hi is not None and not b.lo <= 0 <= b.hi:
        q = div(a, b)
        return Interval(_trunc(q.lo), _trunc(q.hi))
    if not a.finite:
        return ANY
    top = a.magnitude
    return Interval(-top, top)


def mod(a: Interval, b: Interval) -> Interval:
    """Remainder with the sign of the dividend; smaller than the divisor in absolute value."""
    if not b.finite:
        return hull([a, point(0)]) if a.finite else ANY
    top = b.magnitude
    lo = Fraction(0) if a.lo is not None and a.lo >= 0 else -top
    hi = Fraction(0) if a.hi is not None and a.hi <= 0 else top
    return Interval(lo, hi)


def mod_int(a: Interval, b: Interval) -> Interval:
    """Remainder of integers: at most one less than the divisor in absolute value."""
    if not b.finite:
        return mod(a, b)
    top = max(b.magnitude - 1, Fraction(0))
    return mod(a, Interval(-top, top))


def absolute(a: Interval) -> Interval:
    if a.lo is not None and a.lo >= 0:
        return a
    if a.hi is not None and a.hi <= 0:
        return neg(a)
    if not a.finite:
        return Interval(Fraction(0), None)
    return Interval(Fraction(0), a.magnitude)


def rounded(a: Interval, digits: int = 0) -> Interval:
    """Contains floor, ceil, round and trunc to `digits` decimals of every value."""
    unit = Fraction(1, 10**digits) if digits >= 0 else Fraction(10**-digits)
    return Interval(
        None if a.lo is None else math.floor(a.lo / unit) * unit,
        None if a.hi is None else math.ceil(a.hi / unit) * unit,
    )


def hull(items: Iterable[Interval]) -> Interval:
    """The smallest interval that contains all of them."""
    listed = list(items)
    los = [i.lo for i in listed]
    his = [i.hi for i in listed]
    return Interval(
        None if any(x is None for x in los) else min(x for x in los if x is not None),
        None if any(x is None for x in his) else max(x for x in his if x is not None),
    )


def meet(a: Interval, b: Interval) -> Interval:
    """The common part; where there is none, the nearest point of `a` (a sum over no rows is 0 whatever the clamp)."""
    lo = a.lo if b.lo is None else b.lo if a.lo is None else max(a.lo, b.lo)
    hi = a.hi if b.hi is None else b.hi if a.hi is None else min(a.hi, b.hi)
    if lo is not None and hi is not None and lo > hi:
        edge = a.lo if b.hi is not None and a.lo is not None and b.hi < a.lo else a.hi
        return Interval(edge, edge)
    return Interval(lo, hi)


def monotone(a: Interval, function: Callable[[float], float]) -> Interval:
    """The image under an increasing function of floats, rounded outwards at nine digits; an end where it is not defined
    is open."""
    return Interval(_image(a.lo, function, -1), _image(a.hi, function, 1))


def _image(x: Fraction | None, function: Callable[[float], float], direction: int) -> Fraction | None:
    if x is None:
        return None
    try:
        y = function(float(x))
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(y):
        return None
    if y == 0:
        return Fraction(0) if x in (0, 1) else direction * Fraction(1, 10**300)
    step = Fraction(10) ** (math.floor(math.log10(abs(y))) - 8)
    steps = Fraction(y) / step
    nearest = round(steps)
    if abs(steps - nearest) * 10**5 < 1:  # 3.0000000000004 comes from 3
        return nearest * step
    return (math.ceil(steps) if direction > 0 else math.floor(steps)) * step


def power(a: Interval, exponent: Fraction) -> Interval:
    """x ** exponent of every x for which it is a real number; an integer exponent gives exact ends."""
    if exponent == 0:
        return point(1)
    if exponent.denominator == 1 and 0 < exponent <= 64:
        n = int(exponent)
        ends = Interval(None if a.lo is None else a.lo**n, None if a.hi is None else a.hi**n)
        if n % 2:
            return ends
        b = absolute(a)
        return Interval(None if b.lo is None else b.lo**n, None if b.hi is None else b.hi**n)
    positive = Interval(max(a.lo or Fraction(0), Fraction(0)), a.hi)
    if exponent > 0 and (exponent.denominator != 1 or (a.lo is not None and a.lo >= 0)):
        return monotone(positive, lambda x: x ** float(exponent))
    if exponent < 0 and a.lo is not None and a.lo > 0:
        turned = monotone(Interval(a.lo, a.hi), lambda x: -(x ** float(exponent)))
        return Interval(
            Fraction(0) if turned.hi is None or a.hi is None else -turned.hi, None if turned.lo is None else -turned.lo
        )
    return ANY


def exponential(base: Fraction, a: Interval) -> Interval:
    """base ** x of every x, for a positive base."""
    if base >= 1:
        low = monotone(a, lambda x: float(base) ** x)
        return Interval(low.lo if low.lo is not None else Fraction(0), low.hi)
    return exponential(1 / base, neg(a))


def _trunc(x: Fraction | None) -> Fraction | None:
    return None if x is None else Fraction(math.trunc(x))
