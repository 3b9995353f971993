"""Private choice of one of several declared candidates: mode(), and whatever else picks the largest count."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import opendp.prelude as dp

from noisegate.errors import Internal
from noisegate.mechanisms.laplace import TOTAL_MAX
from noisegate.mechanisms.scale import float_above

dp.enable_features("contrib")


def choose(groups: Sequence[Sequence[int]], scale: float) -> list[int]:
    """For each group the index of a candidate whose bounded count is (nearly) the largest; the first such, at vanishing
    noise. All groups have the same candidates. About a millisecond per group, half that on a quiet machine.

    Claim: if one unit adds between 0 and C to each count of a group, one group costs epsilon C/scale, whatever the
        number of candidates; a unit that touches K groups costs K times that (`choice_loss`).
    Assumes: the candidates and their order are known before any private row is read. To how many candidates one unit
        adds does not matter.
    Because: this is permute-and-flip (McKenna, Sheldon 2020), which costs epsilon where the best of two scores is
        preferred by exp(epsilon/(2C) * difference), and half of that where all scores move in one direction, as counts
        do when a unit is added. Its expected error is at most that of the exponential mechanism at the same price.
        OpenDP draws it with exact Bernoulli variables of rational exponents: no floating-point noise. The m scores are
        m*count - index, at m times the scale, rounded up: a public offset that changes no difference between
        neighbours and lets the first of several equal counts win, as in PostgreSQL's mode().
    Checked by: tests/mechanisms/test_choice.py: its distribution, and its loss on all small vectors.
    Raises Internal for counts outside the proven range, and for no candidates.
    """
    if not groups:
        return []
    candidates = len(groups[0])
    if not candidates or any(len(counts) != candidates for counts in groups):
        raise Internal("a choice without candidates, or between different ones")
    for counts in groups:
        if any(type(n) is not int or not 0 <= n < TOTAL_MAX // candidates for n in counts):
            raise Internal("a count is outside the range that was proven when the statement was planned")
    pick = _noisy_max(float_above(Fraction(scale) * candidates))
    return [pick([candidates * n - i for i, n in enumerate(counts)]) for counts in groups]


@lru_cache(4096)
def choice_loss(per_group: int, groups: int, scale: float) -> Fraction:
    """What OpenDP says: the epsilon of `groups` such choices by counts to which one unit adds at most `per_group`.

    The other groups of a declared key get a choice, too, but do not change with that unit. Raises Internal where there
    is no finite answer.
    """
    if not 1 <= per_group < TOTAL_MAX or groups < 1:
        raise Internal("a sensitivity is outside its range")
    epsilon: float = _noisy_max(scale).map(per_group)
    if not 0.0 < epsilon < float("inf"):
        raise Internal("a choice with this noise has no price")
    return Fraction(epsilon) * groups


def _noisy_max(scale: float) -> Any:
    """OpenDP's measurement on integer vectors under the monotone L-infinity distance."""
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.linf_distance(T="i64", monotonic=True)
    return space >> dp.m.then_noisy_max(dp.max_divergence(), scale)
