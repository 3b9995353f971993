"""The tail, the threshold, and group selection as a whole, whose divergence is computed exactly."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisegate.errors import Internal
from noisegate.mechanisms.laplace import add_noise
from noisegate.mechanisms.scale import scale_for
from noisegate.mechanisms.threshold import delta_per_group, tail_above, threshold, weighted_threshold, within_delta
from noisegate.plan.measure import Selection
from support.statistics import band


def exact_tail(t: int, scale: float) -> Decimal:
    """Sum of the masses from t to t+terms-1 and of the geometric rest, with 90 digits."""
    with localcontext() as context:
        context.prec = 90
        q = (-1 / Decimal(scale)).exp()
        mass = (1 - q) / (1 + q)
        last = max(t, 0) + 60
        return sum((mass * q ** abs(z) for z in range(t, last)), Decimal(0)) + q**last / (1 + q)


@pytest.mark.parametrize("scale", [0.05, 0.5, 1.0, 7.3, 30.000000000000004])
@pytest.mark.parametrize("t", [-40, -3, -1, 0, 1, 2, 17, 400])
def test_tail_is_the_sum_of_the_masses_from_above(t: int, scale: float) -> None:
    exact = exact_tail(t, scale)
    with localcontext() as context:
        context.prec = 90
        assert exact <= tail_above(t, scale) + Decimal("1e-80")  # 1e-80: rounding of the sum itself
        assert tail_above(t, scale) <= exact * (1 + Decimal("1e-50"))


@pytest.mark.parametrize(("scale", "t"), [(1.0, 1), (1.0, 0), (5.0, 7), (5.0, -4), (100.0, 60)])
def test_tail_is_that_of_the_draws(scale: float, t: int) -> None:
    n = 20_000
    share = sum(z >= t for z in add_noise([0] * n, scale)) / n
    assert abs(share - float(tail_above(t, scale))) < band(n)


def test_tail_at_the_ends() -> None:
    assert 0 < tail_above(1, 1e-9) < Decimal("1e-1000000")
    assert tail_above(0, 1e-9) == 1
    assert tail_above(-5, 1e-9) == 1
    assert tail_above(10**30, 1e-9) > 0


@given(st.decimals("1e-30", "0.49", allow_nan=False).filter(lambda d: d > 0), st.integers(1, 200))
def test_delta_of_all_groups_together(delta: Decimal, groups: int) -> None:
    each = Fraction(delta_per_group(delta, groups))
    assert 0 < each <= Fraction(delta) / groups
    assert 1 - (1 - each) ** groups <= Fraction(delta)


@given(st.integers(1, 10**6), st.floats(1e-3, 1e6), st.decimals("1e-40", "0.49", places=45).filter(lambda d: d > 0))
def test_threshold_is_the_least_that_keeps_its_delta(k: int, scale: float, delta: Decimal) -> None:
    least = threshold(k, scale, delta)
    assert tail_above(least - k, scale) <= delta < tail_above(least - k - 1, scale)


def test_threshold_without_noise_is_just_above_the_minimum() -> None:
    """At n = k a group would show with certainty at T = k, which no delta pays."""
    assert threshold(10, scale_for(3, Fraction(10**9)), Decimal("1e-9")) == 11
    assert threshold(1, 1e-9, Decimal("1e-9")) == 2


@pytest.mark.parametrize("delta", ["0", "-1", "0.5", "1"])
def test_deltas_out_of_range_are_refused(delta: str) -> None:
    with pytest.raises(Internal):
        threshold(10, 1.0, Decimal(delta))
    with pytest.raises(Internal):
        delta_per_group(Decimal(delta), 3)


@pytest.mark.parametrize(("k", "scale"), [(0, 1.0), (10, 0.0), (10, -1.0), (10, math.inf), (10, math.nan)])
def test_thresholds_out_of_range_are_refused(k: int, scale: float) -> None:
    with pytest.raises(Internal):
        threshold(k, scale, Decimal("1e-6"))


# Selection as a whole: the joint distribution of what is shown of all groups that one unit touches.

LOSS_DIGITS = 9


def mass(z: int, scale: float) -> float:
    q = math.exp(-1 / scale)
    return (1 - q) / (1 + q) * q ** abs(z)


def shown(n: int, possible: bool, least: int, scale: float, reach: int) -> dict[int | None, float]:
    """P(noisy value shown) of one group whose count or weight is n; None: the group does not appear."""
    if not possible:
        return {None: 1.0}
    values: dict[int | None, float] = {v: mass(v - n, scale) for v in range(least, reach)}
    hidden = 1 - float(exact_tail(least - n, scale))
    values[None] = hidden
    return values


def losses(p: dict[int | None, float], q: dict[int | None, float]) -> dict[float, float]:
    """Mass of p by privacy loss log(p/q); what q cannot show has infinite loss."""
    by_loss: dict[float, float] = defaultdict(float)
    for outcome, probability in p.items():
        other = q.get(outcome, 0.0)
        by_loss[math.inf if other == 0 else round(math.log(probability / other), LOSS_DIGITS)] += probability
    return by_loss


def divergence(ns: tuple[int, ...], ms: tuple[int, ...], k: int, least: int, scale: float, epsilon: float) -> float:
    """sup over events of P(event) - e^epsilon Q(event), for groups of ns units against ms."""
    return divergence_of([(n, n >= k) for n in ns], [(m, m >= k) for m in ms], least, scale, epsilon)


Groups = list[tuple[int, bool]]  # count or weight; whether the group may appear


def divergence_of(ns: Groups, ms: Groups, least: int, scale: float, epsilon: float) -> float:
    reach = max(*(n for n, _ in ns), *(m for m, _ in ms), least) + int(40 * scale) + 2
    joint: dict[float, float] = {0.0: 1.0}
    for n, m in zip(ns, ms, strict=True):
        one = losses(shown(*n, least, scale, reach), shown(*m, least, scale, reach))
        step: dict[float, float] = defaultdict(float)
        for (a, pa), (b, pb) in itertools.product(joint.items(), one.items()):
            step[round(a + b, LOSS_DIGITS)] += pa * pb
        joint = step
    return sum(p * -math.expm1(epsilon - x) for x, p in joint.items() if x > epsilon)


SLACK = 1e-8  # of the rounding of losses


@pytest.mark.parametrize(("epsilon", "delta"), [(1.0, "1e-3"), (0.5, "0.05"), (2.0, "1e-6")])
@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 5])
def test_selection_is_epsilon_delta(k: int, groups: int, epsilon: float, delta: str) -> None:
    scale = scale_for(groups, Fraction(epsilon))
    least = threshold(k, scale, delta_per_group(Decimal(delta), groups))
    counts = sorted({max(k - 2, 0), k - 1, k, k + 1, least - 1, least})
    worst = 0.0
    for fewer in itertools.combinations_with_replacement(counts, groups):
        more = tuple(n + 1 for n in fewer)
        for pair in ((more, fewer), (fewer, more)):
            worst = max(worst, divergence(*pair, k, least, scale, epsilon))
    assert worst <= float(delta) * (1 + SLACK) + SLACK * 1e-3
    assert worst > float(delta) / 20  # and the delta is not paid for nothing


def test_a_threshold_one_lower_would_not_keep_delta() -> None:
    k, epsilon, delta = 5, 1.0, Decimal("1e-3")
    scale = scale_for(1, Fraction(1))
    least = threshold(k, scale, delta_per_group(delta, 1))
    assert divergence((k,), (k - 1,), k, least, scale, epsilon) <= float(delta)
    assert divergence((k,), (k - 1,), k, least - 1, scale, epsilon) > float(delta)


def test_a_threshold_counted_from_one_unit_beside_a_strict_minimum_fails() -> None:
    """The jump is at k: the usual threshold, counted from the first unit, would spend far more than delta."""
    k, delta = 20, Decimal("1e-6")
    scale = scale_for(1, Fraction(1))
    usual = max(k, threshold(1, scale, delta))
    assert divergence((k,), (k - 1,), k, usual, scale, 1.0) > 0.5


# Selection by weights: a unit in m groups adds WEIGHT // m to each of them.

WEIGHT = 12


@pytest.mark.parametrize(("epsilon", "delta"), [(1.0, "1e-3"), (0.5, "0.05"), (2.0, "1e-6")])
@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize("k", [1, 3])
def test_weighted_selection_is_epsilon_delta(k: int, groups: int, epsilon: float, delta: str) -> None:
    """A unit comes to m of its groups; the others in them weigh the most or the least that they may, if it is their
    only group or one of all that they may be in."""
    scale = scale_for(WEIGHT, Fraction(epsilon))
    least = weighted_threshold(k, scale, Decimal(delta), WEIGHT, groups)
    worst = 0.0
    for m in range(1, groups + 1):
        counts = sorted({max(k - 2, 0), k - 1, k, k + 1, -(-least // WEIGHT)})
        without = {(n, n * each) for n in counts for each in (WEIGHT, WEIGHT // groups)}
        for fewer in itertools.combinations_with_replacement(sorted(without), m):
            ns = [(v + WEIGHT // m, n + 1 >= k) for n, v in fewer]
            ms = [(v, n >= k) for n, v in fewer]
            for pair in ((ns, ms), (ms, ns)):
                worst = max(worst, divergence_of(*pair, least, scale, epsilon))
    assert worst <= float(delta) * (1 + SLACK) + SLACK * 1e-3
    assert worst > float(delta) / 20


def test_a_lower_weighted_threshold_would_not_keep_delta() -> None:
    k, delta = 3, Decimal("1e-3")
    scale = scale_for(WEIGHT, Fraction(1))
    least = weighted_threshold(k, scale, delta, WEIGHT, 3) - 3
    lost = max(
        divergence_of([(2 * WEIGHT + WEIGHT // m, True)] * m, [(2 * WEIGHT, False)] * m, least, scale, 1.0)
        for m in (1, 2, 3)
    )
    assert lost > float(delta)


@given(
    st.integers(1, 50),
    st.integers(1, 70),
    st.floats(0.05, 200),
    st.decimals("1e-20", "0.4", places=22).filter(lambda d: d > 0),
    st.integers(1, 10**6),
)
def test_the_weighted_threshold_keeps_delta_for_any_number_of_groups(
    k: int, groups: int, share: float, delta: Decimal, weight: int
) -> None:
    scale = weight * share
    least = weighted_threshold(k, scale, delta, weight, groups)

    def kept(at: int) -> bool:
        tails = [m * tail_above(at - (k - 1) * weight - weight // m, scale) for m in range(1, groups + 1)]
        return all(Fraction(tail) <= Fraction(delta) * (1 + Fraction(1, 10**20)) for tail in tails)

    assert kept(least) and not kept(least - 3)
    selection = Selection(0, k, delta, least, units="n", weight=weight)
    assert within_delta(selection, groups, scale)
    assert not within_delta(replace(selection, threshold=least - 3), groups, scale)


def test_weights_make_the_threshold_of_many_groups_low() -> None:
    """In units: about k + ln(K/delta)/epsilon, where a count of units needs k + K ln(K/delta)/epsilon."""
    weight, delta = 720720, Decimal("1e-9")
    by_weight = weighted_threshold(20, scale_for(weight, Fraction(1, 4)), delta, weight, 10) / weight
    by_count = threshold(20, scale_for(10, Fraction(1, 4)), delta_per_group(delta, 10))
    assert by_weight < 115 and by_count > 900


@pytest.mark.parametrize(("k", "weight", "groups"), [(0, 12, 2), (5, 0, 2), (5, 12, 0)])
def test_weighted_thresholds_out_of_range_are_refused(k: int, weight: int, groups: int) -> None:
    with pytest.raises(Internal):
        weighted_threshold(k, 1.0, Decimal("1e-6"), weight, groups)
