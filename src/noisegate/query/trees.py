"""Reads whole queries of the deparse into trees. Names of WITH queries are resolved by scope: they stand as SubqueryRef
of the same tree wherever they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from noisegate.errors import NoisegateError, Refused, Unsupported, about
from noisegate.query.from_reader import FromReader
from noisegate.query.grouping import Grouping, read_grouping
from noisegate.query.lexer import Kind, Token, tokenize
from noisegate.query.listings import Listed, listed_rows, listed_series
from noisegate.query.outline import Outline
from noisegate.query.sections import Block, QueryText, Range, WithItem, split_commas
from noisegate.query.tree import (
    Expr,
    From,
    FunctionRef,
    Given,
    GivenRef,
    Item,
    Name,
    Query,
    Select,
    SetOp,
    SortKey,
    Subquery,
    SubqueryRef,
    TableRef,
    Values,
    WindowSpec,
    walk,
)
from noisegate.query.words import ANSWERED_AGGREGATES, OTHER_AGGREGATES

UNNAMED = "?column?"


def read_statement(sql: str) -> Query:
    """The tree of a deparsed statement. Raises NoisegateError for what has no tree."""
    outline = Outline(tokenize(sql))
    return Trees(outline).query(outline.root)


class Trees:
    """Trees of the queries of one outline; each is read once."""

    def __init__(self, outline: Outline) -> None:
        self.outline = outline
        self._read: dict[QueryText, Query] = {}
        self._open: set[QueryText] = set()
        self._windows: dict[Block, Mapping[str, WindowSpec]] = {}
        self._index = {token.start: i for i, token in enumerate(outline.tokens)}

    # -- what a split replaces ------------------------------------------------------------------------------------
    def given(self, query: QueryText, kind: str) -> int | None:
        """The number under which the clean room evaluates a query of an expression; None: it is read as a tree."""
        return None

    def given_source(self, query: QueryText, columns: tuple[str, ...]) -> tuple[int, tuple[str, ...]] | None:
        """The same for a query in FROM, and the names of all its columns."""
        return None

    def given_function(self, ref: FunctionRef, block: Block) -> int | None:
        """The same for a function in FROM."""
        return None

    def listed(self, query: QueryText) -> tuple[Listed, ...]:
        """What a query that is VALUES alone spells out."""
        block = query.arms[0] if len(query.arms) == 1 and not query.tail else None
        if not isinstance(block, Block) or "values" not in block.clauses or block.children:
            return ()
        try:
            return listed_rows(self._rows(block, 0))
        except NoisegateError:  # the clean room evaluates what has no tree
            return ()

    # -- queries --------------------------------------------------------------------------------------------------
    def query(self, query: QueryText, depth: int = 0) -> Query:
        if query in self._open:
            raise Unsupported("a recursive query is not supported in private questions", name=("recursive", "with"))
        if query not in self._read:
            self._open.add(query)
            self._read[query] = self._whole(query, depth)
            self._open.discard(query)
        return self._read[query]

    def _whole(self, query: QueryText, depth: int) -> Query:
        if not query.arms:
            raise self.reader(query.first, query.last).unknown(self._token(query.first))
        start, end = self._span(query.first, query.last)
        found = self._arm(query.arms[0], depth)
        for (op, every), arm in zip(query.operations, query.arms[1:], strict=False):
            if (op, every) != query.operations[0]:
                raise Unsupported("set operations without brackets are not supported", name=op)
            right = self._arm(arm, depth)
            found = SetOp(op, every, found, right, found.start, right.end)
        if len(query.arms) != len(query.operations) + 1 or not self._is_whole(query):
            raise self.reader(query.first, query.last).unknown(self._token(query.last - 1))
        if isinstance(found, SetOp) and (query.operations or query.tail):
            found = self._with_tail(found, query, depth)
        elif query.tail:
            raise self.reader(query.first, query.last).unknown(self._token(query.last - 1))
        return replace(found, start=start, end=end)

    def _is_whole(self, query: QueryText) -> bool:
        """Whether arms and tail reach to the end of the query."""
        arm = query.arms[-1]
        ends = [arm.last if isinstance(arm, Block) else arm.last + 1, *(last for _, last in query.tail.values())]
        return max(ends) == query.last

    def _arm(self, arm: Block | QueryText, depth: int) -> Query:
        return self.block(arm, depth) if isinstance(arm, Block) else self.query(arm, depth)

    def _with_tail(self, found: SetOp, query: QueryText, depth: int) -> SetOp:
        if "for" in query.tail:
            raise _locked()
        limit, with_ties = self._limit(query.tail, None, depth)
        if with_ties:
            raise Unsupported("WITH TIES after a set operation is not supported", name="fetch")
        order = self._order(query.tail, None, depth)
        return replace(found, order=order, limit=limit, offset=self._clause(query.tail, "offset", None, depth))

    def block(self, block: Block, depth: int = 0) -> Select | Values:
        """One SELECT, or VALUES."""
        start, end = self._span(block.first, block.last)
        if "values" in block.clauses:
            return Values(self._rows(block, depth), start, end)
        for clause, what in (("for", "a row lock"), ("into", "SELECT INTO")):
            if clause in block.clauses:
                raise Refused(f"{what} on a private table is not allowed", name=clause, hint="Leave it out.")
        (distinct, on), ranges = self.outputs(block)
        grouping = self.grouping(block)
        limit, with_ties = self._limit(block.clauses, block, depth)
        return Select(
            tuple(self._item(r, block, depth) for r in ranges),
            self.source(block, depth),
            self._clause(block.clauses, "where", block, depth),
            tuple(self.expression(*r, block, depth) for r in grouping.ranges),
            self._clause(block.clauses, "having", block, depth),
            self.is_grouped(block),
            start,
            end,
            grouping.sets,
            distinct,
            tuple(self.expression(*r, block, depth) for r in on),
            self._order(block.clauses, block, depth),
            limit,
            self._clause(block.clauses, "offset", block, depth),
            with_ties,
        )

    def _rows(self, block: Block, depth: int) -> tuple[tuple[Expr, ...], ...]:
        rows = []
        for first, last in split_commas(self.outline.tokens, *block.content("values")):
            reader = self.reader(first, last, block, depth)
            reader.expect("(")
            rows.append(reader.expressions())
            reader.expect(")")
            reader.finish()
        return tuple(rows)

    # -- clauses --------------------------------------------------------------------------------------------------
    def outputs(self, block: Block) -> tuple[tuple[bool, tuple[Range, ...]], list[Range]]:
        """Whether DISTINCT stands there, and ON what; the tokens of each output column."""
        tokens = self.outline.tokens
        first, last = block.content("select")
        distinct, on = False, tuple[Range, ...]()
        if first < last and tokens[first].is_name("distinct"):
            distinct, first = True, first + 1
            if first < last and tokens[first].is_name("on") and first + 1 in self.outline.close:
                end = self.outline.close[first + 1]
                on, first = tuple(split_commas(tokens, first + 2, end)), end + 1
        elif first < last and tokens[first].is_name("all"):
            first += 1
        return (distinct, on), split_commas(tokens, first, last)

    def grouping(self, block: Block) -> Grouping:
        if "group" not in block.clauses:
            return Grouping((), None)
        return read_grouping(self.outline.tokens, self.outline.close, *block.content("group", 2))

    def is_grouped(self, block: Block) -> bool:
        """Whether it has GROUP BY, HAVING or an aggregate."""
        if "group" in block.clauses or "having" in block.clauses:
            return True
        clauses = [block.clauses[c] for c in ("select", "order") if c in block.clauses]
        return any(self.aggregate_end(i, block) is not None for r in clauses for i in range(*r))

    def aggregate_end(self, at: int, block: Block) -> int | None:
        """The index after the aggregate of this very block that starts at token `at`. A window function is none."""
        token = self._token(at)
        if token.kind is not Kind.NAME or token.value not in ANSWERED_AGGREGATES | OTHER_AGGREGATES:
            return None
        end = self.outline.close.get(at + 1)
        if end is None or self._token(at - 1).is_punct(".") or any(q.first <= at < q.last for q in block.children):
            return None
        end += 1
        if self._token(end).is_name("within"):
            end = self.outline.close.get(end + 2, end) + 1
        if self._token(end).is_name("filter"):
            end = self.outline.close.get(end + 1, end) + 1
        return None if self._token(end).is_name("over") else end

    def source(self, block: Block, depth: int = 0) -> From | None:
        if "from" not in block.clauses:
            return None
        return self.reader(*block.content("from"), block, depth).from_list()

    def expression(self, first: int, last: int, block: Block | None, depth: int = 0) -> Expr:
        with about(*self._span(first, last)):
            reader = self.reader(first, last, block, depth)
            expr = reader.expression()
            reader.finish()
        return expr

    def _clause(self, clauses: Mapping[str, Range], name: str, block: Block | None, depth: int) -> Expr | None:
        return self.expression(clauses[name][0] + 1, clauses[name][1], block, depth) if name in clauses else None

    def _order(self, clauses: Mapping[str, Range], block: Block | None, depth: int) -> tuple[SortKey, ...]:
        if "order" not in clauses:
            return ()
        reader = self.reader(*clauses["order"], block, depth)
        keys = reader.order_by()
        reader.finish()
        return keys

    def _limit(self, clauses: Mapping[str, Range], block: Block | None, depth: int) -> tuple[Expr | None, bool]:
        """LIMIT n, or FETCH FIRST n ROWS [WITH TIES]."""
        if "fetch" not in clauses:
            return self._clause(clauses, "limit", block, depth), False
        reader = self.reader(*clauses["fetch"], block, depth)
        for word in ("fetch", "first"):
            reader.expect_word(word)
        count = reader.expression()
        reader.expect_word("rows")
        with_ties = reader.accept("with", "ties")
        if not with_ties:
            reader.expect_word("only")
        reader.finish()
        return count, with_ties

    def commas(self, first: int, last: int) -> list[Range]:
        return split_commas(self.outline.tokens, first, last)

    def name_of(self, span: Range) -> str:
        """The name of an output column, as PostgreSQL prints it: AS, or the last part of a column's name."""
        first, last = span
        tokens = self.outline.tokens
        if last - first > 2 and tokens[last - 2].is_name("as"):
            return tokens[last - 1].value
        is_column = all(tokens[i].is_punct(".") == bool((i - first) % 2) for i in range(first, last))
        return tokens[last - 1].value if is_column and (last - first) in (1, 3) else UNNAMED

    def before_name(self, span: Range) -> Range:
        """An output column without AS and its name."""
        first, last = span
        return (first, last - 2) if last - first > 2 and self.outline.tokens[last - 2].is_name("as") else span

    def _item(self, span: Range, block: Block, depth: int) -> Item:
        return Item(self.expression(*self.before_name(span), block, depth), self.name_of(span))

    def _windows_of(self, block: Block, depth: int) -> Mapping[str, WindowSpec]:
        if block not in self._windows:
            found: dict[str, WindowSpec] = {}
            self._windows[block] = found
            if "window" in block.clauses:
                for first, last in split_commas(self.outline.tokens, *block.content("window")):
                    reader = self.reader(first, last, block, depth)
                    name = reader.window_name()
                    found[name] = reader.window()
                    reader.finish()
        return self._windows[block]

    # -- places ---------------------------------------------------------------------------------------------------
    def reader(self, first: int, last: int, block: Block | None = None, depth: int = 0) -> QueryReader:
        windows = self._windows_of(block, depth) if block is not None else {}
        return QueryReader(self.outline.tokens[first:last], self, block, windows, depth)

    def query_at(self, start: int) -> QueryText | None:
        """The query in the bracket that starts at this character."""
        at = self._index.get(start)
        return self.outline.query_in(at) if at is not None else None

    def tokens_of(self, start: int, end: int) -> Range:
        """The tokens of characters [start, end)."""
        first = last = self._index[start]
        while last < len(self.outline.tokens) and self.outline.tokens[last].end <= end:
            last += 1
        return first, last

    def _token(self, at: int) -> Token:
        tokens = self.outline.tokens
        return tokens[at] if 0 <= at < len(tokens) else Token(Kind.BAD, "", 0, 0)

    def _span(self, first: int, last: int) -> tuple[int, int]:
        return self._token(first).start, self._token(last - 1).end


