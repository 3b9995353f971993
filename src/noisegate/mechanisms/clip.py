"""Where to clip what one unit adds to a sum, chosen privately from a noisy histogram. Pure: no sampler, no numpy.

Sums are in grid steps. One unit's total in one group falls into one *bucket*: bucket j holds the totals of at most
limits[j], a power of two, in absolute value, and more than limits[j-1]; bucket 0 those of at most 1.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction

from noisegate.errors import Internal

SHARE_UNGROUPED = Fraction(1, 4)  # of the price of a sum, for its histogram
SHARE_GROUPED = Fraction(1, 10)
SURE = 0.005  # how likely an empty bucket may be taken for a filled one
TAIL_MAX = 3  # buckets beyond the last filled one that are thought to hold something
FALL_MAX = 0.5  # a bucket has at most this share of the one before it there: tails without a mean are not believed
TYPICAL = 0.72  # of a bucket's limit: mean of its totals where these are spread like 1/x


def clip_limits(most: int) -> tuple[int, ...]:
    """The clipping points to choose from: 1, 2, 4 ... and `most`, which no unit's total exceeds (public)."""
    if most < 1:
        raise Internal("a sum to which nobody can add")
    return (*(1 << j for j in range((most - 1).bit_length())), most)


def bucket_of(total: int, limits: Sequence[int]) -> int:
    """The bucket of one unit's total in one group; what the generated SQL does, for tests and for reference.

    Claim: with one bucket per (unit, group) pair and at most K groups per unit, the histogram's L1 sensitivity is K.
    Because: a unit adds 1 to one bucket for each of its pairs.
    Checked by: tests/mechanisms/test_clip.py.
    """
    return min(bisect_left(limits, abs(total)), len(limits) - 1)


def clipped_sum(sums: Sequence[int], signs: Sequence[int], limits: Sequence[int], chosen: int) -> int:
    """The sum of all totals of a group, each clamped to [-T, T] for T = limits[chosen], from its buckets alone.

    sums[j]: sum of the totals in bucket j; signs[j]: positive ones less negative ones in it.
    Claim: exactly the sum of the clamped totals, so one unit adds at most T to each of its groups.
    Because: a total in a bucket up to the chosen one is at most T, and is itself; one above it is clamped to +-T.
    Checked by: tests/mechanisms/test_clip.py. Confidential in, confidential out: the caller adds noise for K*T.
    """
    return sum(sums[: chosen + 1]) + limits[chosen] * sum(signs[chosen + 1 :])


def in_steps(noisy: Sequence[int], fine: int) -> list[int]:
    """Noisy numbers in steps of which `fine` are one, rounded to whole ones: post-processing."""
    return [(2 * n + fine) // (2 * fine) for n in noisy] if fine > 1 else list(noisy)


def choose_clip(
    noisy: Sequence[int],
    limits: Sequence[int],
    scale: float,
    *,
    groups: int,
    rows: int,
    price: Fraction,
    bias: Fraction = Fraction(1),
) -> int:
    """Index of the clipping point with the least expected error of the sums that follow.

    noisy: the histogram over all groups together, with discrete Laplace noise of `scale`. groups: K, of a unit, or 1
    where limits hold for all groups of a unit together; rows: how many groups the answer has (1 if ungrouped; of
    selected groups those that were released); price: epsilon of the sums; bias: how much of what is cut off counts as
    error: of a mean less than all, since its two sums are cut in proportion.
    A sum clipped at T misses what pairs have above T, on average over the groups; its noise has scale K*T/price. The
    point with the least sum of both is where about price/(K*rows) pairs more would be clipped (Amin et al. 2019). The
    largest bucket whose count is taken as it is, is the last one that noise alone would fill with probability SURE at
    most, else the fullest: otherwise an empty bucket far out, thousands of times larger, would be taken for a filled
    one by chance. What lies beyond it is guessed from how fast the last three fall off (_tail).
    Claim: costs nothing beyond the histogram's price. Because: it reads noisy counts and public numbers only.
    Checked by: tests/mechanisms/test_clip.py; `python bench/clip.py` compares it with the best fixed point.
    """
    if len(noisy) != len(limits) or not 0 < scale < math.inf or groups < 1 or rows < 1 or price <= 0:
        raise Internal("a clipping point was asked for outside its range")
    bar = scale * math.log(len(limits) / (2 * SURE))
    filled = [j for j, count in enumerate(noisy) if count > bar]
    top = filled[-1] if filled else max(range(len(noisy)), key=noisy.__getitem__)
    pairs = [float(max(count, 0)) if j <= top else 0.0 for j, count in enumerate(noisy)]
    if top - 2 in filled and top - 1 in filled:
        pairs[top + 1 :] = _tail(pairs[top - 2 : top + 1], bar, len(noisy) - top - 1)
    share = float(bias / rows)
    errors = [_error(j, pairs, limits, share, float(groups * limits[j] / price)) for j in range(len(limits))]
    return errors.index(min(errors))


def _tail(last: Sequence[float], bar: float, buckets: int) -> list[float]:
    """What the buckets beyond the last filled one are thought to hold, where the last three fall off.

    They go on falling as fast, and faster by as much as the fall has quickened, but end after TAIL_MAX buckets: a
    heavy tail goes on below what the noise lets see, and to forget it cuts sums too low; to believe it too long costs
    noise. None holds more than would have been seen.
    """
    first, second, third = last
    found = [0.0] * buckets
    if not first > second > third > 0:
        return found
    quicker = min(1.0, (third / second) / (second / first))
    ratio, count = min(third / second, FALL_MAX), third
    for j in range(min(TAIL_MAX, buckets)):
        ratio *= quicker
        count *= ratio
        found[j] = min(count, bar)
    return found


def _error(chosen: int, pairs: Sequence[float], limits: Sequence[int], share: float, noise: float) -> float:
    """E|bias + Laplace(noise)| = bias + noise * exp(-bias/noise), for the bias of an average group."""
    limit = limits[chosen]
    lost = sum(
        count * max(TYPICAL * above - limit, 0.0)
        for count, above in zip(pairs[chosen + 1 :], limits[chosen + 1 :], strict=True)
    )
    bias = lost * share
    return bias + noise * math.exp(-bias / noise)
