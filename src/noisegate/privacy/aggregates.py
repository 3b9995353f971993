"""Aggregates over people: the totals each needs, what one unit may add to them, and how the answer is put together.

Each `measure_*` returns a `Total`: columns per unit and group (inner), clamped integers (outer), and the L1 bound
`per_group` that the clamp enforces. Each rule carries its claim; tests/privacy/test_neighbours.py drops each unit in
turn from small databases and compares the exact totals.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from noisegate.errors import MissingBounds, NoisegateError, Unsupported
from noisegate.plan.catalog import Snapshot
from noisegate.policy.model import Column
from noisegate.privacy.grid import STEPS_MAX, Grid, choose_grid
from noisegate.privacy.narrow import narrowings
from noisegate.privacy.relation import PrivateRelation, Resolver, condition_sql, conjuncts_of
from noisegate.privacy.totals import UNITS, Answer, Limits, Total
from noisegate.query.interval import ANY, Interval, hull, meet, point
from noisegate.query.total import compile_expr
from noisegate.query.tree import Call, Cast, Expr, Name, Op, walk
from noisegate.query.values import NUMBERS, Value, number


class Aggregator:
    """Translates the aggregates of one fragment."""

    def __init__(self, resolver: Resolver, relation: PrivateRelation, snapshot: Snapshot, limits: Limits) -> None:
        self._resolver = resolver
        self._relation = relation
        self._snapshot = snapshot
        self._limits = limits
        self._base = narrowings(relation.conjuncts, resolver.scope)
        self._negative = snapshot.policy.answers.negative_counts

    def answer(self, call: Call, sql: str, type_sql: str) -> Answer:
        """Raises Unsupported for forms that are not answered, MissingBounds where an interval is missing."""
        if call.extras:
            raise Unsupported(f"{call.extras} in an aggregate over a private table is not supported", name=call.name)
        self._resolver.narrowed = dict(self._base)
        if call.filter is not None:
            for column, interval in narrowings(conjuncts_of(call.filter), self._resolver.scope).items():
                self._resolver.narrowed[column] = meet(self._resolver.narrowed.get(column, ANY), interval)
        condition = condition_sql(call.filter, self._resolver.scope) if call.filter is not None else None
        match call.name:
            case "count" if call.distinct:
                return self._count_units(call, condition)
            case "count":
                return self._count(call, condition)
            case "sum" if not call.distinct:
                return self._sum(call, condition, sql, type_sql)
            case "avg" if not call.distinct:
                return self._avg(call, condition, sql, type_sql)
            case _:
                raise Unsupported(
                    f"{call.name}(DISTINCT ...) over a private table is not supported yet",
                    name=call.name,
                    hint=f"Use {call.name} without DISTINCT.",
                )

    # -- count ----------------------------------------------------------------------------------------------------
    def _count_units(self, call: Call, condition: str | None) -> Answer:
        arg = call.args[0]
        unit = self._relation.unit
        value = self._resolver.column(arg) if isinstance(arg, Name) and len(call.args) == 1 else None
        if value is None or value.column != unit.column:
            raise Unsupported(
                "count(DISTINCT ...) is supported for the column of the privacy unit only, so far",
                name="distinct",
                hint=f"Use count(DISTINCT {self._relation.unit_name}), or count a GROUP BY.",
            )
        total = UNITS if condition is None else self._filtered_units(condition)
        return Answer((total,), self._cut("{0}"), ("sd", Fraction(1)))

    def _filtered_units(self, condition: str) -> Total:
        """Claim: one unit adds 0 or 1 to a group. Because: it is a comparison of its own row count with 0."""
        flag = f"COALESCE({condition}, false)"
        return Total(
            ("filtered units", condition),
            "units with a row that passes the FILTER",
            (f"pg_catalog.count(*) FILTER (WHERE {condition})",),
            ("(CASE WHEN {0} > 0 THEN 1 ELSE 0 END)",),
            (f"(CASE WHEN {flag} THEN 1 ELSE 0 END)",),
            1,
            "each unit counts once",
        )

    def _count(self, call: Call, condition: str | None) -> Answer:
        if call.star or not call.args:
            return Answer((self._rows(condition, "count(*)"),), self._cut("{0}"), ("sd", Fraction(1)))
        if len(call.args) != 1:
            raise Unsupported("count takes one argument", name="count")
        present = self._present(call.args[0])
        passes = _both(condition, present)
        return Answer((self._rows(passes, "count of values"),), self._cut("{0}"), ("sd", Fraction(1)))

    def _present(self, arg: Expr) -> str | None:
        """The condition under which `count(arg)` counts a row; None where it always does."""
        value = compile_expr(arg, self._resolver.scope)
        if value.column is not None:
            source = next(s for s in self._relation.sources if s.sql_alias == value.column[0])
            column = source.table.column(value.column[1])
            if column is not None and column.not_null and not source.nullable:
                return None
        elif value.const is not None and value.const.text is not None:
            return None
        return f"({value.sql} IS NOT NULL)"

    def _rows(self, condition: str | None, what: str) -> Total:
        """Rows of a unit that pass, cut at C.

        Claim: one unit adds between 0 and C to a group. Because: LEAST(count, C), an integer clamp in the SQL.
        """
        if self._limits.one_row:
            if condition is None:
                return UNITS
            return replace(self._filtered_units(condition), what=what)
        tail = f" FILTER (WHERE {condition})" if condition is not None else ""
        cap = self._limits.rows
        return Total(
            ("rows", condition or ""),
            what,
            (f"pg_catalog.count(*){tail}",),
            (f"LEAST({{0}}, {cap})",),
            (),
            cap,
            f"at most {cap} rows per unit and group",
        )

    def _cut(self, column: str) -> str:
        return f"({column})::pg_catalog.int8" if self._negative else f"(GREATEST({column}, 0))::pg_catalog.int8"

    # -- sum and avg ----------------------------------------------------------------------------------------------
    def _argument(self, call: Call) -> Value:
        if len(call.args) != 1:
            raise Unsupported(f"{call.name} takes one argument", name=call.name)
        value = compile_expr(call.args[0], self._resolver.scope)
        if value.type not in NUMBERS:
            raise Unsupported(f"{call.name} of {value.type} is not supported on private rows", name=call.name)
        if not value.bound.finite:
            raise self._missing(call)
        return value

    def _missing(self, call: Call) -> NoisegateError:
        names = [n.parts[-1] for n in walk(call.args[0]) if isinstance(n, Name)]
        lacking = [n for n in dict.fromkeys(names) if not self._bounded(n)]
        if not lacking:
            return MissingBounds(
                f"{call.name} needs bounds on what it adds up",
                name=call.name,
                detail="Without bounds, one person could change the answer by any amount.",
                hint=f"Cut it in the statement, such as {call.name}(least(greatest(..., 0), 100)).",
            )
        column = lacking[0]
        return MissingBounds(
            f"{call.name} needs bounds on column {', '.join(lacking)}",
            name=column,
            detail="Without bounds, one person could change the answer by any amount.",
            hint=f"Bound it in the statement, such as WHERE {column} BETWEEN 0 AND 100, or let the data owner "
            "declare bounds in the policy.",
        )

    def _bounded(self, name: str) -> bool:
        for source in self._relation.sources:
            if source.table.column(name) is not None:
                try:
                    value = self._resolver.column(Name((source.ref.alias, name), 0, 0))
                    return value.bound.finite or value.type not in NUMBERS
                except NoisegateError:
                    return False
        return False

    def _unit_total(self, call: Call, value: Value, interval: Interval) -> tuple[Interval, str]:
        """The interval of what one unit adds to one group's sum, in the expression's own units, and how it came.

        Claim: the declared total of a column holds for a*x under any filter, scaled by |a|; else C times the interval.
        Assumes: joins do not repeat rows. Because: the policy states the total for the unit's rows of the column.
        The clamp to it stands in the SQL whatever the truth of the declaration.
        """
        factor, column = self._multiple(call.args[0])
        rows = self._limits.rows
        by_rows = hull([point(0), _times(interval, rows)])
        if column is None or column.unit_total is None or self._relation.multiplied:
            return by_rows, f"{rows} rows x bounds (no unit total declared)" if rows > 1 else "one row per unit"
        total = Fraction(column.unit_total) * abs(factor)
        return meet(by_rows, Interval(-total, total)), "declared unit total"

    def _multiple(self, arg: Expr) -> tuple[Fraction, Column | None]:
        """(a, policy of x) for a*x with a constant a and a column x; (1, None) otherwise."""
        if isinstance(arg, Op) and arg.op == "*" and len(arg.args) == 2:
            for one, other in (arg.args, arg.args[::-1]):
                const = self._resolver.scope.constants.get((one.start, one.end))
                if const is not None and const.number is not None:
                    factor, column = self._multiple(other)
                    return factor * const.number, column
        value = compile_expr(arg, self._resolver.scope) if isinstance(arg, Name) else None
        if value is None or value.column is None:
            if isinstance(arg, Cast) and arg.type in ("numeric", "double precision"):  # the value stays the same
                return self._multiple(arg.arg)
            return Fraction(1), None
        source = next(s for s in self._relation.sources if s.sql_alias == value.column[0])
        return Fraction(1), source.policy.get(value.column[1]) if source.private else None

    def _policy_grid(self, call: Call) -> Fraction | None:
        factor, column = self._multiple(call.args[0])
        if column is None or column.grid is None or factor != 1:
            return None
        return Fraction(column.grid)

    def _sum(self, call: Call, condition: str | None, sql: str, type_sql: str) -> Answer:
        """Claim: one unit adds a multiple of the grid within its total. Because: GREATEST(LEAST(sum, hi), lo) over
        integers, with 0 inside [lo, hi]; rows are clamped to their interval before."""
        value = self._argument(call)
        interval, how = self._unit_total(call, value, value.bound)
        grid = choose_grid(value, self._policy_grid(call), interval.magnitude)
        row = grid.row_sql(value, value.bound)
        present = _both(condition, f"({value.sql} IS NOT NULL)")
        low, high = grid.down(interval.lo), grid.up(interval.hi)
        total = Total(
            ("sum", row, present or "", str(low), str(high)),
            f"{sql} in steps of {grid.text}, each unit within [{grid.show(low)}, {grid.show(high)}]",
            (f"pg_catalog.sum({row}) FILTER (WHERE {present})",),
            (f"GREATEST(LEAST(COALESCE({{0}}, 0), {high}), {low})",),
            (f"(CASE WHEN {present} THEN {grid.total_sql(value, value.bound, low, high)} ELSE 0 END)",),
            max(abs(low), abs(high), 1),
            how,
        )
        counted = self._rows(present, "count of values")
        shown = f"({{0}} * {number(grid.step)})::{_plain_type(type_sql)}"
        return Answer((total,), shown, ("sd", grid.step), how, counted)

    def _avg(self, call: Call, condition: str | None, sql: str, type_sql: str) -> Answer:
        value = self._argument(call)
        interval, how = self._unit_total(call, value, value.bound)
        width = (value.bound.hi or Fraction(0)) - (value.bound.lo or Fraction(0))
        if width * self._limits.rows / 2 <= interval.magnitude:
            return self._avg_pair(call, condition, value, sql, type_sql)
        return self._avg_centred(call, condition, value, interval, how, sql, type_sql)

    def _avg_pair(self, call: Call, condition: str | None, value: Value, sql: str, type_sql: str) -> Answer:
        """The mean from sum(x - lo) and sum(hi - x), in integers, as one measurement.

        Claim: one unit adds a, b >= 0 with a + b = min(c, C)*H, so the joint L1 norm is at most C*H. Because: a unit
        with c > C rows adds round(a*C/c), clamped to [0, C*H], and C*H minus that. The answer estimates the mean with
        weights min(rows, C). Both sums get the whole price of the measurement (docs/privacy.md, averages).
        """
        cap = self._limits.rows
        width = max((value.bound.hi or Fraction(0)) - (value.bound.lo or Fraction(0)), Fraction(0))
        grid = choose_grid(value, self._policy_grid(call), max(width, Fraction(1, 10**9)) * cap, cap)
        low, high = grid.down(value.bound.lo), grid.up(value.bound.hi)
        steps = max(high - low, 1)
        row = grid.row_sql(value, value.bound, low)
        present = _both(condition, f"({value.sql} IS NOT NULL)")
        scaled = f"pg_catalog.round({{0}}::pg_catalog.numeric * {cap} / {{1}})"
        few = f"LEAST(GREATEST(COALESCE({{0}}, 0), 0), {{1}} * {steps})"
        above = f"(CASE WHEN {{1}} > {cap} THEN LEAST(GREATEST({scaled}, 0), {cap * steps}) ELSE {few} END)"
        total = Total(
            ("mean", row, present or "", str(steps)),
            f"{sql} as sums above {grid.show(low)} and below {grid.show(high)} in steps of {grid.text}",
            (f"pg_catalog.sum({row}) FILTER (WHERE {present})", f"pg_catalog.count(*) FILTER (WHERE {present})"),
            (above, f"(LEAST({{1}}, {cap}) * {steps} - {above})"),
            (
                f"(CASE WHEN {present} THEN LEAST(GREATEST({row}, 0), {steps}) ELSE 0 END)",
                f"(CASE WHEN {present} THEN {steps} - LEAST(GREATEST({row}, 0), {steps}) ELSE 0 END)",
            ),
            cap * steps,
            f"a unit's rows weigh as at most {cap}",
        )
        count = f"pg_catalog.trim_scale(({{0}} + {{1}}) / {steps}::pg_catalog.numeric)"
        added = f"pg_catalog.round({grid.show_sql(low)} * {count} + {{0}} * {number(grid.step)}, {grid.digits})"
        shown = _mean(added, count, "({0} + {1}) <= 0", grid, low, low + steps, type_sql)
        return Answer((total,), shown, ("mean", grid.step), "centred: sums from both bounds")

    def _avg_centred(
        self, call: Call, condition: str | None, value: Value, interval: Interval, how: str, sql: str, type_sql: str
    ) -> Answer:
        """The mean from a sum about a public centre, cut at the unit total, and the weight of the values in it.

        Claim: one unit adds at most its total to the sum and C rows to the weight. Because: integer clamps on both. A
        unit with c > C rows is scaled by C/c in both. Where the total cuts its sum, its weight is cut in proportion: it
        keeps its own mean and weighs less, so that the cut does not pull the answer (docs/privacy.md, averages).
        """
        cap = self._limits.rows
        _, column = self._multiple(call.args[0])
        centre = Fraction(column.typical) if column is not None and column.typical is not None else Fraction(0)
        grid = choose_grid(value, self._policy_grid(call), interval.magnitude + abs(centre))
        middle = grid.down(centre)
        row = grid.row_sql(value, value.bound, middle)
        present = _both(condition, f"({value.sql} IS NOT NULL)")
        top = grid.up(interval.magnitude)
        low, high = (-top, top) if centre else (grid.down(interval.lo), grid.up(interval.hi))
        scaled = f"pg_catalog.round({{0}}::pg_catalog.numeric * {cap} / {{1}})"
        added = Total(
            ("scaled sum", row, present or "", str(low), str(high)),
            f"{sql}: sum about {grid.show(middle)} in steps of {grid.text}, each unit within "
            f"[{grid.show(low)}, {grid.show(high)}]",
            (f"pg_catalog.sum({row}) FILTER (WHERE {present})", f"pg_catalog.count(*) FILTER (WHERE {present})"),
            (f"GREATEST(LEAST(CASE WHEN {{1}} > {cap} THEN {scaled} ELSE COALESCE({{0}}, 0) END, {high}), {low})",),
            (f"(CASE WHEN {present} THEN GREATEST(LEAST({row}, {high}), {low}) ELSE 0 END)",),
            max(abs(low), abs(high), 1),
            f"{how}; a unit's rows weigh as at most {cap}",
        )
        counted = self._weights(row, present, low, high)
        count = f"pg_catalog.trim_scale({{1}} / {self._weight_steps()}::pg_catalog.numeric)"
        total = f"pg_catalog.round({grid.show_sql(middle)} * {count} + {{0}} * {number(grid.step)}, {grid.digits})"
        lo, hi = grid.down(value.bound.lo), grid.up(value.bound.hi)
        shown = _mean(total, count, "{1} <= 0", grid, lo, hi, type_sql)
        return Answer((added, counted), shown, ("mean", grid.step), f"centre {grid.show(middle)}: {how}")

    def _weight_steps(self) -> int:
        """Steps of a row's weight: hundredths, where C rows of them fit."""
        return max(1, min(100, STEPS_MAX // self._limits.rows))

    def _weights(self, row: str, present: str | None, low: int, high: int) -> Total:
        """The rows that a unit's cut sum stands for.

        Claim: one unit adds between 0 and C rows, in steps. Because: GREATEST(LEAST(weight, C rows), 0), on integers.
        """
        cap, step = self._limits.rows, self._weight_steps()

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
            ("weights", row, present or "", str(low), str(high)),
            f"weights of the values, in steps of 1/{step} row",
            (f"pg_catalog.sum({row}) FILTER (WHERE {present})", f"pg_catalog.count(*) FILTER (WHERE {present})"),
            (weight("{0}", "{1}"),),
            (f"(CASE WHEN {present} THEN {weight(row, '1')} ELSE 0 END)",),
            cap * step,
            "a unit whose sum is cut weighs less",
        )


def _mean(total: str, count: str, none: str, grid: Grid, low: int, high: int, type_sql: str) -> str:
    quotient = f"{total} / NULLIF({count}, 0)"
    kept = f"LEAST(GREATEST({quotient}, {grid.show_sql(low)}), {grid.show_sql(high)})"
    return f"(CASE WHEN {none} THEN NULL ELSE {kept} END)::{_plain_type(type_sql)}"


def _plain_type(type_sql: str) -> str:
    return type_sql.split("(")[0].strip()


def _times(interval: Interval, rows: int) -> Interval:
    assert interval.lo is not None and interval.hi is not None
    return Interval(interval.lo * rows, interval.hi * rows)


def _both(a: str | None, b: str | None) -> str | None:
    if a is None or b is None:
        return a or b
    return f"({a} AND {b})"
