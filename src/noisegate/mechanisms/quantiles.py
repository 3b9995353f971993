"""Quantiles and extremes from consistent estimates of a tree: post-processing, any number of them from one release."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

import numpy as np

from noisegate.errors import Internal
from noisegate.mechanisms.shape import TreeShape
from noisegate.mechanisms.tree import ConsistentTree, Estimates, leaf_masses

SURE = 0.05  # how likely a node without values may be taken for one with values, on each level
TAIL_SDS = 2.0


class Kind(Enum):
    DISC = "percentile_disc"
    CONT = "percentile_cont"
    LEAST = "min"
    GREATEST = "max"


@dataclass(frozen=True, slots=True)
class Asked:
    """One quantile; `fraction` is the float8 that PostgreSQL has as its argument, unused for the extremes."""

    kind: Kind
    fraction: float = 0.0


@dataclass(frozen=True, slots=True)
class Between:
    """low + share * (high - low), in grid steps above the column's lower bound; low <= high, 0 <= share < 1.

    Kept apart so that the caller can interpolate in the column's own type, as PostgreSQL does.
    """

    low: int
    high: int
    share: Fraction

    @property
    def steps(self) -> Fraction:
        return self.low + self.share * (self.high - self.low)


def quantiles(tree: ConsistentTree, asked: Sequence[Asked]) -> list[tuple[Between | None, ...]]:
    """What was asked, for each group; all None (NULL) where the estimated number of values is <= 0.

    Claim: within 0 .. steps-1; percentiles of one kind do not decrease in their fraction; at vanishing noise with one
        grid step per leaf percentile_disc and the extremes are PostgreSQL's, and percentile_cont interpolates between
        its two order statistics. `min` and `max` are extreme quantiles: see `_reach`.
    Because: with N values PostgreSQL takes the value of rank ceil(q N), at least 1, and interpolates between the ranks
        around q (N-1) + 1; here N and the cumulative counts are estimates, and these never decrease.
    Checked by: tests/mechanisms/test_quantiles.py, by PostgreSQL itself among others.
    Raises Internal for a fraction outside [0, 1].
    """
    if any(not 0 <= one.fraction <= 1 for one in asked):
        raise Internal("a quantile of an impossible fraction")
    masses = leaf_masses(tree)
    answers: list[tuple[Between | None, ...]] = []
    for group, total in enumerate(tree.total.tolist()):
        if total <= 0 or not masses[group].any():  # a total of a rounding error may leave no mass
            answers.append((None,) * len(asked))
            continue
        ordered = _Ordered(tree.shape, masses[group])
        nodes = [level[group] for level in tree.levels]
        answers.append(tuple(_one(one, ordered, nodes, total, tree.sd) for one in asked))
    return answers


def _one(asked: Asked, ordered: _Ordered, nodes: Sequence[Estimates], total: float, sd: float) -> Between:
    match asked.kind:
        case Kind.DISC:
            return _exactly(ordered.value(max(math.ceil(asked.fraction * total), 1)))
        case Kind.CONT:
            place = max(asked.fraction * (total - 1), 0.0)
            low, high = ordered.value(math.floor(place) + 1), ordered.value(math.ceil(place) + 1)
            return Between(low, high, Fraction(place - math.floor(place)))
        case Kind.LEAST:
            return _exactly(ordered.lowest(_reach(nodes, ordered.shape, sd, greatest=False), TAIL_SDS * sd))
        case Kind.GREATEST:
            return _exactly(ordered.highest(_reach(nodes, ordered.shape, sd, greatest=True), TAIL_SDS * sd))


def _exactly(value: int) -> Between:
    return Between(value, value, Fraction(0))


class _Ordered:
    """Order statistics of one group from non-negative leaf masses, at least one of them positive."""

    def __init__(self, shape: TreeShape, masses: Estimates) -> None:
        self.shape = shape
        self._masses = masses
        self._upto = np.cumsum(masses)
        self._last = int(np.flatnonzero(masses > 0)[-1])

    def value(self, rank: float) -> int:
        """The value of this rank, counted from 1; ranks beyond the end are the last value's."""
        leaf = min(int(np.searchsorted(self._upto, rank)), self._last)
        return self._inside(leaf, rank)

    def highest(self, leaves: int, mass: float) -> int:
        """The value above which about `mass` remains (at most half of all) among the first `leaves` leaves."""
        tail = np.cumsum(self._masses[:leaves][::-1])
        at = leaves - 1 - int(np.argmax(tail > min(mass, float(tail[-1]) / 2)))
        return self._inside(at, float(self._upto[at]))

    def lowest(self, leaves: int, mass: float) -> int:
        """The same from below, among the last `leaves` leaves."""
        first = self.shape.leaves - leaves
        head = np.cumsum(self._masses[first:])
        at = first + int(np.argmax(head > min(mass, float(head[-1]) / 2)))
        return self._inside(at, float(self._upto[at] - self._masses[at]) + 1)

    def _inside(self, leaf: int, rank: float) -> int:
        """Within a leaf of several steps its values are taken to lie evenly."""
        start = leaf * self.shape.width
        span = min(self.shape.width, self.shape.steps - start)
        if span == 1:
            return start
        mass = float(self._masses[leaf])
        share = (rank - 0.5 - float(self._upto[leaf] - mass)) / mass if mass > 0 else 0.5
        return start + min(math.floor(min(max(share, 0.0), 1.0) * span), span - 1)


def _reach(nodes: Sequence[Estimates], shape: TreeShape, sd: float, *, greatest: bool) -> int:
    """How many leaves, from the other end, an extreme is looked for in.

    The extreme is the rank where the tail exceeds TAIL_SDS standard deviations of one node's noise. Thousands of empty
    leaves would together exceed that by noise alone, so whole branches beyond the last surely filled node of each level
    are left out first: surely filled is an estimate that noise alone would exceed in one of the nodes compared with
    probability SURE (Laplace tail). At vanishing noise nothing but empty nodes is left out. Post-processing.
    """
    first, last, edge = 0, shape.sizes[0], shape.leaves
    for level in range(shape.levels - 1):
        bar = sd * math.log((last - first) / SURE) / math.sqrt(2)
        filled = np.flatnonzero(nodes[level][first:last] > bar)
        if len(filled) == 0:
            break
        node = first + int(filled[-1] if greatest else filled[0])
        fan = shape.sizes[1] if shape.sizes[level] == 1 else shape.branching
        first, last = node * fan, min((node + 1) * fan, shape.sizes[level + 1])
        leaves = shape.branching ** (shape.levels - 2 - level)  # of one child
        edge = min(last * leaves, shape.leaves) if greatest else shape.leaves - first * leaves
    return edge