class QueryReader(FromReader):
    """Reads what holds queries: expressions and FROM clauses of one block."""

    def __init__(
        self,
        tokens: Sequence[Token],
        trees: Trees,
        block: Block | None,
        windows: Mapping[str, WindowSpec],
        depth: int,
    ) -> None:
        super().__init__(tokens, depth)
        self._trees, self._block, self.windows = trees, block, windows

    def finish(self) -> None:
        if not self.done():
            raise self.unknown(self.peek())

    def window_name(self) -> str:
        name = self._identifier()
        self.expect_word("as")
        return name

    def opens_query(self) -> bool:
        return self.peek().is_punct("(") and self._trees.query_at(self.peek().start) is not None

    def _skip_query(self) -> QueryText:
        query = self._trees.query_at(self.peek().start)
        if query is None:
            raise self.unknown(self.peek())
        first, _ = self._trees.tokens_of(self._tokens[0].start, 0)
        self._at = min(query.last + 1 - first, len(self._tokens))
        return query

    def _nested(self, kind: str, start: int, arg: Expr | None = None, op: str = "=") -> Expr:
        query = self._skip_query()
        end = self._last_end()
        index = self._trees.given(query, kind)
        if index is not None:
            return Given(kind, index, start, end, arg, op)
        return Subquery(kind, self._tree(query), start, end, arg, op)

    def _tree(self, query: QueryText) -> Query:
        return self._trees.query(query, self._depth + 1)

    def from_query(self, start: int, lateral: bool) -> From:
        query = self._skip_query()
        alias, columns = self.alias()
        return self._query_ref(query, SubqueryRef(_NONE, alias, start, self._last_end(), columns, lateral))

    def from_name(self, ref: TableRef) -> From:
        item = self._block.query.find(ref.table) if self._block is not None else None
        if item is None:
            return ref
        columns = _renamed(item, ref.columns)
        return self._query_ref(item.query, SubqueryRef(_NONE, ref.alias, ref.start, ref.end, columns))

    def _query_ref(self, query: QueryText, ref: SubqueryRef) -> From:
        given = self._trees.given_source(query, ref.columns)
        if given is not None:
            return GivenRef(given[0], ref.alias, given[1], ref.start, ref.end, self._trees.listed(query))
        return replace(ref, query=self._tree(query))

    def from_function(self, ref: FunctionRef) -> From:
        constant = not any(isinstance(n, Name | Subquery) for n in walk(ref.call))
        index = self._trees.given_function(ref, self._block) if constant and self._block is not None else None
        if index is None:
            return ref
        return GivenRef(index, ref.alias, ref.columns, ref.start, ref.end, listed_series(ref.call))


_NONE = Values((), 0, 0)  # until the query is read


def _renamed(item: WithItem, columns: tuple[str, ...]) -> tuple[str, ...]:
    """A reference's own column names stand before those of the WITH list."""
    return columns + item.columns[len(columns) :]


def _locked() -> Refused:
    return Refused("a row lock on a private table is not allowed", name="for", hint="Leave it out.")
