"""Finds the query blocks of a deparsed statement and their clauses, by tokens.

A block is one SELECT with its clauses; blocks nest. In the deparse every clause keyword of a block stands at the
bracket depth of its SELECT, and no such keyword stands there for another reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from noisegate.errors import TooComplex
from noisegate.query.lexer import Kind, Token

BLOCKS_DEPTH_MAX = 64

_CLAUSES = frozenset({"from", "where", "group", "having", "window", "order", "limit", "offset", "fetch", "for", "into"})
_SET_OPERATIONS = frozenset({"union", "intersect", "except"})


@dataclass(slots=True, eq=False)
class Block:
    """Token indexes: [first, last) is the block; clauses[name] = [index of the keyword, end of its content)."""

    first: int
    last: int
    parent: Block | None
    clauses: dict[str, tuple[int, int]] = field(default_factory=dict)
    children: list[Block] = field(default_factory=list)

    def content(self, clause: str, skip: int = 1) -> tuple[int, int]:
        """The tokens of a clause after its keyword(s)."""
        first, last = self.clauses[clause]
        return first + skip, last


def find_blocks(tokens: Sequence[Token]) -> list[Block]:
    """All blocks in the order of their SELECTs. Raises TooComplex past BLOCKS_DEPTH_MAX."""
    blocks: list[Block] = []
    open_blocks: list[tuple[Block, int, str]] = []  # block, depth of its SELECT, clause being read
    depth = 0
    for i, token in enumerate(tokens):
        if token.kind is Kind.PUNCT:
            if token.value == "(":
                depth += 1
            elif token.value == ")":
                depth -= 1
                while open_blocks and open_blocks[-1][1] > depth:
                    _close(open_blocks, i)
            continue
        if token.kind is not Kind.NAME:
            continue
        at_level = bool(open_blocks) and open_blocks[-1][1] == depth
        if token.value == "select":
            parent = open_blocks[-1][0] if open_blocks else None
            block = Block(i, i, parent, {"select": (i, i)})
            blocks.append(block)
            if parent is not None:
                parent.children.append(block)
            open_blocks.append((block, depth, "select"))
            if len(open_blocks) > BLOCKS_DEPTH_MAX:
                raise TooComplex("the statement nests too many queries", detail=f"At most {BLOCKS_DEPTH_MAX} are read.")
        elif at_level and token.value in _SET_OPERATIONS:
            _close(open_blocks, i)
        elif at_level and token.value in _CLAUSES and _is_clause(tokens, i):
            block, level, clause = open_blocks[-1]
            _end_clause(block, clause, i)
            block.clauses[token.value] = (i, i)
            open_blocks[-1] = (block, level, token.value)
    while open_blocks:
        _close(open_blocks, len(tokens))
    return blocks


def _is_clause(tokens: Sequence[Token], i: int) -> bool:
    word = tokens[i].value
    following = tokens[i + 1] if i + 1 < len(tokens) else None
    if word in ("group", "order"):
        return following is not None and following.is_name("by")
    return True


def _end_clause(block: Block, clause: str, end: int) -> None:
    block.clauses[clause] = (block.clauses[clause][0], end)


def _close(open_blocks: list[tuple[Block, int, str]], end: int) -> None:
    block, _, clause = open_blocks.pop()
    _end_clause(block, clause, end)
    block.last = end


def split_commas(tokens: Sequence[Token], first: int, last: int) -> list[tuple[int, int]]:
    """Token ranges between the commas at depth 0 of [first, last)."""
    ranges: list[tuple[int, int]] = []
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


def closing(tokens: Sequence[Token], at: int) -> int:
    """Index of the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(tokens)):
        if tokens[i].kind is Kind.PUNCT:
            depth += (tokens[i].value in "([") - (tokens[i].value in ")]")
            if depth == 0:
                return i
    return len(tokens) - 1
