"""Quantile trees: shape, sensitivity, noise in every node, and least squares against dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from noisegate.errors import Internal
from noisegate.mechanisms.laplace import add_noise
from noisegate.mechanisms.scale import standard_deviation
from noisegate.mechanisms.shape import LEAVES, LEAVES_EXACT, TreeShape, shape_for
from noisegate.mechanisms.tree import (
    ConsistentTree,
    NoisyNodes,
    add_noise_to,
    estimate,
    exact_nodes,
    leaf_masses,
)
from support.statistics import band, distance, laplace_cdf, sign_agreement, sign_bound

VANISHING = 1e-9
SIZES = (1, 2, 16, 24, 25, 100, 400)
shapes = st.builds(shape_for, st.integers(1, 700), root=st.booleans())


def design(shape: TreeShape) -> NDArray[np.float64]:
    """(node x leaf), made from the definition: which leaves stand under a node."""
    leaves = np.arange(shape.leaves)
    rows = []
    for level, size in enumerate(shape.sizes):
        under = leaves // shape.branching ** (shape.levels - 1 - level) if size > 1 else 0 * leaves
        rows.append(under[None] == np.arange(size)[:, None])
    return np.concatenate(rows).astype(float)


def random_cells(shape: TreeShape, groups: int, seed: int) -> list[tuple[int, int, int]]:
    rng = np.random.default_rng(seed)
    return [
        (int(g), int(leaf), int(n))
        for g, leaf, n in zip(
            rng.integers(0, groups, 40), rng.integers(0, shape.leaves, 40), rng.integers(0, 99, 40), strict=True
        )
    ]


# Shape


@given(st.integers(1, 10**12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_leaves_cover_all_steps_and_no_more(steps: int, root: bool) -> None:
    shape = shape_for(steps, root=root)
    assert (shape.leaves - 1) * shape.width < steps <= shape.leaves * shape.width
    assert shape.width == 1 if steps <= LEAVES_EXACT else shape.leaves <= LEAVES
    assert (shape.sizes[0] == 1) == shape.root
    assert design(shape).shape[0] == shape.nodes if shape.leaves <= 200 else True


@pytest.mark.parametrize(
    ("steps", "sizes"),
    [(1, (1,)), (24, (24,)), (101, (7, 101)), (366, (23, 366)), (1024, (4, 64, 1024)), (4096, (16, 256, 4096)),
     (10**9, (4, 64, 1024))],
)  # fmt: skip
def test_levels(steps: int, sizes: tuple[int, ...]) -> None:
    assert shape_for(steps).sizes == sizes
    assert shape_for(steps, root=True).sizes == (sizes if sizes == (1,) else (1, *sizes))


def test_impossible_shapes_are_refused() -> None:
    for steps in (0, -1, 2**63):
        with pytest.raises(Internal):
            shape_for(steps)
    for groups, rows in ((0, 1), (1, 0)):
        with pytest.raises(Internal):
            shape_for(10).sensitivity(groups, rows)


# Exact nodes


@given(shapes, st.integers(1, 4), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_every_level_is_a_histogram_of_the_same_values(shape: TreeShape, groups: int, seed: int) -> None:
    cells = random_cells(shape, groups, seed)
    leaves = np.zeros((groups, shape.leaves))
    for group, leaf, count in cells:
        leaves[group, leaf] += count
    nodes = np.concatenate(exact_nodes(shape, cells, groups).levels, axis=1)
    assert (nodes == leaves @ design(shape).T).all()


@given(st.data(), shapes, st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_no_unit_changes_the_nodes_by_more_than_the_claim(
    data: st.DataObject, shape: TreeShape, groups: int, rows: int
) -> None:
    leaf = st.integers(0, shape.leaves - 1)
    group_sets = st.lists(st.integers(0, 4), min_size=1, max_size=groups, unique=True)
    units = [
        [(g, one, 1) for g in data.draw(group_sets) for one in data.draw(st.lists(leaf, min_size=1, max_size=rows))]
        for _ in range(data.draw(st.integers(1, 4)))
    ]
    units.append([(g, shape.leaves - 1, rows) for g in range(groups)])  # one that adds all it may

    def nodes(present: list[list[tuple[int, int, int]]]) -> NDArray[np.int64]:
        return np.concatenate(exact_nodes(shape, [c for unit in present for c in unit], 5).levels, axis=1)

    whole = nodes(units)
    changes = [int(np.abs(whole - nodes(units[:i] + units[i + 1 :])).sum()) for i in range(len(units))]
    assert max(changes) == changes[-1] == shape.sensitivity(groups, rows)


@pytest.mark.parametrize("cell", [(2, 0, 1), (-1, 0, 1), (0, 10, 1), (0, -1, 1), (0, 0, -1), (0, 0, 2**62)])
def test_cells_outside_the_tree_are_a_fault(cell: tuple[int, int, int]) -> None:
    with pytest.raises(Internal):
        exact_nodes(shape_for(10), [cell], 2)


# Noise


def test_every_node_gets_noise_of_its_own_in_one_call() -> None:
    shape, scale, calls = shape_for(1000), 6.0, []

    def counted(totals: object, b: float) -> list[int]:
        calls.append(b)
        return add_noise(totals, b)  # type: ignore[arg-type]

    exact = exact_nodes(shape, [(g, 7, 10**6) for g in range(12)], 12)
    noisy = add_noise_to(exact, scale, counted)
    assert calls == [scale] and noisy.sd == standard_deviation(scale)
    drawn = [(n - e).ravel().tolist() for n, e in zip(noisy.levels, exact.levels, strict=True)]
    every = [z for level in drawn for z in level]
    assert len(every) == 12 * shape.nodes
    assert distance(every, laplace_cdf(scale)) < band(len(every))
    for factor in (0.7, 1.3):
        assert distance(every, laplace_cdf(scale * factor)) > band(len(every))
    leaves = noisy.levels[-1] - exact.levels[-1]
    one, other = leaves[:6].ravel().tolist(), leaves[6:].ravel().tolist()
    assert abs(sign_agreement(one, other)) < sign_bound(len(one)), "groups"
    parents = np.repeat(noisy.levels[1] - exact.levels[1], 16, axis=1)[:, :1000].ravel().tolist()
    # 63 x 12 parents only, each beside 16 children
    assert abs(sign_agreement(parents, leaves.ravel().tolist())) < 4 * sign_bound(len(parents)), "levels"


# Estimates


@pytest.mark.parametrize("steps", SIZES)
@pytest.mark.parametrize("root", [False, True])
def test_estimates_are_least_squares(steps: int, root: bool) -> None:
    shape = shape_for(steps, root=root)
    noisy = add_noise_to(exact_nodes(shape, random_cells(shape, 3, steps), 3), 9.0)
    matrix = design(shape)
    dense = np.linalg.lstsq(matrix, np.concatenate(noisy.levels, axis=1).T, rcond=None)[0]
    tree = estimate(noisy)
    assert np.allclose(np.concatenate(tree.levels, axis=1), (matrix @ dense).T)
    assert np.allclose(tree.total, dense.sum(axis=0))


@given(shapes, st.integers(1, 3), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_vanishing_noise_changes_no_bit(shape: TreeShape, groups: int, seed: int) -> None:
    exact = exact_nodes(shape, random_cells(shape, groups, seed), groups)
    tree = estimate(add_noise_to(exact, VANISHING))
    assert all((a == b).all() for a, b in zip(tree.levels, exact.levels, strict=True))
    assert (leaf_masses(tree) == exact.levels[-1]).all()
    assert (tree.total == exact.levels[-1].sum(axis=1)).all()


@pytest.mark.parametrize(("leaves", "claimed"), [(24, 4.9), (101, 6.6), (1024, 11.0)])
def test_the_error_of_a_rank_is_the_documented_one(leaves: int, claimed: float) -> None:
    """Estimates are linear in the nodes: those of unit vectors give the exact variance."""
    shape = shape_for(leaves)
    ends = np.cumsum(shape.sizes)[:-1]
    units = tuple(np.split(np.eye(shape.nodes, dtype=np.int64), ends, axis=1))
    influence = np.cumsum(estimate(NoisyNodes(shape, units, 1.0)).levels[-1], axis=1)[:, :-1]
    sd = np.sqrt((influence**2).sum(axis=0).mean()) * np.sqrt(2) * shape.levels
    assert abs(sd - claimed) < 0.05


# Masses


@given(shapes, st.integers(0, 10**6), st.floats(0.3, 300))
@settings(max_examples=60, deadline=None)
def test_masses_are_not_negative_and_keep_the_total(shape: TreeShape, seed: int, scale: float) -> None:
    tree = estimate(add_noise_to(exact_nodes(shape, random_cells(shape, 2, seed), 2), scale))
    masses = leaf_masses(tree)
    assert (masses >= 0).all()
    assert np.allclose(masses.sum(axis=1), np.maximum(tree.total, 0))


@given(st.lists(st.integers(-500, 500), min_size=2, max_size=20))
@settings(max_examples=60, deadline=None)
def test_a_family_becomes_the_nearest_one_without_negatives(values: list[int]) -> None:
    """The optimum's own conditions: one cut for all that stay, nothing above the cut for those that go."""
    shape = TreeShape(len(values), 1, 16, (len(values),), False)
    level = np.array([values]) / 8
    masses = leaf_masses(ConsistentTree(shape, (level,), level.sum(axis=1), 1.0))[0]
    if sum(values) <= 0:
        assert (masses == 0).all()
        return
    kept = masses > 1e-9
    cuts = (level[0] - masses)[kept]
    assert np.ptp(cuts) < 1e-6
    assert (level[0][~kept] <= cuts.max() + 1e-6).all()
