"""Listed values of arithmetic: of whole numbers that come from a few."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from noisegate.query.interval import Interval
from noisegate.query.values import INTS, Value

ROUNDED_MAX = 100  # whole numbers within declared bounds: with more, most groups of an ordinary question are empty


def rounded_values(name: str, bound: Interval) -> tuple[str, ...] | None:
    """Of floor, ceil, round and trunc of a value within `bound`."""
    if bound.lo is None or bound.hi is None:
        return None
    low, high = _WAYS.get(name, math.ceil)(bound.lo), _WAYS.get(name, math.ceil)(bound.hi)
    return tuple(str(i) for i in range(low, high + 1)) if 0 <= high - low < ROUNDED_MAX else None


def _half_up(x: Fraction) -> int:
    """As numeric rounds: away from 0."""
    return math.floor(x + Fraction(1, 2)) if x >= 0 else -math.floor(-x + Fraction(1, 2))


_WAYS: dict[str, Callable[[Fraction], int]] = {"floor": math.floor, "trunc": math.trunc, "round": _half_up}


def mapped(symbol: str, a: Value, b: Value) -> tuple[str, ...] | None:
    """Of `a symbol b`, whole numbers, one of them constant and the other listed (or, for / and %, bounded)."""
    if not (_whole(a) and _whole(b)):
        return None
    divisor = b.const.number if b.const is not None else None
    if symbol == "/" and divisor and a.finite is None and a.type in INTS and a.const is None:
        if a.bound.lo is None or a.bound.hi is None:
            return None
        ends = sorted(math.trunc(e / divisor) for e in (a.bound.lo, a.bound.hi))
        return tuple(str(i) for i in range(ends[0], ends[1] + 1)) if ends[1] - ends[0] < ROUNDED_MAX else None
    if symbol == "%" and divisor and a.finite is None and a.const is None:
        top = int(abs(divisor)) - 1
        low = 0 if a.bound.lo is not None and a.bound.lo >= 0 else -top
        high = 0 if a.bound.hi is not None and a.bound.hi <= 0 else top
        return tuple(str(i) for i in range(low, high + 1)) if high - low < ROUNDED_MAX else None
    left, right = _numbers(a), _numbers(b)
    if left is None or right is None or (a.const is None and b.const is None):
        return None
    found = {_apply(symbol, x, y) for x in left for y in right}
    return tuple(str(i) for i in sorted(i for i in found if i is not None))


def _whole(a: Value) -> bool:
    return a.type in INTS or (a.type == "numeric" and a.scale == 0)


def _numbers(a: Value) -> list[int] | None:
    if a.const is not None:
        return [int(a.const.number)] if a.const.number is not None else None
    return [int(t) for t in a.finite] if a.finite is not None and a.type in INTS | {"numeric"} else None


def _apply(symbol: str, x: int, y: int) -> int | None:
    match symbol:
        case "+":
            return x + y
        case "-":
            return x - y
        case "*":
            return x * y
        case "/":
            return math.trunc(Fraction(x, y)) if y else None
        case _:
            return x - y * math.trunc(Fraction(x, y)) if y else None
