"""Quantiles and extremes from trees: PostgreSQL's own at vanishing noise, and sane under noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisegate.errors import Internal
from noisegate.mechanisms.quantiles import Asked, Between, Kind, quantiles
from noisegate.mechanisms.shape import TreeShape, shape_for
from noisegate.mechanisms.tree import ConsistentTree, add_noise_to, estimate, exact_nodes
from noisegate.room.embedded import EmbeddedServer

VANISHING = 1e-9
FRACTIONS = (0.0, 0.1, 0.25, 1 / 3, 0.5, 0.9, 0.99, 1.0)
EXTREMES = (Asked(Kind.LEAST), Asked(Kind.GREATEST))
PERCENTILES = tuple(Asked(kind, q) for kind in (Kind.DISC, Kind.CONT) for q in FRACTIONS)


def seeded(seed: int):  # type: ignore[no-untyped-def]  # noise for tests of post-processing: fast, the same each time
    rng = np.random.default_rng(seed)

    def noise(totals: Sequence[int], scale: float) -> list[int]:
        p = -math.expm1(-1 / scale)
        return [t + int(z) for t, z in zip(totals, rng.geometric(p, (len(totals), 2)) @ [1, -1], strict=True)]

    return noise


def tree_of(groups: Sequence[Sequence[int]], shape: TreeShape, scale: float, seed: int | None = None) -> ConsistentTree:
    cells = [(g, value // shape.width, 1) for g, values in enumerate(groups) for value in values]
    exact = exact_nodes(shape, cells, len(groups))
    return estimate(add_noise_to(exact, scale) if seed is None else add_noise_to(exact, scale, seeded(seed)))


def values(answer: Sequence[Between | None]) -> list[Fraction]:
    return [one.steps for one in answer if one is not None]


# Without noise


def test_without_noise_answers_are_postgresqls(data_server: EmbeddedServer) -> None:
    rng = np.random.default_rng(3)
    columns = {
        (steps, n): rng.integers(0, steps, n).tolist() if n % 2 else (steps * rng.beta(0.3, 2, n)).astype(int).tolist()
        for steps in (1, 10, 101, 1000, 4096)
        for n in (1, 2, 3, 7, 50, 301)
    }
    sql = """
        SELECT percentile_disc(%(q)s::float8[]) WITHIN GROUP (ORDER BY x),
               percentile_cont(%(q)s::float8[]) WITHIN GROUP (ORDER BY x::float8), min(x), max(x)
        FROM unnest(%(x)s::int[]) AS x"""
    with psycopg.connect(data_server.dsn("postgres")) as connection:
        for (steps, _), column in columns.items():
            theirs = connection.execute(sql, {"q": list(FRACTIONS), "x": column}).fetchone()
            assert theirs is not None
            [ours] = quantiles(tree_of([column], shape_for(steps), VANISHING), (*PERCENTILES, *EXTREMES))
            every = [one for one in ours if one is not None]
            discrete, continuous, extremes = every[:8], every[8:16], every[16:]
            assert [one.steps for one in discrete] == theirs[0]
            assert [one.low + float(one.share) * (one.high - one.low) for one in continuous] == theirs[1]
            assert tuple(one.steps for one in extremes) == theirs[2:]


@given(st.lists(st.integers(0, 10**6 - 1), min_size=1, max_size=60))
@settings(max_examples=40, deadline=None)
def test_with_wide_leaves_answers_lie_in_the_leaf_of_the_truth(column: list[int]) -> None:
    shape = shape_for(10**6)
    [ours] = quantiles(tree_of([column], shape, VANISHING), [*(Asked(Kind.DISC, q) for q in FRACTIONS), *EXTREMES])
    ordered = sorted(column)
    truth = [ordered[max(math.ceil(q * len(ordered)), 1) - 1] for q in FRACTIONS] + [ordered[0], ordered[-1]]
    assert [int(v) // shape.width for v in values(ours)] == [v // shape.width for v in truth]


def test_values_inside_a_wide_leaf_are_taken_to_lie_evenly() -> None:
    shape = TreeShape(1000, 500, 16, (2,), False)
    [ours] = quantiles(tree_of([[7] * 10 + [700] * 90], shape, VANISHING), [Asked(Kind.DISC, q) for q in (0.05, 0.5)])
    assert values(ours) == [225, 500 + 219]  # the middles of the 5th of 10 and of the 40th of 90 equal parts


# Under noise


@given(st.integers(1, 3000), st.floats(0.5, 200), st.integers(0, 10**6), st.integers(0, 200))
@settings(max_examples=80, deadline=None)
def test_under_any_noise_answers_are_monotone_and_within_the_bounds(
    steps: int, scale: float, seed: int, n: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = shape_for(steps, exact=200, leaves=100)
    tree = tree_of([rng.integers(0, steps, n).tolist()] * 2, shape, scale, seed)
    fractions = sorted({0.0, 1.0, *rng.random(12)})
    for kind in (Kind.DISC, Kind.CONT):
        for total, answer in zip(tree.total, quantiles(tree, [Asked(kind, q) for q in fractions]), strict=True):
            assert (answer[0] is None) == (total <= 0)
            assert values(answer) == sorted(values(answer))
            assert all(0 <= one.low <= one.high < steps and 0 <= one.share < 1 for one in answer if one is not None)
    for answer in quantiles(tree, EXTREMES):
        assert all(0 <= one.low == one.high < steps for one in answer if one is not None)


def test_nothing_is_null_and_is_decided_by_the_noisy_count() -> None:
    tree = tree_of([[]] * 200, shape_for(10), 5.0, seed=1)
    answers = quantiles(tree, [Asked(Kind.DISC, 0.5), *EXTREMES])
    empty = [answer == (None, None, None) for answer in answers]
    assert empty == [bool(total <= 0) for total in tree.total]
    assert 60 < sum(empty) < 140


def test_a_total_without_any_mass_is_null() -> None:
    level = np.array([[1000.0, -1000.0]])
    tree = ConsistentTree(TreeShape(2, 1, 16, (2,), False), (level,), np.array([1e-14]), 1.0)
    assert quantiles(tree, EXTREMES) == [(None, None)]


def test_ranks_are_as_near_as_the_noise_allows() -> None:
    """50 groups of 20,000 values: the rank's standard deviation is 11 levels' worth of epsilon 1, that is 11 rows."""
    shape, n = shape_for(1000), 20_000
    rng = np.random.default_rng(5)
    groups = [rng.integers(0, 1000, n).tolist() for _ in range(50)]
    tree = tree_of(groups, shape, float(shape.levels), seed=2)
    for q in (0.1, 0.5, 0.9):
        answers = quantiles(tree, [Asked(Kind.DISC, q)])
        ranks = [
            np.searchsorted(np.sort(g), float(a[0].steps), "right")
            for g, a in zip(groups, answers, strict=True)
            if a[0]
        ]
        assert abs(np.mean(ranks) / n - q) < 0.001
        assert np.max(np.abs(np.array(ranks) / n - q)) < 0.005


def test_extremes_are_not_carried_away_by_empty_leaves() -> None:
    """All values in 1000..1049 of 4096: thousands of noisy zeros on both sides."""
    rng = np.random.default_rng(7)
    shape = shape_for(4096)
    groups = [rng.integers(1000, 1050, 3000).tolist() for _ in range(60)]
    answers = quantiles(tree_of(groups, shape, float(shape.levels), seed=3), EXTREMES)
    least, greatest = (sorted(values([a[i] for a in answers])) for i in (0, 1))
    assert least[3] >= 976 and least[-4] <= 1005  # 976: where the branch of the least values begins
    assert greatest[3] >= 1044 and greatest[-4] <= 1055  # 1055: where the branch of the greatest ends


def test_extremes_leave_out_what_noise_could_have_made() -> None:
    """One person far out is not shown: a tail within two standard deviations is left out."""
    shape = shape_for(100)
    groups = [[50] * 1000 + [99]] * 100
    answers = quantiles(tree_of(groups, shape, float(shape.levels), seed=4), [Asked(Kind.GREATEST)])
    assert np.mean([a[0] is not None and a[0].low < 60 for a in answers]) > 0.8


@pytest.mark.parametrize("fraction", [-0.1, 1.1, math.nan, math.inf])
def test_impossible_fractions_are_refused(fraction: float) -> None:
    with pytest.raises(Internal):
        quantiles(tree_of([[1]], shape_for(2), 1.0), [Asked(Kind.CONT, fraction)])
