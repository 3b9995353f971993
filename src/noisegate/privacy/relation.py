"""Private relations: a FROM clause resolved to rows that each belong to exactly one unit.

Invariant: `PrivateRelation.unit` is the lineage of the policy's unit column; every row of the relation has one unit, or
NULL and is dropped. Each rule stands beside the argument why it keeps that property; what has no rule is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from noisegate.errors import Internal, NoisegateError, Refused, Unsupported
from noisegate.plan.catalog import CatalogTable, Snapshot
from noisegate.privacy.columns import Fact, Source, column_value
from noisegate.query.constants import Const, Span, quote_name
from noisegate.query.fragment import items_of, tables_of
from noisegate.query.interval import Interval
from noisegate.query.total import Scope, compile_expr
from noisegate.query.tree import Cast, Expr, From, Join, Name, Op, TableRef, walk
from noisegate.query.values import Value

UNIT_TYPES = frozenset({"int2", "int4", "int8", "uuid", "text"})


@dataclass(frozen=True, slots=True)
class PrivateRelation:
    """from_sql: the generated FROM clause. conjuncts: what WHERE and inner joins require; where: those of WHERE.

    one_row_per_unit: a unit has at most one row, by enforced constraints. multiplied: a join may repeat a private row.
    """

    sources: tuple[Source, ...]
    from_sql: str
    conjuncts: tuple[Expr, ...]
    where: tuple[Expr, ...]
    unit: Value
    unit_name: str
    one_row_per_unit: bool
    multiplied: bool
    limits_key: str  # the policy's name of the private table

    @property
    def private(self) -> Source:
        return next(s for s in self.sources if s.private)

    def fact(self, value: Value) -> Fact | None:
        """What is known of a value that is a plain column; None for any other expression."""
        source = next((s for s in self.sources if value.column and s.sql_alias == value.column[0]), None)
        column = source.table.column(value.column[1]) if source is not None and value.column is not None else None
        if source is None or column is None:
            return None
        return Fact(
            column.not_null and not source.nullable,
            value.column == self.unit.column,
            source.private,
            source.table,
            column,
            source.policy.get(column.name) if source.private else None,
            self.multiplied,
        )


class Resolver:
    """Resolves one fragment's FROM clause and the names in its expressions."""

    def __init__(self, relation: From, snapshot: Snapshot, constants: Mapping[Span, Const]) -> None:
        self._snapshot = snapshot
        if not all(isinstance(item, TableRef) for item in items_of(relation)):
            raise Unsupported("a subquery joined with a private table is not supported", name="select")
        refs = tables_of(relation)
        nullable = _nullable_aliases(relation)
        self.sources = tuple(self._source(i, ref, ref.alias in nullable) for i, ref in enumerate(refs))
        self._merged = _merged_columns(relation)
        self.narrowed: dict[tuple[str, str], Interval] = {}
        self.scope = Scope(self.column, constants)
        self._tree = relation

    def _source(self, index: int, ref: TableRef, nullable: bool) -> Source:
        name = (ref.schema, ref.table)
        table = self._snapshot.tables.get(name)
        key = self._snapshot.policy_name(name)
        if table is None or key is None:
            raise Unsupported(
                f"{ref.table} joined with a private table is not supported",
                name=ref.table,
                hint="Join private tables with the policy's public tables only.",
            )
        if ref.columns:
            raise Unsupported(
                "column aliases of a private table are not supported",
                name=ref.alias,
                hint="Use the table's own column names.",
            )
        policy = self._snapshot.policy.tables[key]
        return Source(ref, table, policy.columns, self._snapshot.is_private(name), f"t{index}", nullable)

    def resolve(self, where: Expr | None) -> PrivateRelation:
        """Raises Unsupported or Refused where rows would not belong to exactly one unit.

        Claim: every row has the unit of its one private row. Assumes: one private table; its unit column by policy.
        Because: inner joins and left joins from the private side pair each private row with public rows only, which
        are the same in neighbouring databases. Checked by: tests/privacy/test_neighbours.py.
        """
        private = [s for s in self.sources if s.private]
        if len(private) != 1:
            raise Unsupported(
                "joins of several private tables are not supported yet",
                name=private[1].ref.table,
                hint="Ask about one private table at a time, joined with public tables.",
            )
        source = private[0]
        if source.nullable:
            raise Unsupported(
                "an outer join that keeps public rows without a private partner is not supported",
                detail="A row that exists only because no person matches belongs to nobody.",
                name="join",
                hint=f"Write {source.ref.table} first: FROM {source.ref.table} LEFT JOIN ... Or use an inner join.",
            )
        unit_name = self._unit_column(source)
        unit = self.column(Name((source.ref.alias, unit_name), 0, 0))
        if unit.type not in UNIT_TYPES:
            raise Unsupported("the unit column has a type that cannot name a unit")
        from_sql, inner = self._from_sql(self._tree)
        kept = conjuncts_of(where)
        single = not self._check_work(self._undetermined(kept))
        unique = any(set(k.columns) <= {unit_name} for k in source.table.keys)
        key = self._snapshot.policy_name((source.table.schema, source.table.name))
        assert key is not None
        return PrivateRelation(
            self.sources, from_sql, (*inner, *kept), kept, unit, unit_name, unique and single, not single, key
        )

    def _unit_column(self, source: Source) -> str:
        key = self._snapshot.policy_name((source.table.schema, source.table.name))
        unit = self._snapshot.policy.tables[key].unit if key is not None else None
        if unit is None:
            raise Internal("a private table has no unit")
        if "->" in unit:
            raise Unsupported(
                f"{source.table.name} reaches its unit through another table, which is not supported yet",
                name=source.ref.table,
                hint="Ask about a table that carries the unit's own column.",
            )
        return unit.strip()

    # -- names ----------------------------------------------------------------------------------------------------
    def column(self, name: Name) -> Value:
        source = self._owner(name)
        column = source.table.column(name.parts[-1])
        if column is None:
            raise self._unknown(name)
        return column_value(source, column, self.narrowed.get((source.sql_alias, column.name)))

    def _owner(self, name: Name) -> Source:
        if len(name.parts) == 2:
            found = [s for s in self.sources if s.ref.alias == name.parts[0]]
        else:
            found = [s for s in self.sources if s.table.column(name.parts[0]) is not None]
            if len(found) > 1 and name.parts[0] in self._merged:
                found = found[:1]
        if len(found) != 1:
            raise self._unknown(name)
        return found[0]

    def _unknown(self, name: Name) -> NoisegateError:
        return Unsupported(
            f"column {'.'.join(name.parts)} is not a column of this private question",
            name=name.parts[-1],
            detail="System columns, and columns of an outer query, cannot be used on private rows.",
        )

    # -- FROM -----------------------------------------------------------------------------------------------------
    def _from_sql(self, node: From) -> tuple[str, tuple[Expr, ...]]:
        """The generated FROM clause and the conditions of its inner joins, which filter like WHERE."""
        if isinstance(node, TableRef):
            source = next(s for s in self.sources if s.ref is node)
            only = "ONLY " if node.only else ""
            return f"{only}{table_sql(source.table)} AS {source.sql_alias}", ()
        left, inner_left = self._from_sql(node.left)
        right, inner_right = self._from_sql(node.right)
        condition = self._join_condition(node)
        match node.kind:
            case "inner" | "cross":
                inner = inner_left + inner_right + (condition[1] if condition is not None else ())
            case "left":  # what holds inside the far side does not hold where it is filled up with NULLs
                inner = inner_left
            case "right":
                inner = inner_right
            case _:
                raise Unsupported(
                    "FULL JOIN with a private table is not supported",
                    name="full",
                    hint="Use LEFT JOIN from the private table.",
                )
        if condition is None:
            return f"({left} CROSS JOIN {right})", inner
        return f"({left} {node.kind.upper()} JOIN {right} ON ({condition[0]}))", inner

    def _join_condition(self, node: Join) -> tuple[str, tuple[Expr, ...]] | None:
        if node.on is not None:
            return condition_sql(node.on, self.scope), _conjuncts(node.on)
        equalities = tuple(self._using(node, c) for c in node.using)
        if not equalities:
            return None
        return " AND ".join(condition_sql(e, self.scope) for e in equalities), equalities

    def _using(self, node: Join, column: str) -> Expr:
        def side(part: From) -> Name:
            ref = next((t for t in tables_of(part) if self._has(t, column)), None)
            if ref is None:
                raise Unsupported(f"column {column} of USING is not known", name=column)
            return Name((ref.alias, column), 0, 0)

        return Op("=", (side(node.left), side(node.right)), 0, 0)

    def _has(self, ref: TableRef, column: str) -> bool:
        return any(s.ref is ref and s.table.column(column) is not None for s in self.sources)

    def _check_work(self, repeating: list[Source]) -> list[Source]:
        """Refuse joins in which one private row could cause work without bound: time and time-outs are seen."""
        most = self._snapshot.policy.answers.joined_rows_max
        rows = math.prod(max(self._snapshot.public_rows.get(s.name, most + 1), 1) for s in repeating)
        if rows > most:
            raise Unsupported(
                f"a row of a private table could meet {rows} public rows in this join",
                name=repeating[-1].ref.table,
                detail=f"At most {most} are allowed, by the policy's answers.joined_rows_max.",
                hint=f"Join {repeating[-1].ref.table} on a unique key of it.",
            )
        return repeating

    def _undetermined(self, where: Iterable[Expr]) -> list[Source]:
        """The public tables of which a private row may meet more than one row.

        Claim: where there is none, no private row is repeated.
        Assumes: `keys` are enforced, and re-read in the engine's transaction.
        Because: a table whose key is equated with expressions over tables that are themselves determined contributes at
        most one row. A condition restricts only the tables that it can remove: that of an outer join, its far side.
        Checked by: tests/privacy/test_relation.py.
        """
        equalities = self._equalities(where)
        determined = {s.sql_alias for s in self.sources if s.private}
        pending = [s for s in self.sources if not s.private]
        progress = True
        while pending and progress:
            progress = False
            for source in list(pending):
                bound = self._bound_columns(source, equalities, determined)
                if any(set(k.columns) <= bound for k in source.table.keys):
                    determined.add(source.sql_alias)
                    pending.remove(source)
                    progress = True
        return pending

    def _equalities(self, where: Iterable[Expr]) -> list[tuple[Op, frozenset[str]]]:
        """Equalities, each with the aliases (of the text) of the tables whose rows it restricts."""
        everything = frozenset(s.ref.alias for s in self.sources)
        found = [(e, everything) for e in where if isinstance(e, Op) and e.op == "="]
        pending: list[From] = [self._tree]
        while pending:
            node = pending.pop()
            if isinstance(node, TableRef):
                continue
            pending += [node.left, node.right]
            side = {"left": node.right, "right": node.left}.get(node.kind, node)
            restricted = frozenset(t.alias for t in tables_of(side))
            conditions = conjuncts_of(node.on) or tuple(self._using(node, c) for c in node.using)
            found += [(e, restricted) for e in conditions if isinstance(e, Op) and e.op == "="]
        return found

    def _bound_columns(
        self, source: Source, equalities: Iterable[tuple[Op, frozenset[str]]], determined: set[str]
    ) -> set[str]:
        bound: set[str] = set()
        for e, restricted in equalities:
            if source.ref.alias not in restricted:
                continue
            for this, other in (e.args, e.args[::-1]):
                name = _plain_name(this)
                if name is None or self._owner(name) is not source:
                    continue
                others = {self._owner(n).sql_alias for n in walk(other) if isinstance(n, Name)}
                if others <= determined:
                    bound.add(name.parts[-1])
        return bound


