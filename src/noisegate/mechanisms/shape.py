"""Shape and price of a quantile tree. Pure: planning imports it, so it imports neither numpy nor the sampler.

A column's values are grid steps 0 .. steps-1 above its lower bound. A *leaf* is `width` steps in a row, a node of the
next level `branching` nodes in a row, and so on. Each measured level is a histogram of all values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from noisegate.errors import Internal, TooComplex
from noisegate.mechanisms.scale import scale_for
from noisegate.plan.measure import FragmentPlan, Tree

BRANCHING = 16
LEAVES = 1024
LEAVES_EXACT = 4096  # up to here a leaf is one grid step
TOP_MAX = 24  # a level with so few nodes gets no level above it
STEPS_MAX = 2**62
PRESENT_WRONG = 0.2
NODES_MAX = 2_000_000  # of all trees and choices of a release: half a minute of draws, some hundred megabytes


@dataclass(frozen=True, slots=True)
class TreeShape:
    """sizes: number of nodes of each measured level, from the coarsest down to the leaves; root: whether the number of
    all values is measured, too (then sizes[0] == 1)."""

    steps: int
    width: int
    branching: int
    sizes: tuple[int, ...]
    root: bool

    @property
    def leaves(self) -> int:
        return self.sizes[-1]

    @property
    def levels(self) -> int:
        return len(self.sizes)

    @property
    def nodes(self) -> int:
        """Draws of noise for one group."""
        return sum(self.sizes)

    def sensitivity(self, groups: int, rows: int) -> int:
        """L1 sensitivity of all nodes of all groups together.

        Claim: levels * groups * rows (docs/privacy.md, quantiles).
        Assumes: one unit has at most `rows` values in each of at most `groups` groups, after bounding; all levels are
            sums of the same leaves.
        Because: a value stands in exactly one node of each measured level.
        Checked by: tests/mechanisms/test_tree.py, which takes every unit away in turn.
        """
        if groups < 1 or rows < 1:
            raise Internal("a tree needs a bound on groups and rows")
        return self.levels * groups * rows


def shape_for(
    steps: int, *, leaves: int = LEAVES, exact: int = LEAVES_EXACT, branching: int = BRANCHING, root: bool = False
) -> TreeShape:
    """The tree for a column of `steps` grid steps: public, since it reads no data.

    A leaf is one grid step where there are at most `exact` of them, and answers are exact at vanishing noise; else
    there are at most `leaves` leaves of equal width (the last may be narrower). Branching is 16 (Qardaji, Yang, Li
    2013). The levels end at the first with at most TOP_MAX nodes: one more would add more noise than it saves. By exact
    least-squares variances the mean standard deviation of a rank is within 15 % of that of the best branching and
    height, for 10 to 1024 leaves; with 1024 leaves it is 11/epsilon, with 101 leaves 6.6/epsilon, with 24 4.9/epsilon
    (times groups and rows of a unit). Raises Internal.
    """
    if not 1 <= steps <= STEPS_MAX or leaves < 2 or exact < 1 or branching < 2:
        raise Internal("a tree of an impossible shape")
    width = 1 if steps <= exact else -(-steps // leaves)
    sizes = [-(-steps // width)]
    while sizes[0] > max(TOP_MAX, branching):
        sizes.insert(0, -(-sizes[0] // branching))
    if root and sizes[0] > 1:
        sizes.insert(0, 1)
    return TreeShape(steps, width, branching, tuple(sizes), root or sizes[0] == 1)


def present_from(tree: Tree) -> int:
    """The noisy count from which a leaf is taken for one that somebody is in, in a tree of one level.

    By noise alone PRESENT_WRONG leaves of a group are, on average, at most. At vanishing noise it is 1.
    """
    scale = scale_for(shape_for(tree.steps).sensitivity(tree.groups, tree.rows), tree.epsilon)
    return max(1, math.ceil(scale * math.log(tree.steps / PRESENT_WRONG)))


def nodes_per_group(plan: FragmentPlan) -> int:
    """How many nodes and candidates the trees and choices of one group have, empty ones too."""
    listed = sum(plan.more[c.query].leaves for c in plan.choices) + sum(plan.more[r.query].leaves for r in plan.ranks)
    return sum(shape_for(t.steps).nodes for t in plan.trees) + listed


def check_nodes(plan: FragmentPlan, groups: int) -> None:
    """Raises TooComplex where so many groups would take the gate's memory. `groups` is public: declared, or shown."""
    if groups * nodes_per_group(plan) > NODES_MAX:
        raise TooComplex(
            f"percentiles, extremes and modes of {groups} groups are too many numbers for one answer",
            detail=f"All places of a value are measured in each group; at most {NODES_MAX} in one answer.",
            hint="Group by fewer columns, or by one with fewer values.",
        )
