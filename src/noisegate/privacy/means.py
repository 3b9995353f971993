"""Averages, and the two sums about the ends of an interval that averages, variances and others share."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from noisegate.privacy.clips import CLIPPED_MIN, bounded, clipped_rows
from noisegate.privacy.context import (
    Context,
    arguments,
    filtered,
    numeric_argument,
    only_if,
    policy_grid,
    policy_of,
    present,
    unit_total,
    written,
)
from noisegate.privacy.grid import STEPS_MAX, Grid, choose_grid
from noisegate.privacy.totals import Answer, Total
from noisegate.query.interval import Interval
from noisegate.query.tree import Expr
from noisegate.query.values import Value, number

ROWS_MAX = 2**26  # of a unit in a group, when they are scaled: one that has more counts as having so many


def avg(c: Context) -> Answer:
    """avg(x): from both ends of the interval where bounds are tight, else about a public centre."""
    (arg,) = arguments(c, 1)
    value = numeric_argument(c, arg)
    pair = mean_pair(c)
    if pair is not None:
        return Answer((pair.total,), _mean(pair, c), ("mean", pair.grid.step), "centred: sums from both bounds")
    interval, how, _ = unit_total(c, arg, value.bound)
    return _centred(c, arg, value, interval, how)


@dataclass(frozen=True, slots=True)
class Pair:
    """a = sum(x - lo) and b = sum(hi - x), in steps of `grid`; [low, high] = [lo, hi] in steps. SQL over {0} = a and
    {1} = b: `count`: rows (weights, where a unit has more than C); `sum`: in x's own units; `none`: no rows."""

    total: Total
    grid: Grid
    low: int
    high: int

    @property
    def count(self) -> str:
        return f"pg_catalog.trim_scale(({{0}} + {{1}}) / {self.high - self.low}::pg_catalog.numeric)"

    @property
    def sum(self) -> str:
        return (
            f"pg_catalog.round({self.grid.show_sql(self.low)} * {self.count} + {{0}} * {number(self.grid.step)}, "
            f"{self.grid.digits})"
        )

    @property
    def none(self) -> str:
        return "({0} + {1}) <= 0"


def mean_pair(c: Context, arg: Expr | None = None, passes: str | None = None) -> Pair | None:
    """The two sums of x, None where a declared unit total is smaller than half of C widths.

    Claim: one unit adds a, b >= 0 with a + b = min(c, C)*H, so the joint L1 norm is at most C*H. Because: a unit with
    c > C rows adds round(a*C/c), clamped to [0, C*H], and C*H minus that. The answer estimates the mean with weights
    min(rows, C). Both sums get the whole price of the measurement (docs/privacy.md, averages).
    """
    forced = arg is not None
    arg = arg if arg is not None else arguments(c, 1)[0]
    value = numeric_argument(c, arg)
    cap = c.limits.rows
    width = max((value.bound.hi or Fraction(0)) - (value.bound.lo or Fraction(0)), Fraction(0))
    if not forced and width * cap / 2 > unit_total(c, arg, value.bound)[0].magnitude:
        return None
    grid = choose_grid(value, policy_grid(c, arg), max(width, Fraction(1, 10**9)) * cap, cap)
    low, high = grid.down(value.bound.lo), grid.up(value.bound.hi)
    high = max(high, low + 1)
    steps = high - low
    row = grid.row_sql(value, value.bound, low)
    passes = passes if forced else present(c, value)
    inside = f"LEAST(GREATEST({row}, 0), {steps})"
    total = Total(
        ("mean", row, passes or "", str(steps)),
        f"{written(c, arg)}: sums above {grid.show(low)} and below {grid.show(high)} in steps of {grid.text}",
        (f"pg_catalog.sum({row}){filtered(passes)}", f"pg_catalog.count(*){filtered(passes)}"),
        both_sums(cap, steps),
        (only_if(passes, inside), only_if(passes, f"{steps} - {inside}")),
        cap * steps,
        f"a unit's rows weigh as at most {cap}",
        spread=c.limits.spread,
        pair=steps,
    )
    if c.clips and not forced and cap >= CLIPPED_MIN:
        groups, overall = c.limits.groups, c.limits.overall
        total = clipped_rows(total, "{1}", cap, lambda most: both_sums(most, steps), steps, groups, overall)
    elif not forced and not c.limits.one_row:
        size = f"LEAST({{1}}, {cap})"
        total = bounded(total, size, total.outer, cap, steps, c.limits.groups, c.limits.overall)
    return Pair(total, grid, low, high)


def both_sums(cap: int, steps: int) -> tuple[str, str]:
    """What a unit adds to both sums where its rows weigh as at most `cap`: together cap * steps.

    Claim: int8 suffices. Because: rows <= ROWS_MAX = 2^26 and cap * steps < 2^31, so no product reaches 2^59.
    """
    rows = f"LEAST({{1}}, {ROWS_MAX})"
    kept = f"LEAST(GREATEST({{0}}, 0), {rows} * {steps})::pg_catalog.int8"
    scaled = f"({kept} * {2 * cap} + {rows}) / (2 * {rows})"  # rounded; in numeric it is far slower
    few = f"LEAST(GREATEST(COALESCE({{0}}, 0), 0), {{1}} * {steps})"
    above = f"(CASE WHEN {{1}} > {cap} THEN LEAST(GREATEST({scaled}, 0), {cap * steps}) ELSE {few} END)"
    return above, f"(LEAST({{1}}, {cap}) * {steps} - {above})"


