"""Group selection: the exact tail of the discrete Laplace distribution and the threshold it gives.

Pure: planning imports it, so it never imports the sampler. Decimals here have 60 digits and are rounded against us.
"""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from functools import lru_cache

from noisegate.errors import Internal
from noisegate.plan.measure import Selection

_UP = Context(prec=60, rounding=ROUND_CEILING, Emin=MIN_EMIN, Emax=MAX_EMAX)
_DOWN = Context(prec=60, rounding=ROUND_FLOOR, Emin=MIN_EMIN, Emax=MAX_EMAX)
_ONE = Decimal(1)
ALL_CHECKED = 64  # numbers of groups, each of which the second road looks at


def tail_above(t: int, scale: float) -> Decimal:
    """An upper bound of P(Z >= t), for Z discrete Laplace of scale b = `scale`; the excess is below 1e-50 of it.

    Claim: P(Z >= t) = exp(-t/b) / (1+exp(-1/b)) for t >= 1, and 1 - P(Z >= 1-t) for t <= 0.
    Assumes: b is exactly the float that the sampler gets.
    Because: with q = exp(-1/b) the masses are (1-q)/(1+q) q^|z|, whose geometric sum from t >= 1 on is q^t/(1+q). Z is
        symmetric, so P(Z >= t) = 1 - P(Z <= t-1) = 1 - P(Z >= 1-t). Every step is rounded upward.
    Checked by: tests/mechanisms/test_threshold.py against exact fractions, and against draws.
    """
    b = Decimal(scale)
    if t <= 0:
        return min(_UP.subtract(_ONE, _positive_tail_below(1 - t, b)), _ONE)
    return _UP.divide(_exp_above(_UP.divide(-t, b)), _DOWN.add(_ONE, _exp_below(_DOWN.divide(-1, b))))


def _positive_tail_below(t: int, b: Decimal) -> Decimal:
    """A lower bound of P(Z >= t), t >= 1."""
    return _DOWN.divide(_exp_below(_DOWN.divide(-t, b)), _UP.add(_ONE, _exp_above(_UP.divide(-1, b))))


def _exp_above(x: Decimal) -> Decimal:
    """An upper bound of exp(x): Decimal gives the nearest number of 60 digits, whatever the context's rounding."""
    return _UP.next_plus(_UP.exp(x))


def _exp_below(x: Decimal) -> Decimal:
    return max(_DOWN.next_minus(_DOWN.exp(x)), Decimal(0))


def delta_per_group(delta: Decimal, groups: int) -> Decimal:
    """The delta of one group where one unit touches at most `groups` groups and the whole costs `delta`.

    Claim: d = delta/groups, rounded down, has 1-(1-d)^groups <= delta.
    Because: Bernoulli's inequality. The exact root is larger by a factor of at most 1+delta, which moves no threshold
        at the deltas that policies allow.
    Checked by: tests/mechanisms/test_threshold.py in exact fractions.
    Raises Internal unless 0 < delta < 1/2 and groups >= 1.
    """
    if not 0 < delta < Decimal("0.5") or groups < 1:
        raise Internal("group selection needs a delta between 0 and 1/2")
    return _DOWN.divide(delta, groups)


@lru_cache(maxsize=1024)
def threshold(group_size_min: int, scale: float, delta_group: Decimal) -> int:
    """The least integer T with P(k + Z >= T) <= `delta_group`, for k = `group_size_min` and Z of scale `scale`.

    Claim: a group that is a candidate iff its bounded unit count n >= k, and appears iff n + Z >= T, appears with
        probability at most `delta_group` at n = k; below k it never does.
    Assumes: one unit moves n by at most 1, so the databases where a group changes from impossible to possible have
        n = k-1 and n = k. For n > k both neighbours are candidates and the noise pays by its epsilon.
    Because: the jump is at k, not at 1: that is where delta is spent.
    Checked by: tests/mechanisms/test_threshold.py, with exact divergences of the selection as a whole.
    Raises Internal unless 0 < delta_group < 1/2, scale > 0 and group_size_min >= 1.
    """
    if group_size_min < 1:
        raise Internal("a selection threshold was asked for outside its range")
    return group_size_min + _distance(scale, delta_group)


def _distance(scale: float, delta: Decimal) -> int:
    """The least t with P(Z >= t) <= delta."""
    if not 0 < delta < Decimal("0.5") or not 0 < scale < float("inf"):
        raise Internal("a selection threshold was asked for outside its range")
    high = 1  # P(Z >= 0) > 1/2, so the distance from k is at least 1
    while tail_above(high, scale) > delta:
        high *= 2
    low = high // 2  # too low, or 0, which is too low
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if tail_above(middle, scale) > delta else (low, middle)
    return high


@lru_cache(maxsize=1024)
def weighted_threshold(group_size_min: int, scale: float, delta: Decimal, weight: int, groups: int) -> int:
    """The threshold for groups that are selected by weights: a unit in m of them adds weight // m to each.

    Claim: let a group be a candidate iff its bounded unit count is >= k, and appear iff its weights' sum v has
        v + Z >= T. Then the selection is (weight/scale, delta)-indistinguishable. T is at most 2 above the least one.
    Assumes: one unit moves the counts of m <= `groups` groups by 1, and their weights by weight // m: L1 <= weight.
    Because: where it comes, at most m groups turn from impossible to possible. Each has k - 1 other units, of weight
        at most `weight`, so v <= (k-1) weight + weight // m, and one of them appears with probability at most
        m P(Z >= T - (k-1) weight - weight // m), which is at most delta for each m. All other groups are candidates
        with and without it, or never: these are paid by weight/scale. As a function of m, without rounding, T grows
        with weight/m + scale ln m, which falls and then rises: its most is at one of the ends.
    Checked by: tests/mechanisms/test_threshold.py, with exact divergences of the selection as a whole.
    Raises Internal as `threshold`, and unless weight and groups are at least 1.
    """
    if min(group_size_min, weight, groups) < 1:
        raise Internal("a selection threshold was asked for outside its range")
    ends = [weight // m + _distance(scale, delta_per_group(delta, m)) for m in (1, groups)]
    spare = 0 if groups <= 2 else 2  # rounding, down and up, between the ends
    return (group_size_min - 1) * weight + max(ends) + spare


def within_delta(selection: Selection, groups: int, scale: float) -> bool:
    """Whether groups that one unit turns from impossible to possible appear with probability at most delta, by the
    tail itself. Of very many groups of a unit, those numbers are looked at where it is largest: few, and all."""
    k, least = selection.group_size_min, selection.threshold
    if not selection.units:
        return tail_above(least - k, scale) <= delta_per_group(selection.delta, groups)
    below = (k - 1) * selection.weight
    return all(
        tail_above(least - below - selection.weight // m, scale) <= delta_per_group(selection.delta, m)
        for m in {*range(1, min(groups, ALL_CHECKED) + 1), groups}
    )
