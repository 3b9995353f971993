"""One percentile by private choice among leaves: for one or two percentiles of a column far better than a tree."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from typing import Any

import opendp.prelude as dp

from noisegate.errors import Internal
from noisegate.mechanisms.laplace import TOTAL_MAX
from noisegate.mechanisms.scale import float_above, float_below, scale_for

dp.enable_features("contrib")

DENOMINATOR_MAX = 1000


def choose_rank(groups: Sequence[Sequence[int]], fraction: float, scale: float) -> list[int]:
    """For each group the leaf where percentile_disc(fraction) stands, or nearly: by counts of values per leaf.

    Claim: if one unit has at most M values in a group, one group costs epsilon = 2 M max(q, 1-q) / scale (`rank_loss`),
        whatever the number of leaves; a unit in K groups costs K times that. At vanishing noise with one grid step per
        leaf the leaf is PostgreSQL's answer.
    Assumes: the axis is public.
    Because: permute-and-flip over scores to which one value adds at most max(q, 1-q) either way (`rank_scores`), as in
        `choice.choose`; they move in both directions, so the price is twice that of a count. A public offset below one
        score unit lets the first of several equal leaves win.
    Checked by: tests/mechanisms/test_rank.py.
    It does not say whether there are any values: NULL must be decided by a released count. Raises Internal.
    """
    q = _rational(fraction)
    if not groups:
        return []
    leaves = len(groups[0])
    scored = [rank_scores(counts, q) for counts in groups]
    if any(len(scores) != leaves or -min(scores) >= TOTAL_MAX // leaves for scores in scored):
        raise Internal("a rank is outside the range that was proven when the statement was planned")
    pick = _noisy_max(float_above(Fraction(scale) * q.denominator * leaves))
    return [pick([leaves * score - i for i, score in enumerate(scores)]) for scores in scored]


def rank_scores(counts: Sequence[int], q: Fraction) -> list[int]:
    """How far each leaf is from rank ceil(q N), in values times q's denominator: 0 where the percentile stands, else
    negative.

    With q = a/b: leaf x holds that rank iff (b-a) below(x) < a from(x) and (b-a) upto(x) >= a above(x); the score is
    minus what is missing.
    Claim: one value more or less changes every score by at most max(a, b-a). Because: each side is linear in the
    counts, a value stands on one side of each comparison, and a maximum moves by no more than what it is taken of.
    """
    if not counts or min(counts) < 0:
        raise Internal("ranks of no leaves, or of negative counts")
    a, b = q.numerator, q.denominator
    total = sum(counts)
    scores = []
    for upto, count in zip(accumulate(counts), counts, strict=True):
        below = upto - count
        scores.append(-max(0, (b - a) * below - a * (total - below), a * (total - upto) - (b - a) * upto))
    return scores


def rank_scale(rows: int, groups: int, fraction: float, epsilon: Fraction) -> float:
    """The least scale, in values, whose choices cost at most `epsilon` for M = `rows` and K = `groups`."""
    q = _rational(fraction)
    steps = 2 * rows * groups * max(q.numerator, q.denominator - q.numerator)
    return scale_for(steps, epsilon * q.denominator * (1 - Fraction(1, 2**40)))  # room for the map's rounding


@lru_cache(4096)
def rank_loss(rows: int, groups: int, fraction: float, scale: float) -> Fraction:
    """What OpenDP says these choices cost. Raises Internal where there is no finite answer."""
    q = _rational(fraction)
    if not 1 <= rows < 2**31 or groups < 1 or not scale > 0:
        raise Internal("a sensitivity is outside its range")
    distance = rows * max(q.numerator, q.denominator - q.numerator)
    epsilon: float = _noisy_max(float_below(Fraction(scale) * q.denominator)).map(distance)
    if not 0.0 < epsilon < float("inf"):
        raise Internal("a choice with this noise has no price")
    return Fraction(epsilon) * groups


def _rational(fraction: float) -> Fraction:
    """The fraction that was meant: 0.1 is 1/10. Ranks below one value in a thousand are not told apart."""
    if not 0 < fraction <= 1:
        raise Internal("a percentile by choice needs a fraction above 0, and at most 1")
    q = Fraction(fraction).limit_denominator(DENOMINATOR_MAX)
    return q if q > 0 else Fraction(1, DENOMINATOR_MAX)


def _noisy_max(scale: float) -> Any:
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.linf_distance(T="i64")
    return space >> dp.m.then_noisy_max(dp.max_divergence(), scale)
