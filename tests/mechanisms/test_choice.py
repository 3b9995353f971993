"""The private choice: its distribution, recomputed over all orders, and its loss on all small vectors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cache

import pytest

from noisegate.errors import Internal
from noisegate.mechanisms.choice import choice_loss, choose
from noisegate.mechanisms.scale import scale_for
from support.statistics import band

DRAWS = 4_000
COUNTS = (14, 4, 4, 4, 4, 4, 4, 4)


@cache
def chances(counts: tuple[int, ...], scale: float) -> list[float]:
    """Permute-and-flip by its definition: candidates in random order, each taken with exp(-(best - score)/scale)."""
    scores = [n - i / len(counts) for i, n in enumerate(counts)]
    best, orders = max(scores), list(itertools.permutations(range(len(counts))))
    chance = [0.0] * len(counts)
    for order in orders:
        left = 1.0
        for candidate in order:
            taken = math.exp((scores[candidate] - best) / scale)
            chance[candidate] += left * taken / len(orders)
            left *= 1 - taken
    return chance


def gap(one: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(itertools.accumulate(one), itertools.accumulate(other), strict=True))


@pytest.fixture(scope="module")
def drawn() -> list[float]:
    taken = choose([COUNTS] * DRAWS, 5.0)
    return [taken.count(i) / DRAWS for i in range(len(COUNTS))]


def test_the_choice_has_the_claimed_distribution(drawn: list[float]) -> None:
    assert gap(drawn, chances(COUNTS, 5.0)) < band(DRAWS)


@pytest.mark.parametrize("factor", [0.7, 1.3])
def test_another_scale_would_be_noticed(drawn: list[float], factor: float) -> None:
    other = chances(COUNTS, 5.0 * factor)
    assert gap(chances(COUNTS, 5.0), other) > 2 * band(DRAWS)  # so the next line cannot flake
    assert gap(drawn, other) > band(DRAWS)


@pytest.mark.parametrize("most", [1, 2])
def test_one_unit_changes_no_chance_by_more_than_the_price(most: int) -> None:
    """All vectors of three counts up to 3 and all that one unit may add to them, in exact chances."""
    scale = 2.0
    worst = 0.0
    for counts in itertools.product(range(4), repeat=3):
        before = chances(counts, scale)
        for added in itertools.product(range(most + 1), repeat=3):
            after = chances(tuple(n + d for n, d in zip(counts, added, strict=True)), scale)
            worst = max(worst, *(abs(math.log(a / b)) for a, b in zip(after, before, strict=True)))
    claimed = float(choice_loss(most, 1, scale))
    assert claimed == most / scale
    assert worst <= claimed * (1 + 1e-9)
    assert worst > 0.8 * claimed, "and the price is not paid for nothing"


def test_a_choice_that_one_unit_moves_both_ways_would_cost_twice() -> None:
    """Why counts must be what units only add to."""
    ratio = math.log(chances((0, 1), 1.0)[1] / chances((1, 0), 1.0)[1])
    assert ratio > float(choice_loss(1, 1, 1.0))


@pytest.mark.parametrize("counts", [(5,), (0, 0, 0), (1, 7, 7, 3), (2**40, 2**40 + 1), (7, 7)])
def test_without_noise_the_first_of_the_largest_is_chosen(counts: tuple[int, ...]) -> None:
    assert choose([counts] * 2, scale_for(3, Fraction(10**9))) == [counts.index(max(counts))] * 2


def test_the_price_is_opendps_own() -> None:
    assert choice_loss(1, 1, 2.0) == Fraction(1, 2)
    assert choice_loss(3, 4, 2.0) == 6
    assert choice_loss(3, 2, scale_for(6, Fraction(1, 10))) <= Fraction(1, 10)


@pytest.mark.parametrize("counts", [(), (-1, 2), (2**61, 2**61, 1), (True, 1), (1.0, 2), (1, 2, 3)])
def test_counts_outside_the_proven_range_are_refused(counts: tuple[int, ...]) -> None:
    assert choose([], 1.0) == []
    with pytest.raises(Internal):
        choose([(1, 2), counts], 1.0)
    with pytest.raises(Internal):
        choose([()], 1.0)


@pytest.mark.parametrize(("rows", "groups", "scale"), [(0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.0), (2**62, 1, 1.0)])
def test_free_choices_do_not_exist(rows: int, groups: int, scale: float) -> None:
    with pytest.raises(Internal):
        choice_loss(rows, groups, scale)
