"""What the queries of one fragment share, and what a block's rows are. Values."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from noisegate.plan.catalog import CatalogTable, Snapshot
from noisegate.plan.reading import OutputType
from noisegate.privacy.columns import Fact, Source
from noisegate.privacy.ties import ColumnId
from noisegate.query.constants import Const, Span
from noisegate.query.tree import Expr, GivenRef
from noisegate.query.values import Value


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for what a block may hold beside tables: subqueries and released answers, in FROM and in expressions.
    They build on the resolution of a block, which therefore does not import them."""

    subquery: Callable[..., Source]  # (SubqueryRef, generated alias, World, Resolver | None)
    given: Callable[[GivenRef, str, World], Source]
    elements: Callable[..., Source]  # (FunctionRef, generated alias, Resolver)
    special: Callable[..., Value | None]  # (Expr, Resolver)


@dataclass(frozen=True, slots=True)
class World:
    """What the queries of one fragment share. `givens`: the types of Split.givens' columns."""

    snapshot: Snapshot
    constants: Mapping[Span, Const]
    givens: Sequence[Sequence[OutputType]]
    rules: Rules
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    tables: dict[tuple[str, str], CatalogTable] = field(default_factory=dict)  # all that the generated SQL reads
    limits: list[str] = field(default_factory=list)  # the policy's names of the private ones
    used: set[int] = field(default_factory=set)  # the givens whose values the generated SQL takes
    capped: list[tuple[str, int]] = field(default_factory=list)  # sources by alias, and how many rows of a unit enter

    def alias(self) -> str:
        return f"t{next(self.numbers)}"


@dataclass(frozen=True, slots=True)
class Relation:
    """from_sql: the generated FROM clause. conjuncts: what WHERE and inner joins require; where: those of WHERE.

    anchor: the private source whose unit is the rows' unit, None where all is public. unit: its SQL; None also where
    each row is of the unit of the outer sources `tied`. strict: rows in which the anchor is missing are dropped.
    """

    sources: tuple[Source, ...]
    from_sql: str
    conjuncts: tuple[Expr, ...]
    where: tuple[Expr, ...]
    anchor: Source | None
    unit: Value | None
    tied: tuple[str, ...]
    strict: bool
    one_row_per_unit: bool
    present: frozenset[str]  # generated aliases of the sources of the unit that are there in every row


@dataclass(frozen=True, slots=True)
class PrivateRelation:
    """A relation whose rows are to be aggregated over units. one_row_per_unit: a unit has at most one row, by enforced
    constraints. multiplied: a join may repeat a row of the table that has the unit. strict: see Relation."""

    sources: tuple[Source, ...]
    from_sql: str
    conjuncts: tuple[Expr, ...]
    where: tuple[Expr, ...]
    unit: Value
    unit_name: str
    one_row_per_unit: bool
    multiplied: bool
    limits_key: str  # the policy's name of the private table whose limits hold
    tables: tuple[CatalogTable, ...]
    private_tables: tuple[str, ...]
    facts: Mapping[ColumnId, Fact]
    strict: bool = False
    of_unit: frozenset[str] = frozenset()  # generated aliases of sources with one row per unit, in all of its rows

    def fact(self, value: Value) -> Fact | None:
        """What is known of a value that is a plain column; None for any other expression."""
        return self.facts.get(value.column) if value.column is not None else None
