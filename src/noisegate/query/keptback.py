"""Refusals to show people's rows, each with a question that would be answered in its place."""

from __future__ import annotations

from noisegate.errors import NoisegateError, Refused, Unsupported
from noisegate.query.grouping import without_brackets
from noisegate.query.lexer import Kind
from noisegate.query.lineage import Lineage, Nature
from noisegate.query.sections import Block, Range
from noisegate.query.words import ROW_AGGREGATES

KEPT = ("select", "having", "window", "order", "limit", "offset", "fetch")  # clauses that the remainder keeps

_RANKS = frozenset("rank dense_rank percent_rank cume_dist".split())


def row_level(lineage: Lineage, block: Block) -> NoisegateError:
    """The refusal of a block whose rows are people's."""
    table = _first_table(lineage, block, set()) or "people"
    if "for" in block.clauses:
        return Refused("a row lock on a private table is not allowed", name="for", hint="Leave it out.")
    tokens, at = lineage.trees.outline.tokens, _first_column(lineage, block)
    first, last = (block.first, block.last - 1) if at is None else (at, at)
    detail = "Only aggregates over many people are answered."
    hint = f"Ask for an aggregate, such as: SELECT count(*) FROM {table}"
    if "group" in block.clauses:
        detail = "Each of its groups is one person's: what it groups by says whose rows they are."
        hint = f"Aggregate once more, such as: {_once_more(lineage, block, table)}"
    return Refused(
        f"rows of table {table} are private", name=table if at is None else tokens[at].value, detail=detail, hint=hint
    ).about(tokens[first].start, tokens[last].end)


def aggregate_level(lineage: Lineage, block: Block, first: int, last: int) -> NoisegateError:
    """The refusal of an aggregate that is never answered, or not yet: tokens [first, last) of the block."""
    tokens = lineage.trees.outline.tokens
    name = tokens[first].value
    argument = _argument(lineage, (first + 2, lineage.trees.outline.close.get(first + 1, first)), block)
    table = _first_table(lineage, block, set()) or "people"
    error: NoisegateError
    if name in ROW_AGGREGATES:
        hint = "Count how often each value occurs"
        hint += f": SELECT {argument}, count(*) FROM {table} GROUP BY {argument}" if argument else ", with GROUP BY."
        error = Refused(f"{name} would show rows of people", name=name, hint=hint)
    elif name in _RANKS:
        hint = f"Count those before it, such as: SELECT count(*) FROM {table} WHERE (the column) < (the value)"
        error = Unsupported(f"aggregate {name} over a private table is not supported", name=name, hint=hint)
    else:
        error = Unsupported(
            f"aggregate {name} over a private table is not supported",
            name=name,
            hint="docs/sql.md lists the aggregates that are.",
        )
    return error.about(tokens[first].start, tokens[last - 1].end)


def _argument(lineage: Lineage, span: Range, block: Block) -> str:
    """The one column that an aggregate reads, as in the text; empty for all else."""
    tokens = lineage.trees.outline.tokens
    found = lineage.trees.commas(*span)[:1]
    if not found or lineage.column(found[0], block) is None:
        return ""
    token = tokens[found[0][1] - 1]
    return token.value if token.kind is Kind.NAME else ""


def _once_more(lineage: Lineage, block: Block, table: str) -> str:
    """A question over the groups of the block."""
    outline, trees = lineage.trees.outline, lineage.trees
    plain = [lineage.place(r, block) for r in trees.grouping(block).ranges]
    names = [
        outline.tokens[without_brackets(outline.tokens, outline.close, *r)[1] - 1].value
        for r, found in zip(trees.grouping(block).ranges, plain, strict=True)
        if found is not None
    ]
    keys = ", ".join(names)
    alone = len(block.sources) == 1 and block.sources[0].schema and len(names) == len(plain)
    rows = f"{table} GROUP BY {keys}" if alone else f"... GROUP BY {keys}"
    return f"SELECT avg(n) FROM (SELECT {keys}, count(*) AS n FROM {rows}) AS g"


def _first_column(lineage: Lineage, block: Block) -> int | None:
    """The token of the first column that the block shows, or orders by; of people's, if it has one."""
    tokens = lineage.trees.outline.tokens
    shown: int | None = None
    for i in (i for clause in KEPT for i in range(*block.clauses.get(clause, (0, 0)))):
        if lineage.named_block(i) is block and i + 2 < len(tokens):
            at, span = i + 2, (i, i + 3)
        elif lineage.column((i, i + 1), block) is not None and not tokens[i - 1].is_name("as"):
            at, span = i, (i, i + 1)
        else:
            continue
        found = lineage.column(span, block)
        if found is not None and lineage.source(found[0], block).nature is Nature.ROWS:
            return at
        shown = at if shown is None else shown
    return shown


def _first_table(lineage: Lineage, block: Block, seen: set[Block]) -> str | None:
    """A private table whose rows the block reads."""
    if block in seen:
        return None
    seen.add(block)
    queries = list(block.children)
    for source in block.sources:
        if source.schema and lineage.tables.is_private(source.schema, source.table):
            return source.table
        item = block.query.find(source.table) if not source.schema and source.table else None
        queries += [item.query] if item is not None else []
    inner = (b for q in queries for b in q.blocks())
    return next((t for t in (_first_table(lineage, b, seen) for b in inner) if t is not None), None)
