"""Least squares over grouping sets against dense linear algebra; whole numbers that add up; less error, no bias."""

from __future__ import annotations

from itertools import combinations, product
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisegate.mechanisms.consistent import Estimate, Ints, least_squares, rounded, seen_by
from noisegate.mechanisms.sets import Set, closed

ROLLUP = ((0, 1, 2), (0, 1), (0,), ())
CUBE = tuple(c for n in range(3, -1, -1) for c in combinations(range(3), n))
OTHERS = ((0, 1, 2), (0,), (1, 2), ()), ((0, 1, 2), (0, 1), (1, 2)), ((0, 1, 2),)
ALL = (ROLLUP, CUBE, *OTHERS)

Noisy = dict[Set, Ints]


def array(values: object) -> Ints:
    return np.array(values, object)


def noisy_of(truth: Ints, sets: tuple[Set, ...], noise: list[int]) -> Noisy:
    draws = iter(noise)
    return {s: array([[[y + next(draws) for y in b] for b in a] for a in seen_by(truth, s)]) for s in sets}


def dense(noisy: Noisy, sizes: tuple[int, ...]) -> np.ndarray:
    rows, right = [], []
    for kept, level in noisy.items():
        for at in np.ndindex(level.shape):
            row = np.zeros(sizes)
            row[tuple(i if axis in kept else slice(None) for axis, i in enumerate(at))] = 1
            rows.append(row.ravel())
            right.append(float(level[at]))
    return np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0].reshape(sizes)


def leaves_of(found: Estimate) -> np.ndarray:
    return found.whole.astype(float) + found.rest


def test_closed_adds_intersections() -> None:
    assert closed([(0, 1), (1, 2)]) == [(1,), (0, 1), (1, 2)]
    assert closed(CUBE) == sorted(CUBE, key=lambda s: (len(s), s))


@st.composite
def problems(draw: st.DrawFn, top: int = 60) -> tuple[tuple[Set, ...], Noisy, Ints]:
    sizes = draw(st.tuples(*[st.integers(1, 4)] * 3))
    sets = draw(st.sampled_from(ALL))
    cells = draw(st.lists(st.just(0) | st.integers(-top, top), min_size=prod(sizes), max_size=prod(sizes)))
    truth = array(cells).reshape(sizes)
    noise = draw(st.lists(st.integers(-20, 20), min_size=300, max_size=300))
    return sets, noisy_of(truth, sets, noise), truth


@given(problems())
@settings(max_examples=60, deadline=None)
def test_the_estimate_is_the_least_squares_one(problem: tuple[tuple[Set, ...], Noisy, Ints]) -> None:
    _, noisy, truth = problem
    found = least_squares(noisy, truth.shape, positive=False)
    assert np.allclose(leaves_of(found), dense(noisy, truth.shape), atol=1e-8)


@given(problems(), st.booleans(), st.sampled_from([1, 3]))
@settings(max_examples=60, deadline=None)
def test_whole_leaves_are_near_the_estimate_and_not_negative(
    problem: tuple[tuple[Set, ...], Noisy, Ints], positive: bool, step: int
) -> None:
    sets, noisy, truth = problem
    best = least_squares(noisy, truth.shape, positive=positive)
    found = rounded(best, sets, positive=positive, step=step)
    assert all(type(n) is int and n % step == 0 for n in found.reshape(-1))
    total = leaves_of(best).sum()
    assert abs(found.sum() - (max(total, 0) if positive else total)) <= step / 2 + 1e-6, "the grand total stays"
    if positive:
        assert min(found.reshape(-1)) >= 0
    else:
        assert np.abs(found.astype(float) - leaves_of(best)).max() <= 4 * step


@given(problems(), st.data())
@settings(max_examples=60, deadline=None)
def test_sums_of_nothing_are_zero(problem: tuple[tuple[Set, ...], Noisy, Ints], data: st.DataObject) -> None:
    sets, noisy, truth = problem
    where = array(data.draw(st.lists(st.integers(-1, 3), min_size=truth.size, max_size=truth.size))).reshape(
        truth.shape
    )
    found = rounded(least_squares(noisy, truth.shape, positive=False), sets, where=where)
    assert all(n == 0 for n, w in zip(found.reshape(-1), where.reshape(-1), strict=True) if w <= 0)


