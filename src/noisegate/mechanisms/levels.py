"""Releases of several grouping sets at once: exact sums of the leaves, noise at each level, one consistent answer.

Called by the release gate only. An array has one axis per key; of a level that does not have the key, of length 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from noisegate.errors import Internal
from noisegate.mechanisms.clip import in_steps
from noisegate.mechanisms.consistent import Ints, least_squares, rounded, seen_by
from noisegate.mechanisms.laplace import TOTAL_MAX, add_noise
from noisegate.mechanisms.parts import chosen_caps, sum_scale
from noisegate.mechanisms.scale import scale_for
from noisegate.plan.measure import DeclaredGroups, FragmentPlan, Levels

Key = tuple[str | None, ...]
Totals = tuple[int, ...]
Rows = tuple[tuple[Key, Totals], ...]
Noisy = dict[tuple[int, ...], Ints]  # by set


def check_levels(plan: FragmentPlan) -> None:
    """Raises Internal unless all that is measured is measured at each level, over all combinations of the keys."""
    levels, groups = plan.levels, plan.groups
    counts = [m.levels for m in plan.measurements] + [c.levels for c in plan.clips]
    if levels is None:
        if any(n != 1 for n in counts):
            raise Internal("a plan measures levels that it does not have")
        return
    if plan.trees or plan.choices or plan.ranks or not isinstance(groups, DeclaredGroups):
        raise Internal("levels are sums over declared groups")
    if any(n != len(levels.sets) for n in counts):
        raise Internal("a level would not be paid for")
    values = [list(dict.fromkeys(row[i] for row in groups.rows)) for i in range(len(plan.keys))]
    if tuple(map(len, values)) != levels.sizes or tuple(product(*values)) != groups.rows:
        raise Internal("the declared groups are not all combinations of their keys")
    if len(set(levels.sets)) != len(levels.sets) or tuple(range(len(plan.keys))) not in levels.sets:
        raise Internal("levels need the set of all keys, and each set once")


def level_rows(plan: FragmentPlan, totals: Mapping[Key, Totals]) -> tuple[Rows, ...]:
    """For each set that was asked for, its rows in the order of `plan.released`. None where the plan has no levels.

    Claim: each measurement costs its epsilon. Because: the totals of a level are sums of the leaves, so one unit, that
    changes the leaves by at most groups * per_group in L1, changes no level by more, and all of them together by
    `sensitivity`. What follows the noise is post-processing.
    Checked by: tests/privacy/test_neighbours_levels.py, tests/mechanisms/test_levels.py.
    """
    if plan.levels is None or not isinstance(plan.groups, DeclaredGroups):
        return ()
    rows = [totals.get(key) for key in plan.groups.rows]
    noisy = _noisy(plan, plan.levels, rows)
    leaves = _consistent(plan.levels, noisy)
    return tuple(_rows(plan, plan.levels, plan.groups, kept, leaves) for kept in plan.levels.sets[: plan.levels.asked])


def _noisy(plan: FragmentPlan, levels: Levels, rows: Sequence[Totals | None]) -> dict[str, Noisy]:
    """Every released column at every level, with noise."""
    found: dict[str, Noisy] = {}
    for m in plan.measurements:
        scale = scale_for(m.sensitivity, m.epsilon)
        found |= {column: _measure(plan, levels, column, rows, scale, m.fine) for column in m.columns}
    seen = [row for row in rows if row is not None]
    for clip, chosen in zip(plan.clips, chosen_caps(plan, rows, seen, len(rows)), strict=True):
        scale, fine = sum_scale(clip, chosen), clip.steps(chosen)
        pairs = zip(clip.columns, clip.sums[chosen], strict=True)
        found |= {column: _measure(plan, levels, name, rows, scale, fine) for column, name in pairs}
    return found


def exact_levels(plan: FragmentPlan, levels: Levels, column: str, rows: Sequence[Totals | None]) -> list[Ints]:
    """The exact totals of one column at each level. `rows`: of the leaves, None where the engine saw none. A sum beyond
    what the sampler takes is cut, which brings neighbours no further apart. Confidential in, confidential out."""
    at, most = plan.exact.index(column), TOTAL_MAX - 1
    leaves = np.array([row[at] if row is not None else 0 for row in rows], object).reshape(levels.sizes)
    return [np.clip(seen_by(leaves, kept), -most, most) for kept in levels.sets]


def _measure(
    plan: FragmentPlan, levels: Levels, column: str, rows: Sequence[Totals | None], scale: float, fine: int
) -> Noisy:
    """One column, with a draw of its own for every row of every level; rounded to whole numbers of `fine` steps."""
    exact = exact_levels(plan, levels, column, rows)
    noisy = add_noise([n for level in exact for n in level.reshape(-1).tolist()], scale)
    drawn = np.array(in_steps(noisy, fine), object)
    ends = np.cumsum([level.size for level in exact])[:-1]
    return {
        kept: part.reshape(level.shape)
        for kept, part, level in zip(levels.sets, np.split(drawn, ends), exact, strict=True)
    }


def _consistent(levels: Levels, noisy: Mapping[str, Noisy]) -> dict[str, Ints]:
    """Whole leaves of every column: counts first, since sums of nothing are 0."""
    leaves: dict[str, Ints] = {}
    for a, b, steps in levels.pairs:
        both = {kept: noisy[a][kept] + noisy[b][kept] for kept in levels.sets}
        count = _leaves(levels, both, positive=not levels.negative, step=steps)
        leaves[a] = _leaves(levels, noisy[a], where=count)
        leaves[b] = count - leaves[a]
    counts = dict(levels.parts)
    for column in sorted(noisy.keys() - leaves.keys(), key=lambda c: (c in counts, c)):
        positive = column in levels.counts and not levels.negative
        where = leaves[counts[column]] if column in counts else None
        leaves[column] = _leaves(levels, noisy[column], positive=positive, where=where)
    return leaves


def _leaves(levels: Levels, noisy: Noisy, *, positive: bool = False, step: int = 1, where: Ints | None = None) -> Ints:
    estimate = least_squares(noisy, levels.sizes, positive=positive)
    return rounded(estimate, levels.sets, positive=positive, step=step, where=where)


def _rows(
    plan: FragmentPlan, levels: Levels, groups: DeclaredGroups, kept: tuple[int, ...], leaves: Mapping[str, Ints]
) -> Rows:
    """The rows of one set; groups whose units are too few are left out, but never the grand total."""
    values = [list(dict.fromkeys(row[i] for row in groups.rows)) for i in kept]
    order = [*kept, *(i for i in range(len(levels.sizes)) if i not in kept)]
    columns = [seen_by(leaves[name], kept).transpose(order).reshape(-1).tolist() for name in plan.released]
    rows = tuple(zip(product(*values), zip(*columns, strict=True), strict=True))
    if groups.measurement is None or groups.hide_below is None or not kept:
        return rows
    units = plan.released.index(plan.measurements[groups.measurement].columns[0])
    return tuple((key, row) for key, row in rows if row[units] >= groups.hide_below)
