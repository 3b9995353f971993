"""One percentile by rank: scores of leaves, and how a price becomes noise. Pure: planning imports it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate

from noisegate.errors import Internal
from noisegate.mechanisms.scale import scale_for
from noisegate.mechanisms.shape import LEAVES_EXACT
from noisegate.plan.measure import Rank

COUNT_SHARE = Fraction(1, 10)  # of a rank's price, for the number of values: whether there are any
DENOMINATOR_MAX = 1000
LEAVES_FEW = 16_384  # of an axis with more than LEAVES_EXACT steps, where there are few groups
GROUPS_FEW = 16


def leaf_width(steps: int) -> int:
    """Grid steps in a leaf. More leaves cost a choice no more noise, but time: 5 microseconds each."""
    return 1 if steps <= LEAVES_EXACT else -(-steps // LEAVES_FEW)


def leaves_of(rank: Rank) -> int:
    return -(-rank.steps // leaf_width(rank.steps))


def rational(fraction: float) -> Fraction | None:
    """The fraction that was meant: 0.1 is 1/10. None where it has no denominator up to DENOMINATOR_MAX."""
    if not 0 <= fraction <= 1:
        return None
    q = Fraction(fraction).limit_denominator(DENOMINATOR_MAX)
    return q if float(q) == fraction else None


def targets(rank: Rank) -> tuple[tuple[int, int], ...]:
    """What is chosen, for `rank_scores`: (c, d) of each draw."""
    q = _of(rank)
    a, b = q.numerator, q.denominator
    if rank.between:  # the values of rank floor(q (N-1)) + 1 and ceil(q (N-1)) + 1
        return (-a, 1 - a), (b - 1 - a, b - a)
    # Of rank ceil(q N), at least 1. Of the last rank no leaf beyond its value is as good: else all would be.
    return ((-a, 1 - a),) if a in (0, b) else ((0, 0),)


def rank_scores(counts: Sequence[int], q: Fraction, target: tuple[int, int] = (0, 0)) -> list[int]:
    """How far each leaf is from a rank, in values times q's denominator: 0 where the percentile stands, else negative.

    With q = a/b, N values and target (c, d): 0 iff b below(x) <= a N + c and b upto(x) >= a N + d; else minus what is
    missing. With (0, 0) the first such leaf has the value of rank ceil(q N).
    Claim: one value more or less changes every score by at most max(a, b-a). Because: each side is linear in the
    counts, a value stands on one side of each comparison, and a maximum moves by no more than what it is taken of.
    """
    if not counts or min(counts) < 0:
        raise Internal("ranks of no leaves, or of negative counts")
    a, b = q.numerator, q.denominator
    c, d = target
    total = a * sum(counts)
    scores = []
    for upto, count in zip(accumulate(counts), counts, strict=True):
        scores.append(-max(0, b * (upto - count) - total - c, total + d - b * upto))
    return scores


def rank_scale(rank: Rank) -> float:
    """The least scale of each draw, in values, with which all draws cost at most their share of the price."""
    q = _of(rank)
    steps = 2 * rank.rows * rank.groups * max(q.numerator, q.denominator - q.numerator)
    paid = rank.epsilon * (1 - COUNT_SHARE) / len(targets(rank))
    return scale_for(steps, paid * q.denominator * (1 - Fraction(1, 2**40)))  # room for the map's rounding


def count_scale(rank: Rank) -> float:
    """Of the noise of the number of values."""
    return scale_for(rank.rows * rank.groups, rank.epsilon * COUNT_SHARE)


def _of(rank: Rank) -> Fraction:
    q = rational(rank.fraction)
    if q is None:
        raise Internal("a percentile by rank of an impossible fraction")
    return q
