"""Quantile trees: exact node counts, noisy ones, and the consistent estimates that are computed from noisy ones only.

Arrays have one row per group. A tree is a list of int64 arrays (groups x nodes of the level), coarsest level first, as
in `TreeShape.sizes`; estimates are float64 arrays of the same shapes. Three types keep exact and noisy counts apart:
`estimate` takes NoisyNodes only, which only `add_noise_to` makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from noisegate.errors import Internal
from noisegate.mechanisms.laplace import TOTAL_MAX, add_noise
from noisegate.mechanisms.scale import standard_deviation
from noisegate.mechanisms.shape import TreeShape

Counts: TypeAlias = NDArray[np.int64]
Estimates: TypeAlias = NDArray[np.float64]
Noise: TypeAlias = Callable[[Sequence[int], float], list[int]]


@dataclass(frozen=True, slots=True)
class ExactNodes:
    """Confidential: nothing but `add_noise_to` may read it."""

    shape: TreeShape
    levels: tuple[Counts, ...]


@dataclass(frozen=True, slots=True)
class NoisyNodes:
    """sd: standard deviation of the noise of each node."""

    shape: TreeShape
    levels: tuple[Counts, ...]
    sd: float


@dataclass(frozen=True, slots=True)
class ConsistentTree:
    """levels: the least-squares estimates, where every node is the sum of its children; may be negative.
    total: estimated number of values of each group. sd: of one node's noise, as it was drawn."""

    shape: TreeShape
    levels: tuple[Estimates, ...]
    total: Estimates
    sd: float


def exact_nodes(shape: TreeShape, cells: Iterable[tuple[int, int, int]], groups: int) -> ExactNodes:
    """All nodes from sparse leaves: (group, leaf, count) with 0 <= group < groups; cells that repeat add up.

    Claim: every level is the histogram of the same values.
    Because: a level is the sum of consecutive nodes of the level below it.
    Checked by: tests/mechanisms/test_tree.py.
    Raises Internal for a cell outside the tree or the range that the sampler accepts.
    """
    leaves = np.zeros((groups, shape.leaves), np.int64)
    most = 0
    for group, leaf, count in cells:
        if not (0 <= group < groups and 0 <= leaf < shape.leaves and count >= 0):
            raise Internal("a leaf outside its tree")
        most += count
        if most >= TOTAL_MAX:
            raise Internal("a tree's counts are outside the range that was proven when the statement was planned")
        leaves[group, leaf] += count
    levels = [leaves]
    for size in reversed(shape.sizes[:-1]):
        levels.insert(0, _families(levels[0], size, _branching(shape, size, levels[0].shape[1])).sum(axis=2))
    return ExactNodes(shape, tuple(levels))


def add_noise_to(exact: ExactNodes, scale: float, noise: Noise = add_noise) -> NoisyNodes:
    """Every node with a draw of its own, all in one call of the sampler (15 microseconds per node).

    Claim: with scale b and one unit's change of at most D in L1 (`TreeShape.sensitivity`), this costs epsilon D/b.
    Because: discrete Laplace noise on a vector of integers.
    Checked by: tests/mechanisms/test_tree.py for the noise, tests/mechanisms/test_noise.py for its distribution.
    """
    flat = np.concatenate([level.ravel() for level in exact.levels])
    drawn = np.array(noise(flat.tolist(), scale), np.int64)
    ends = np.cumsum([level.size for level in exact.levels])[:-1]
    parts = [part.reshape(level.shape) for part, level in zip(np.split(drawn, ends), exact.levels, strict=True)]
    return NoisyNodes(exact.shape, tuple(parts), standard_deviation(scale))


