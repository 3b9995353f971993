"""The parts of a deparsed statement: queries, WITH items, SELECTs, items of FROM clauses. Indexes are of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from noisegate.query.lexer import Kind, Token
from noisegate.query.words import QUOTED_KEYWORDS

Range = tuple[int, int]


@dataclass(slots=True, eq=False)
class Source:
    """An item of a FROM clause, from token `at`: a table (`schema` may be empty), a query, or a function (neither).

    `columns`: its column aliases. `far`: the items that an outer join keeps where this one has no row. `merged`: of an
    item that only FULL JOIN ... USING joins with one other: the columns of USING.
    """

    alias: str
    at: int
    schema: str = ""
    table: str = ""
    query: QueryText | None = None
    columns: tuple[str, ...] = ()
    far: list[Source] = field(default_factory=list)
    merged: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Block:
    """One SELECT or VALUES, tokens [first, last); clauses[name] = (index of the keyword, end of its content).

    `children`: the queries directly inside it, in any clause.
    """

    first: int
    last: int
    query: QueryText
    clauses: dict[str, Range] = field(default_factory=dict)
    children: list[QueryText] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)

    def content(self, clause: str, skip: int = 1) -> Range:
        """The tokens of a clause after its keyword(s)."""
        first, last = self.clauses[clause]
        return first + skip, last

    def within(self, clause: str, at: int) -> bool:
        return clause in self.clauses and self.clauses[clause][0] < at < self.clauses[clause][1]


@dataclass(slots=True, eq=False)
class WithItem:
    """One query of a WITH list: tokens [first, last) are `name[(columns)] AS ( query )`."""

    name: str
    columns: tuple[str, ...]
    query: QueryText
    owner: QueryText
    index: int
    first: int
    last: int


@dataclass(slots=True, eq=False)
class QueryText:
    """A whole query, tokens [first, last), without brackets around it: WITH list, arms of a set operation, and the
    clauses that follow it (`tail`). `parent`: the SELECT that it stands in; `outer`: the set operation of which it is a
    bracketed arm; `holder`: the WITH item that it is."""

    first: int
    last: int
    parent: Block | None
    outer: QueryText | None = None
    holder: WithItem | None = None
    recursive: bool = False
    body: int = 0  # index after the WITH list
    items: list[WithItem] = field(default_factory=list)
    arms: list[Block | QueryText] = field(default_factory=list)
    operations: list[tuple[str, bool]] = field(default_factory=list)
    tail: dict[str, Range] = field(default_factory=dict)

    def find(self, name: str) -> WithItem | None:
        """The WITH query that a FROM item here calls `name`: innermost scope first, and only earlier siblings of a
        WITH query that is not recursive."""
        return next((i for i in self.items if i.name == name), None) or self._beyond(name)

    def _beyond(self, name: str) -> WithItem | None:
        if self.holder is not None:
            owner = self.holder.owner
            visible = owner.items if owner.recursive else owner.items[: self.holder.index]
            return next((i for i in visible if i.name == name), None) or owner._beyond(name)
        if self.outer is not None:
            return self.outer.find(name)
        return self.parent.query.find(name) if self.parent is not None else None

    def around(self) -> Block | None:
        """The SELECT whose columns a subquery here may use."""
        if self.holder is not None:
            return self.holder.owner.around()
        return self.outer.around() if self.outer is not None else self.parent

    def blocks(self) -> list[Block]:
        """Its SELECTs, those of bracketed arms included, left to right."""
        return [b for arm in self.arms for b in ([arm] if isinstance(arm, Block) else arm.blocks())]


# -- words ------------------------------------------------------------------------------------------------------------
def is_label(token: Token) -> bool:
    """A name or keyword."""
    return token.kind is Kind.NAME or token.kind is Kind.QUOTED


def is_word(token: Token) -> bool:
    """An identifier. The deparse quotes every keyword that is one, but for PostgreSQL's unreserved ones."""
    return token.kind is Kind.QUOTED or (token.kind is Kind.NAME and token.value not in QUOTED_KEYWORDS)


def spelling(token: Token) -> str:
    """Quoted and unquoted spellings of one identifier are equal; keywords, strings and the rest differ from them."""
    if is_word(token):
        return '"' + token.value
    if token.kind is Kind.STRING:
        return "'" + token.value
    return token.value


def spell(tokens: Sequence[Token], first: int, last: int) -> tuple[str, ...]:
    return tuple(spelling(t) for t in tokens[first:last])


def split_commas(tokens: Sequence[Token], first: int, last: int) -> list[Range]:
    """Token ranges between the commas at depth 0 of [first, last)."""
    ranges: list[Range] = []
    depth, start = 0, first
    for i in range(first, last):
        token = tokens[i]
        if token.kind is Kind.PUNCT:
            if token.value in "([":
                depth += 1
            elif token.value in ")]":
                depth -= 1
            elif token.value == "," and depth == 0:
                ranges.append((start, i))
                start = i + 1
    if start < last:
        ranges.append((start, last))
    return ranges
