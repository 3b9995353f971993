"""One percentile by private choice among leaves: for a single percentile of a column far better than a tree."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import opendp.prelude as dp

from noisegate.errors import Internal
from noisegate.mechanisms.laplace import TOTAL_MAX, add_noise, loss
from noisegate.mechanisms.ranking import count_scale, rank_scale, rank_scores, rational, targets
from noisegate.mechanisms.scale import float_above, float_below
from noisegate.plan.measure import Rank

dp.enable_features("contrib")

Ranked = tuple[int, ...]


def ranked(rank: Rank, groups: Sequence[Sequence[int]]) -> tuple[Ranked, ...]:
    """For each group the noisy number of its values, and the leaf where the percentile stands, or nearly; two leaves
    where the values on both sides of its place are chosen. Groups are counts of values per leaf.

    Claim: if one unit adds at most M values to each of at most K groups, all of it costs rank.epsilon.
    Assumes: the axis is public.
    Because: the numbers of values are a vector of L1 sensitivity K M; each draw costs what `rank_loss` says; prices
        add. A draw is permute-and-flip (McKenna, Sheldon 2020) over the scores of Smith 2011, to which one value adds
        at most max(q, 1-q) either way (`rank_scores`). They move in both directions, so the price is twice that of a
        count. A public offset below one score unit lets the first of several equal leaves win.
    Checked by: tests/mechanisms/test_rank.py.
    At vanishing noise with one grid step per leaf the leaves are PostgreSQL's. Raises Internal.
    """
    if not groups:
        return ()
    totals = add_noise([sum(counts) for counts in groups], count_scale(rank))
    leaves = [choose_rank(groups, rank.fraction, rank_scale(rank), target) for target in targets(rank)]
    return tuple(zip(totals, *leaves, strict=True))


def choose_rank(
    groups: Sequence[Sequence[int]], fraction: float, scale: float, target: tuple[int, int] = (0, 0)
) -> list[int]:
    """One draw for each group. scale: in values."""
    q = rational(fraction)
    if q is None:
        raise Internal("a percentile by rank of an impossible fraction")
    if not groups:
        return []
    leaves = len(groups[0])
    scored = [rank_scores(counts, q, target) for counts in groups]
    if any(len(scores) != leaves or -min(scores) >= TOTAL_MAX // leaves for scores in scored):
        raise Internal("a rank is outside the range that was proven when the statement was planned")
    pick = _noisy_max(float_above(Fraction(scale) * q.denominator * leaves))
    return [pick([leaves * score - i for i, score in enumerate(scores)]) for scores in scored]


def ranks_loss(rank: Rank) -> Fraction:
    """What OpenDP says all of it costs."""
    one = rank_loss(rank.rows, rank.groups, rank.fraction, rank_scale(rank))
    return loss(rank.rows * rank.groups, count_scale(rank)) + one * len(targets(rank))


@lru_cache(4096)
def rank_loss(rows: int, groups: int, fraction: float, scale: float) -> Fraction:
    """What OpenDP says one draw in each group costs. Raises Internal where there is no finite answer."""
    q = rational(fraction)
    if q is None or not 1 <= rows < 2**31 or groups < 1 or not scale > 0:
        raise Internal("a sensitivity is outside its range")
    distance = rows * max(q.numerator, q.denominator - q.numerator)
    epsilon: float = _noisy_max(float_below(Fraction(scale) * q.denominator)).map(distance)
    if not 0.0 < epsilon < float("inf"):
        raise Internal("a choice with this noise has no price")
    return Fraction(epsilon) * groups


def _noisy_max(scale: float) -> Any:
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.linf_distance(T="i64")
    return space >> dp.m.then_noisy_max(dp.max_divergence(), scale)
