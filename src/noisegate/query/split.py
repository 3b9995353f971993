"""The split: a deparsed statement becomes fragments (blocks that aggregate over people), givens and a remainder.

The remainder is the deparse itself with the tokens of each fragment replaced by names of noisy tables; it is never
generated from a tree. Every mention of a private table must be inside a tree that a fragment holds, or the statement is
refused: a mention that the outline does not resolve is never passed on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from noisegate.errors import NoisegateError, Refused, Unsupported, about
from noisegate.query.cutter import RESERVED_PREFIX, Cut, Cutter
from noisegate.query.edits import Edit, Edits
from noisegate.query.fragment import Answered, Fragment, GivenQuery, Part
from noisegate.query.givens import GivenText, given_query, with_list
from noisegate.query.keptback import row_level
from noisegate.query.lexer import Kind, Token, tokenize
from noisegate.query.lineage import Lineage, Nature, Tables
from noisegate.query.outline import Outline
from noisegate.query.sections import Block, QueryText, Range, WithItem, is_word
from noisegate.query.tree import FunctionRef, Query, Select, Values
from noisegate.query.trees import Trees

FRAGMENTS_MAX = 32
_WRITES = frozenset({"insert", "update", "delete", "merge"})
_LIMITS = frozenset({"limit", "offset", "fetch"})


@dataclass(frozen=True, slots=True)
class Split:
    """`remainder` reads `answered[i]` from `_ng_f<i>` with columns k0.. (keys), a0.. (aggregates) and, with grouping
    sets, g; the noisy tables' CTEs go in at `with_at`, before `with_more` (whether a WITH list of the statement's own
    follows). A fragment comes after those that its givens read."""

    sql: str
    fragments: tuple[Fragment, ...]
    remainder: str
    with_at: int
    with_more: bool
    answered: tuple[Answered, ...] = ()
    givens: tuple[GivenQuery, ...] = ()


def split(sql: str, tables: Tables) -> Split:
    """Split a deparse. Raises NoisegateError (refusals, with the identifier they are about)."""
    tokens = tokenize(sql)
    _check_names(tokens)
    return Splitter(sql, Outline(tokens), tables).split()


class Splitter(Trees):
    """Walks the queries that the remainder keeps, and cuts the blocks over people out of them. What such a block holds
    is read as a tree; what is closed in it, and no row of people's, becomes a given."""

    def __init__(self, sql: str, outline: Outline, tables: Tables) -> None:
        super().__init__(outline)
        self._sql, self._tables = sql, tables
        self._lineage = Lineage(self, tables)
        self._walked: set[QueryText] = set()
        self._cut: set[Block] = set()
        self._open_blocks: list[Block] = []  # blocks that are being cut
        self._held: set[Block] = set()  # blocks whose tree a fragment holds
        self._edits: list[Edit] = []
        self._hidden: list[WithItem] = []  # WITH queries that only fragments may read
        self._fragments: list[Fragment] = []
        self._answered: list[Answered] = []
        self._givens: list[GivenText] = []
        self._given_of: dict[QueryText, int] = {}

    def split(self) -> Split:
        self._walk(self.outline.root)
        self._check_held()
        erased = [self._erased(n, item) for n, item in enumerate(self._hidden)]
        edits = Edits(self._sql, [*self._edits, *erased])
        mark = self._with_position()
        start, _ = edits.apply(0, mark)
        rest, _ = edits.apply(mark, len(self._sql))
        givens = tuple(given_query(g, self._sql, self._lineage, edits) for g in self._givens)
        for text in (start + rest, *(g.sql for g in givens)):
            self._check_text(text)
        more = bool(self.outline.tokens) and self.outline.tokens[0].is_name("with")
        fragments, answered = tuple(self._fragments), tuple(self._answered)
        return Split(self._sql, fragments, start + rest, len(start), more, answered, givens)

    # -- what the remainder keeps ---------------------------------------------------------------------------------
    def _walk(self, query: QueryText) -> None:
        """Finds the fragments of a query that the remainder, or a given, keeps."""
        if query in self._walked:
            return
        self._walked.add(query)
        with about(*self._span(query.first, query.last)):
            self._walk_parts(query)

    def _walk_parts(self, query: QueryText) -> None:
        for item in query.items:
            if self._lineage.query(item.query).nature in (Nature.PUBLIC, Nature.ANSWER):
                self._walk(item.query)
            else:
                self._hidden.append(item)
        for arm in query.arms:
            if isinstance(arm, Block):
                with about(*self._span(arm.first, arm.last)):
                    self._walk_block(arm)
            else:
                self._walk(arm)

    def _walk_block(self, block: Block) -> None:
        found = self._lineage.block(block)
        if found.fragment:
            self._take(block)
        elif found.facts.nature is Nature.MIXED:
            raise _mixed()
        elif found.reads:
            raise row_level(self._lineage, block)
        else:
            for query in block.children:
                self._walk(query)
            if found.facts.nature is Nature.SHOWN:  # a WITH query of rows
                raise row_level(self._lineage, block)

    def _take(self, block: Block) -> None:
        """Cuts a fragment."""
        if block in self._cut:
            return
        self._cut.add(block)
        self._held.add(block)
        cutter = Cutter(self._sql, self, self._lineage, block)
        self._open_blocks.append(block)
        cut = cutter.read()
        self._open_blocks.pop()
        self._held.update(self._copies(cut))
        for query in cut.kept:
            self._walk(query)
        noisy = len(self._answered)
        self._edits += cutter.edits(cut, noisy)
        self._answered.append(self._fragments_of(cutter, cut))

    def _copies(self, cut: Cut) -> Iterator[Block]:
        """Blocks in copies of keys and aggregates: what is replaced there is, token by token, what the fragment holds.
        Checked by: tests/query/test_split_nested.py."""
        for slot in cut.slots:
            yield from (b for b in self.outline.blocks if slot.first <= b.first and b.last <= slot.last)

    def _fragments_of(self, cutter: Cutter, cut: Cut) -> Answered:
        """One fragment for each different grouping set."""
        indexes: dict[tuple[int, ...], int] = {}
        parts = []
        block = cut.block
        prefix = with_list(block.first, block.last, self._sql, self._lineage, Edits(self._sql))
        for keys in cut.sets:
            if keys not in indexes:
                indexes[keys] = len(self._fragments)
                self._fragments.append(
                    Fragment(
                        cut.relation,
                        cut.where,
                        tuple(cut.keys[k] for k in keys),
                        tuple(cut.key_texts[k] for k in keys),
                        cut.aggregates,
                        cut.aggregate_texts,
                        cut.grouped,
                        prefix.around(cutter.describe(cut, keys)),
                    )
                )
            places = tuple(keys.index(k) if k in keys else None for k in range(len(cut.keys)))
            parts.append(Part(indexes[keys], places))
        if len(self._fragments) > FRAGMENTS_MAX:
            raise Unsupported(f"a statement may hold at most {FRAGMENTS_MAX} private questions")
        return Answered(tuple(parts), cut.rolled)

    def _erased(self, number: int, item: WithItem) -> Edit:
        """A WITH query of people's rows is no longer read where fragments are replaced."""
        tokens = self.outline.tokens
        text = f"{RESERVED_PREFIX}_c{number} AS (SELECT)"
        return Edit(tokens[item.first].start, tokens[item.last - 1].end, text)

    # -- what a fragment holds ------------------------------------------------------------------------------------
    def given(self, query: QueryText, kind: str) -> int | None:
        nature = self._lineage.query(query).nature
        if self._lineage.is_correlated(query):
            return None
        if nature in (Nature.PUBLIC, Nature.ANSWER):
            return self._give(query)
        span = self._span(query.first, query.last)
        if nature is not Nature.ROWS:
            raise (_mixed() if nature is Nature.MIXED else _untied()).about(*span)
        if kind in ("scalar", "array"):
            raise _untied().about(*span)
        return None

    def given_source(self, query: QueryText, columns: tuple[str, ...]) -> tuple[int, tuple[str, ...]] | None:
        facts = self._lineage.query(query)
        if self._lineage.is_correlated(query) or facts.nature is Nature.ROWS:
            return None
        if facts.nature in (Nature.PUBLIC, Nature.ANSWER):
            return self._give(query), columns + facts.columns[len(columns) :]
        raise (_mixed() if facts.nature is Nature.MIXED else _untied()).about(*self._span(query.first, query.last))

    def given_function(self, ref: FunctionRef, block: Block) -> int | None:
        first, last = self.tokens_of(ref.call.start, ref.call.end)
        self._givens.append(GivenText(first, last, len(ref.columns), None, True, ref.ordinality))
        return len(self._givens) - 1

    def _give(self, query: QueryText) -> int:
        if query not in self._given_of:
            if any(query.first <= b.first < query.last for b in self._open_blocks):
                raise Unsupported("a recursive query is not supported in private questions", name="recursive")
            self._walk(query)
            width = len(self._lineage.query(query).columns)
            self._given_of[query] = len(self._givens)
            self._givens.append(GivenText(query.first, query.last, width, query.holder))
        return self._given_of[query]

    def query(self, query: QueryText, depth: int = 0) -> Query:
        with about(*self._span(query.first, query.last)):
            if not self._lineage.is_correlated(query):
                self._check_limit(query.tail)
            return super().query(query, depth)

    def block(self, block: Block, depth: int = 0) -> Select | Values:
        self._held.add(block)
        found = self._lineage.block(block)
        with about(*self._span(block.first, block.last)):
            if found.reads and not self._lineage.is_correlated(block.query):
                self._check_limit(block.clauses, self._lineage.unit_of(block))
            self._check_aggregates(block)
            return super().block(block, depth)

    # -- checks ---------------------------------------------------------------------------------------------------
    def _check_limit(self, clauses: Mapping[str, Range], unit: str = "the unit") -> None:
        found = next((c for c in clauses if c in _LIMITS), None)
        if found is not None:
            raise Refused(
                f"{found.upper()} would choose among several people's rows",
                name=found,
                detail="Which rows it leaves in depends on other people's rows.",
                hint="Leave it out, or take each person's first rows: number them in a subquery by "
                f"row_number() OVER (PARTITION BY {unit} ORDER BY ...) AS n, and ask WHERE n <= 3.",
            )

    def _check_aggregates(self, block: Block) -> None:
        """An aggregate over columns of the query around is that query's: it would be read as this one's."""
        for first in range(block.first, block.last):
            end = self.aggregate_end(first, block)
            if end is None:
                continue
            outer = set(self._lineage.outer_names(first, end, block.first, block.last))
            aliases = {s.alias for s in block.sources}
            tokens = self.outline.tokens
            own = any(tokens[i].value in aliases and tokens[i + 1].is_punct(".") for i in range(first, end - 1))
            if outer and not own:
                raise Unsupported(
                    "an aggregate over columns of the query around it is not supported", name=tokens[first].value
                ).about(*self._span(first, end))

    def _check_held(self) -> None:
        """Every mention of a private table is in FROM, in a block that a fragment holds."""
        tokens = self.outline.tokens
        for i in _mentions(tokens, self._tables):
            block = self._lineage.owner(i)
            if block is None or all(s.at != i or not s.schema for s in block.sources):
                name = tokens[i + 2].value
                raise Unsupported(
                    f"table {name} is used in a way that noisegate does not recognise",
                    name=name,
                    hint=f"Ask for aggregates, such as: SELECT count(*) FROM {name}",
                ).about(tokens[i].start, tokens[i + 2].end)
            if block not in self._held:
                raise row_level(self._lineage, block)

    def _check_text(self, text: str) -> None:
        """Said twice: no private table is left in what the clean room runs."""
        if _mentions(tokenize(text), self._tables):
            raise Unsupported("the statement could not be split")

    def _with_position(self) -> int:
        tokens = self.outline.tokens
        if tokens and tokens[0].is_name("with"):
            return tokens[1].end if len(tokens) > 1 and tokens[1].is_name("recursive") else tokens[0].end
        return tokens[0].start if tokens else 0


def _mentions(tokens: Sequence[Token], tables: Tables) -> list[int]:
    """The tokens at which `schema.table` of a private table stands."""
    return [
        i
        for i in range(len(tokens) - 2)
        if tokens[i + 1].is_punct(".")
        and is_word(tokens[i])
        and is_word(tokens[i + 2])
        and tables.is_private(tokens[i].value, tokens[i + 2].value)
    ]


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


def _mixed() -> NoisegateError:
    return Refused(
        "a set operation would mix people's rows with others",
        name=("union", "intersect", "except"),
        detail="A row that belongs to nobody cannot stand among people's.",
        hint="Ask two questions, and put their answers together.",
    )


def _untied() -> NoisegateError:
    return Refused(
        "a subquery would show people's rows to the question around it",
        name="select",
        detail="A condition on one person's row may depend on that person's rows, and on released answers.",
        hint="Aggregate the subquery, or tie it to the same unit: WHERE inner.unit = outer.unit.",
    )
