"""The split: a deparsed statement becomes fragments (blocks that aggregate over people) and a remainder.

The remainder is the deparse itself with the tokens of each fragment replaced by names of noisy tables; it is never
generated from a tree. Every mention of a private table must be inside the FROM clause of a fragment, or the
statement is refused: a mention that the blocks do not resolve is never passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from noisegate.errors import Refused, Unsupported
from noisegate.query.blocks import Block, find_blocks
from noisegate.query.cutter import RESERVED_PREFIX, Cutter, is_word
from noisegate.query.fragment import Fragment
from noisegate.query.lexer import Kind, Token, tokenize

FRAGMENTS_MAX = 32
_WRITES = frozenset({"insert", "update", "delete", "merge"})


@dataclass(frozen=True, slots=True)
class Split:
    """`remainder` reads fragment i's answer from `_ng_f<i>` with columns k0.. (keys) and a0.. (aggregates); the noisy
    tables' CTEs go in at `with_at`, before `with_more` (whether a WITH list of the statement's own follows)."""

    sql: str
    fragments: tuple[Fragment, ...]
    remainder: str
    with_at: int
    with_more: bool


def split(sql: str, is_private: Callable[[str, str], bool], columns: Callable[[str, str], Sequence[str]]) -> Split:
    """Split a deparse. `is_private(schema, table)`: a private table; `columns`: of a table that analysts may see.

    Raises NoisegateError (refusals, with the identifier they are about).
    """
    tokens = tokenize(sql)
    _check_names(tokens)
    blocks = find_blocks(tokens)
    private = _private_blocks(tokens, blocks, is_private)
    edits: list[tuple[int, int, str]] = []
    fragments: list[Fragment] = []
    for block in private:
        _check_no_private_parent(block, private)
        fragments.append(Cutter(sql, tokens, block, len(fragments), columns).cut(edits))
        if len(fragments) > FRAGMENTS_MAX:
            raise Unsupported(f"a statement may hold at most {FRAGMENTS_MAX} private questions")
    remainder, moved = _apply(sql, edits, _with_position(tokens))
    return Split(sql, tuple(fragments), remainder, moved, bool(tokens) and tokens[0].is_name("with"))


def _check_names(tokens: Sequence[Token]) -> None:
    previous: Token | None = None
    for token in tokens:
        if token.kind is Kind.BAD:
            raise Unsupported("the statement holds text that cannot be read safely")
        if token.kind is Kind.NAME and token.value in _WRITES and previous is not None and previous.is_punct("("):
            raise Unsupported("a private question cannot change data in its WITH list", name=token.value)
        previous = token
        if token.kind in (Kind.NAME, Kind.QUOTED) and token.value.startswith(RESERVED_PREFIX):
            raise Refused(
                f'names that start with "{RESERVED_PREFIX}" are reserved', name=token.value, hint="Choose another name."
            )


def _private_blocks(
    tokens: Sequence[Token], blocks: list[Block], is_private: Callable[[str, str], bool]
) -> list[Block]:
    found: list[Block] = []
    for i, token in enumerate(tokens):
        if not token.is_punct(".") or i == 0 or i + 1 >= len(tokens):
            continue
        schema, table = tokens[i - 1], tokens[i + 1]
        if not (is_word(schema) and is_word(table) and is_private(schema.value, table.value)):
            continue
        block = _innermost(blocks, i)
        if block is None or not _in_clause(block, "from", i):
            raise Unsupported(
                f"table {table.value} is used in a way that noisegate does not recognise",
                name=table.value,
                hint=f"Ask for aggregates, such as: SELECT count(*) FROM {table.value}",
            )
        if block not in found:
            found.append(block)
    return found


def _innermost(blocks: list[Block], at: int) -> Block | None:
    inside = [b for b in blocks if b.first <= at < b.last]
    return max(inside, key=lambda b: b.first) if inside else None


def _in_clause(block: Block, clause: str, at: int) -> bool:
    return clause in block.clauses and block.clauses[clause][0] < at < block.clauses[clause][1]


def _check_no_private_parent(block: Block, private: list[Block]) -> None:
    """A fragment inside the rows that another fragment reads would have to be released first."""
    child, parent = block, block.parent
    while parent is not None:
        if parent in private and any(_in_clause(parent, c, child.first) for c in ("from", "where", "group")):
            raise Unsupported(
                "a private question inside another private question's rows is not supported",
                hint="Ask the inner question first, and write its answer as a constant.",
                name="select",
            )
        child, parent = parent, parent.parent


def _with_position(tokens: Sequence[Token]) -> int:
    if tokens and tokens[0].is_name("with"):
        return tokens[1].end if tokens[1].is_name("recursive") else tokens[0].end
    return tokens[0].start if tokens else 0


def _apply(sql: str, edits: list[tuple[int, int, str]], mark: int) -> tuple[str, int]:
    """Replace non-overlapping ranges; also returns where offset `mark` of the text has moved."""
    out: list[str] = []
    at = moved = 0
    for start, end, text in sorted(edits):
        if start < at:
            raise Unsupported("the statement could not be split")
        out.append(sql[at:start])
        out.append(text)
        if end <= mark:
            moved += len(text) - (end - start)
        at = end
    out.append(sql[at:])
    return "".join(out), mark + moved
