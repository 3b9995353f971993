"""What one aggregate of a fragment is asked in: its call, its filter, the relation and its limits; and what every
family of aggregates asks of its argument: bounds, unit total, grid, NULLs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from noisegate.errors import MissingBounds, NoisegateError, Unsupported
from noisegate.plan.catalog import Snapshot
from noisegate.policy.model import Column
from noisegate.privacy.clips import CLIPPED_MIN, bounded, clipped
from noisegate.privacy.totals import UNITS, Limits, Total
from noisegate.privacy.world import PrivateRelation
from noisegate.query.constants import quote_literal
from noisegate.query.interval import Interval, hull, meet, point
from noisegate.query.total import Scope, compile_expr
from noisegate.query.tree import Call, Cast, Expr, Name, Op, walk
from noisegate.query.values import NUMBERS, Value

BOUNDED = NUMBERS | {"date", "timestamp", "timestamptz"}


@dataclass(frozen=True, slots=True)
class Context:
    """One aggregate. `text`: as written; `type_sql`: its type in PostgreSQL; `condition`: its FILTER as engine SQL."""

    call: Call
    text: str
    type_sql: str
    condition: str | None
    scope: Scope
    relation: PrivateRelation
    snapshot: Snapshot
    limits: Limits

    @property
    def clips(self) -> bool:
        """Whether caps that nobody declared are chosen privately. A unit's one row is within its bounds anyway."""
        return self.snapshot.policy.answers.private_clip and not self.limits.one_row

    @property
    def plain_type(self) -> str:
        """The type without its modifier, which the remainder's columns get later."""
        return self.type_sql.split("(")[0].strip()


def written(c: Context, arg: Expr) -> str:
    """An argument's text."""
    return c.text[arg.start - c.call.start : arg.end - c.call.start]


def arguments(c: Context, count: int) -> tuple[Expr, ...]:
    if len(c.call.args) != count or c.call.star:
        raise Unsupported(f"{c.call.name} takes {count} argument{'s' * (count > 1)}", name=c.call.name)
    return c.call.args


def numeric_argument(c: Context, arg: Expr) -> Value:
    """A number with finite bounds."""
    value = compile_expr(arg, c.scope)
    if value.type not in NUMBERS:
        raise Unsupported(f"{c.call.name} of {value.type} is not supported on private rows", name=c.call.name)
    if not value.bound.finite:
        raise missing_bounds(c, arg)
    return value


def missing_bounds(c: Context, arg: Expr) -> NoisegateError:
    names = [n for n in walk(arg) if isinstance(n, Name)]
    lacking = list(dict.fromkeys(n.parts[-1] for n in names if not _bounded(c, n)))
    detail = "Without bounds, one person could change the answer by any amount."
    if not lacking:
        return MissingBounds(
            f"{c.call.name} needs bounds on its argument",
            name=c.call.name,
            detail=detail,
            hint=f"Cut it in the statement, such as {c.call.name}(least(greatest({_shown(written(c, arg))}, 0), 100)).",
        )
    column = lacking[0]
    low, high = _BOUNDS_LIKE.get(_type_of(c, names, column), ("0", "100"))
    hint = f"Bound it in the statement, such as WHERE {column} BETWEEN {low} AND {high}"
    if any(_of_table(c, n) for n in names if n.parts[-1] == column):
        declared = f"{column}: {{bounds: [{low}, {high}]}}".replace("'", "")
        hint += f", or let the data owner declare bounds in the policy, such as {declared}"
    return MissingBounds(
        f"{c.call.name} needs bounds on column {', '.join(lacking)}",
        name=column,
        detail=detail,
        hint=f"{hint}.",
    ).about(arg.start, arg.end)


_BOUNDS_LIKE = dict.fromkeys(("date", "timestamp", "timestamptz"), ("'2020-01-01'", "'2030-01-01'"))


def _shown(text: str) -> str:
    return text if len(text) <= 60 else "..."


def _type_of(c: Context, names: Sequence[Name], column: str) -> str:
    return next((compile_expr(n, c.scope).type for n in names if n.parts[-1] == column), "")


def _of_table(c: Context, name: Name) -> bool:
    """Whether it is a column that a policy can name, not one of VALUES, a function or a nested query's expression."""
    fact = c.relation.fact(compile_expr(name, c.scope))
    return fact is not None and fact.column is not None


def _bounded(c: Context, name: Name) -> bool:
    try:
        value = compile_expr(name, c.scope)
    except NoisegateError:
        return False
    return value.bound.finite or value.type not in BOUNDED


def present(c: Context, value: Value) -> str | None:
    """The condition under which an aggregate sees a row's value; None where it always does."""
    return both(c.condition, _not_null(c, value))


def _not_null(c: Context, value: Value) -> str | None:
    fact = c.relation.fact(value)
    if fact is not None and fact.not_null:
        return None
    if value.const is not None and value.const.text is not None:
        return None
    return f"({value.sql} IS NOT NULL)"


def both(a: str | None, b: str | None) -> str | None:
    if a is None or b is None:
        return a or b
    return f"({a} AND {b})"


