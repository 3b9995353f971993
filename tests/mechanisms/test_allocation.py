"""The division of a price: exact, and optimal for the largest relative noise."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisegate.errors import Internal
from noisegate.mechanisms.allocation import LEAST_SHARE, Part, allocate

fractions = st.fractions(Fraction(1, 10**6), 100).filter(lambda f: f > 0)
parts = st.lists(st.builds(Part, st.integers(1, 10**9), st.fractions(1, 10**12)), min_size=1, max_size=6)


def worst(prices: tuple[Fraction, ...], asked: list[Part]) -> Fraction:
    return max(p.sensitivity / (price * p.size) for price, p in zip(prices, asked, strict=True))


@given(fractions, parts)
@settings(max_examples=60, deadline=None)
def test_prices_add_up_exactly_and_none_starves(price: Fraction, asked: list[Part]) -> None:
    prices = allocate(price, asked)
    assert sum(prices) == price
    assert min(prices) >= price * LEAST_SHARE / len(asked)


@given(fractions, parts, st.data())
@settings(max_examples=60, deadline=None)
def test_no_other_division_has_a_smaller_largest_relative_noise(
    price: Fraction, asked: list[Part], data: st.DataObject
) -> None:
    prices = allocate(price, asked)
    if min(prices) == price * LEAST_SHARE / len(asked) and len(asked) > 1:
        return
    weights = [data.draw(st.integers(1, 100)) for _ in asked]
    other = tuple(price * w / sum(weights) for w in weights)
    assert worst(prices, asked) <= worst(other, asked)


def test_equal_where_size_is_sensitivity() -> None:
    assert allocate(Fraction(1), [Part(1, Fraction(1)), Part(50, Fraction(50))]) == (Fraction(1, 2), Fraction(1, 2))


def test_what_is_noisier_for_its_size_gets_more() -> None:
    assert allocate(Fraction(1, 10), [Part(3, Fraction(3)), Part(10, Fraction(5))]) == (
        Fraction(1, 30),
        Fraction(1, 15),
    )


def test_fixed_shares_are_of_the_whole() -> None:
    asked = [Part(3, Fraction(3)), Part(1, Fraction(1), Fraction(1, 10)), Part(10, Fraction(10))]
    assert allocate(Fraction(2), asked) == (Fraction(9, 10), Fraction(1, 5), Fraction(9, 10))
    assert allocate(Fraction(2), asked[1:2]) == (Fraction(2),), "a price is used up"


def test_a_tiny_weight_gets_the_least_share() -> None:
    prices = allocate(Fraction(1), [Part(1, Fraction(10**9)), Part(3, Fraction(3)), Part(10, Fraction(5))])
    assert prices == (Fraction(1, 60), Fraction(59, 180), Fraction(59, 90))


@pytest.mark.parametrize(
    ("price", "asked"),
    [
        (Fraction(0), [Part(1, Fraction(1))]),
        (Fraction(-1), [Part(1, Fraction(1))]),
        (Fraction(1), []),
        (Fraction(1), [Part(0, Fraction(1))]),
        (Fraction(1), [Part(1, Fraction(0))]),
        (Fraction(1), [Part(1, Fraction(1), Fraction(0)), Part(1, Fraction(1))]),
        (Fraction(1), [Part(1, Fraction(1), Fraction(1)), Part(1, Fraction(1))]),
        (Fraction(1), [Part(1, Fraction(1), Fraction(2, 3)), Part(1, Fraction(1), Fraction(2, 3))]),
    ],
)
def test_what_cannot_be_divided_is_refused(price: Fraction, asked: list[Part]) -> None:
    with pytest.raises(Internal):
        allocate(price, asked)
