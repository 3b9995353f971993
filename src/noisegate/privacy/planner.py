"""From a fragment to its plan: relation -> bounds -> totals -> prices -> generated SQL. Pure.

Everything here is a function of the text, the session's constants, the policy and the catalog: nothing looks at private
rows. `analyse` does all but the price; `price` turns analyses into plans.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal
from fractions import Fraction

from noisegate.errors import BadSetting, Unsupported
from noisegate.mechanisms.scale import scale_for
from noisegate.mechanisms.threshold import delta_per_group, threshold
from noisegate.plan.catalog import Snapshot
from noisegate.plan.measure import (
    Charge,
    DeclaredGroups,
    FragmentPlan,
    GroupKey,
    Measurement,
    NoisyColumn,
    NoisyTable,
    Selection,
    StatementPlan,
)
from noisegate.plan.reading import OutputType
from noisegate.privacy.aggregates import Aggregator
from noisegate.privacy.bounding import Bounds, bounds_for, fragment_sql
from noisegate.privacy.keys import Key, declared_rows, resolve_key
from noisegate.privacy.relation import PrivateRelation, Resolver
from noisegate.privacy.totals import UNITS, Answer, Limits, Total, totals_of
from noisegate.query.constants import Const, Span
from noisegate.query.fragment import Fragment
from noisegate.query.total import compile_expr

SELECTION_SHARE = Fraction(1, 10)  # of a fragment's price, for the unit count that only selects or hides groups
HIDE_BELOW = 1


@dataclass(frozen=True, slots=True)
class Analysis:
    """A fragment, resolved and bounded, without a price."""

    fragment: Fragment
    sql: str
    columns: tuple[tuple[str, ...], ...]  # of each total
    totals: tuple[Total, ...]
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
) -> Analysis:
    """`outputs` are the types of the keys, then of the aggregates. Raises NoisegateError for what has no private
    meaning here."""
    resolver = Resolver(fragment.relation, snapshot, constants)
    relation = resolver.resolve(fragment.where)
    limits = snapshot.policy.limits_of(relation.limits_key)
    assert limits.groups_per_unit_max and limits.rows_per_group_max and limits.group_size_min
    keys = tuple(resolve_key(compile_expr(k, resolver.scope), relation, snapshot) for k in fragment.keys)
    declared = declared_rows(keys) if keys else ((),)
    bounds = bounds_for(relation, keys, None if declared is None else len(declared), limits.groups_per_unit_max)
    rows_max = 1 if relation.one_row_per_unit else limits.rows_per_group_max
    aggregator = Aggregator(resolver, relation, snapshot, Limits(rows_max, relation.one_row_per_unit))
    types = [o.sql for o in outputs[len(keys) :]]
    answers = tuple(
        aggregator.answer(call, text, type_sql)
        for call, text, type_sql in zip(fragment.aggregates, fragment.aggregate_texts, types, strict=True)
    )
    resolver.narrowed = {}
    hide = bool(keys) and declared is not None and not snapshot.policy.answers.show_empty_groups
    totals = totals_of(dict(enumerate(answers)))
    if (declared is None or hide) and UNITS not in totals:
        totals.append(UNITS)
    if not totals:  # SELECT DISTINCT over declared keys: nothing of the data is asked
        totals.append(UNITS)
    sql, columns = fragment_sql(relation, keys, totals, bounds, resolver.scope)
    return Analysis(
        fragment,
        sql,
        columns,
        tuple(totals),
        answers,
        keys,
        bounds,
        declared,
        limits.group_size_min,
        hide,
        tuple(outputs),
        _tables(relation),
        (("TimeZone", time_zone),),
        _describe(relation, bounds, keys, declared, rows_max, snapshot),
    )


def _tables(relation: PrivateRelation) -> tuple[tuple[str, str, str], ...]:
    found = {(s.table.schema, s.table.name, s.table.fingerprint) for s in relation.sources}
    return tuple(sorted(found))


def _describe(
    relation: PrivateRelation,
    bounds: Bounds,
    keys: Sequence[Key],
    declared: tuple[tuple[str | None, ...], ...] | None,
    rows_max: int,
    snapshot: Snapshot,
) -> tuple[str, ...]:
    private = relation.private
    lines = [
        f"private table {private.table.schema}.{private.table.name}, unit {relation.unit_name} "
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


def price(analyses: Sequence[Analysis], epsilon: Decimal, delta: Decimal) -> tuple[StatementPlan, list[NoisyTable]]:
    """Split a statement's price over its fragments and measurements, equally but for selection.

    Claim: the measurements' epsilons sum to at most `epsilon`, the fragments' deltas to at most `delta`; a statement
    that selects no group from data costs no delta. Because: exact fractions. Checked by: tests/privacy/test_price.py.
    """
    selecting = sum(a.selects for a in analyses)
    share = Fraction(epsilon) / len(analyses)
    delta_each = _divide_down(delta, selecting) if selecting else Decimal(0)
    plans = tuple(_price_one(a, share, delta_each) for a in analyses)
    charge = Charge(epsilon, delta if selecting else Decimal(0))
    return StatementPlan(plans, charge), [noisy_table(a) for a in analyses]


def _divide_down(x: Decimal, parts: int) -> Decimal:
    """24 digits, so that the sum over all fragments is exact in the 28 of Decimal's usual arithmetic."""
    return Context(prec=24, rounding=ROUND_DOWN).divide(x, Decimal(parts))


