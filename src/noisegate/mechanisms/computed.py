"""Columns that are computed from a release: quantiles from noisy trees, the values of choices. Pure post-processing."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import numpy as np

from noisegate.mechanisms.parts import tree_deviation
from noisegate.mechanisms.quantiles import Asked, Between, Kind, quantiles
from noisegate.mechanisms.ranking import leaf_width
from noisegate.mechanisms.shape import TreeShape, present_from, shape_for
from noisegate.mechanisms.tree import ConsistentTree, NoisyNodes, estimate
from noisegate.plan.measure import Axis, Chosen, FragmentPlan, Largest, NoisyTable, Present, Quantiles, Rank
from noisegate.plan.trust import Release

_EPOCH = dt.datetime(2000, 1, 1)
Column = tuple[str | None, ...]


Beside = tuple[FragmentPlan, Release]


def computed(
    plan: FragmentPlan, table: NoisyTable, release: Release, asides: Sequence[Beside] = ()
) -> tuple[Column, ...]:
    """The columns q0, q1 ... of the noisy table, each with one text (or NULL) per released row. `asides`: the releases
    that were made for it, with their plans."""
    trees = {
        part: _estimated(plan, part, release)
        for part in {one.part for one in table.computed if isinstance(one, Quantiles) and not one.by_rank}
    }
    last = (None,) if table.other else ()  # Other's row: nothing of this adds up over groups
    shown = release.rows[: len(release.rows) - len(last)]
    found = []
    for one in table.computed:
        if isinstance(one, Chosen):
            found.append(_chosen(one, release))
        elif isinstance(one, Present):
            found.append(_present(one, plan, release))
        elif isinstance(one, Largest):
            found.append(_largest(one, *asides[one.part], [key for key, _ in shown]))
        elif one.by_rank:
            found.append(_ranked(one, plan.ranks[one.part], release))
        else:
            found.append(_quantiles(one, trees[one.part]))
    return tuple((*column, *last) for column in found)


def _present(one: Present, plan: FragmentPlan, release: Release) -> Column:
    least = present_from(plan.trees[one.part])
    return tuple(str(sum(n >= least for n in leaves)) for leaves in release.trees[one.part])


def _ranked(one: Quantiles, rank: Rank, release: Release) -> Column:
    """NULL where the noisy number of values is below 1. Of two leaves the lower one comes first, whichever was which:
    draws may cross."""
    return tuple(
        _shown([_between(rank, count, sorted(leaves)) if a is not None else None for a in one.asked], one)
        if count > 0
        else None
        for count, *leaves in release.ranks[one.part]
    )


def _between(rank: Rank, count: int, leaves: Sequence[int]) -> Between:
    """The middle of each leaf; the share between two as PostgreSQL computes it, of the noisy number of values."""
    width = leaf_width(rank.steps)
    steps = [min(leaf * width + (width - 1) // 2, rank.steps - 1) for leaf in leaves]
    place = rank.fraction * (count - 1)
    share = Fraction(place - math.floor(place)) if rank.between and steps[0] < steps[1] else Fraction(0)
    return Between(steps[0], steps[-1], share)


def _shown(places: Sequence[Between | None], one: Quantiles) -> str | None:
    texts = [_text(place, one.axis) for place in places]
    return _array(texts) if one.array else texts[0]


def _chosen(one: Chosen, release: Release) -> Column:
    return tuple(one.values[leaf] for leaf in release.choices[one.part])


def _largest(one: Largest, plan: FragmentPlan, beside: Release, shown: Sequence[Column]) -> Column:
    """An array of the values with the largest count, in any order; which of them wins is PostgreSQL's to say."""
    at = plan.released.index(one.column)
    best: dict[tuple[str | None, ...], tuple[int, list[str]]] = {}
    for (*group, value), row in beside.rows:
        most, values = best.setdefault(tuple(group), (0, []))
        if value is not None and row[at] >= max(most, 1):
            best[tuple(group)] = (row[at], [*(values if row[at] == most else ()), value])
    return tuple(_texts(best[key][1]) if key in best and best[key][1] else None for key in shown)


def _texts(values: Sequence[str]) -> str:
    """An array of any type's texts."""
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


def _estimated(plan: FragmentPlan, part: int, release: Release) -> ConsistentTree | None:
    rows = release.trees[part]
    if not rows:
        return None
    shape: TreeShape = shape_for(plan.trees[part].steps)
    nodes = np.array(rows, np.int64)
    ends = np.cumsum(shape.sizes)[:-1]
    return estimate(NoisyNodes(shape, tuple(np.split(nodes, ends, axis=1)), tree_deviation(plan.trees[part])))


def _quantiles(one: Quantiles, tree: ConsistentTree | None) -> Column:
    if tree is None:
        return ()
    asked = [Asked(Kind(a[0]), a[1]) for a in one.asked if a is not None]
    column: list[str | None] = []
    for found in quantiles(tree, asked):
        if tree.total[len(column)] <= 0:
            column.append(None)
            continue
        answers = iter(found)
        column.append(_shown([next(answers) if a is not None else None for a in one.asked], one))
    return tuple(column)


def _array(texts: Sequence[str | None]) -> str:
    return "{" + ",".join("NULL" if t is None else f'"{t}"' for t in texts) + "}"


def _text(place: Between | None, axis: Axis) -> str | None:
    if place is None:
        return None
    low, high = (axis.low + step * axis.width for step in (place.low, place.high))
    if place.share:
        return repr(float(low) + float(place.share) * (float(high) - float(low)))  # as PostgreSQL interpolates
    match axis.form:
        case "date":
            return (_EPOCH + dt.timedelta(days=int(low))).date().isoformat()
        case "timestamp" | "timestamptz":
            moment = (_EPOCH + dt.timedelta(microseconds=int(low * 1_000_000))).isoformat(sep=" ")
            return moment + ("+00" if axis.form == "timestamptz" else "")
        case "float":
            return repr(float(low))
        case _:
            return _decimal(low, axis.digits)


def _decimal(x: Fraction, digits: int) -> str:
    scaled = x * 10**digits
    return format(Decimal(round(scaled)).scaleb(-digits), "f")
