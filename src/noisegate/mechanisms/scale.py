"""Scales of the discrete Laplace distribution. Pure: planning imports it, so it never imports the sampler.

The distribution of scale b on the integers: P(Z = z) = (1-exp(-1/b))/(1+exp(-1/b)) * exp(-|z|/b).
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

from noisegate.errors import Internal


def float_below(x: Fraction) -> float:
    """The largest float <= x, for x > 0 (0.0 where x is below every float).

    Raises OverflowError where x is beyond every float.
    """
    near = x.numerator / x.denominator  # correctly rounded by Python
    return near if Fraction(near) <= x else math.nextafter(near, 0.0)


def float_above(x: Fraction) -> float:
    """The smallest float >= x, for x > 0. Raises OverflowError where x is beyond every float."""
    near = x.numerator / x.denominator
    return near if Fraction(near) >= x else math.nextafter(near, math.inf)


@lru_cache(4096)
def scale_for(sensitivity: int, epsilon: Fraction) -> float:
    """The smallest float b whose noise on integers with this L1 sensitivity is `epsilon`-DP, provably in floats too.

    Claim: b >= sensitivity/epsilon, and the map that the sampler's library evaluates, sensitivity/b with every float
        step rounded up, is at most epsilon.
    Assumes: that map converts the sensitivity to a float and divides, each rounded up.
    Because: let s be the sensitivity rounded up and e epsilon rounded down to floats; b >= s/e, so s/b <= e exactly,
        and the least float above s/b is at most e, which is a float itself.
    Checked by: tests/mechanisms/test_scale.py against exact fractions and the library's own map; by the release gate
        for every plan.
    Raises Internal for a sensitivity below 1, or an epsilon that no float noise can meet.
    """
    if sensitivity < 1 or epsilon <= 0:
        raise Internal("noise needs a sensitivity of at least 1 and a price above 0")
    try:
        scale = float_above(Fraction(float_above(Fraction(sensitivity))) / Fraction(float_below(epsilon)))
    except (OverflowError, ZeroDivisionError):
        raise Internal("no noise can be drawn for this price") from None
    if not 0.0 < scale < math.inf:
        raise Internal("no noise can be drawn for this price")
    return scale


def standard_deviation(scale: float) -> float:
    """Of the discrete Laplace of this scale: sqrt(2 exp(-1/b)) / (1-exp(-1/b)). In the integers' own unit."""
    return math.sqrt(2 * math.exp(-1 / scale)) / -math.expm1(-1 / scale)
