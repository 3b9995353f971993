"""Syntax trees of the parts of PostgreSQL's deparse that a fragment is made of. Spans are characters of the deparse.

Only what the rules of privacy/ may admit has a node; anything else is refused by the reader. A subquery's expressions
have a scope of names of their own, so `walk` does not go into it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass

NUMBER = "number"  # a bare number: integer, bigint or numeric by its size
FIELD = "field"  # the field of EXTRACT: a word, not an expression
UNTYPED = "unknown"  # a string or NULL whose cast has not been read


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: `text` is its content (None for NULL), `type` as PostgreSQL printed it, or NUMBER, or UNTYPED."""

    text: str | None
    type: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Param:
    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Name:
    """A column: (column,) or (alias, column)."""

    parts: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Cast:
    arg: Expr
    type: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of an ORDER BY; `nulls_first` is None where PostgreSQL's default holds."""

    expr: Expr
    descending: bool = False
    nulls_first: bool | None = None


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """OVER (...). `frame`: the words of an explicit frame, '' for the default; offsets in it are constants."""

    partition: tuple[Expr, ...]
    order: tuple[SortKey, ...]
    frame: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A function or aggregate call; `name` is lower case. Special syntax (EXTRACT, COALESCE, AT TIME ZONE ...) is a
    call of the function's name. `order`: ORDER BY inside an aggregate; `within`: WITHIN GROUP (ORDER BY ...)."""

    name: str
    args: tuple[Expr, ...]
    start: int
    end: int
    star: bool = False
    distinct: bool = False
    filter: Expr | None = None
    extras: str = ""  # 'VARIADIC' and the like: what no rule admits
    order: tuple[SortKey, ...] = ()
    within: tuple[SortKey, ...] = ()
    over: WindowSpec | None = None


