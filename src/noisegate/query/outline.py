"""The outline of a deparsed statement, found by tokens: its queries, their WITH lists, SELECTs and clauses.

In the deparse every clause keyword of a SELECT stands at the bracket depth of its SELECT, and no such keyword stands
there for another reason. What the outline does not recognise it leaves out: who relies on it checks that every mention
of a private table is in it.
"""

from __future__ import annotations

from collections.abc import Sequence

from noisegate.errors import TooComplex, Unsupported
from noisegate.query.from_outline import sources_of
from noisegate.query.lexer import Kind, Token
from noisegate.query.sections import Block, QueryText, Range, WithItem, is_label

QUERIES_DEPTH_MAX = 48

_CLAUSES = frozenset({"from", "where", "group", "having", "window", "order", "limit", "offset", "fetch", "for", "into"})
_SET_OPERATIONS = frozenset({"union", "intersect", "except"})
_TAIL = frozenset({"order", "limit", "offset", "fetch", "for"})  # they may follow a set operation as a whole
_QUERY_WORDS = frozenset({"select", "with", "values"})
_BLOCK_WORDS = frozenset({"select", "values"})
_WITH_WORDS = frozenset({"as", "not", "materialized"})


class Outline:
    """`queries`: by the index of their first token; `blocks`: in the order of their SELECTs; `close`: the closing
    bracket of each opening one. Raises TooComplex past QUERIES_DEPTH_MAX, Unsupported for brackets that do not match.
    """

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.close = _brackets(tokens)
        self.blocks: list[Block] = []
        self.queries: dict[int, QueryText] = {}
        self._depth = 0
        self._opens: dict[int, bool] = {}
        self.root = self._query(0, len(tokens), None)

    def query_in(self, at: int) -> QueryText | None:
        """The query in the bracket at token `at`; None for a bracket of an expression or a join."""
        return self.queries.get(at + 1) if self.opens_query(at) else None

    def opens_query(self, at: int) -> bool:
        if at not in self._opens:
            inner = at
            while inner < len(self.tokens) and self.tokens[inner].is_punct("("):
                inner += 1
            opens = self._is_any(inner, _QUERY_WORDS)
            for start in range(inner - 1, at - 1, -1):  # brackets that directly follow each other
                self._opens[start] = opens
                opens = opens and self._is_any(self.close[start] + 1, _SET_OPERATIONS)
        return self._opens.get(at, False)

    def _is_any(self, at: int, words: frozenset[str]) -> bool:
        return at < len(self.tokens) and self.tokens[at].kind is Kind.NAME and self.tokens[at].value in words

    def _is_punct(self, at: int, mark: str) -> bool:
        return at < len(self.tokens) and self.tokens[at].is_punct(mark)

    # -- queries --------------------------------------------------------------------------------------------------
    def _query(self, first: int, last: int, parent: Block | None, outer: QueryText | None = None) -> QueryText:
        self._depth += 1
        if self._depth > QUERIES_DEPTH_MAX:
            raise TooComplex("the statement nests too many queries", detail=f"At most {QUERIES_DEPTH_MAX} are read.")
        query = QueryText(first, last, parent, outer)
        self.queries[first] = query
        at = query.body = self._with_list(query) if self._is_any(first, frozenset({"with"})) else first
        while at < last:
            at = self._arm(query, at, last)
            if at >= last or not self._is_any(at, _SET_OPERATIONS):
                break
            every = self._is_any(at + 1, frozenset({"all"}))
            query.operations.append((self.tokens[at].value, every))
            at += 2 if every else 1
        self._take_tail(query, at, last)
        self._depth -= 1
        return query

    def _with_list(self, query: QueryText) -> int:
        """Reads the WITH list; the index after it. The rest of an unreadable one is left out."""
        at = query.first + 1
        if self._is_any(at, frozenset({"recursive"})):
            query.recursive, at = True, at + 1
        while at < query.last and is_label(self.tokens[at]):
            at = self._with_item(query, at)
            if not self._is_punct(at, ","):
                break
            at += 1
        return min(at, query.last)

    def _with_item(self, query: QueryText, first: int) -> int:
        at, columns = first + 1, tuple[str, ...]()
        if at in self.close:
            columns = tuple(t.value for t in self.tokens[at + 1 : self.close[at]] if is_label(t))
            at = self.close[at] + 1
        while at < query.last and self._is_any(at, _WITH_WORDS):
            at += 1
        if not self.opens_query(at):
            return query.last
        last = self.close[at] + 1
        inner = self._query(at + 1, last - 1, None)
        inner.holder = WithItem(self.tokens[first].value, columns, inner, query, len(query.items), first, last)
        query.items.append(inner.holder)
        while last < query.last and not (
            self._is_punct(last, ",") or self._is_punct(last, "(") or self._is_any(last, _QUERY_WORDS)
        ):
            last += 1  # SEARCH and CYCLE
        return last

    def _arm(self, query: QueryText, at: int, last: int) -> int:
        if self._is_punct(at, "("):
            query.arms.append(self._query(at + 1, self.close[at], query.parent, query))
            return self.close[at] + 1
        return self._block(query, at, last) if self._is_any(at, _BLOCK_WORDS) else last

    def _block(self, query: QueryText, first: int, last: int) -> int:
        clause = self.tokens[first].value
        block = Block(first, last, query, {clause: (first, last)})
        self.blocks.append(block)
        query.arms.append(block)
        at = first + 1
        while at < last:
            if self._is_punct(at, "("):
                at = self._bracket(block, at)
                continue
            if self._is_any(at, _SET_OPERATIONS) or self._is_any(at, _BLOCK_WORDS):
                break
            if self._is_any(at, _CLAUSES) and self._is_clause(at) and self.tokens[at].value not in block.clauses:
                _end_clause(block.clauses, clause, at)
                clause = self.tokens[at].value
                block.clauses[clause] = (at, at)
            at += 1
        _end_clause(block.clauses, clause, at)
        block.last = at
        if "from" in block.clauses:
            block.sources = sources_of(self, *block.content("from"))
        return at

    def _bracket(self, block: Block, at: int) -> int:
        """Reads the queries in a bracket of a block; the index after it."""
        end = self.close[at]
        while at < end:
            if self._is_punct(at, "(") and self.opens_query(at):
                block.children.append(self._query(at + 1, self.close[at], block))
                at = self.close[at]
            at += 1
        return end + 1

    def _is_clause(self, at: int) -> bool:
        """Whether the keyword starts a clause. (A second FROM, of ROWS FROM, does not.)"""
        if self.tokens[at].value in ("group", "order"):
            return self._is_any(at + 1, frozenset({"by"}))
        return True

    def _take_tail(self, query: QueryText, at: int, last: int) -> None:
        """The clauses that follow a set operation are its own, not those of its last SELECT."""
        final = query.arms[-1] if query.arms else None
        if isinstance(final, Block):
            taken = [c for c in _TAIL if c in final.clauses] if len(query.arms) > 1 else []
            for clause in taken:
                query.tail[clause] = final.clauses.pop(clause)
            if taken:
                final.last = min(first for first, _ in query.tail.values())
            return
        clause = ""
        while at < last:
            if self._is_any(at, _TAIL) and self._is_clause(at):
                _end_clause(query.tail, clause, at)
                clause = self.tokens[at].value
                query.tail[clause] = (at, at)
            at = self.close[at] + 1 if at in self.close else at + 1
        _end_clause(query.tail, clause, last)


def _end_clause(clauses: dict[str, Range], clause: str, end: int) -> None:
    if clause:
        clauses[clause] = (clauses[clause][0], end)


def _brackets(tokens: Sequence[Token]) -> dict[int, int]:
    found: dict[int, int] = {}
    stack: list[int] = []
    for i, token in enumerate(tokens):
        if token.kind is not Kind.PUNCT:
            continue
        if token.value in "([":
            stack.append(i)
        elif token.value in ")]":
            if not stack or (tokens[stack[-1]].value == "(") != (token.value == ")"):
                raise Unsupported("the statement holds brackets that cannot be read")
            found[stack.pop()] = i
    if stack:
        raise Unsupported("the statement holds brackets that cannot be read")
    return found
