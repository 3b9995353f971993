"""Discrete Laplace noise from OpenDP's exact sampler, and OpenDP's own map of what it costs.

OpenDP treats the scale as an exact rational and draws from the operating system's randomness. Figures (one core):
about 12 microseconds per entry of a vector, 25 milliseconds per 2,000 entries, in native code that releases the
interpreter's lock; a call per number would be ten times dearer, and the sampler of fixed running time a thousand times.
Making a measurement takes as long as ten entries, so they are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from threading import get_ident
from typing import Any

import opendp.prelude as dp

from noisegate.errors import Internal

TOTAL_MAX = 2**62  # planning proves smaller totals; what the sampler adds saturates at the ends of 64 bits

dp.enable_features("contrib")


def add_noise(totals: Sequence[int], scale: float) -> list[int]:
    """`totals`, each with an independent draw of discrete Laplace noise of this scale, in order.

    Raises Internal where a total is not an int below TOTAL_MAX in absolute value; nothing was drawn then.
    """
    for total in totals:
        if type(total) is not int or not -TOTAL_MAX < total < TOTAL_MAX:
            raise Internal("a total is outside the range that was proven when the statement was planned")
    if not totals:
        return []
    noisy: list[int] = _laplace(scale, get_ident())(list(totals))
    if len(noisy) != len(totals):
        raise Internal("the sampler returned a vector of another length")
    return noisy


@lru_cache(4096)
def loss(sensitivity: int, scale: float) -> Fraction:
    """What OpenDP says: the epsilon of this noise for vectors that differ by at most `sensitivity` in L1.

    Raises Internal where there is no finite answer: no noise is infinitely dear.
    """
    if not 1 <= sensitivity < TOTAL_MAX:
        raise Internal("a sensitivity is outside its range")
    epsilon: float = _laplace(scale, get_ident()).map(sensitivity)
    if not 0.0 < epsilon < float("inf"):
        raise Internal("noise of this scale has no price")
    return Fraction(epsilon)


@lru_cache(512)
def _laplace(scale: float, thread: int) -> Any:
    """OpenDP's measurement on integer vectors under the L1 distance: a constant, which holds no state between draws.
    One per thread, for nothing says that two threads may call one at the same time."""
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
    return space >> dp.m.then_laplace(scale)
