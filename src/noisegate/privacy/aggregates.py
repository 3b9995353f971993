"""Aggregates over people: which family answers each. Its functions say what one unit may add and how the answer is put
together; tests/privacy/test_neighbours.py drops each unit in turn from small databases and compares the exact totals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from noisegate.errors import Unsupported, about
from noisegate.plan.catalog import Snapshot
from noisegate.privacy import counts, distinct, means, moments, quantiles, sums
from noisegate.privacy.context import Context
from noisegate.privacy.joins import condition_sql
from noisegate.privacy.relation import Resolver
from noisegate.privacy.ties import conjuncts_of
from noisegate.privacy.totals import Answer, Limits
from noisegate.privacy.world import PrivateRelation
from noisegate.query.interval import ANY, meet
from noisegate.query.total.narrow import narrowings
from noisegate.query.tree import Call

Rule = Callable[[Context], Answer]

_PLAIN: Mapping[str, Rule] = {
    "count": counts.count,
    "sum": sums.sum_of,
    "avg": means.avg,
    **dict.fromkeys(("bool_and", "bool_or", "every"), counts.flags),
    **dict.fromkeys(("variance", "var_pop", "var_samp", "stddev", "stddev_pop", "stddev_samp"), moments.variance),
    **dict.fromkeys(
        (
            "covar_pop", "covar_samp", "corr", "regr_count", "regr_avgx", "regr_avgy", "regr_sxx", "regr_syy",
            "regr_sxy", "regr_slope", "regr_intercept", "regr_r2",
        ),
        moments.two,
    ),
    **dict.fromkeys(("min", "max"), quantiles.extreme),
}  # fmt: skip
_DISTINCT: Mapping[str, Rule] = {
    "count": distinct.count,
    "sum": distinct.sum_of,
    "avg": distinct.avg,
    # repeated values change nothing
    **dict.fromkeys(("bool_and", "bool_or", "every"), counts.flags),
    **dict.fromkeys(("min", "max"), quantiles.extreme),
}
_ORDERED: Mapping[str, Rule] = {
    "percentile_cont": quantiles.percentile,
    "percentile_disc": quantiles.percentile,
    "mode": quantiles.mode,
}
ANSWERED = frozenset(_PLAIN) | frozenset(_ORDERED)


class Aggregator:
    """Translates the aggregates of one fragment."""

    def __init__(self, resolver: Resolver, relation: PrivateRelation, snapshot: Snapshot, limits: Limits) -> None:
        self._resolver = resolver
        self._relation = relation
        self._snapshot = snapshot
        self._limits = limits
        self._base = narrowings(relation.conjuncts, resolver.scope)

    def answer(self, call: Call, text: str, type_sql: str) -> Answer:
        """Raises Unsupported for forms that are not answered, MissingBounds where an interval is missing."""
        with about(call.start, call.end):
            return self._answer(call, text, type_sql)

    def _answer(self, call: Call, text: str, type_sql: str) -> Answer:
        rule = _rule(call)
        scope = self._resolver.scope
        self._resolver.narrowed = dict(self._base)
        if call.filter is not None:
            for column, interval in narrowings(conjuncts_of(call.filter), scope).items():
                self._resolver.narrowed[column] = meet(self._resolver.narrowed.get(column, ANY), interval)
        condition = condition_sql(call.filter, scope) if call.filter is not None else None
        return rule(Context(call, text, type_sql, condition, scope, self._relation, self._snapshot, self._limits))


def _rule(call: Call) -> Rule:
    """The last branch refuses. ORDER BY in an aggregate whose answer has no order changes nothing."""
    if call.extras or call.over is not None:
        raise Unsupported(
            f"{call.extras or 'OVER'} in an aggregate over a private table is not supported", name=call.name
        )
    kinds = _ORDERED if call.within else _DISTINCT if call.distinct else _PLAIN
    rule = kinds.get(call.name)
    if rule is None:
        form = f"{call.name}(DISTINCT ...)" if call.distinct else f"aggregate {call.name}"
        hint = (
            f"Use {call.name} without DISTINCT." if call.distinct and call.name in _PLAIN else "Use count, sum or avg."
        )
        raise Unsupported(f"{form} over a private table is not supported", name=call.name, hint=hint)
    return rule
