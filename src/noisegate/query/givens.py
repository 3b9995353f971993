"""Texts of closed queries that the clean room evaluates for a fragment, with the WITH queries that they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from noisegate.query.edits import Edits
from noisegate.query.fragment import GivenQuery
from noisegate.query.lineage import Lineage
from noisegate.query.sections import QueryText, WithItem

_ALIAS = "_ng_g"


@dataclass(frozen=True, slots=True)
class GivenText:
    """Tokens [first, last) are a query, or the call of a function, of `width` columns. `item`: the WITH item it is."""

    first: int
    last: int
    width: int
    item: WithItem | None = None
    is_function: bool = False
    ordinality: bool = False


@dataclass(frozen=True, slots=True)
class WithList:
    """WITH lists, the innermost first, each with the texts of its items."""

    lists: tuple[tuple[bool, tuple[str, ...]], ...]
    noisy: frozenset[int]

    def around(self, text: str) -> str:
        """The query `text` with the WITH lists before it."""
        for recursive, items in self.lists:
            inner = f"({text})" if text.startswith("WITH ") else text
            text = f"{'WITH RECURSIVE' if recursive else 'WITH'} {', '.join(items)} {inner}"
        return text

    @property
    def with_at(self) -> int:
        """Where more items can be added to what `around` returns, if there is a list."""
        return 0 if not self.lists else len("WITH RECURSIVE") if self.lists[-1][0] else len("WITH")


def with_list(
    first: int, last: int, sql: str, lineage: Lineage, edits: Edits, items: Sequence[WithItem] = ()
) -> WithList:
    """The WITH queries that tokens [first, last), replaced by `edits`, and `items` need from the queries around."""
    tokens = lineage.trees.outline.tokens
    noisy: set[int] = set()
    texts: dict[QueryText, list[tuple[int, str]]] = {}
    for item in _needed(first, last, lineage, edits, items):
        text, reads = edits.apply(tokens[item.first].start, tokens[item.last - 1].end)
        noisy |= reads
        texts.setdefault(item.owner, []).append((item.first, text))
    owners = sorted(texts, key=lambda q: q.last - q.first)
    lists = tuple((q.recursive, tuple(text for _, text in sorted(texts[q]))) for q in owners)
    return WithList(lists, frozenset(noisy))


def _needed(first: int, last: int, lineage: Lineage, edits: Edits, items: Sequence[WithItem]) -> list[WithItem]:
    tokens = lineage.trees.outline.tokens
    found = list(items)
    pending = [(first, last), *((item.first, item.last) for item in items)]
    while pending:
        start, end = pending.pop()
        replaced = edits.inside(tokens[start].start, tokens[end - 1].end) if start < end else []
        for block in lineage.trees.outline.blocks:
            if not start <= block.first < end:
                continue
            for source in block.sources:
                item = block.query.find(source.table) if source.table and not source.schema else None
                at = tokens[source.at].start
                if item is None or item in found or start <= item.first < end:
                    continue
                if any(e.start <= at < e.end for e in replaced):
                    continue
                found.append(item)
                pending.append((item.first, item.last))
    return found


def given_query(given: GivenText, sql: str, lineage: Lineage, edits: Edits) -> GivenQuery:
    """The query of a given: `edits` replace what reads people's rows."""
    text, lists, noisy = _text(given, sql, lineage, edits)
    described, unedited, _ = _text(given, sql, lineage, Edits(sql))
    return GivenQuery(
        lists.around(text),
        lists.with_at,
        bool(lists.lists),
        unedited.around(described),
        given.width,
        tuple(sorted(noisy | lists.noisy)),
    )


def _text(given: GivenText, sql: str, lineage: Lineage, edits: Edits) -> tuple[str, WithList, frozenset[int]]:
    """The text, the WITH lists that it needs, and the noisy tables that it reads itself."""
    tokens = lineage.trees.outline.tokens
    item = given.item
    if item is not None and item.owner.recursive:  # it means the whole WITH query, not one more round of it
        name = tokens[item.first]
        lists = with_list(item.first, item.first, sql, lineage, edits, [item])
        return _renamed(f"SELECT * FROM {sql[name.start : name.end]}", given), lists, frozenset()
    text, noisy = edits.apply(tokens[given.first].start, tokens[given.last - 1].end)
    return _renamed(text, given), with_list(given.first, given.last, sql, lineage, edits), noisy


def _renamed(text: str, given: GivenText) -> str:
    source = f"{text}{' WITH ORDINALITY' if given.ordinality else ''}" if given.is_function else f"({text})"
    columns = ", ".join(f"c{i}" for i in range(given.width))
    return f"SELECT * FROM {source} {_ALIAS}{f'({columns})' if columns else ''}"
