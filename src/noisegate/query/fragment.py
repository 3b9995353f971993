"""A fragment as read: the parts of one block over people, and its tables and expressions."""

from __future__ import annotations

from dataclasses import dataclass

from noisegate.query.tree import Call, Expr, From, Join, TableRef


@dataclass(frozen=True, slots=True)
class Fragment:
    """One block over people, as read. `describe_sql` selects its keys, then its aggregates, for PostgreSQL to type."""

    relation: From
    where: Expr | None
    keys: tuple[Expr, ...]
    key_texts: tuple[str, ...]
    aggregates: tuple[Call, ...]
    aggregate_texts: tuple[str, ...]
    grouped: bool
    describe_sql: str


def tables_of(relation: From) -> list[TableRef]:
    """The tables of a FROM clause, left to right."""
    if isinstance(relation, Join):
        return tables_of(relation.left) + tables_of(relation.right)
    return [relation]


def sql_of(sql: str, expr: Expr) -> str:
    return sql[expr.start : expr.end]


def expressions_of(fragment: Fragment) -> list[Expr]:
    """Every expression of a fragment that the engine will see."""
    found: list[Expr] = list(fragment.keys)
    if fragment.where is not None:
        found.append(fragment.where)
    for call in fragment.aggregates:
        found += [*call.args, *([call.filter] if call.filter is not None else [])]
    pending = [fragment.relation]
    while pending:
        node = pending.pop()
        if isinstance(node, Join):
            found += [node.on] if node.on is not None else []
            pending += [node.left, node.right]
    return found
