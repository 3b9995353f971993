"""One percentile by private choice: PostgreSQL's rule without noise, the scores' sensitivity, the loss, the error."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisegate.errors import Internal
from noisegate.mechanisms.rank import choose_rank, rank_loss, ranked, ranks_loss
from noisegate.mechanisms.ranking import COUNT_SHARE, rank_scale, rank_scores, rational, targets
from noisegate.plan.measure import Rank
from support.statistics import band, distance, laplace_cdf, separation

VANISHING = 1e-9
counts = st.lists(st.integers(0, 4), min_size=1, max_size=12)
fractions = st.sampled_from([0.01, 0.1, 0.25, 1 / 3, 0.5, 0.9, 0.99, 0.999, 1.0])


def one(fraction: float, epsilon: Fraction, *, rows: int = 1, groups: int = 1, between: bool = False) -> Rank:
    return Rank(0, "test", 100, rows, groups, fraction, between, epsilon)


@given(counts.filter(any), fractions)
@settings(max_examples=80, deadline=None)
def test_without_noise_it_is_the_value_of_postgresqls_rank(leaves: list[int], fraction: float) -> None:
    values = [i for i, n in enumerate(leaves) for _ in range(n)]
    rank = max(math.ceil(Fraction(fraction).limit_denominator(1000) * len(values)), 1)
    assert choose_rank([leaves] * 2, fraction, VANISHING) == [values[rank - 1]] * 2


@given(counts.filter(any), st.sampled_from([0.0, *(0.01, 0.1, 0.25, 1 / 3, 0.5, 0.9, 0.99, 0.999), 1.0]))
@settings(max_examples=80, deadline=None)
def test_without_noise_it_is_between_the_values_of_postgresqls_ranks(leaves: list[int], fraction: float) -> None:
    values = [i for i, n in enumerate(leaves) for _ in range(n)]
    place = Fraction(fraction).limit_denominator(1000) * (len(values) - 1)
    both = ranked(one(fraction, Fraction(10**9), between=True), [leaves] * 2)
    assert both == ((len(values), values[math.floor(place)], values[math.ceil(place)]),) * 2
    if fraction == 0:
        assert ranked(one(fraction, Fraction(10**9)), [leaves]) == ((len(values), values[0]),)


@given(counts, fractions, st.booleans(), st.data())
@settings(max_examples=80, deadline=None)
def test_one_value_moves_no_score_by_more_than_the_claim(
    leaves: list[int], fraction: float, between: bool, data: st.DataObject
) -> None:
    q = Fraction(fraction).limit_denominator(1000)
    more = list(leaves)
    more[data.draw(st.integers(0, len(leaves) - 1))] += 1
    for target in targets(one(fraction, Fraction(1), between=between)):
        moved = zip(rank_scores(leaves, q, target), rank_scores(more, q, target), strict=True)
        assert max(abs(a - b) for a, b in moved) <= max(q.numerator, q.denominator - q.numerator)


def chances(leaves: tuple[int, ...], scale: float) -> list[float]:
    """Permute-and-flip of the median's scores by its definition."""
    scores = [s / 2 - i / len(leaves) / 2 for i, s in enumerate(rank_scores(leaves, Fraction(1, 2)))]
    orders = list(itertools.permutations(range(len(leaves))))
    chance = [0.0] * len(leaves)
    for order in orders:
        left = 1.0
        for leaf in order:
            taken = math.exp((scores[leaf] - max(scores)) / scale)
            chance[leaf] += left * taken / len(orders)
            left *= 1 - taken
    return chance


def test_one_value_changes_no_chance_by_more_than_the_price() -> None:
    scale, worst = 1.0, 0.0
    for leaves in itertools.product(range(4), repeat=3):
        for place in range(3):
            more = tuple(n + (i == place) for i, n in enumerate(leaves))
            pairs = zip(chances(leaves, scale), chances(more, scale), strict=True)
            worst = max(worst, *(abs(math.log(a / b)) for a, b in pairs))
    claimed = float(rank_loss(1, 1, 0.5, scale))
    assert claimed == 1.0
    assert 0.5 * claimed < worst <= claimed * (1 + 1e-9)


