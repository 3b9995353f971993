from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisegate.errors import Internal
from noisegate.mechanisms.laplace import loss
from noisegate.mechanisms.scale import float_above, float_below, scale_for, standard_deviation

sensitivities = st.integers(1, 2**61)
epsilons = st.fractions(Fraction(1, 10**9), Fraction(10**10), max_denominator=10**12).filter(lambda e: e > 0)


@given(sensitivities, epsilons)
def test_the_scale_is_enough_and_not_more_than_needed(sensitivity: int, epsilon: Fraction) -> None:
    scale = scale_for(sensitivity, epsilon)
    exact = Fraction(sensitivity) / epsilon
    assert exact <= Fraction(scale) <= exact * (1 + Fraction(1, 2**50))


@given(sensitivities, epsilons)
def test_opendps_own_map_never_exceeds_the_price(sensitivity: int, epsilon: Fraction) -> None:
    spent = loss(sensitivity, scale_for(sensitivity, epsilon))
    assert epsilon * (1 - Fraction(1, 2**50)) <= spent <= epsilon


@given(st.fractions(Fraction(1, 10**12), Fraction(10**12)).filter(lambda x: x > 0))
def test_floats_around_a_fraction(x: Fraction) -> None:
    below, above = float_below(x), float_above(x)
    assert Fraction(below) <= x <= Fraction(above)
    assert above in (below, math.nextafter(below, math.inf))


@pytest.mark.parametrize(
    ("sensitivity", "epsilon"),
    [(0, Fraction(1)), (1, Fraction(0)), (1, Fraction(-1)), (1, Fraction(1, 10**400)), (10**400, Fraction(1))],
)
def test_what_no_noise_can_meet_is_refused(sensitivity: int, epsilon: Fraction) -> None:
    with pytest.raises(Internal):
        scale_for(sensitivity, epsilon)


@pytest.mark.parametrize("scale", [0.3, 1.0, 12.5])
def test_standard_deviation_is_that_of_the_masses(scale: float) -> None:
    q = math.exp(-1 / scale)
    variance = 2 * math.fsum(z * z * (1 - q) / (1 + q) * q**z for z in range(1, 2000))
    assert math.isclose(standard_deviation(scale), math.sqrt(variance), rel_tol=1e-12)
