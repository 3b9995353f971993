"""The private clipping point: exact sums from buckets, the histogram's sensitivity, and near the best fixed point."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from noisegate.errors import Internal
from noisegate.mechanisms.clip import (
    SHARE_GROUPED,
    SHARE_UNGROUPED,
    bucket_of,
    choose_clip,
    clip_limits,
    clipped_sum,
)
from noisegate.mechanisms.scale import scale_for

LIMITS = clip_limits(2**24)
totals = st.lists(st.integers(-1000, 1000), max_size=30)


def histogram(values: list[int], limits: tuple[int, ...]) -> list[int]:
    counts = [0] * len(limits)
    for value in values:
        counts[bucket_of(value, limits)] += 1
    return counts


@pytest.mark.parametrize(
    ("most", "limits"),
    [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (4, (1, 2, 4)), (1000, (*(2**j for j in range(10)), 1000))],
)  # fmt: skip
def test_limits_are_powers_of_two_up_to_the_most(most: int, limits: tuple[int, ...]) -> None:
    assert clip_limits(most) == limits


@given(totals, st.integers(1000, 5000))
@settings(max_examples=60, deadline=None)
def test_clipped_sums_follow_from_buckets(values: list[int], most: int) -> None:
    limits = clip_limits(most)
    sums, signs = [0] * len(limits), [0] * len(limits)
    for value in values:
        sums[bucket_of(value, limits)] += value
        signs[bucket_of(value, limits)] += (value > 0) - (value < 0)
    for chosen, limit in enumerate(limits):
        assert clipped_sum(sums, signs, limits, chosen) == sum(max(-limit, min(value, limit)) for value in values)


@given(st.lists(st.lists(st.integers(-2000, 2000), max_size=3), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_one_unit_changes_the_histogram_by_its_groups(units: list[list[int]]) -> None:
    """Each unit has at most K = 3 pairs; totals beyond the last limit stand in the last bucket."""
    limits = clip_limits(1000)
    whole = histogram([value for unit in units for value in unit], limits)
    for i, unit in enumerate(units):
        rest = histogram([value for other in units[:i] + units[i + 1 :] for value in other], limits)
        assert sum(abs(a - b) for a, b in zip(whole, rest, strict=True)) == len(unit) <= 3


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_without_noise_nothing_is_clipped_and_no_more_is_allowed_than_needed(values: list[int]) -> None:
    limits, price = clip_limits(10**6), Fraction(10**9)
    chosen = choose_clip(histogram(values, limits), limits, scale_for(1, price), groups=1, rows=1, price=price)
    assert limits[chosen] >= max(values)
    assert chosen == 0 or limits[chosen - 1] < max(values)


def drawn(kind: str, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    values = {
        "pareto": lambda: 100 * (rng.pareto(1.5, n) + 1),
        "lognormal": lambda: np.exp(rng.normal(6, 1, n)),
        "uniform": lambda: rng.uniform(0, 2000, n),
        "constant": lambda: np.full(n, 1000.0),
    }[kind]()
    return np.minimum(np.round(values), LIMITS[-1])


def error(values: NDArray[np.float64], limit: int, groups: int, rows: int, price: float) -> float:
    """Expected error of the sum of an average group."""
    bias, noise = np.maximum(values - limit, 0).sum() / rows, groups * limit / price
    return float(bias + noise * np.exp(-bias / noise))


@pytest.mark.parametrize("kind", ["pareto", "lognormal", "uniform", "constant"])
@pytest.mark.parametrize("epsilon", [1.0, 0.1])
@pytest.mark.parametrize(("rows", "groups", "bound"), [(1, 1, 6.0), (20, 3, 2.2), (200, 3, 1.4)])
def test_the_error_is_near_that_of_the_best_point(
    kind: str, epsilon: float, rows: int, groups: int, bound: float
) -> None:
    rng = np.random.default_rng(1)
    share = SHARE_UNGROUPED if rows == 1 else SHARE_GROUPED
    price, scale = Fraction(epsilon) * (1 - share), groups / float(Fraction(epsilon) * share)
    values = drawn(kind, 50_000 * groups, rng)
    counts = np.bincount(np.searchsorted(LIMITS, values), minlength=len(LIMITS))
    best = min(error(values, limit, groups, rows, epsilon) for limit in LIMITS)
    ratios = []
    for _ in range(60):
        noisy = np.round(counts + rng.laplace(0, scale, len(LIMITS))).astype(int).tolist()
        chosen = choose_clip(noisy, LIMITS, scale, groups=groups, rows=rows, price=price)
        ratios.append(error(values, LIMITS[chosen], groups, rows, float(price)) / best)
    assert np.percentile(ratios, 90) < bound
    assert error(values, LIMITS[-1], groups, rows, epsilon) / best > 50, "no clipping at all would be noticed"


def test_more_groups_or_less_price_clip_lower() -> None:
    counts = [0] * 8 + [4000 >> j for j in range(10)] + [0] * 7

    def chosen(rows: int, price: Fraction) -> int:
        return choose_clip(counts, LIMITS, 1.0, groups=1, rows=rows, price=price)

    assert chosen(1, Fraction(1)) > chosen(20, Fraction(1)) > chosen(500, Fraction(1))
    assert chosen(20, Fraction(1)) > chosen(20, Fraction(1, 50))


def test_what_is_cut_off_counts_by_the_bias() -> None:
    counts = [0] * 8 + [4000 >> j for j in range(10)] + [0] * 7

    def chosen(bias: Fraction) -> int:
        return choose_clip(counts, LIMITS, 1.0, groups=1, rows=100, price=Fraction(1), bias=bias)

    assert chosen(Fraction(1)) == choose_clip(counts, LIMITS, 1.0, groups=1, rows=100, price=Fraction(1))
    assert chosen(Fraction(20)) > chosen(Fraction(1)) > chosen(Fraction(1, 20))


def test_a_heavy_tail_is_thought_to_go_on_where_noise_hides_it() -> None:
    """Beyond the last filled bucket the histogram is empty in both; only one of them was falling off."""
    falling, ending = [0] * len(LIMITS), [0] * len(LIMITS)
    falling[8:13] = [8000, 4000, 2000, 1000, 500]
    ending[8:13] = [500, 500, 500, 500, 500]
    found = [choose_clip(h, LIMITS, 20.0, groups=1, rows=1, price=Fraction(1, 2)) for h in (falling, ending)]
    assert found[0] > found[1] == 12


def test_an_empty_table_gets_some_point() -> None:
    assert 0 <= choose_clip([-3, 2, -1], clip_limits(4), 5.0, groups=1, rows=1, price=Fraction(1)) < 3


@pytest.mark.parametrize(
    ("noisy", "scale", "groups", "rows", "price"),
    [([1], 1.0, 1, 1, 1), ([1, 2], 0.0, 1, 1, 1), ([1, 2], 1.0, 0, 1, 1), ([1, 2], 1.0, 1, 0, 1),
     ([1, 2], 1.0, 1, 1, 0)],
)  # fmt: skip
def test_what_has_no_point_is_refused(noisy: list[int], scale: float, groups: int, rows: int, price: int) -> None:
    with pytest.raises(Internal):
        choose_clip(noisy, clip_limits(2), scale, groups=groups, rows=rows, price=Fraction(price))
    with pytest.raises(Internal):
        clip_limits(0)