@given(problems(top=2**60), st.booleans())
@settings(max_examples=60, deadline=None)
def test_without_noise_no_bit_is_lost(problem: tuple[tuple[Set, ...], Noisy, Ints], positive: bool) -> None:
    sets, _, truth = problem
    truth = np.abs(truth) if positive else truth
    exact = {s: seen_by(truth, s) for s in sets}
    found = rounded(least_squares(exact, truth.shape, positive=positive), sets, positive=positive)
    assert (found == truth).all()


def errors(truth: Ints, sets: tuple[Set, ...], scale: float, rounds: int, *, positive: bool) -> dict[Set, np.ndarray]:
    """For each set, errors (rounds x rows) of the consistent answer."""
    random = np.random.default_rng(7)
    found: dict[Set, list[np.ndarray]] = {s: [] for s in sets}
    for _ in range(rounds):
        noisy = {
            s: seen_by(truth, s)
            + np.round(random.laplace(0, scale, seen_by(truth, s).shape)).astype(int).astype(object)
            for s in sets
        }
        leaves = rounded(least_squares(noisy, truth.shape, positive=positive), sets, positive=positive)
        for s in sets:
            found[s].append((seen_by(leaves, s) - seen_by(truth, s)).astype(float).reshape(-1))
    return {s: np.array(rows) for s, rows in found.items()}


@pytest.mark.parametrize("sets", [ROLLUP, CUBE])
def test_every_level_is_unbiased_and_better_than_alone(sets: tuple[Set, ...]) -> None:
    """Dense data, where nothing is cut: means within 5 standard errors of 0; variances below those of the noise, and
    near those that linear algebra says."""
    sizes, scale, rounds = (2, 3, 4), 30.0, 500
    truth = array(np.arange(1000, 1000 + prod(sizes))).reshape(sizes)
    alone = 2 * scale**2
    for kept, found in errors(truth, sets, scale, rounds, positive=True).items():
        assert np.abs(found.mean(axis=0)).max() < 5 * np.sqrt(alone / rounds), kept
        claimed = variance(sets, sizes, kept) * alone
        assert 0.8 < found.var() / claimed < 1.2, kept
        assert claimed < 0.93 * alone, kept


def variance(sets: tuple[Set, ...], sizes: tuple[int, ...], kept: Set) -> float:
    """Of one row of a set, for noise of variance 1, by dense linear algebra."""
    rows = []
    for s in sets:
        for at in product(*(range(n) if i in s else (0,) for i, n in enumerate(sizes))):
            row = np.zeros(sizes)
            row[tuple(i if axis in s else slice(None) for axis, i in enumerate(at))] = 1
            rows.append(row.ravel())
    matrix = np.array(rows)
    one = np.zeros(sizes)
    one[tuple(0 if axis in kept else slice(None) for axis in range(len(sizes)))] = 1
    return float(one.ravel() @ np.linalg.inv(matrix.T @ matrix) @ one.ravel())


@pytest.mark.parametrize("sets", [((0, 1), (0,), ()), ((0, 1), (0,), (1,), ())])
def test_where_most_groups_are_empty_no_level_is_worse_than_alone(sets: tuple[Set, ...]) -> None:
    """Cut top-down only, the second margin of a cube would be 40 % worse; the search for leaves that are not negative
    keeps it better."""
    random = np.random.default_rng(3)
    truth = array(random.integers(20, 300, (12, 12)) * (random.random((12, 12)) < 0.1))
    scale = 5.0
    found_in = errors(truth, sets, scale, 40, positive=True)
    for kept, found in found_in.items():
        assert (found**2).mean() < 1.15 * 2 * scale**2, kept
    assert (found_in[0, 1] ** 2).mean() < 0.4 * 2 * scale**2