def _price_one(a: Analysis, epsilon: Fraction, delta: Decimal) -> FragmentPlan:
    shares = _shares(a)
    measurements = tuple(
        Measurement(names, total.what, total.per_group, a.bounds.groups, epsilon * share)
        for names, total, share in zip(a.columns, a.totals, shares, strict=True)
    )
    groups: DeclaredGroups | Selection
    units = a.totals.index(UNITS) if UNITS in a.totals else None
    if a.declared is None:
        assert units is not None
        groups = _selection(a, units, measurements[units], delta)
    else:
        groups = DeclaredGroups(a.declared, units if a.hide else None, HIDE_BELOW if a.hide else None)
    keys = tuple(
        GroupKey(f"k{i}", text, output.sql, output.collation)
        for i, (text, output) in enumerate(zip(a.fragment.key_texts, a.outputs, strict=False))
    )
    return FragmentPlan(
        a.sql,
        1 if a.bounds.choose else 0,
        a.tables,
        keys,
        tuple(n for names in a.columns for n in names),
        measurements,
        groups,
        a.settings,
        a.explain,
    )


def _shares(a: Analysis) -> list[Fraction]:
    """Equal shares; a unit count that nobody asked for gets SELECTION_SHARE."""
    asked = {t.identity for answer in a.answers for t in answer.totals}
    extra = [t.identity not in asked for t in a.totals]
    if all(extra) or not any(extra):
        return [Fraction(1, len(a.totals))] * len(a.totals)
    rest = (1 - SELECTION_SHARE) / (len(a.totals) - sum(extra))
    return [SELECTION_SHARE / sum(extra) if e else rest for e in extra]


def _selection(a: Analysis, index: int, measurement: Measurement, delta: Decimal) -> Selection:
    if delta <= 0:
        raise BadSetting(
            "groups read from data need a price in delta, and the policy gives none",
            hint="Group by a column whose domain the policy declares.",
        )
    scale = scale_for(measurement.sensitivity, measurement.epsilon)
    least = threshold(a.group_size_min, scale, delta_per_group(delta, measurement.groups))
    return Selection(index, a.group_size_min, delta, least)


def noisy_table(a: Analysis) -> NoisyTable:
    """How raw noisy totals become the columns that the remainder reads."""
    where = {total.identity: names for total, names in zip(a.totals, a.columns, strict=True)}
    keys = tuple(
        NoisyColumn(f"k{i}", output.sql, output.collation) for i, output in enumerate(a.outputs[: len(a.keys)])
    )
    aggregates = []
    for answer, output in zip(a.answers, a.outputs[len(a.keys) :], strict=True):
        cells = [name for total in answer.totals for name in where[total.identity]]
        sql = answer.recombine.format(*cells)
        if answer.null_by is not None and answer.null_by.identity in where:
            sql = f"(CASE WHEN {where[answer.null_by.identity][0]} <= 0 THEN NULL ELSE {sql} END)"
        aggregates.append(NoisyColumn(sql, output.sql, output.collation))
    if len(a.outputs) != len(a.keys) + len(a.answers):
        raise Unsupported("the private question could not be typed")
    return NoisyTable(keys, tuple(aggregates))
