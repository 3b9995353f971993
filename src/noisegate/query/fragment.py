"""A fragment as read: the parts of one block over people, and its tables and expressions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from noisegate.query.tree import (
    Call,
    Expr,
    From,
    FunctionRef,
    GivenRef,
    Join,
    Query,
    Select,
    SetOp,
    Subquery,
    SubqueryRef,
    TableRef,
    Values,
    walk,
)


@dataclass(frozen=True, slots=True)
class Fragment:
    """One block over people, as read. `describe_sql` selects its keys, then its aggregates, for PostgreSQL to type.

    Subqueries over people stand in `relation` and `where` as trees; closed subqueries without people's rows, and those
    over released answers, as Given and GivenRef: items of Split.givens.
    """

    relation: From
    where: Expr | None
    keys: tuple[Expr, ...]
    key_texts: tuple[str, ...]
    aggregates: tuple[Call, ...]
    aggregate_texts: tuple[str, ...]
    grouped: bool
    describe_sql: str


@dataclass(frozen=True, slots=True)
class GivenQuery:
    """A closed subquery whose rows are handed to the engine as constants.

    `sql` is what the clean room runs: the noisy tables' CTEs go in at `with_at` as for the remainder; its columns are
    c0, c1 ... `fragments`: the noisy tables that it reads, directly or through other givens; none for public tables
    alone, which is evaluated before anything is charged. `describe_sql` types its columns before anything runs.
    """

    sql: str
    with_at: int
    with_more: bool
    describe_sql: str
    columns: int
    noisy: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a noisy table that come from one fragment. keys: for each key column of the table, which key of the
    fragment it is; None where it is rolled up (GROUPING SETS)."""

    fragment: int
    keys: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """A noisy table of the remainder, `_ng_f<i>`: its parts, one per grouping set. Besides k0.. and a0.. it has, if
    `rolled`, a column g (integer), in which bit i is set where key i is rolled up."""

    parts: tuple[Part, ...]
    rolled: bool = False


def tables_of(relation: From) -> list[TableRef]:
    """The tables of a FROM clause, left to right, those of subqueries included."""
    return [node for node in items_of(relation, deep=True) if isinstance(node, TableRef)]


def items_of(relation: From, *, deep: bool = False) -> list[From]:
    """The items of a FROM clause that are no joins, left to right."""
    if isinstance(relation, Join):
        return items_of(relation.left, deep=deep) + items_of(relation.right, deep=deep)
    if deep and isinstance(relation, SubqueryRef):
        return [relation, *(i for source in _sources(relation.query) for i in items_of(source, deep=True))]
    return [relation]


def _sources(query: Query) -> list[From]:
    """The FROM clauses of a query, those in its expressions' subqueries included."""
    match query:
        case Select():
            found = [query.source] if query.source is not None else []
            inside = [n for e in _own_expressions(query) for n in walk(e) if isinstance(n, Subquery)]
            return found + [s for sub in inside for s in _sources(sub.query)]
        case SetOp():
            return _sources(query.left) + _sources(query.right)
        case Values():
            return []


def sql_of(sql: str, expr: Expr) -> str:
    return sql[expr.start : expr.end]


def expressions_of(fragment: Fragment) -> list[Expr]:
    """Every expression of a fragment that the engine will see, those of subqueries included."""
    found: list[Expr] = list(fragment.keys)
    if fragment.where is not None:
        found.append(fragment.where)
    for call in fragment.aggregates:
        found += _parts(call)
    found += _from_expressions(fragment.relation)
    return found + [e for top in found for e in _inside(top)]


def _parts(call: Call) -> list[Expr]:
    """An aggregate's own arguments: it stands in the fragment, not in the engine's row expressions."""
    ordering = [k.expr for k in (*call.order, *call.within)]
    return [*call.args, *([call.filter] if call.filter is not None else []), *ordering]


def _inside(expr: Expr) -> Iterator[Expr]:
    """The expressions of the subqueries in an expression."""
    for node in walk(expr):
        if isinstance(node, Subquery):
            for inner in query_expressions(node.query):
                yield inner
                yield from _inside(inner)


def inner_nodes(expr: Expr) -> Iterator[Expr]:
    """All nodes of the expressions of the subqueries in an expression."""
    return (node for inner in _inside(expr) for node in walk(inner))


def _from_expressions(node: From) -> list[Expr]:
    match node:
        case Join():
            own = [node.on] if node.on is not None else []
            return own + _from_expressions(node.left) + _from_expressions(node.right)
        case SubqueryRef():
            found = query_expressions(node.query)
            return found + [e for top in found for e in _inside(top)]
        case FunctionRef():
            return list(node.call.args)
        case TableRef() | GivenRef():
            return []


def query_expressions(query: Query) -> list[Expr]:
    """The expressions of a query and of the queries in its FROM clause; not of those in its expressions."""
    match query:
        case Select():
            return _own_expressions(query) + (_from_expressions(query.source) if query.source is not None else [])
        case SetOp():
            return query_expressions(query.left) + query_expressions(query.right)
        case Values():
            return [e for row in query.rows for e in row]


def _own_expressions(query: Select) -> list[Expr]:
    found = [i.expr for i in query.items] + [*query.group, *query.distinct_on, *(k.expr for k in query.order)]
    found += [e for e in (query.where, query.having, query.limit, query.offset) if e is not None]
    return found
