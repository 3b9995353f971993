"""Whose rows each query yields: by lineage of the columns that determine the privacy unit, never by name.

A column that is computed, or of which a branch of a set operation holds something else, determines nothing. What is
decided here says which blocks a fragment is made of; that their rows each belong to one unit is for privacy/ to show.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

from noisegate.errors import NoisegateError, Refused, Unsupported
from noisegate.plan.units import UNIT, Determinant, Label
from noisegate.query.grouping import without_brackets
from noisegate.query.sections import Block, QueryText, Range, Source, is_word
from noisegate.query.trees import Trees

ALIGNED_MAX = 64  # ways to find one determinant among the output columns


class Nature(enum.Enum):
    """What a query yields."""

    PUBLIC = "public"  # of public tables and constants alone
    ANSWER = "answer"  # of released answers too
    ROWS = "rows"  # rows that are people's
    SHOWN = "shown"  # other rows, chosen or computed by people's rows: an answer without noise
    MIXED = "mixed"  # people's rows and others, by a set operation


@dataclass(frozen=True, slots=True)
class Tables:
    """What the split must know of tables, by schema and name. `columns`: those that analysts may see."""

    is_private: Callable[[str, str], bool]
    columns: Callable[[str, str], Sequence[str]]
    determinants: Callable[[str, str], Sequence[Determinant]]


@dataclass(frozen=True, slots=True)
class Facts:
    """`columns`: names of the output columns. `units`: determinants, as a label and positions among the columns."""

    nature: Nature
    columns: tuple[str, ...]
    units: frozenset[tuple[Label, tuple[int, ...]]] = frozenset()


@dataclass(slots=True)
class BlockFacts:
    """`reads`: it has people's rows in FROM. `fragment`: it aggregates them over units; `refusal`: if it does so in a
    way that is not answered."""

    facts: Facts
    reads: bool = False
    fragment: bool = False
    refusal: NoisegateError | None = None
    people: list[Source] = field(default_factory=list)


class Lineage:
    """Facts of the queries and blocks of one statement; each is found once."""

    def __init__(self, trees: Trees, tables: Tables) -> None:
        self.trees, self.tables = trees, tables
        self._tokens = trees.outline.tokens
        self._queries: dict[QueryText, Facts] = {}
        self._blocks: dict[Block, BlockFacts] = {}
        self._correlated: dict[QueryText, bool] = {}
        self._owner: list[Block | None] = [None] * len(self._tokens)
        for block in trees.outline.blocks:  # each before those inside it
            self._owner[block.first : block.last] = [block] * (block.last - block.first)

    # -- queries --------------------------------------------------------------------------------------------------
    def query(self, query: QueryText) -> Facts:
        if query not in self._queries:
            self._queries[query] = Facts(Nature.PUBLIC, self._names(query))  # what a recursive query sees of itself
            self._queries[query] = self._united(query)
        return self._queries[query]

    def _arm(self, arm: Block | QueryText) -> Facts:
        return self.block(arm).facts if isinstance(arm, Block) else self.query(arm)

    def _united(self, query: QueryText) -> Facts:
        """Claim: rows that agree in a determinant of the result, and not in NULL, belong to the same unit.

        Because: every branch has that determinant, with the same label, at the same positions.
        Checked by: tests/query/test_lineage.py.
        """
        arms = [self._arm(arm) for arm in query.arms]
        natures = {a.nature for a in arms}
        names = self._names(query)
        if natures == {Nature.ROWS}:
            return Facts(Nature.ROWS, names, frozenset.intersection(*(a.units for a in arms)))
        if Nature.MIXED in natures or Nature.ROWS in natures:
            return Facts(Nature.MIXED, names)
        return Facts(_strongest(natures), names)

    def _names(self, query: QueryText) -> tuple[str, ...]:
        first = next(iter(query.blocks()), None)
        if first is None:
            return ()
        if "values" in first.clauses:
            return tuple(f"column{i + 1}" for i in range(self._width(first)))
        return tuple(self.trees.name_of(span) for span in self.trees.outputs(first)[1])

    def _width(self, values: Block) -> int:
        """The number of columns of VALUES."""
        first, last = values.content("values")
        end = self.trees.outline.close.get(first, first)
        return len(self.trees.commas(first + 1, end)) if first < end < last else 0

    # -- blocks ---------------------------------------------------------------------------------------------------
    def block(self, block: Block) -> BlockFacts:
        if block not in self._blocks:
            self._blocks[block] = self._of_block(block)
        return self._blocks[block]

    def _of_block(self, block: Block) -> BlockFacts:
        names = self._names(block.query) if "values" in block.clauses else self._outputs(block)
        sources = {s: self.source(s, block).nature for s in block.sources}
        people = [s for s, nature in sources.items() if nature is Nature.ROWS]
        tied = {s: self._is_tied(s, block) for s, nature in sources.items() if nature is Nature.SHOWN}
        if Nature.MIXED in sources.values():
            return BlockFacts(Facts(Nature.MIXED, names), True)
        if people and all(tied.values()):
            return self._of_people(block, people, names)
        inside = {self.query(q).nature for q in block.children} | set(sources.values())
        return BlockFacts(Facts(_strongest(inside), names))

    def _of_people(self, block: Block, people: list[Source], names: tuple[str, ...]) -> BlockFacts:
        """Rows, or a fragment.

        Claim: a group of rows, where it is rows, belongs to one unit. Because: the group's keys hold all columns of a
        determinant of one of its sources. Checked by: tests/query/test_lineage.py.
        """
        (distinct, on), outputs = self.trees.outputs(block)
        grouped = self.trees.is_grouped(block)
        grouping = self.trees.grouping(block)
        rows, refusal = True, None
        if grouped:
            rows = grouping.sets is None and self._covers(block, people, grouping.ranges)
        if distinct and rows:
            rows = self._covers(block, people, on or [self.trees.before_name(o) for o in outputs])
            if not rows and (on or grouped):
                refusal = _refused_distinct(bool(on), self._unit(block, people))
        units = frozenset(self._passed(block, people, outputs)) if rows else frozenset()
        nature = Nature.ROWS if rows else Nature.ANSWER
        return BlockFacts(Facts(nature, names, units), True, not rows, refusal, people)

    def unit_of(self, block: Block) -> str:
        """The column, or columns, by which a block's rows find their unit: for hints."""
        return self._unit(block, self.block(block).people)

    def _unit(self, block: Block, people: list[Source]) -> str:
        found = sorted(self._determinants(block, people), key=lambda d: d[1] != UNIT)
        for source, _, positions in found:
            if positions[0] < 0:
                return source.merged[-1 - positions[0]]
            names = [self.source(source, block).columns[p] for p in positions]
            return ", ".join(f"{source.alias}.{n}" if len(block.sources) > 1 else n for n in names)
        return "the unit"

    def _outputs(self, block: Block) -> tuple[str, ...]:
        return tuple(self.trees.name_of(span) for span in self.trees.outputs(block)[1])

    def _covers(self, block: Block, people: list[Source], ranges: Iterable[Range]) -> bool:
        """Whether these expressions hold a determinant of one source as plain columns."""
        plain = {self.place(r, block) for r in ranges} - {None}
        return any(
            all((source, position) in plain for position in positions)
            for source, _, positions in self._determinants(block, people)
        )

    def _passed(
        self, block: Block, people: list[Source], outputs: Sequence[Range]
    ) -> Iterator[tuple[Label, tuple[int, ...]]]:
        """The determinants that are among the output columns."""
        plain = [self.place(self.trees.before_name(o), block) for o in outputs]
        for source, label, positions in self._determinants(block, people):
            places = [[i for i, p in enumerate(plain) if p == (source, position)] for position in positions]
            ways = 1
            for found in places:
                ways *= len(found)
            if 0 < ways <= ALIGNED_MAX:
                yield from ((label, way) for way in product(*places))

    def _determinants(self, block: Block, people: list[Source]) -> Iterator[tuple[Source, Label, tuple[int, ...]]]:
        """Those of sources whose row is not NULL beside another person's row, by an outer join."""
        for source in people:
            if not any(other in people for other in source.far):
                for label, positions in sorted(self.source(source, block).units):
                    yield source, label, positions
        yield from ((people[0], UNIT, (i,)) for i in self._merged(block, people))

    def _merged(self, block: Block, people: list[Source]) -> Iterator[int]:
        """Columns of `a FULL JOIN b USING (...)` that are the unit, as -1, -2 ... by their places in USING.

        Claim: they are. Because: a merged column is the unit's column of the side that is there, or of both, equal.
        """
        if len(block.sources) != 2 or people != block.sources:
            return
        for i, name in enumerate(block.sources[0].merged):
            facts = [self.source(s, block) for s in block.sources]
            if all(f.columns.count(name) == 1 and (UNIT, (f.columns.index(name),)) in f.units for f in facts):
                yield -1 - i

    # -- FROM items -----------------------------------------------------------------------------------------------
    def source(self, source: Source, block: Block) -> Facts:
        """Facts of an item of FROM, its own column names applied."""
        if source.query is not None:
            return _renamed(self.query(source.query), source.columns)
        if not source.schema and source.table:
            item = block.query.find(source.table)
            if item is not None:
                return _renamed(_renamed(self.query(item.query), item.columns), source.columns)
        if not source.schema:
            return Facts(Nature.PUBLIC, source.columns or (source.alias,))
        return _renamed(self._table(source.schema, source.table), source.columns)

    def _table(self, schema: str, table: str) -> Facts:
        columns = tuple(self.tables.columns(schema, table))
        if not self.tables.is_private(schema, table):
            return Facts(Nature.PUBLIC, columns)
        found = [(d.label, d.columns) for d in self.tables.determinants(schema, table)]
        seen = [(label, names) for label, names in found if set(names) <= set(columns)]
        units = frozenset((label, tuple(columns.index(n) for n in names)) for label, names in seen)
        return Facts(Nature.ROWS, columns, units)

    def _is_tied(self, source: Source, block: Block) -> bool:
        """LATERAL, and computed from the rows beside it."""
        return source.query is not None and self.is_correlated(source.query)

    # -- columns --------------------------------------------------------------------------------------------------
    def place(self, span: Range, block: Block) -> tuple[Source, int] | None:
        """A plain column, or a merged one (see _merged)."""
        first, last = without_brackets(self._tokens, self.trees.outline.close, *span)
        token = self._tokens[first]
        if len(block.sources) == 2 and last - first == 1 and is_word(token) and token.value in block.sources[0].merged:
            return block.sources[0], -1 - block.sources[0].merged.index(token.value)
        return self.column(span, block)

    def column(self, span: Range, block: Block) -> tuple[Source, int] | None:
        """The source and position of a plain column; None for any other expression."""
        tokens = self._tokens
        first, last = without_brackets(tokens, self.trees.outline.close, *span)
        if last - first == 3 and tokens[first + 1].is_punct(".") and is_word(tokens[first]):
            found = [s for s in block.sources if s.alias == tokens[first].value]
            name = tokens[first + 2].value
        elif last - first == 1 and is_word(tokens[first]):
            found, name = block.sources, tokens[first].value
        else:
            return None
        if len(found) != 1:
            return None
        columns = self.source(found[0], block).columns
        return (found[0], columns.index(name)) if columns.count(name) == 1 else None

    def is_correlated(self, query: QueryText) -> bool:
        """Whether it uses columns of a SELECT around it."""
        if query not in self._correlated:
            found = next(self.outer_names(query.first, query.last, query.first, query.last), None)
            self._correlated[query] = found is not None
        return self._correlated[query]

    def outer_names(self, first: int, last: int, inner_first: int, inner_last: int) -> Iterator[int]:
        """Tokens in [first, last) that name an item of a FROM clause outside of [inner_first, inner_last)."""
        for i in range(first, last - 1):
            block = self.named_block(i)
            if block is not None and not inner_first <= block.first < inner_last:
                yield i

    def named_block(self, at: int) -> Block | None:
        """The SELECT to whose FROM clause `alias.` at token `at` refers, innermost scope first; None if it does not."""
        tokens = self._tokens
        if at + 1 >= len(tokens) or not tokens[at + 1].is_punct(".") or not is_word(tokens[at]):
            return None
        if at and tokens[at - 1].is_punct("."):
            return None
        block = self._owner[at]
        while block is not None and all(s.alias != tokens[at].value for s in block.sources):
            block = block.query.around()
        return block

    def owner(self, at: int) -> Block | None:
        """The innermost SELECT around token `at`."""
        return self._owner[at]


def _strongest(natures: set[Nature]) -> Nature:
    if natures & {Nature.ROWS, Nature.SHOWN, Nature.MIXED}:
        return Nature.SHOWN
    return Nature.ANSWER if Nature.ANSWER in natures else Nature.PUBLIC


def _renamed(facts: Facts, columns: tuple[str, ...]) -> Facts:
    if not columns:
        return facts
    return Facts(facts.nature, columns + facts.columns[len(columns) :], facts.units)


def _refused_distinct(on: bool, unit: str) -> NoisegateError:
    if on:
        return Refused(
            "DISTINCT ON would show rows of people",
            name="distinct",
            detail="Each group would show one person's row.",
            hint=f"Use GROUP BY; or, inside a subquery, one row of each person: DISTINCT ON ({unit}).",
        )
    return Unsupported(
        "DISTINCT over answers about each person is not supported",
        name="distinct",
        hint="Put the inner question into a subquery, and ask SELECT DISTINCT of it.",
    )