@dataclass(frozen=True, slots=True)
class Op:
    """An operator, prefix (one argument) or infix. AND, OR, NOT, 'is distinct from' among them."""

    op: str
    args: tuple[Expr, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class IsTest:
    arg: Expr
    test: str  # 'null', 'true', 'false', 'unknown'
    negated: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class AnyOf:
    """`arg op ANY (array)`; `every` for ALL."""

    arg: Expr
    op: str
    array: Expr
    every: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Array:
    items: tuple[Expr, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Case:
    operand: Expr | None
    whens: tuple[tuple[Expr, Expr], ...]
    default: Expr | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Collate:
    arg: Expr
    collation: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Row:
    """A row value (a, b, ...)."""

    items: tuple[Expr, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Subscript:
    """`arg[index]`."""

    arg: Expr
    index: Expr
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Subquery:
    """A subquery in an expression that reads people's rows or the query around it. kind: 'scalar', 'exists', 'in'
    (`arg IN (query)`), 'any', 'all' (`arg op ANY (query)`), 'array'."""

    kind: str
    query: Query
    start: int
    end: int
    arg: Expr | None = None
    op: str = "="


@dataclass(frozen=True, slots=True)
class Given:
    """A closed subquery over released answers and public tables, which the clean room evaluates: item `index` of
    Split.givens. kind as of Subquery."""

    kind: str
    index: int
    start: int
    end: int
    arg: Expr | None = None
    op: str = "="


Expr = (
    Literal
    | Param
    | Name
    | Cast
    | Call
    | Op
    | IsTest
    | AnyOf
    | Array
    | Case
    | Collate
    | Row
    | Subscript
    | Subquery
    | Given
)


# -- queries ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Item:
    """One output column and its name, as PostgreSQL names it."""

    expr: Expr
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """One SELECT. `sets`: GROUPING SETS as indexes into `group`, None for a plain GROUP BY; `distinct_on` is empty for
    a plain DISTINCT. `grouped`: it has GROUP BY, HAVING or an aggregate."""

    items: tuple[Item, ...]
    source: From | None
    where: Expr | None
    group: tuple[Expr, ...]
    having: Expr | None
    grouped: bool
    start: int
    end: int
    sets: tuple[tuple[int, ...], ...] | None = None
    distinct: bool = False
    distinct_on: tuple[Expr, ...] = ()
    order: tuple[SortKey, ...] = ()
    limit: Expr | None = None
    offset: Expr | None = None
    with_ties: bool = False


@dataclass(frozen=True, slots=True)
class SetOp:
    """op: 'union', 'intersect', 'except'."""

    op: str
    all: bool
    left: Query
    right: Query
    start: int
    end: int
    order: tuple[SortKey, ...] = ()
    limit: Expr | None = None
    offset: Expr | None = None


@dataclass(frozen=True, slots=True)
class Values:
    rows: tuple[tuple[Expr, ...], ...]
    start: int
    end: int


Query = Select | SetOp | Values  # names of WITH queries are resolved: they stand as SubqueryRef


@dataclass(frozen=True, slots=True)
class TableRef:
    """`schema.table alias` in FROM. `columns`: new names of its first columns. A CTE that is not resolved has no
    schema."""

    schema: str
    table: str
    alias: str
    start: int
    end: int
    only: bool = False
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SubqueryRef:
    """`[LATERAL] (query) alias(columns)`, or a CTE by name."""

    query: Query
    alias: str
    start: int
    end: int
    columns: tuple[str, ...] = ()
    lateral: bool = False


@dataclass(frozen=True, slots=True)
class GivenRef:
    """A closed subquery, VALUES or function of constants in FROM: item `index` of Split.givens, under `alias`.

    listed: of its first columns, the values where they are spelled out (query/listings.py), with None for NULL.
    """

    index: int
    alias: str
    columns: tuple[str, ...]  # all of its columns
    start: int
    end: int
    listed: tuple[tuple[str | None, ...] | None, ...] = ()


@dataclass(frozen=True, slots=True)
class FunctionRef:
    """A function over columns in FROM, e.g. LATERAL unnest(t.tags) or generate_series(t.a, t.b)."""

    call: Call
    alias: str
    start: int
    end: int
    columns: tuple[str, ...] = ()
    ordinality: bool = False


@dataclass(frozen=True, slots=True)
class Join:
    """kind: 'inner', 'left', 'right', 'full', 'cross' (comma and CROSS JOIN)."""

    kind: str
    left: From
    right: From
    on: Expr | None
    using: tuple[str, ...]
    start: int
    end: int


From = TableRef | SubqueryRef | GivenRef | FunctionRef | Join


def walk(expr: Expr) -> list[Expr]:
    """All nodes of an expression, itself first."""
    found: list[Expr] = []
    stack: list[Expr] = [expr]
    while stack:
        node = stack.pop()
        found.append(node)
        stack.extend(reversed(children(node)))
    return found


def children(node: Expr) -> list[Expr]:
    match node:
        case Literal() | Param() | Name():
            return []
        case Subquery() | Given():
            return [node.arg] if node.arg is not None else []
        case Cast() | Collate() | IsTest():
            return [node.arg]
        case Subscript():
            return [node.arg, node.index]
        case Call():
            return [*node.args, *([node.filter] if node.filter is not None else []), *_ordering(node)]
        case Op():
            return list(node.args)
        case AnyOf():
            return [node.arg, node.array]
        case Array() | Row():
            return list(node.items)
        case Case():
            parts = [e for pair in node.whens for e in pair]
            return [*([node.operand] if node.operand else []), *parts, *([node.default] if node.default else [])]


def same_expression(a: object, b: object) -> bool:
    """Whether two expressions say the same at different places. (Subqueries are never taken for the same.)"""
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same_expression, a, b))
    if isinstance(a, Subquery) or not is_dataclass(a):
        return a == b
    names = (f.name for f in fields(a) if f.name not in ("start", "end"))
    return all(same_expression(getattr(a, name), getattr(b, name)) for name in names)


def _ordering(node: Call) -> list[Expr]:
    found = [k.expr for k in (*node.order, *node.within)]
    if node.over is not None:
        found += [*node.over.partition, *(k.expr for k in node.over.order)]
    return found
