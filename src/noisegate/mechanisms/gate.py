"""The door: from exact totals, the plan they were made by and a receipt for it, to what may be shown.

Nothing else in noisegate makes a Release. The checks here repeat, by a second road, what planning promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod

from noisegate.errors import Internal
from noisegate.mechanisms.clip import in_steps
from noisegate.mechanisms.laplace import add_noise, loss
from noisegate.mechanisms.levels import check_levels, level_rows
from noisegate.mechanisms.other import check_other, other_loss, other_row
from noisegate.mechanisms.parts import check_parts, chosen_caps, clipped_sums, histograms, parts_loss
from noisegate.mechanisms.scale import scale_for
from noisegate.mechanisms.shape import nodes_per_group
from noisegate.mechanisms.threshold import within_delta
from noisegate.plan.measure import DeclaredGroups, FragmentPlan, Measurement, Selection
from noisegate.plan.trust import Confidential, Receipt, Release

Key = tuple[str | None, ...]
Totals = tuple[int, ...]


def release(confidential: Confidential, plan: FragmentPlan, receipt: Receipt) -> Release:
    """Noisy totals of one fragment; the receipt is spent for it.

    Claim: for databases that differ in one unit, the release is (plan.epsilon, plan.delta)-indistinguishable.
    Assumes: the totals differ as the plan's measurements say (the generated SQL clamps them so).
    Because: each measurement is one vector with discrete Laplace noise at its own epsilon, drawn independently; the
        epsilons add. The rows are declared, or selected as in `threshold`; hiding and sorting read noisy values and
        keys only.
    Checked by: tests/mechanisms/test_gate.py.
    Native code draws about 80,000 numbers per second: call it off the event loop. Raises Internal, and then nothing was
    released; whether the receipt was spent does not matter, for charges stand.
    """
    digest = plan.digest
    if confidential.digest != digest:
        raise Internal("totals were about to be released under another plan than their own")
    second_road(plan)
    receipt.use(digest)
    totals = _by_key(confidential, plan)
    levels = level_rows(plan, totals)
    if plan.levels is not None:
        rows = []
    elif isinstance(plan.groups, Selection):
        rows = _select(totals, plan, plan.groups)
    else:
        rows = _declare(totals, plan, plan.groups)
    shown = [key for key, _ in rows]
    trees, choices, ranks = histograms(plan, confidential.leaves, shown)
    return Release(
        digest,
        tuple(_with_sums(plan, totals, confidential.rest, rows)),
        trees,
        choices,
        levels,
        ranks,
    )


def _with_sums(
    plan: FragmentPlan, totals: dict[Key, Totals], rest: Totals | None, rows: list[tuple[Key, Totals]]
) -> list[tuple[Key, Totals]]:
    """The rows with their clipped sums, and the row of the groups that are not shown, if the plan has one."""
    other = plan.groups.other if isinstance(plan.groups, Selection) else None
    exact = [totals.get(key) for key, _ in rows]
    shown = {key for key, _ in rows}
    hidden = [row for key, row in totals.items() if key not in shown] if other is not None else []
    hidden += [rest] if rest is not None and other is not None else []
    chosen = chosen_caps(plan, [*exact, *hidden], [*totals.values(), *hidden], len(rows) + (other is not None))
    whole = [(key, row + sums) for (key, row), sums in zip(rows, clipped_sums(plan, exact, chosen), strict=True)]
    return whole if other is None else [*whole, (other.key, other_row(plan, other, hidden, chosen))]


def draws(confidential: Confidential, plan: FragmentPlan) -> int:
    """How many numbers a release of these totals draws, at most: what it takes."""
    rows = len(confidential.rows) if isinstance(plan.groups, Selection) else len(plan.groups.rows)
    if plan.levels is not None:
        rows = sum(prod(plan.levels.sizes[i] for i in kept) for kept in plan.levels.sets)
    return rows * (len(plan.released) + nodes_per_group(plan)) + sum(len(c.caps) for c in plan.clips)


def second_road(plan: FragmentPlan) -> Fraction:
    """The epsilon that the plan's noise costs, recomputed from sensitivities by OpenDP's own map.

    To be run before the charge, and compared with it. Raises Internal if any part costs more than the plan says, if
    the selection's threshold is too low for its delta, or if the plan is not well formed.
    """
    _check_form(plan)
    total = Fraction(0)
    for m in plan.measurements:
        spent = loss(m.sensitivity, scale_for(m.sensitivity, m.epsilon))
        if spent > m.epsilon:
            raise Internal("a measurement costs more than its price")
        total += spent
    total += parts_loss(plan)
    if isinstance(plan.groups, Selection) and plan.groups.other is not None:
        total += other_loss(plan, plan.groups.other)
    if total > plan.epsilon:
        raise Internal("a fragment costs more than its price")
    if isinstance(plan.groups, Selection):
        _check_selection(plan, plan.groups)
    return total


def _check_form(plan: FragmentPlan) -> None:
    measured = [column for m in plan.measurements for column in m.columns]
    used = measured + [column for c in plan.clips for column in c.read]
    used += plan.groups.kept_back if isinstance(plan.groups, Selection) else ()
    if sorted(used) != sorted(plan.exact) or len(set(used)) != len(used) or not (used or plan.more):
        raise Internal("every total must be measured, and by one measurement")
    check_parts(plan)
    check_levels(plan)
    if isinstance(plan.groups, Selection) and plan.groups.other is not None:
        check_other(plan, plan.groups.other)
    if any(min(m.per_group, m.groups, m.fine) < 1 or m.epsilon <= 0 for m in plan.measurements):
        raise Internal("a measurement without sensitivity or price")
    if any(m.joint is not None and m.joint < 1 for m in plan.measurements):
        raise Internal("a measurement without sensitivity")
    groups = plan.groups
    if isinstance(groups, DeclaredGroups):
        if (groups.measurement is None) != (groups.hide_below is None):
            raise Internal("groups can be hidden by a measured unit count only")
        if len(set(groups.rows)) != len(groups.rows) or any(len(row) != len(plan.keys) for row in groups.rows):
            raise Internal("the declared groups are not distinct rows of keys")
    if groups.measurement is not None and not 0 <= groups.measurement < len(plan.measurements):
        raise Internal("a plan names a measurement that it does not have")


def _check_selection(plan: FragmentPlan, selection: Selection) -> None:
    """The chance of a group that becomes possible by the tail itself, not by the search that chose T."""
    m = plan.measurements[selection.measurement]
    if m.per_group != selection.weight or len(m.columns) != 1 or m.fine != 1:
        raise Internal("groups are selected by a count to which one unit adds at most its weight")
    if bool(selection.units) != (m.joint is not None) or m.joint not in (None, selection.weight):
        raise Internal("groups are selected by weights that add up to no more than one unit's")
    if not selection.units and selection.weight != 1:
        raise Internal("groups are selected by weights, and no column counts their units")
    if not plan.keys or selection.group_size_min < 1:
        raise Internal("a selection without keys or minimum")
    if not within_delta(selection, m.groups, _scale(m)):
        raise Internal("a selection threshold is too low for its delta")


def _scale(m: Measurement) -> float:
    return scale_for(m.sensitivity, m.epsilon)


def _by_key(confidential: Confidential, plan: FragmentPlan) -> dict[Key, Totals]:
    """The engine's rows as a mapping. Raises Internal for rows of a wrong shape and for a key that comes twice."""
    totals: dict[Key, Totals] = {}
    for key, row in confidential.rows:
        if len(key) != len(plan.keys) or len(row) != len(plan.exact) or key in totals:
            raise Internal("the totals do not have the shape of their plan")
        totals[key] = row
    return totals


