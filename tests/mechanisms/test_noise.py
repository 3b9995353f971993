"""The sampler draws the distribution that is claimed: accepted at its own scale, rejected 30 % off or shifted."""

from __future__ import annotations

from fractions import Fraction

import pytest

from noisegate.errors import Internal
from noisegate.mechanisms.laplace import TOTAL_MAX, add_noise, loss
from noisegate.mechanisms.scale import scale_for
from support.statistics import band, distance, laplace_cdf, separation, sign_agreement, sign_bound

DRAWS = 40_000


@pytest.mark.parametrize("scale", [0.7, 4.0, 250.0])
def test_noise_has_the_claimed_distribution(scale: float) -> None:
    draws = add_noise([0] * DRAWS, scale)
    assert distance(draws, laplace_cdf(scale)) < band(DRAWS)


@pytest.mark.parametrize("scale", [0.7, 4.0, 250.0])
@pytest.mark.parametrize("factor", [0.7, 1.3])
def test_another_scale_would_be_noticed(scale: float, factor: float) -> None:
    claimed, other = laplace_cdf(scale), laplace_cdf(scale * factor)
    assert separation(claimed, other, int(10 * scale) + 3) > 2 * band(DRAWS)  # so the next line cannot flake
    assert distance(add_noise([0] * DRAWS, scale * factor), claimed) > band(DRAWS)


@pytest.mark.parametrize(("scale", "shift"), [(0.7, 1), (4.0, 1), (250.0, 30)])
def test_a_shifted_mean_would_be_noticed(scale: float, shift: int) -> None:
    claimed = laplace_cdf(scale)
    assert separation(claimed, laplace_cdf(scale, shift), int(10 * scale) + 3) > 2 * band(DRAWS)
    assert distance(add_noise([shift] * DRAWS, scale), claimed) > band(DRAWS)


def test_entries_are_independent_and_never_repeated() -> None:
    draws = add_noise([0] * DRAWS, 50.0)
    assert abs(sign_agreement(draws[:-1], draws[1:])) < sign_bound(DRAWS - 1)
    half = DRAWS // 2
    assert abs(sign_agreement(draws[:half], draws[half:])) < sign_bound(half)
    assert draws != add_noise([0] * DRAWS, 50.0)


def test_each_total_gets_its_own_noise_in_place() -> None:
    totals = [10**6 * i for i in range(1000)]
    noisy = add_noise(totals, 3.0)
    assert all(abs(after - before) < 1000 for before, after in zip(totals, noisy, strict=True))
    assert noisy != totals


def test_no_noise_at_a_tiny_scale_and_the_ends_of_the_range() -> None:
    ends = [TOTAL_MAX - 1, -TOTAL_MAX + 1, 0, 7]
    assert add_noise(ends, 1e-9) == ends
    assert add_noise([], 1.0) == []


@pytest.mark.parametrize("total", [TOTAL_MAX, -TOTAL_MAX, True, 1.0, None])
def test_totals_outside_the_proven_range_are_refused(total: object) -> None:
    with pytest.raises(Internal):
        add_noise([total], 1.0)  # type: ignore[list-item]


def test_the_price_is_opendps_own() -> None:
    assert loss(1, 2.0) == Fraction(1, 2)
    assert loss(6, 2.0) == 3
    assert loss(3, scale_for(3, Fraction(1, 10))) <= Fraction(1, 10)


@pytest.mark.parametrize(("sensitivity", "scale"), [(0, 1.0), (-1, 1.0), (TOTAL_MAX, 1.0), (1, 0.0)])
def test_free_noise_does_not_exist(sensitivity: int, scale: float) -> None:
    with pytest.raises(Internal):
        loss(sensitivity, scale)
