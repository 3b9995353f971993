"""Aggregates over distinct values: at most V values of each unit and group, then the set of values of the group.

Claim: adding a unit adds at most V values to the set of each of its K groups, and takes none away: a count changes by
at most V, a sum of numbers within [-H, H] by at most V*H. Because: a unit's values are chosen from its own alone (a
keyed hash, ties broken by the value), and a set only grows. Values are in canonical form: equal ones have equal bytes.
Checked by: tests/privacy/test_neighbours.py.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from noisegate.errors import Unsupported
from noisegate.mechanisms.shape import TOP_MAX, shape_for
from noisegate.plan.measure import Present
from noisegate.privacy.context import (
    Context,
    arguments,
    cut,
    numeric_argument,
    only_if,
    place_among,
    policy_grid,
    written,
)
from noisegate.privacy.counts import count_units
from noisegate.privacy.grid import choose_grid
from noisegate.privacy.keys import canonical, resolve_key
from noisegate.privacy.means import ratio
from noisegate.privacy.totals import Answer, Distinct, Leaves, Total
from noisegate.query.total import compile_expr
from noisegate.query.values import Value, number


def count(c: Context) -> Answer:
    """count(DISTINCT x); of the unit itself, each unit counts once."""
    (arg,) = arguments(c, 1)
    value = compile_expr(arg, c.scope)
    fact = c.relation.fact(value)
    if fact is not None and fact.unit:
        return count_units(c, value)
    cells = _cells(c, value)
    if cells is not None:
        return cells
    distinct = _set(c, value)
    total = Total(
        ("distinct count", distinct.sql), "distinct values", (), ("1",), (), distinct.values, _remark(c), distinct
    )
    return Answer((total,), cut(c, "{0}"), ("sd", Fraction(1)))


def _cells(c: Context, value: Value) -> Answer | None:
    """Of a few declared values: how many noisy counts of their units are surely more than noise.

    Claim: a unit adds at most 1 to each of the values' counts, in each of its groups: in L1 as many as there are
    values. Because: one row per unit, group and value. Checked by: tests/privacy/test_neighbours_parts.py.
    Taken where a unit may have all of them: then a count of the set, to which a unit adds as many, says nothing.
    """
    if c.limits.one_row or value.const is not None:
        return None
    known = resolve_key(value, c.relation, c.snapshot, c.scope)
    if known.values is None or not 2 <= len(known.values) <= min(c.limits.values, TOP_MAX):
        return None
    leaf = place_among(c, value, known.sql, known.values)
    size = len(known.values)
    what = f"units with each value of {written(c, c.call.args[0])}"
    leaves = Leaves(("once", leaf), what, leaf, size, size, "once", size)
    shown = "({0})::pg_catalog.int8"
    return Answer((), shown, ("cells", Fraction(1)), "", None, leaves, shape_for(size), Present(0))


def sum_of(c: Context) -> Answer:
    """sum(DISTINCT x): of values on the grid."""
    value = numeric_argument(c, arguments(c, 1)[0])
    distinct = _set(c, value)
    grid = choose_grid(value, policy_grid(c, c.call.args[0]), value.bound.magnitude * distinct.values, distinct.values)
    low, high = grid.down(value.bound.lo), grid.up(value.bound.hi)
    most = max(abs(low), abs(high), 1)
    row = grid.row_sql(replace(value, sql="{0}", column=None), value.bound)
    total = Total(
        ("distinct sum", distinct.sql, str(grid.step)),
        f"{c.text} in steps of {grid.text}, each value within [{grid.show(low)}, {grid.show(high)}]",
        (),
        (f"GREATEST(LEAST({row}, {most}), {-most})",),
        (),
        distinct.values * most,
        _remark(c),
        distinct,
    )
    return Answer((total,), f"({{0}} * {number(grid.step)})::{c.plain_type}", ("sd", grid.step))


def avg(c: Context) -> Answer:
    """avg(DISTINCT x) from sum(x - lo) and sum(hi - x) over the set: one value adds a and H - a, so the joint L1 norm
    of a unit's values is at most V*H."""
    value = numeric_argument(c, arguments(c, 1)[0])
    distinct = _set(c, value)
    width = max((value.bound.hi or Fraction(0)) - (value.bound.lo or Fraction(0)), Fraction(1, 10**9))
    grid = choose_grid(value, policy_grid(c, c.call.args[0]), width * distinct.values, distinct.values)
    low, high = grid.down(value.bound.lo), grid.up(value.bound.hi)
    steps = max(high - low, 1)
    row = f"LEAST(GREATEST({grid.row_sql(replace(value, sql='{0}', column=None), value.bound, low)}, 0), {steps})"
    total = Total(
        ("distinct mean", distinct.sql, str(grid.step)),
        f"{c.text} as sums above {grid.show(low)} and below {grid.show(high)} in steps of {grid.text}",
        (),
        (row, f"({steps} - {row})"),
        (),
        distinct.values * steps,
        _remark(c),
        distinct,
    )
    count = f"pg_catalog.trim_scale(({{0}} + {{1}}) / {steps}::pg_catalog.numeric)"
    added = f"pg_catalog.round({grid.show_sql(low)} * {count} + {{0}} * {number(grid.step)}, {grid.digits})"
    shown = ratio(added, count, "({0} + {1}) <= 0", grid, low, low + steps, c.plain_type)
    return Answer((total,), shown, ("mean", grid.step), "over distinct values")


def _set(c: Context, value: Value) -> Distinct:
    if value.const is not None:
        raise Unsupported(f"{c.call.name}(DISTINCT ...) of a constant is not supported", name="distinct")
    sql = only_if(c.condition, canonical(value), "NULL")
    return Distinct(sql, 1 if c.limits.one_row else c.limits.values)


def _remark(c: Context) -> str:
    if c.limits.one_row:
        return "one value per unit"
    return f"at most {c.limits.values} distinct values of a unit count in one group, chosen by a keyed hash"
