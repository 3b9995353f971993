"""From a fragment to its analysis: relation -> bounds -> totals -> generated SQL. Pure.

Everything here is a function of the text, the session's constants, the policy and the catalog: nothing looks at private
rows. `analyse` does all but the price; pricing.py turns analyses into plans.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from noisegate.errors import about
from noisegate.plan.catalog import Snapshot
from noisegate.plan.measure import Levels, Query
from noisegate.plan.reading import OutputType
from noisegate.policy.model import Limits as PolicyLimits
from noisegate.privacy.aggregates import Aggregator
from noisegate.privacy.bounding import Bounds, bounds_for, fragment_sql, names_of
from noisegate.privacy.caps import described
from noisegate.privacy.further import distinct_sql, leaves_sql
from noisegate.privacy.keys import Key, declared_rows, resolve_key
from noisegate.privacy.modes import BESIDE, asides_of, beside
from noisegate.privacy.outer import INT4_MAX
from noisegate.privacy.passing import present
from noisegate.privacy.quantiles import alone
from noisegate.privacy.relation import Resolver
from noisegate.privacy.rules import resolver_of
from noisegate.privacy.strict import check_strict
from noisegate.privacy.totals import UNITS, WEIGHTS, Answer, Leaves, Limits, Total, leaves_of, shared, totals_of
from noisegate.privacy.world import PrivateRelation
from noisegate.query.constants import Const, Span
from noisegate.query.fragment import Fragment
from noisegate.query.total import Scope, compile_expr
from noisegate.query.total.narrow import narrowings
from noisegate.query.tree import Expr

SAMPLED_ROWS_MAX = 5  # of a unit in a percentile, where the policy does not say


@dataclass(frozen=True, slots=True)
class Analysis:
    """A fragment, resolved and bounded, without a price."""

    fragment: Fragment
    sql: str
    columns: tuple[tuple[str, ...], ...]  # of each total
    totals: tuple[Total, ...]
    leaves: tuple[Leaves, ...]
    more: tuple[Query, ...]  # the leaves' come last
    answers: tuple[Answer, ...]
    keys: tuple[Key, ...]
    bounds: Bounds
    declared: tuple[tuple[str | None, ...], ...] | None
    group_size_min: int
    hide: bool
    outputs: tuple[OutputType, ...]
    tables: tuple[tuple[str, str, str], ...]
    settings: tuple[tuple[str, str], ...]
    explain: tuple[str, ...]
    givens: tuple[int, ...] = ()
    of_unit: bool = False  # its keys are functions of the unit
    levels: Levels | None = None
    by_count: bool = False  # groups are selected by their number of units, whatever weights there are
    other: tuple[str | None, ...] | None = None  # the key of a further row for the groups that are not shown
    asides: tuple[Analysis, ...] = ()  # questions of its own that its answers read
    aside: bool = False  # it is one

    @property
    def questions(self) -> int:
        """How many fragments it answers: grouping sets that are made consistent are one."""
        return self.levels.asked if self.levels is not None else 1

    @property
    def weighed(self) -> bool:
        """Whether groups are selected by weights, and the number of units is only tested."""
        return WEIGHTS in self.totals and not self.by_count

    @property
    def measured(self) -> list[tuple[Total, tuple[str, ...]]]:
        """The totals that get noise and a price, with their columns."""
        kept_back = (UNITS if self.weighed else WEIGHTS) if WEIGHTS in self.totals else None
        pairs = zip(self.totals, self.columns, strict=True)
        return [(total, names) for total, names in pairs if total != kept_back]

    @property
    def selects(self) -> bool:
        """Whether groups are selected from data, at a price in delta."""
        return self.declared is None


def analyse(
    fragment: Fragment,
    outputs: Sequence[OutputType],
    snapshot: Snapshot,
    constants: Mapping[Span, Const],
    time_zone: str,
    givens: Sequence[Sequence[OutputType]] = (),
) -> Analysis:
    """`outputs` are the types of the keys, then of the aggregates; `givens` those of the closed subqueries' columns.
    Raises NoisegateError for what has no private meaning here."""

    def analysed(one: Fragment, types: Sequence[OutputType]) -> Analysis:
        return _analyse(one, types, snapshot, constants, time_zone, givens)

    main = analysed(fragment, outputs)
    found = [analysed(*beside(fragment, outputs, aside)) for aside in asides_of(main.answers)]
    return replace(main, asides=tuple(replace(a, aside=True, explain=(BESIDE, *a.explain)) for a in found))


def _analyse(
    fragment: Fragment,
    outputs: Sequence[OutputType],
    snapshot: Snapshot,
    constants: Mapping[Span, Const],
    time_zone: str,
    givens: Sequence[Sequence[OutputType]],
) -> Analysis:
    resolver = resolver_of(fragment.relation, snapshot, constants, givens)
    with about(fragment.relation.start, fragment.relation.end):
        relation = resolver.resolve(fragment.where)
    limits = snapshot.policy.limits_of(relation.limits_key)
    assert limits.groups_per_unit_max and limits.rows_per_group_max and limits.group_size_min
    resolver.narrowed = narrowings(relation.conjuncts, resolver.scope)
    keys = tuple(_key(k, resolver, relation, snapshot) for k in fragment.keys)
    declared = declared_rows(keys) if keys else ((),)
    whole = check_strict(fragment, relation, resolver, keys)
    one_group = resolver.is_of_unit(fragment.keys, relation)
    known = 1 if one_group else None if declared is None else len(declared)
    bounds = bounds_for(relation, keys, known, limits.groups_per_unit_max)
    rows = replace(limits_for(relation.one_row_per_unit, limits), groups=bounds.groups)
    aggregator = Aggregator(resolver, relation, snapshot, rows)
    types = [o.sql for o in outputs[len(keys) :]]
    answers = shared(
        aggregator.answer(call, text, type_sql)
        for call, text, type_sql in zip(fragment.aggregates, fragment.aggregate_texts, types, strict=True)
    )
    resolver.narrowed = {}
    answers = alone(answers, None if declared is None else len(declared))
    hide = bool(keys) and declared is not None and not (whole or snapshot.policy.answers.show_empty_groups)
    totals, leaves = totals_of(answers), leaves_of(answers)
    weighed = declared is None and bounds.groups > 1 and UNITS not in totals
    if (declared is None or hide) and UNITS not in totals:
        totals.append(UNITS)
    if weighed:
        totals.append(WEIGHTS)
    if not totals and not leaves:  # SELECT DISTINCT over declared keys: nothing of the data is asked
        totals.append(UNITS)
    totals.sort(key=lambda t: t.distinct is not None)
    first = [t for t in totals if t.distinct is None]
    sql, _ = fragment_sql(relation, keys, first, bounds, resolver.scope)
    columns = names_of(totals)
    group_size_min = _group_size_min(resolver, snapshot)
    tested = group_size_min if declared is None else 0
    more = _further(relation, keys, list(zip(totals, columns, strict=True)), leaves, bounds, resolver.scope, tested)
    return Analysis(
        fragment,
        sql,
        columns,
        tuple(totals),
        tuple(leaves),
        more,
        answers,
        keys,
        bounds,
        declared,
        group_size_min,
        hide,
        tuple(outputs),
        _tables(resolver),
        (("TimeZone", time_zone),),
        (*_describe(relation, bounds, keys, declared, rows.rows, snapshot), *described(resolver.world)),
        tuple(sorted(resolver.world.used)),
        one_group or relation.one_row_per_unit,
    )


def _key(expr: Expr, resolver: Resolver, relation: PrivateRelation, snapshot: Snapshot) -> Key:
    with about(expr.start, expr.end):
        scope = present(expr, relation.conjuncts, resolver.scope)
        return resolve_key(compile_expr(expr, scope), relation, snapshot, scope)


def limits_for(one_row: bool, limits: PolicyLimits) -> Limits:
    """C, V and M of a fragment."""
    if one_row:
        return Limits(1, True)
    rows = min(limits.rows_per_group_max or 1, limits.rows_per_unit_max or INT4_MAX)
    return Limits(
        rows,
        False,
        min(limits.values_per_group_max or rows, rows),
        min(limits.sampled_rows_max or SAMPLED_ROWS_MAX, rows),
        overall=limits.rows_per_unit_max,
    )


def _further(
    relation: PrivateRelation,
    keys: Sequence[Key],
    totals: Sequence[tuple[Total, tuple[str, ...]]],
    leaves: Sequence[Leaves],
    bounds: Bounds,
    scope: Scope,
    units_min: int,
) -> tuple[Query, ...]:
    """A query for each set of distinct values, and one for each histogram."""
    queries = []
    for distinct in dict.fromkeys(t.distinct for t, _ in totals if t.distinct is not None):
        own = [(t, names) for t, names in totals if t.distinct == distinct]
        sql = distinct_sql(relation, keys, distinct, own, bounds, scope)
        queries.append(Query(sql, tuple(n for _, names in own for n in names)))
    queries += [Query(leaves_sql(relation, keys, one, bounds, scope, units_min), (), one.size) for one in leaves]
    return tuple(queries)


def _group_size_min(resolver: Resolver, snapshot: Snapshot) -> int:
    """The strictest of all tables that a group is made of: the promise holds for each."""
    limits = [snapshot.policy.limits_of(name) for name in resolver.world.limits]
    return max(x.group_size_min or 1 for x in limits)


def _tables(resolver: Resolver) -> tuple[tuple[str, str, str], ...]:
    """All that the generated SQL reads, subqueries in keys and aggregates too: to be asked when all is compiled."""
    found = {(t.schema, t.name, t.fingerprint) for t in resolver.world.tables.values()}
    return tuple(sorted(found))


def _describe(
    relation: PrivateRelation,
    bounds: Bounds,
    keys: Sequence[Key],
    declared: tuple[tuple[str | None, ...], ...] | None,
    rows_max: int,
    snapshot: Snapshot,
) -> tuple[str, ...]:
    lines = [
        f"private table {', '.join(relation.private_tables)}, unit {relation.unit_name} "
        f"({snapshot.policy.unit.table}.{snapshot.policy.unit.key})"
    ]
    if relation.one_row_per_unit:
        lines.append("one row per unit (by a unique key): each row is clamped")
    else:
        lines.append(f"at most {rows_max} rows of a unit count in one group")
    if keys and not relation.one_row_per_unit:
        lines.append(
            f"at most {bounds.groups} groups per unit"
            + (", chosen by a keyed hash" if bounds.choose else ", as many as there are")
        )
    if keys:
        lines.append("group keys read from data" if declared is None else f"{len(declared)} declared groups")
    return tuple(lines)
