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
from noisegate.privacy.context import Context, arguments, cut, numeric_argument, only_if, policy_grid
from noisegate.privacy.counts import count_units
from noisegate.privacy.grid import choose_grid
from noisegate.privacy.keys import canonical
from noisegate.privacy.means import ratio
from noisegate.privacy.totals import Answer, Distinct, Total
from noisegate.query.total import compile_expr
from noisegate.query.values import Value, number


def count(c: Context) -> Answer:
    """count(DISTINCT x); of the unit itself, each unit counts once."""
    (arg,) = arguments(c, 1)
    value = compile_expr(arg, c.scope)
    fact = c.relation.fact(value)
    if fact is not None and fact.unit:
        return count_units(c, value)
    distinct = _set(c, value)
    total = Total(
        ("distinct count", distinct.sql), "distinct values", (), ("1",), (), distinct.values, _remark(c), distinct
    )
    return Answer((total,), cut(c, "{0}"), ("sd", Fraction(1)))


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