def _declare(totals: dict[Key, Totals], plan: FragmentPlan, groups: DeclaredGroups) -> list[tuple[Key, Totals]]:
    """Exactly the declared rows, in their order; a group that the engine did not see has totals of zero.

    The generated SQL keeps the declared groups only. If it ever returned another one it would be left out without a
    word: an error here would tell that somebody is in it.
    """
    nothing = (0,) * len(plan.exact)
    noisy = _measure([totals.get(key, nothing) for key in groups.rows], plan)
    rows = list(zip(groups.rows, noisy, strict=True))
    if groups.measurement is None or groups.hide_below is None:
        return rows
    units = _released_count(plan, groups.measurement)
    return [(key, row) for key, row in rows if row[units] >= groups.hide_below]


def _select(totals: dict[Key, Totals], plan: FragmentPlan, selection: Selection) -> list[tuple[Key, Totals]]:
    """Candidates are groups of at least group_size_min bounded units; those whose noisy count passes are shown.

    The others' totals are not drawn for at all. Sorted by key, so that no order of the engine's is seen.
    """
    units = plan.exact.index(plan.tested)
    candidates = sorted((key for key, row in totals.items() if row[units] >= selection.group_size_min), key=_order)
    noisy = _measure([totals[key] for key in candidates], plan)
    rows = zip(candidates, noisy, strict=True)
    units = _released_count(plan, selection.measurement)
    return [(key, row) for key, row in rows if row[units] >= selection.threshold]


def _released_count(plan: FragmentPlan, measurement: int) -> int:
    """Position of the noisy unit count: the first column of its measurement."""
    return plan.released.index(plan.measurements[measurement].columns[0])


def _order(key: Key) -> tuple[tuple[bool, str], ...]:
    return tuple((text is None, text or "") for text in key)


def _measure(rows: Sequence[Totals], plan: FragmentPlan) -> list[Totals]:
    """One independent draw for every row and measured column: one call of the sampler per scale, for the draws of
    measurements that share one are independent all the same. Without the clips' columns, which come last."""
    measured = plan.released[: len(plan.released) - sum(len(c.columns) for c in plan.clips)]
    exact = [plan.exact.index(column) for column in measured]
    noisy = [[row[p] for p in exact] for row in rows]
    by_scale: dict[tuple[float, int], list[int]] = {}
    for m in plan.measurements:
        by_scale.setdefault((_scale(m), m.fine), []).extend(measured.index(column) for column in m.columns)
    for (scale, fine), positions in by_scale.items():
        drawn = iter(in_steps(add_noise([row[p] for row in noisy for p in positions], scale), fine))
        for row in noisy:
            for p in positions:
                row[p] = next(drawn)
    return [tuple(row) for row in noisy]