def estimate(noisy: NoisyNodes) -> ConsistentTree:
    """Weighted least squares under the constraint that every node is the sum of its children.

    Claim: of all linear unbiased estimates of all leaves these have the least variance; at vanishing noise they are the
        exact counts, bit by bit.
    Assumes: noise of one variance in every node, drawn independently; counts below 2^53.
    Because: on a tree the weighted mean of a node's own value and of its children's sum, going up, is the best estimate
        from below; going down, what a node's best estimate differs from its children's is divided among them by their
        variances (Hay et al. 2010; Qardaji, Yang, Li 2013 for any branching). Differences of zero change no bit.
    Checked by: tests/mechanisms/test_tree.py against dense least squares.
    """
    shape = noisy.shape
    own = [level.astype(np.float64) for level in noisy.levels]
    best, variance = [own[-1]], [np.ones(shape.leaves)]
    for level in range(shape.levels - 2, -1, -1):
        size = shape.sizes[level]
        fan = _branching(shape, size, best[0].shape[1])
        below, spread = _families(best[0], size, fan).sum(axis=2), _families(variance[0][None], size, fan).sum(axis=2)
        weight = 1 / (spread + 1)  # of the children's sum, beside the node's own value of variance 1
        best.insert(0, own[level] + (below - own[level]) * weight)
        variance.insert(0, (spread * weight)[0])
    final = [best[0]]
    for level in range(1, shape.levels):
        size = shape.sizes[level - 1]
        fan = _branching(shape, size, best[level].shape[1])
        children, spread = _families(best[level], size, fan), _families(variance[level][None], size, fan)
        missing = (final[-1] - children.sum(axis=2))[:, :, None]
        shared = children + missing * (spread / spread.sum(axis=2, keepdims=True))
        final.append(shared.reshape(len(shared), -1)[:, : shape.sizes[level]])
    return ConsistentTree(shape, tuple(final), final[0].sum(axis=1), noisy.sd)


def leaf_masses(tree: ConsistentTree) -> Estimates:
    """Leaf estimates without negative ones: from the top, each family of children is replaced by the nearest (least
    squares) non-negative one with the same sum. A tree with an estimated total <= 0 is all zero. Post-processing;
    at vanishing noise it changes no bit."""
    whole = np.maximum(tree.total, 0.0)
    levels = [_nearest(tree.levels[0][:, None, :], whole[:, None])[:, 0, :]]
    for level in range(1, tree.shape.levels):
        parents = levels[-1]
        fan = _branching(tree.shape, parents.shape[1], tree.shape.sizes[level])
        families = _families(tree.levels[level], parents.shape[1], fan, padding=-np.inf)
        levels.append(_nearest(families, parents).reshape(len(parents), -1)[:, : tree.shape.sizes[level]])
    return levels[-1]


def _branching(shape: TreeShape, parents: int, children: int) -> int:
    """Children of a node; the root holds the whole level below it, which has up to TOP_MAX nodes."""
    return children if parents == 1 else shape.branching


def _families(level: NDArray, parents: int, fan: int, padding: float = 0) -> NDArray:  # type: ignore[type-arg]
    """(groups x children) as (groups x parents x fan); missing children of the last parent are `padding`."""
    missing = parents * fan - level.shape[1]
    padded = np.pad(level, ((0, 0), (0, missing)), constant_values=padding) if missing else level
    return padded.reshape(len(level), parents, fan)


def _nearest(values: Estimates, sums: Estimates) -> Estimates:
    """The nearest vectors x >= 0 with the given sums >= 0, along the last axis; -inf entries stay 0.

    max(v - t, 0) for the one t that gives the sum (projection onto a simplex). Rows that are good already keep their
    bits: their t would be 0.
    """
    ordered = -np.sort(-values, axis=-1)
    finite = np.where(np.isfinite(ordered), ordered, 0.0)
    ranks = np.arange(1, values.shape[-1] + 1)
    levels = (np.cumsum(finite, axis=-1) - sums[..., None]) / ranks
    kept = np.maximum((np.isfinite(ordered) & (ordered > levels)).sum(axis=-1, keepdims=True), 1)
    cut = np.take_along_axis(levels, kept - 1, axis=-1)
    return np.where(np.isfinite(values), np.maximum(values - cut, 0.0), 0.0)
