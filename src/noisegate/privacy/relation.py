"""Private relations: a FROM clause with its WHERE, resolved to rows that each belong to exactly one unit.

Invariant: `PrivateRelation.unit` is the lineage of the policy's unit column; every row of the relation has one unit, or
NULL and is dropped. Each rule stands beside the argument why it keeps that property; what has no rule is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from noisegate.errors import Internal, NoisegateError, Refused, Unsupported
from noisegate.privacy.anchor import find_anchor, unit_name
from noisegate.privacy.caps import capped_sides
from noisegate.privacy.columns import OWN_UNIT, Fact, Source, SourceColumn, table_source
from noisegate.privacy.joins import (
    FromWriter,
    condition_sql,
    holds_full,
    inner_conditions,
    merged_owners,
    nullable_aliases,
    using_of,
)
from noisegate.privacy.ties import ColumnId, Ties, conjuncts_of
from noisegate.privacy.world import PrivateRelation, Relation, World
from noisegate.query.constants import Span
from noisegate.query.fragment import items_of
from noisegate.query.interval import Interval, meet
from noisegate.query.total import Scope
from noisegate.query.total.table import FUNCTIONS
from noisegate.query.tree import (
    Expr,
    From,
    FunctionRef,
    GivenRef,
    Join,
    Name,
    Op,
    Subquery,
    SubqueryRef,
    TableRef,
    walk,
)
from noisegate.query.values import Value

UNIT_TYPES = frozenset({"int2", "int4", "int8", "uuid", "text"})


class Resolver:
    """Resolves one query block's FROM clause and the names in its expressions."""

    def __init__(self, relation: From, world: World, outer: Resolver | None = None) -> None:
        """outer: the block around a subquery, whose columns it may use."""
        self.world = world
        self.outer = outer
        self.sources: list[Source] = []
        self._tree = relation
        self._nullable = nullable_aliases(relation)
        self._found: Ties | None = None  # of the block, once it is related
        self._repeated: dict[str, bool] = {}
        self._named: dict[tuple[str, ...], tuple[Source, str] | None] = {}
        self.narrowed: dict[ColumnId, Interval] = {}
        self.capped: frozenset[str] = frozenset()  # generated aliases of the sources that are cut
        self.positive: set[Span] = set()  # subqueries where NULL and false are the same
        self.scope = Scope(self.column, world.constants, special=lambda e: world.rules.special(e, self))
        for item in items_of(relation):
            self.sources.append(self._source(item))
            self._named.clear()

    def _source(self, item: From) -> Source:
        alias, world = self.world.alias(), self.world
        match item:
            case TableRef():
                source = table_source(item, alias, world.snapshot)
                world.tables[(item.schema, item.table)] = source.tables[0]
                world.limits.extend(source.limits)
                return source
            case SubqueryRef():
                return world.rules.subquery(item, alias, world, self if item.lateral else self.outer)
            case GivenRef():
                return world.rules.given(item, alias, world)
            case FunctionRef():
                return world.rules.elements(item, alias, self)
            case _:
                raise Unsupported("this part of FROM is not supported in a private question")

    # -- resolution -----------------------------------------------------------------------------------------------
    def resolve(self, where: Expr | None) -> PrivateRelation:
        """The rows of a fragment. Raises Unsupported or Refused where rows would not belong to exactly one unit."""
        rel = self.relate(where)
        if rel.anchor is None or rel.unit is None:
            raise Refused("a private question must read a table of people in its FROM clause", name="from")
        if rel.unit.type not in UNIT_TYPES:
            raise Unsupported("the unit column has a type that cannot name a unit")
        facts = {
            c.value.column: self.fact_of(s, c.fact, rel)
            for s in self.sources
            for c in s.columns.values()
            if isinstance(c, SourceColumn) and c.value.column is not None
        }
        tables = self.world.tables
        private = {f"{t.schema}.{t.name}" for name, t in tables.items() if self.world.snapshot.is_private(name)}
        return PrivateRelation(
            tuple(self.sources),
            rel.from_sql,
            rel.conjuncts,
            rel.where,
            rel.unit,
            unit_name(rel.anchor),
            rel.one_row_per_unit,
            self.repeats(rel.anchor),
            self._limits_key(),
            tuple(tables.values()),
            tuple(sorted(private)),
            facts,
            rel.strict,
            self._of_unit(),
        )

    def _of_unit(self) -> frozenset[str]:
        single = self.ties.single([], unit_known=True)
        return frozenset(s.sql_alias for s in self.sources if s.sql_alias in single and not self.is_nullable(s))

    def is_of_unit(self, exprs: Iterable[Expr], relation: PrivateRelation) -> bool:
        """Whether the expressions have one value for all rows of a unit.

        Claim: so it is. Because: every column in them is of a source with at most one row per unit, by enforced
        constraints, which no outer join fills up with NULLs in some of the unit's rows.
        """
        for node in (n for e in exprs for n in walk(e)):
            hit = self.find(node) if isinstance(node, Name) else None
            if isinstance(node, Subquery) or (isinstance(node, Name) and hit is None):
                return False
            if hit is not None and hit[0].sql_alias not in relation.of_unit:
                return False
        return True

    def relate(self, where: Expr | None) -> Relation:
        """The rows of any block (privacy/anchor.py has the argument)."""
        kept = conjuncts_of(where)
        self._found = ties = self._capped(kept)
        anchor = find_anchor(self.sources, self._nullable, ties, self.world)
        for conjunct in kept:
            self._mark_positive(conjunct)
        writer = FromWriter(self.sources, dict(anchor.joined), self.scope, self._mark_positive)
        from_sql, inner = writer.write(self._tree)
        single = ties.single([s for s in self.sources if s.private])
        self._check_work([s for s in self.sources if not s.private and s.sql_alias not in single])
        one_row = len(ties.single([], unit_known=True)) == len(self.sources) + len(ties.outer)
        one_row = one_row and not holds_full(self._tree)  # each side may have a row that the other lacks
        return Relation(
            tuple(self.sources),
            from_sql,
            (*inner, *kept),
            kept,
            anchor.source,
            anchor.unit,
            anchor.tied,
            anchor.strict,
            one_row and anchor.source is not None,
            anchor.present,
        )

    def _capped(self, where: tuple[Expr, ...]) -> Ties:
        """The block's ties; sources with too many rows of a unit are cut (privacy/caps.py)."""
        ties = self._ties(where)
        outer = self.outer.sides() if self.outer is not None else []
        everywhere = [*where, *inner_conditions(self._tree)]
        new = capped_sides(ties, outer, lambda s: self._own_conditions(s, everywhere), self.world)
        if not new:
            return ties
        self.capped = frozenset(new)
        self.sources = [new.get(s.sql_alias, s) for s in self.sources]
        self._named.clear()
        return self._ties(where)

    def _own_conditions(self, source: Source, everywhere: Sequence[Expr]) -> list[str]:
        """Conditions on the rows of one source alone, among those that hold in every row."""
        if self.is_nullable(source):
            return []
        return [condition_sql(c, self.scope) for c in everywhere if self._is_about(c, source)]

    def _is_about(self, expr: Expr, source: Source) -> bool:
        nodes = walk(expr)
        hits = [self.find(n) for n in nodes if isinstance(n, Name)]
        return (
            bool(hits) and all(h and h[0] is source for h in hits) and not any(isinstance(n, Subquery) for n in nodes)
        )

    def sides(self) -> list[Source]:
        """Its private sources, and those around it, of which a unit may have several rows."""
        own = self._found.sides() if self._found is not None else [s for s in self.sources if s.private and not s.once]
        return own + (self.outer.sides() if self.outer is not None else [])

    def _ties(self, where: tuple[Expr, ...]) -> Ties:
        sources = {s.alias: s for s in self.sources}
        return Ties(self._tree, where, sources, self._outer_sources(), self.find, lambda j: using_of(j, self.sources))

    def is_nullable(self, source: Source) -> bool:
        """Whether an outer join may fill the source up with NULLs."""
        return source.alias in self._nullable

    def private_sources(self) -> list[Source]:
        """Its own, and those of the queries around it."""
        return [s for s in self.sources if s.private] + self._outer_sources()

    def _outer_sources(self) -> list[Source]:
        return self.outer.private_sources() if self.outer is not None else []

    @property
    def ties(self) -> Ties:
        if self._found is None:
            raise Internal("a block was used before it was related")
        return self._found

    def repeats(self, source: Source) -> bool:
        """Whether a join may repeat a row of `source`."""
        if source.sql_alias not in self._repeated:
            single = self.ties.single([source])
            self._repeated[source.sql_alias] = len(single) < len(self.sources) + len(self.ties.outer)
        return self._repeated[source.sql_alias]

    def is_single(self) -> bool:
        """Whether there is at most one row, beside one row of each of the sources around it: by enforced keys."""
        rows_of = self.ties.single([])
        return len(rows_of) == len(self.sources) + len(self.ties.outer) and not holds_full(self._tree)

    def fact_of(self, source: Source, fact: Fact, rel: Relation) -> Fact:
        """What is known of a source's column in the joined rows."""
        there = source.sql_alias in rel.present and not (rel.strict and rel.unit is None)  # rows of nobody, kept
        nullable = source.alias in self._nullable
        multiplied = fact.multiplied or bool(source.beside) or self.repeats(source)
        unit = fact.unit and self.ties.meets(rel.anchor, source) if rel.anchor is not None else False
        certain = fact.not_null and (there or not nullable)
        named = unit and there and not fact.missing  # rows of nobody are left out
        absent = nullable and not there
        left = replace(fact.left, null=True) if absent and fact.left is not None else fact.left
        return replace(
            fact,
            not_null=certain or named,
            left_out=fact.left_out or (named and not certain),
            unit=unit,
            multiplied=multiplied,
            missing=fact.missing or absent,
            left=left,
        )

    def _limits_key(self) -> str:
        """Of several private tables, the one whose rows_per_group_max is the largest."""
        policy = self.world.snapshot.policy
        return max(sorted(set(self.world.limits)), key=lambda k: policy.limits_of(k).rows_per_group_max or 0)

    # -- names ----------------------------------------------------------------------------------------------------
    def column(self, name: Name) -> Value:
        """The value of a column of its own, or of a query around it."""
        merged = self.merged(name)
        if merged:
            return replace(FUNCTIONS["coalesce"].rule(*(s.column(name.parts[0]).value for s in merged)), null=True)
        hit = self.find(name)
        if hit is None:
            raise _unknown(name)
        if hit[0] not in self.sources and self.outer is not None:
            return self.outer.column(name)
        value = hit[0].column(hit[1]).value
        if hit[0].alias in self._nullable:
            value = replace(value, null=True)
        narrowed = self.narrowed.get((hit[0].sql_alias, hit[1]))
        return value if narrowed is None else replace(value, bound=meet(value.bound, narrowed))

    def find(self, name: Name) -> tuple[Source, str] | None:
        """The own or outer source of a column, and the column's name in it; None where it is no plain column."""
        if name.parts not in self._named:
            self._named[name.parts] = self._find(name)
        return self._named[name.parts]

    def _find(self, name: Name) -> tuple[Source, str] | None:
        if self.merged(name):
            return None
        column = name.parts[-1]
        if len(name.parts) == 2:
            found = [s for s in self.sources if s.alias == name.parts[0]]
        else:
            found = self._owners(column) or [s for s in self.sources if column in s.columns]
        if len(found) > 1:
            raise _unknown(name)
        if found and column in found[0].columns and column != OWN_UNIT:
            return found[0], column
        return self.outer.find(name) if self.outer is not None and not found else None

    def _owners(self, column: str) -> list[Source]:
        """The sources that an unqualified name means (privacy/joins.py)."""
        sources = {s.alias: s for s in self.sources}
        return [sources[alias] for alias in merged_owners(self._tree, column, sources)]

    def merged(self, name: Name) -> list[Source]:
        """The sources whose COALESCE a column of a FULL JOIN ... USING is; none for any other name."""
        plain = len(name.parts) > 1 or not isinstance(self._tree, Join)
        owners = [] if plain else self._owners(name.parts[0])
        return owners if len(owners) > 1 else []

    def is_merged_unit(self, expr: Expr) -> bool:
        """Whether it is the merged column of a FULL JOIN ... USING of the unit's columns.

        Claim: then it is the unit of the row. Because: it is that of the side that is there, or of both, equal; and one
        of the two is there. Checked by: tests/privacy/test_neighbours_joins.py.
        """
        if not isinstance(expr, Name) or len(self.sources) != 2:
            return False
        owners, column = self.merged(expr), expr.parts[0]
        return bool(owners) and all(s.private and s.column(column).fact.unit for s in owners)

    # -- conditions -----------------------------------------------------------------------------------------------
    def _mark_positive(self, expr: Expr) -> None:
        """Subqueries that are conditions of their own, under AND and OR only: there, NULL and false are the same."""
        if isinstance(expr, Op) and expr.op in ("and", "or"):
            for arg in expr.args:
                self._mark_positive(arg)
        else:
            self.positive.add((expr.start, expr.end))

    def _check_work(self, repeating: Iterable[Source]) -> None:
        """Refuse joins in which one private row could cause work without bound: time and time-outs are seen."""
        most = self.world.snapshot.policy.answers.joined_rows_max
        many = list(repeating)
        rows = math.prod(max(s.rows if s.rows is not None else most + 1, 1) for s in many)
        if many and rows > most:
            number = "any number of" if any(s.rows is None for s in many) else str(rows)
            raise Unsupported(
                f"one person's row could meet {number} public rows in this join",
                name=many[-1].alias,
                detail=f"At most {most} are allowed (by the policy, answers.joined_rows_max): how long an answer takes "
                "would tell.",
                hint=f"Join {many[-1].alias} by equality with a unique key of it, or with fewer of its rows.",
            )


def _unknown(name: Name) -> NoisegateError:
    return Unsupported(
        f"column {'.'.join(name.parts)} is not a column of this private question",
        name=name.parts[-1],
        detail="System columns, and columns of an outer query, cannot be used on private rows.",
    )