def _plain_name(expr: Expr) -> Name | None:
    """The column beneath casts that keep different values different (varchar to text)."""
    if isinstance(expr, Cast) and expr.type == "text":
        expr = expr.arg
    return expr if isinstance(expr, Name) else None


def _conjuncts(expr: Expr) -> tuple[Expr, ...]:
    if isinstance(expr, Op) and expr.op == "and":
        return tuple(c for arg in expr.args for c in _conjuncts(arg))
    return (expr,)


def conjuncts_of(expr: Expr | None) -> tuple[Expr, ...]:
    """The conditions that all must hold."""
    return () if expr is None else _conjuncts(expr)


def condition_sql(expr: Expr, scope: Scope) -> str:
    value = compile_expr(expr, scope)
    if value.type != "bool":
        raise Unsupported("a condition must be boolean")
    return value.sql


def table_sql(table: CatalogTable) -> str:
    return f"{quote_name(table.schema)}.{quote_name(table.name)}"


def _nullable_aliases(node: From) -> frozenset[str]:
    if isinstance(node, TableRef):
        return frozenset()
    inside = _nullable_aliases(node.left) | _nullable_aliases(node.right)
    left, right = ({t.alias for t in tables_of(n)} for n in (node.left, node.right))
    match node.kind:
        case "left":
            return inside | right
        case "right":
            return inside | left
        case "full":
            return inside | left | right
        case "inner" | "cross":
            return inside
        case _:
            raise Refused("this kind of join is not supported")


def _merged_columns(node: From) -> frozenset[str]:
    if isinstance(node, TableRef):
        return frozenset()
    return frozenset(node.using) | _merged_columns(node.left) | _merged_columns(node.right)