@pytest.mark.parametrize("fraction", [0.1, 1 / 3, 0.5, 0.99, 1.0])
@pytest.mark.parametrize(("rows", "groups"), [(1, 1), (5, 3)])
@pytest.mark.parametrize("between", [False, True])
def test_scales_cost_their_price_and_little_less(fraction: float, rows: int, groups: int, between: bool) -> None:
    price = Fraction(1, 10)
    spent = ranks_loss(one(fraction, price, rows=rows, groups=groups, between=between))
    assert price * Fraction(999, 1000) < spent <= price


def test_the_number_of_values_has_the_noise_of_all_rows_and_groups() -> None:
    rank = one(0.5, Fraction(1), rows=2, groups=3)
    drawn = [n - 7 for n, _ in ranked(rank, [[4, 3]] * DRAWS)]
    expected, other = laplace_cdf(float(6 / COUNT_SHARE)), laplace_cdf(float(6 / COUNT_SHARE) * 2)
    assert distance(drawn, expected) < band(DRAWS) < separation(expected, other, 600) / 1.5


LEAVES = (26, 0, 0, 0, 0, 0, 0, 12)
DRAWS = 4_000


def test_draws_have_the_claimed_distribution_and_another_scale_would_be_noticed() -> None:
    def upto(chance: list[float]) -> list[float]:
        return list(itertools.accumulate(chance))

    taken = choose_rank([LEAVES] * DRAWS, 0.5, 3.5)
    drawn, claimed = upto([taken.count(i) / DRAWS for i in range(len(LEAVES))]), upto(chances(LEAVES, 3.5))
    assert max(abs(a - b) for a, b in zip(drawn, claimed, strict=True)) < band(DRAWS)
    for factor in (0.7, 1.3):
        other = upto(chances(LEAVES, 3.5 * factor))
        assert max(abs(a - b) for a, b in zip(claimed, other, strict=True)) > 2 * band(DRAWS)
        assert max(abs(a - b) for a, b in zip(drawn, other, strict=True)) > band(DRAWS)


def test_the_median_is_a_few_ranks_off() -> None:
    """10,000 values on 1,000 leaves at epsilon 1, where a tree would be 11 ranks off. Being more than 40 off has a
    chance of at most 1,000 exp(-40) in each of 60 draws."""
    rng = np.random.default_rng(1)
    values = np.sort(rng.integers(0, 1000, 10_000))
    leaves = np.bincount(values, minlength=1000).tolist()
    found = choose_rank([leaves] * 60, 0.5, rank_scale(one(0.5, 1 / (1 - COUNT_SHARE))))
    off = [max(np.searchsorted(values, x) - 5000, 5000 - np.searchsorted(values, x, "right"), 0) for x in found]
    assert max(off) <= 40 and np.mean(off) < 6


def test_the_last_rank_has_no_ties_beyond_it() -> None:
    """Little noise takes the greatest value, not one of thousands of empty leaves above it, which miss no value."""
    leaves = [5] * 100 + [0] * 3_900
    assert {leaf for _, leaf in ranked(one(1.0, Fraction(100)), [leaves] * 20)} == {99}


def test_what_cannot_be_ranked_is_refused() -> None:
    assert choose_rank([], 0.5, 1.0) == [] and ranked(one(0.5, Fraction(1)), []) == ()
    assert rational(0.12345) is None and rational(0.1) == Fraction(1, 10)
    for leaves, fraction in (([1], 0.12345), ([1], 1.5), ([1], math.nan), ([], 0.5), ([-1], 0.5), ([2**62, 1], 0.5)):
        with pytest.raises(Internal):
            choose_rank([leaves], fraction, 1.0)
    with pytest.raises(Internal):
        choose_rank([[1], [1, 2]], 0.5, 1.0)
    for rows, groups, scale in ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.0)):
        with pytest.raises(Internal):
            rank_loss(rows, groups, 0.5, scale)
