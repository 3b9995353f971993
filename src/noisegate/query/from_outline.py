"""The items of a FROM clause, found by tokens: their names, kinds and aliases, and what outer joins keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from noisegate.errors import TooComplex
from noisegate.query.lexer import Kind, Token
from noisegate.query.sections import QueryText, Source, is_label

JOINS_DEPTH_MAX = 100

_JOIN_WORDS = frozenset("natural cross inner left right full outer join".split())
_NO_ALIAS = _JOIN_WORDS | frozenset("on using where group having order limit offset window union tablesample".split())


class _Outline(Protocol):
    @property
    def tokens(self) -> Sequence[Token]: ...
    @property
    def close(self) -> Mapping[int, int]: ...
    def query_in(self, at: int) -> QueryText | None: ...


def sources_of(outline: _Outline, first: int, last: int) -> list[Source]:
    """The items in tokens [first, last), left to right. It stops at what it does not know."""
    return _FromOutline(outline, first).items(last)


def is_alias(token: Token) -> bool:
    return token.kind is Kind.QUOTED or (token.kind is Kind.NAME and token.value not in _NO_ALIAS)


class _FromOutline:
    def __init__(self, outline: _Outline, first: int) -> None:
        self._outline, self._tokens, self._at, self._depth = outline, outline.tokens, first, 0

    def _is(self, word: str, last: int) -> bool:
        return self._at < last and self._tokens[self._at].is_name(word)

    def items(self, last: int) -> list[Source]:
        found = self._joined(last)
        while self._at < last and self._tokens[self._at].is_punct(","):
            self._at += 1
            found += self._joined(last)
        return found

    def _joined(self, last: int) -> list[Source]:
        left = self._item(last)
        while (kind := self._join_kind(last)) is not None:
            right = self._item(last)
            for source in right if kind in ("left", "full") else []:
                source.far += left
            for source in left if kind in ("right", "full") else []:
                source.far += right
            if self._is("using", last) and kind == "full" and len(left) == len(right) == 1:
                names = range(self._at + 1, self._outline.close.get(self._at + 1, self._at + 1))
                merged = tuple(self._tokens[i].value for i in names if is_label(self._tokens[i]))
                left[0].merged = right[0].merged = merged
            if self._is("on", last) or self._is("using", last):
                self._at = self._outline.close.get(self._at + 1, self._at + 1) + 1
            left = left + right
        return left

    def _join_kind(self, last: int) -> str | None:
        at = self._at
        while at < last and self._tokens[at].kind is Kind.NAME and self._tokens[at].value in _JOIN_WORDS:
            if self._tokens[at].value == "join":
                kind, self._at = self._tokens[self._at].value, at + 1
                return kind
            at += 1
        return None

    def _item(self, last: int) -> list[Source]:
        while self._is("lateral", last) or self._is("only", last):
            self._at += 1
        if self._at >= last:
            return []
        if self._tokens[self._at].is_punct("("):
            return self._bracketed(last)
        if not is_label(self._tokens[self._at]):
            return []
        return [self._named(last)]

    def _bracketed(self, last: int) -> list[Source]:
        at, end = self._at, self._outline.close[self._at]
        query = self._outline.query_in(at)
        if query is not None:
            self._at = end + 1
            return [self._with_alias(Source("", at, query=query), last)]
        self._depth += 1
        if self._depth > JOINS_DEPTH_MAX:
            raise TooComplex("the FROM clause is nested too deeply")
        self._at = at + 1
        found = self._joined(end)
        self._at, self._depth = end + 1, self._depth - 1
        return found

    def _named(self, last: int) -> Source:
        name = self._tokens[self._at].value
        source = Source(name, self._at, "", name)
        self._at += 1
        while self._at + 1 < last and self._tokens[self._at].is_punct("."):
            source.schema, source.table = source.table, self._tokens[self._at + 1].value
            source.alias = source.table
            self._at += 2
        if self._at < last and self._tokens[self._at].is_punct("("):  # a function
            source.schema = source.table = ""
            self._at = self._outline.close[self._at] + 1
            if self._is("with", last):
                self._at += 2
        elif name == "rows" and self._is("from", last):
            source.schema = source.table = ""
            self._at = self._outline.close.get(self._at + 1, self._at + 1) + 1
        return self._with_alias(source, last)

    def _with_alias(self, source: Source, last: int) -> Source:
        if self._is("as", last):
            self._at += 1
        if self._at < last and is_alias(self._tokens[self._at]):
            source.alias = self._tokens[self._at].value
            self._at += 1
            if self._at < last and self._tokens[self._at].is_punct("("):
                end = self._outline.close[self._at]
                source.columns = tuple(t.value for t in self._tokens[self._at + 1 : end] if is_label(t))
                self._at = end + 1
        return source