def place_among(c: Context, value: Value, sql: str, values: Sequence[str]) -> str:
    """A value's place in a list of canonical texts, from 0; NULL where it is none of them or does not count."""
    items = ", ".join(quote_literal(v) for v in values)
    found = f"pg_catalog.array_position(ARRAY[{items}]::pg_catalog.text[], ({sql})::pg_catalog.text) - 1"
    return only_if(both(c.condition, f"({value.sql} IS NOT NULL)"), found, "NULL")


def filtered(condition: str | None) -> str:
    return f" FILTER (WHERE {condition})" if condition is not None else ""


def only_if(condition: str | None, sql: str, otherwise: str = "0") -> str:
    return f"(CASE WHEN {condition} THEN {sql} ELSE {otherwise} END)" if condition is not None else sql


def rows(c: Context, condition: str | None, what: str) -> Total:
    """Rows of a unit that pass, cut at C.

    Claim: one unit adds between 0 and C to a group. Because: LEAST(count, C), an integer clamp in the SQL.
    """
    if c.limits.one_row:
        if condition is None:
            return UNITS
        return units_with(condition, what)
    cap = c.limits.rows
    total = Total(
        ("rows", condition or ""),
        what,
        (f"pg_catalog.count(*){filtered(condition)}",),
        (f"LEAST({{0}}, {cap})",),
        (),
        cap,
        f"at most {cap} rows per unit and group",
        spread=c.limits.spread,
        counts=True,
    )
    groups, overall = c.limits.groups, c.limits.overall
    if c.clips and cap >= CLIPPED_MIN:
        return clipped(total, "{0}", 0, cap, groups, overall)
    return bounded(total, f"LEAST({{0}}, {cap})", total.outer, cap, 1, groups, overall)


def units_with(condition: str, what: str = "units with a row that passes the FILTER") -> Total:
    """Claim: one unit adds 0 or 1 to a group. Because: it is a comparison of its own row count with 0."""
    flag = f"COALESCE({condition}, false)"
    return Total(
        ("filtered units", condition),
        what,
        (f"pg_catalog.count(*) FILTER (WHERE {condition})",),
        ("(CASE WHEN {0} > 0 THEN 1 ELSE 0 END)",),
        (f"(CASE WHEN {flag} THEN 1 ELSE 0 END)",),
        1,
        "each unit counts once",
        counts=True,
    )


def policy_of(c: Context, arg: Expr) -> tuple[Fraction, Column | None, bool]:
    """(a, policy of x, whether joins may repeat its rows) for a*x with a constant a and a private column x;
    (1, None, False) otherwise."""
    if isinstance(arg, Op) and arg.op == "*" and len(arg.args) == 2:
        for one, other in (arg.args, arg.args[::-1]):
            const = c.scope.constants.get((one.start, one.end))
            if const is not None and const.number is not None:
                factor, column, multiplied = policy_of(c, other)
                return factor * const.number, column, multiplied
    if isinstance(arg, Cast) and arg.type in ("numeric", "double precision"):  # the value stays the same
        return policy_of(c, arg.arg)
    fact = c.relation.fact(compile_expr(arg, c.scope)) if isinstance(arg, Name) else None
    if fact is None or fact.policy is None:
        return Fraction(1), None, False
    return Fraction(1), fact.policy, fact.multiplied


def policy_grid(c: Context, arg: Expr) -> Fraction | None:
    factor, column, _ = policy_of(c, arg)
    if column is None or column.grid is None or factor != 1:
        return None
    return Fraction(column.grid)


def unit_total(c: Context, arg: Expr, interval: Interval) -> tuple[Interval, str, bool]:
    """The interval of what one unit adds to one group's sum, in the expression's own units, how it came, and whether it
    was declared.

    Claim: the declared total of a column holds for a*x under any filter, scaled by |a|; else C times the interval.
    Assumes: joins do not repeat rows. Because: the policy states the total for the unit's rows of the column.
    The clamp to it stands in the SQL whatever the truth of the declaration.
    """
    factor, column, multiplied = policy_of(c, arg)
    most = c.limits.rows
    by_rows = hull([point(0), times(interval, most)])
    said = (column.unit_total, column.unit_total_overall) if column is not None and not multiplied else ()
    declared = [total for total in said if total is not None]
    if not declared:
        how = f"{most} rows x bounds (no unit total declared)" if most > 1 else "one row per unit"
        return by_rows, how, False
    total = Fraction(min(declared)) * abs(factor)
    return meet(by_rows, Interval(-total, total)), "declared unit total", True


def unit_total_overall(c: Context, arg: Expr, interval: Interval) -> Fraction | None:
    """The most that one unit is said to add to the sums of all of its groups together, in the expression's own units:
    by the column's total, or by the number of its rows. The clamp stands in the SQL here, too."""
    factor, column, multiplied = policy_of(c, arg)
    said = [interval.magnitude * c.limits.overall] if c.limits.overall is not None else []
    if column is not None and column.unit_total_overall is not None and not multiplied:
        said.append(Fraction(column.unit_total_overall) * abs(factor))
    return min(said, default=None)


def times(interval: Interval, most: int) -> Interval:
    assert interval.lo is not None and interval.hi is not None
    return Interval(interval.lo * most, interval.hi * most)


def cut(c: Context, column: str) -> str:
    """A noisy count as the analyst sees it."""
    if c.snapshot.policy.answers.negative_counts:
        return f"({column})::pg_catalog.int8"
    return f"(GREATEST({column}, 0))::pg_catalog.int8"
