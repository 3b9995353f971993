"""Tests of distributions that neither flake nor sleep.

The bound is Dvoretzky-Kiefer-Wolfowitz with Massart's constant: the empirical distribution function of n draws strays
from its own by more than `band(n)` with probability at most 1e-10, for every n and every distribution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Cdf = Callable[[int], float]


def band(n: int) -> float:
    return math.sqrt(math.log(2 / 1e-10) / (2 * n))


def laplace_cdf(scale: float, centre: int = 0) -> Cdf:
    """P(centre + Z <= z) for discrete Laplace Z, in a form of its own: not by way of noisegate's tail."""
    q = math.exp(-1 / scale)

    def cdf(z: int) -> float:
        z -= centre
        return q**-z / (1 + q) if z < 0 else 1 - q ** (z + 1) / (1 + q)

    return cdf


def distance(draws: Sequence[int], cdf: Cdf) -> float:
    """Largest gap between the draws' distribution function and `cdf`, both on the integers."""
    ordered = sorted(draws)
    gap = 0.0
    for i, z in enumerate(ordered):
        if i == 0 or ordered[i - 1] != z:
            gap = max(gap, abs(i / len(ordered) - cdf(z - 1)))
        if i + 1 == len(ordered) or ordered[i + 1] != z:
            gap = max(gap, abs((i + 1) / len(ordered) - cdf(z)))
    return gap


def separation(one: Cdf, other: Cdf, reach: int) -> float:
    """Largest gap between two distribution functions on [-reach, reach]."""
    return max(abs(one(z) - other(z)) for z in range(-reach, reach + 1))


def sign_agreement(xs: Sequence[int], ys: Sequence[int]) -> float:
    """Mean of sign(x)*sign(y); by Hoeffding beyond sqrt(2 ln(2/1e-10)/n) with probability at most 1e-10 where the
    signs are independent and symmetric."""
    return sum(((x > 0) - (x < 0)) * ((y > 0) - (y < 0)) for x, y in zip(xs, ys, strict=True)) / len(xs)


def sign_bound(n: int) -> float:
    return math.sqrt(2 * math.log(2 / 1e-10) / n)