def _mean(pair: Pair, c: Context) -> str:
    return ratio(pair.sum, pair.count, pair.none, pair.grid, pair.low, pair.high, c.plain_type)


def _centred(c: Context, arg: Expr, value: Value, interval: Interval, how: str) -> Answer:
    """The mean from a sum about a public centre, cut at the unit total, and the weight of the values in it.

    Claim: one unit adds at most its total to the sum and C rows to the weight. Because: integer clamps on both. A
    unit with c > C rows is scaled by C/c in both. Where the total cuts its sum, its weight is cut in proportion: it
    keeps its own mean and weighs less, so that the cut does not pull the answer (docs/privacy.md, averages).
    """
    cap = c.limits.rows
    _, column, _ = policy_of(c, arg)
    centre = Fraction(column.typical) if column is not None and column.typical is not None else Fraction(0)
    grid = choose_grid(value, policy_grid(c, arg), interval.magnitude + abs(centre))
    middle = grid.down(centre)
    row = grid.row_sql(value, value.bound, middle)
    passes = present(c, value)
    top = grid.up(interval.magnitude)
    low, high = (-top, top) if centre else (grid.down(interval.lo), grid.up(interval.hi))
    scaled = f"pg_catalog.round({{0}}::pg_catalog.numeric * {cap} / {{1}})"
    added = Total(
        ("scaled sum", row, passes or "", str(low), str(high)),
        f"{c.text}: sum about {grid.show(middle)} in steps of {grid.text}, each unit within "
        f"[{grid.show(low)}, {grid.show(high)}]",
        (f"pg_catalog.sum({row}){filtered(passes)}", f"pg_catalog.count(*){filtered(passes)}"),
        (f"GREATEST(LEAST(CASE WHEN {{1}} > {cap} THEN {scaled} ELSE COALESCE({{0}}, 0) END, {high}), {low})",),
        (only_if(passes, f"GREATEST(LEAST({row}, {high}), {low})"),),
        max(abs(low), abs(high), 1),
        f"{how}; a unit's rows weigh as at most {cap}",
        spread=c.limits.spread,
    )
    counted = _weights(c, row, passes, low, high)
    count = f"pg_catalog.trim_scale({{1}} / {_weight_steps(c)}::pg_catalog.numeric)"
    total = f"pg_catalog.round({grid.show_sql(middle)} * {count} + {{0}} * {number(grid.step)}, {grid.digits})"
    lo, hi = grid.down(value.bound.lo), grid.up(value.bound.hi)
    shown = ratio(total, count, "{1} <= 0", grid, lo, hi, c.plain_type)
    return Answer((added, counted), shown, ("mean", grid.step), f"centre {grid.show(middle)}: {how}")


def _weight_steps(c: Context) -> int:
    """Steps of a row's weight: hundredths, where C rows of them fit."""
    return max(1, min(100, STEPS_MAX // c.limits.rows))


def _weights(c: Context, row: str, passes: str | None, low: int, high: int) -> Total:
    """The rows that a unit's cut sum stands for.

    Claim: one unit adds between 0 and C rows, in steps. Because: GREATEST(LEAST(weight, C rows), 0), on integers.
    """
    cap, step = c.limits.rows, _weight_steps(c)

    def weight(added: str, rows: str) -> str:
        scaled = f"{added}::pg_catalog.numeric * LEAST({rows}, {cap})"
        cut = (
            f"CASE WHEN {scaled} > {high}::pg_catalog.numeric * {rows} "
            f"THEN pg_catalog.round({step * high}::pg_catalog.numeric * {rows} / {added}) "
            f"WHEN {scaled} < {low}::pg_catalog.numeric * {rows} "
            f"THEN pg_catalog.round({step * low}::pg_catalog.numeric * {rows} / {added}) "
            f"ELSE LEAST({rows}, {cap}) * {step} END"
        )
        return f"GREATEST(LEAST({cut}, {cap * step}), 0)"

    return Total(
        ("weights", row, passes or "", str(low), str(high)),
        f"weights of the values, in steps of 1/{step} row",
        (f"pg_catalog.sum({row}){filtered(passes)}", f"pg_catalog.count(*){filtered(passes)}"),
        (weight("{0}", "{1}"),),
        (only_if(passes, weight(row, "1")),),
        cap * step,
        "a unit whose sum is cut weighs less",
        spread=c.limits.spread,
    )


def ratio(total: str, count: str, none: str, grid: Grid, low: int, high: int, type_sql: str) -> str:
    """A released sum over a released count, inside [low, high] steps; NULL where `none` holds."""
    quotient = f"{total} / NULLIF({count}, 0)"
    kept = f"LEAST(GREATEST({quotient}, {grid.show_sql(low)}), {grid.show_sql(high)})"
    return f"(CASE WHEN {none} THEN NULL ELSE {kept} END)::{type_sql}"
