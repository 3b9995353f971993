"""Syntax trees of the parts of PostgreSQL's deparse that a fragment is made of. Spans are characters of the deparse.

Only what the rules of privacy/ may admit has a node; anything else is refused by the reader.
"""

from __future__ import annotations

from dataclasses import dataclass

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
class Call:
    """A function or aggregate call; `name` is lower case. Special syntax (EXTRACT, COALESCE, AT TIME ZONE ...) is a
    call of the function's name."""

    name: str
    args: tuple[Expr, ...]
    start: int
    end: int
    star: bool = False
    distinct: bool = False
    filter: Expr | None = None
    extras: str = ""  # 'OVER', 'ORDER BY', 'WITHIN GROUP', 'VARIADIC': what no rule admits yet


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


Expr = Literal | Param | Name | Cast | Call | Op | IsTest | AnyOf | Array | Case | Collate


@dataclass(frozen=True, slots=True)
class TableRef:
    """`schema.table alias` in FROM."""

    schema: str
    table: str
    alias: str
    start: int
    end: int
    only: bool = False


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


From = TableRef | Join


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
        case Cast() | Collate() | IsTest():
            return [node.arg]
        case Call():
            return [*node.args, *([node.filter] if node.filter is not None else [])]
        case Op():
            return list(node.args)
        case AnyOf():
            return [node.arg, node.array]
        case Array():
            return list(node.items)
        case Case():
            parts = [e for pair in node.whens for e in pair]
            return [*([node.operand] if node.operand else []), *parts, *([node.default] if node.default else [])]
