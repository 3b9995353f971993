"""Percentiles, least and greatest values, modes: from a noisy histogram of a row's place on an axis.

Claim: one unit adds at most M to the histogram of each of its K groups (its own extreme only: 1), and at most C to each
count that mode() compares. Because: M of its rows are kept, evenly spaced in the order of their leaves (further.py);
the extreme is one leaf; counts per leaf are cut at C. Checked by: tests/privacy/test_neighbours_parts.py.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from noisegate.errors import Unsupported
from noisegate.mechanisms.ranking import COUNT_SHARE, GROUPS_FEW, leaf_width, rational
from noisegate.mechanisms.shape import LEAVES_EXACT, TreeShape, shape_for
from noisegate.plan.measure import Axis, Chosen, Largest, Quantiles
from noisegate.privacy.context import Context, missing_bounds, only_if, place_among, policy_grid, present, written
from noisegate.privacy.grid import choose_grid
from noisegate.privacy.keys import resolve_key
from noisegate.privacy.totals import Answer, Aside, Leaves
from noisegate.query.constants import Const
from noisegate.query.total import compile_expr
from noisegate.query.tree import Cast, Expr, SortKey
from noisegate.query.values import INTS, NUMBERS, Value

_EPOCH = dt.datetime(2000, 1, 1)
_UNIX = 946_684_800  # seconds from 1970 to 2000
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class _Place:
    """A value's place on an axis of `steps` grid steps, cut into the leaves of `shape`."""

    axis: Axis
    shape: TreeShape
    place: str
    passes: str | None
    shown: str

    @property
    def leaf(self) -> str:
        return self.of_width(self.shape.width)

    def of_width(self, width: int) -> str:
        """The leaf, for leaves of so many steps; NULL where the row does not count."""
        divided = self.place if width == 1 else f"pg_catalog.div(({self.place})::pg_catalog.numeric, {width})"
        last = -(-self.shape.steps // width) - 1
        return only_if(self.passes, f"LEAST(GREATEST(({divided})::pg_catalog.int8, 0), {last})", "NULL")


def percentile(c: Context) -> Answer:
    """percentile_cont, percentile_disc: any number of fractions from one tree per column and filter."""
    key = _order(c)
    place = _place(c, _exact_beneath(c, key.expr), key.descending)
    fractions, array = _fractions(c)
    asked = tuple(None if f is None else (c.call.name, f) for f in fractions)
    leaves = Leaves(
        ("sample", place.leaf),
        f"places of {place.shown}",
        place.leaf,
        place.shape.leaves,
        place.shape.steps,
        "sample",
        c.limits.sampled,
    )
    found = Quantiles(0, place.axis, asked, array)
    answer = Answer((), "{0}", ("tree", Fraction(1)), "", None, leaves, place.shape, found)
    one = {a for a in asked if a is not None}
    if len(one) != 1 or rational(next(iter(one))[1]) is None:
        return answer
    steps, width = place.shape.steps, leaf_width(place.shape.steps)
    fine = replace(leaves, leaf=place.of_width(width), size=-(-steps // width), kind="rank", asked=one.pop())
    fine = replace(fine, identity=("rank", fine.leaf, *map(str, fine.asked)))
    return replace(answer, alone=replace(answer, leaves=fine, computed=replace(found, by_rank=True)))


def alone(answers: Sequence[Answer], groups: int | None) -> tuple[Answer, ...]:
    """The answers, a percentile by rank where nothing else is read from its histogram, else all from one tree.

    Claim: the choice is public. Because: it reads the plan alone: which fractions are asked, how many steps the axis
    has, and how many groups are known beforehand (None where they are read from data: then no finer leaves are taken
    than a tree has, for each is a number in memory). For one percentile a rank has a tenth to a half of the tree's
    error, for three a larger one (bench/percentiles.py).
    """
    same: dict[tuple[str, ...], set[object]] = {}
    for answer in answers:
        if answer.leaves is not None:
            same.setdefault(answer.leaves.identity, set()).add(answer.alone and answer.alone.leaves)

    def one(answer: Answer) -> Answer:
        if answer.alone is None or answer.leaves is None or len(same[answer.leaves.identity]) > 1:
            return answer
        few = groups is not None and groups <= GROUPS_FEW
        affordable = few or answer.leaves.steps <= LEAVES_EXACT
        return answer.alone if affordable and _is_better(answer) else answer

    return tuple(map(one, answers))


def _is_better(answer: Answer) -> bool:
    """The expected error of the rank, beside the tree's, for one row in one group at price 1: both grow alike."""
    assert answer.alone is not None and answer.alone.leaves is not None and answer.shape is not None
    fraction = answer.alone.leaves.asked[1]
    by_rank = 2 * max(fraction, 1 - fraction) / float(1 - COUNT_SHARE)
    return by_rank < math.sqrt(2 * answer.shape.levels**3)


def extreme(c: Context) -> Answer:
    """min and max: the quantile where the noisy tail of the units' own extremes is surely more than noise."""
    if len(c.call.args) != 1:
        raise Unsupported(f"{c.call.name} takes one argument", name=c.call.name)
    place = _place(c, c.call.args[0], False)
    keep = "least" if c.call.name == "min" else "greatest"
    leaves = Leaves(
        (keep, place.leaf),
        f"each unit's {keep} {place.shown}",
        place.leaf,
        place.shape.leaves,
        place.shape.steps,
        keep,
        1,
    )
    asked = ((c.call.name, 0.0),)
    note = "an extreme quantile: the last few units may lie beyond it"
    return Answer((), "{0}", ("tree", Fraction(1)), note, None, leaves, place.shape, Quantiles(0, place.axis, asked))


def mode(c: Context) -> Answer:
    """mode() over the values that the policy or the type declares, by private choice of the largest count; over others,
    from those that are selected from data (modes.py)."""
    key = _order(c)
    value = compile_expr(key.expr, c.scope)
    known = resolve_key(value, c.relation, c.snapshot, c.scope)
    if known.values is None:
        return _selected(c, key, value)
    values = tuple(sorted(known.values)) if value.type != "enum" else known.values
    values = values[::-1] if key.descending else values
    leaf = place_among(c, value, known.sql, values)
    cap = 1 if c.limits.one_row else c.limits.rows
    leaves = Leaves(
        ("each", leaf), f"rows with each value of {written(c, key.expr)}", leaf, len(values), 0, "each", cap, "choice"
    )
    return Answer((), "{0}", ("choice", Fraction(1)), "", None, leaves, None, Chosen(0, values))


def _selected(c: Context, key: SortKey, value: Value) -> Answer:
    if value.const is not None:
        raise Unsupported("mode() of a constant is not supported", name="mode")
    text = written(c, key.expr)
    if c.call.filter is not None:
        text = f"CASE WHEN {written(c, c.call.filter)} THEN {text} END"
    aside = Aside((value.sql, c.condition or ""), c.call, text)
    found = Largest(0, "", key.descending)
    return Answer((), "{0}", ("aside", Fraction(1)), "", computed=found, aside=aside)


def _order(c: Context) -> SortKey:
    if len(c.call.within) != 1:
        raise Unsupported(f"{c.call.name} takes one WITHIN GROUP (ORDER BY ...)", name=c.call.name)
    return c.call.within[0]


def _fractions(c: Context) -> tuple[tuple[float | None, ...], bool]:
    arg = c.call.args[0] if len(c.call.args) == 1 else None
    const = c.scope.constants.get((arg.start, arg.end)) if arg is not None else None
    if const is None:
        raise Unsupported(f"{c.call.name} takes a constant fraction on private rows", name=c.call.name)
    items = const.items if const.items is not None else (const,)
    return tuple(_fraction(c, one) for one in items), const.items is not None


def _fraction(c: Context, const: Const) -> float | None:
    if const.text is None:
        return None
    if const.number is None or not 0 <= const.number <= 1:
        raise Unsupported("a percentile is a fraction between 0 and 1", name=c.call.name)
    return float(const.number)


def _exact_beneath(c: Context, arg: Expr) -> Expr:
    """What stands beneath percentile_cont's cast to double precision of an exact number: its own grid is exact."""
    if isinstance(arg, Cast) and arg.type == "double precision":
        inner = compile_expr(arg.arg, c.scope)
        if inner.type in INTS or inner.type == "numeric":
            return arg.arg
    return arg


def _place(c: Context, arg: Expr, descending: bool) -> _Place:
    value = compile_expr(arg, c.scope)
    if value.type not in NUMBERS | {"date", "timestamp", "timestamptz"}:
        raise Unsupported(
            f"{c.call.name} of {value.type} is not supported on private rows",
            name=c.call.name,
            detail="It would show one person's own value.",
            hint="Ask for it of a number, a date or a timestamp; for others, count a GROUP BY.",
        )
    if not value.bound.finite:
        raise missing_bounds(c, arg)
    number = value.type in NUMBERS
    axis, steps, place = _numbers(c, arg, value) if number else _times(value)
    if descending:
        axis = Axis(axis.low + axis.width * (steps - 1), -axis.width, axis.form, axis.digits)
        place = f"({steps - 1} - {place})"
    return _Place(axis, shape_for(steps), place, present(c, value), written(c, arg))


def _numbers(c: Context, arg: Expr, value: Value) -> tuple[Axis, int, str]:
    width = (value.bound.hi or Fraction(0)) - (value.bound.lo or Fraction(0))
    grid = choose_grid(value, policy_grid(c, arg), max(value.bound.magnitude, width))
    low, high = grid.down(value.bound.lo), grid.up(value.bound.hi)
    form = "float" if value.type in ("float4", "float8") else "number"
    digits = max(grid.digits, value.scale or 0) if value.type == "numeric" else grid.digits  # as many as the column has
    axis = Axis(low * grid.step, grid.step, form, digits)
    return axis, max(high - low, 0) + 1, grid.row_sql(value, value.bound, low)


def _times(value: Value) -> tuple[Axis, int, str]:
    """Days, or whole seconds. The value is clamped before anything is computed: infinity has no difference."""
    assert value.bound.lo is not None and value.bound.hi is not None
    low, high = math.floor(value.bound.lo), math.ceil(value.bound.hi)
    seconds = _DAY if value.type == "date" else 1
    try:
        first, last = (_EPOCH + dt.timedelta(seconds=x * seconds) for x in (low, high))
    except OverflowError:
        raise Unsupported("the bounds of this expression are beyond the year 9999", hint="Bound it closer.") from None
    zone = "+00" if value.type == "timestamptz" else ""
    ends = [f"'{_iso(x, value.type)}{zone}'::pg_catalog.{value.type}" for x in (first, last)]
    inside = f"LEAST(GREATEST({value.sql}, {ends[0]}), {ends[1]})"
    if value.type == "date":
        place = f"({inside} - {ends[0]})"
    else:
        place = f"pg_catalog.floor(pg_catalog.date_part('epoch', {inside}) - {low + _UNIX})"
    return Axis(Fraction(low), Fraction(1), value.type), high - low + 1, place


def _iso(moment: dt.datetime, kind: str) -> str:
    return moment.date().isoformat() if kind == "date" else moment.isoformat(sep=" ")
