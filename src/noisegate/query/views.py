"""Views in a deparsed statement: each mention in a FROM clause becomes the view's own query in brackets.

Claim: the expanded text means what the text means. Because: PostgreSQL deparses a view with all names qualified (no
WITH query or table of the statement can stand for one of its own) and its columns under the view's names; a query in
FROM sees nothing beside it; so it has the view's rows and columns under the same alias. What is not replaced, since it
was not recognised, still names the view: the clean room has it over tables that raise when they are read.
Checked by: tests/query/test_views.py, tests/end_to_end/test_data_views.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from noisegate.errors import TooComplex
from noisegate.query.from_outline import is_alias
from noisegate.query.lexer import Kind, Token, tokenize
from noisegate.query.outline import Outline
from noisegate.query.sections import Block, Source

VIEWS_DEPTH_MAX: Final = 16
TEXT_MAX: Final = 256 * 1024  # characters of an expanded statement

Views = Mapping[tuple[str, str], str]  # (schema, name) -> the deparse of its query, without a semicolon


def expand(sql: str, views: Views) -> str:
    """The deparsed statement without views. Raises TooComplex past VIEWS_DEPTH_MAX or TEXT_MAX."""
    return _expanded(sql, views, {}, 0)


def _expanded(sql: str, views: Views, known: dict[tuple[str, str], str], depth: int) -> str:
    tokens = tokenize(sql)
    names = {name for _, name in views}
    if not any(token.kind in (Kind.NAME, Kind.QUOTED) and token.value in names for token in tokens):
        return sql
    if depth > VIEWS_DEPTH_MAX:
        raise TooComplex("views stand on views too often", detail=f"At most {VIEWS_DEPTH_MAX} levels are read.")
    edits: list[tuple[int, int, str]] = []
    for block, source in _mentions(Outline(tokens)):
        view = (source.schema, source.table)
        if view not in views:
            continue
        if view not in known:
            known[view] = _expanded(views[view], views, known, depth + 1)
        edits.append(_edit(tokens, block, source, known[view], sql))
    if len(sql) + sum(len(text) for _, _, text in edits) > TEXT_MAX:
        raise TooComplex("the statement is too long with its views written out")
    for start, end, text in sorted(edits, reverse=True):
        sql = sql[:start] + text + sql[end:]
    return sql


def _mentions(outline: Outline) -> Iterator[tuple[Block, Source]]:
    """Tables and views in FROM clauses: only there a name with a schema is a relation."""
    for block in outline.blocks:
        for source in block.sources:
            if source.schema:
                yield block, source


def _edit(tokens: tuple[Token, ...], block: Block, source: Source, query: str, sql: str) -> tuple[int, int, str]:
    """The span of `[ONLY] schema.view` and what stands there instead; the view's own name where it has no alias."""
    first, name = source.at, source.at + 2
    if first and tokens[first - 1].is_name("only"):
        first -= 1
    following = name + 1
    aliased = following < block.clauses["from"][1] and (tokens[following].is_name("as") or is_alias(tokens[following]))
    alias = "" if aliased else " " + sql[tokens[name].start : tokens[name].end]
    return tokens[first].start, tokens[name].end, f"( {query} ){alias}"
