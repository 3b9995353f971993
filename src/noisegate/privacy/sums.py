"""Sums: integers on a grid, cut per unit and group at the unit total."""

from __future__ import annotations

from fractions import Fraction

from noisegate.privacy.clips import CLIPPED_MIN, bounded, clipped
from noisegate.privacy.context import (
    Context,
    arguments,
    filtered,
    numeric_argument,
    only_if,
    policy_grid,
    present,
    rows,
    unit_total,
    unit_total_overall,
)
from noisegate.privacy.grid import choose_grid
from noisegate.privacy.means import mean_pair
from noisegate.privacy.totals import Answer, Total
from noisegate.query.values import number

DECLARED_SPREAD = 4  # nearly every unit stays below its declared total


def sum_of(c: Context) -> Answer:
    """sum(x).

    Claim: one unit adds a multiple of the grid within its total. Because: GREATEST(LEAST(sum, hi), lo) over integers,
    with 0 inside [lo, hi]; rows are clamped to their interval before.
    """
    (arg,) = arguments(c, 1)
    value = numeric_argument(c, arg)
    interval, how, declared = unit_total(c, arg, value.bound)
    grid = choose_grid(value, policy_grid(c, arg), interval.magnitude)
    row = grid.row_sql(value, value.bound)
    passes = present(c, value)
    low, high = grid.down(interval.lo), grid.up(interval.hi)
    total = Total(
        ("sum", row, passes or "", str(low), str(high)),
        f"{c.text} in steps of {grid.text}, each unit within [{grid.show(low)}, {grid.show(high)}]",
        (f"pg_catalog.sum({row}){filtered(passes)}",),
        (f"GREATEST(LEAST(COALESCE({{0}}, 0), {high}), {low})",),
        (only_if(passes, grid.total_sql(value, value.bound, low, high)),),
        max(abs(low), abs(high), 1),
        how,
        spread=DECLARED_SPREAD if declared else 2 * c.limits.spread,
    )
    private = c.clips and not declared and total.per_group >= CLIPPED_MIN
    said = unit_total_overall(c, arg, value.bound)
    overall = max(grid.up(said), 1) if said is not None else None
    if private:
        clip = clipped(total, "COALESCE({0}, 0)", low, high, c.limits.groups, overall)
        total, how = clip, "clip chosen privately"
    elif not c.limits.one_row:
        size = f"pg_catalog.abs({total.outer[0]})" if low < 0 else total.outer[0]
        total = bounded(total, size, total.outer, total.per_group, 1, c.limits.groups, overall)
    sum_sql = f"{{0}} * {number(grid.step)}"
    if value.type == "numeric" and value.scale is not None and value.scale > grid.digits:
        sum_sql = f"pg_catalog.round({sum_sql}, {value.scale})"  # as many decimals as the column has
    shown = f"({sum_sql})::{c.plain_type}"
    counted = rows(c, passes, "count of values")
    instead = None if declared or private else _from_pair(c)
    return Answer((total,), shown, ("sd", grid.step), how, counted, instead=instead)


def _from_pair(c: Context) -> Answer | None:
    """The sum from the two sums of a mean, where that is measured anyway: heavier units are scaled, as in the mean.

    With a = sum(x - lo) and b = sum(hi - x), a + b = n (hi - lo), so sum(x) = a + lo n. Its noise is at most sqrt(2)
    times that of a sum of its own at the same price, and it saves a measurement.
    """
    pair = mean_pair(c)
    if pair is None:
        return None
    sql = f"(CASE WHEN {pair.none} THEN NULL ELSE {pair.sum} END)::{c.plain_type}"
    spread = Fraction(pair.high**2 + pair.low**2)
    factor = pair.grid.step * Fraction(float(spread) ** 0.5) / max(pair.high - pair.low, 1)
    return Answer((pair.total,), sql, ("sd", factor), "from the sums of the mean")
