"""Cuts a block over people out of a statement: what the engine will compute, and the edits that leave the remainder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from noisegate.errors import NoisegateError, Refused, Unsupported
from noisegate.query.edits import Edit
from noisegate.query.fragment import sql_of, tables_of
from noisegate.query.grouping import Grouping, without_brackets
from noisegate.query.keptback import KEPT, aggregate_level, row_level
from noisegate.query.lexer import Kind
from noisegate.query.lineage import Lineage
from noisegate.query.sections import Block, QueryText, Range, is_word, spell
from noisegate.query.tree import Call, Expr, From, Name, walk
from noisegate.query.trees import Trees
from noisegate.query.words import ANSWERED_AGGREGATES

RESERVED_PREFIX = "_ng"
_ROWS_OF = ("from", "where", "group")  # clauses that become the noisy table


@dataclass(frozen=True, slots=True)
class Slot:
    """Tokens of a kept clause that a column of the noisy table replaces: `kind` 'k', 'a', or 'g' for GROUPING."""

    first: int
    last: int
    kind: str
    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """A block as read. `sets`: indexes into `keys`, one per fragment of it."""

    block: Block
    relation: From
    where: Expr | None
    keys: tuple[Expr, ...]
    key_texts: tuple[str, ...]
    sets: tuple[tuple[int, ...], ...]
    rolled: bool
    aggregates: tuple[Call, ...]
    aggregate_texts: tuple[str, ...]
    grouped: bool
    slots: tuple[Slot, ...]
    kept: tuple[QueryText, ...]  # queries that stay in the remainder


class Cutter:
    """Cuts one block."""

    def __init__(self, sql: str, trees: Trees, lineage: Lineage, block: Block) -> None:
        self._sql, self._trees, self._lineage, self._block = sql, trees, lineage, block
        self._outline = trees.outline
        self._tokens = trees.outline.tokens
        self._spellings: list[tuple[tuple[str, ...], ...]] = []  # per key: the tokens that mean it
        self._aggregates: dict[tuple[str, ...], int] = {}
        self._calls: list[Call] = []
        self._columns = {s.alias: lineage.source(s, block).columns for s in block.sources}

    def read(self) -> Cut:
        """Raises NoisegateError for what has no private meaning."""
        block, trees = self._block, self._trees
        self._check_clauses()
        relation = trees.source(block)
        if relation is None:
            raise Unsupported("the statement could not be split")
        where = trees.expression(*block.content("where"), block) if "where" in block.clauses else None
        grouping = self._grouping()
        keys = tuple(trees.expression(*r, block) for r in grouping.ranges)
        self._check_known(relation, [*keys, *([where] if where is not None else [])])
        self._spellings = [self._spellings_of(r, key) for r, key in zip(grouping.ranges, keys, strict=True)]
        clauses = [block.clauses[c] for c in KEPT if c in block.clauses]
        slots = tuple(slot for clause in clauses for slot in self._slots(*clause, grouping))
        grouped = bool(keys) or grouping.sets is not None
        if not self._calls and not grouped:
            raise row_level(self._lineage, block)
        self._check_leftovers(slots)
        texts = tuple(self._text(*r) for r in grouping.ranges)
        return Cut(
            block,
            relation,
            where,
            keys,
            texts,
            grouping.sets if grouping.sets is not None else (tuple(range(len(keys))),),
            grouping.sets is not None,
            tuple(self._calls),
            tuple(sql_of(self._sql, c) for c in self._calls),
            grouped,
            slots,
            tuple(q for q in block.children if self._is_kept(q, slots)),
        )

    # -- reading --------------------------------------------------------------------------------------------------
    def _check_clauses(self) -> None:
        for clause, what in (("for", "a row lock"), ("into", "SELECT INTO")):
            if clause in self._block.clauses:
                raise Refused(f"{what} on a private table is not allowed", name=clause, hint="Leave it out.")
        refusal = self._lineage.block(self._block).refusal
        if refusal is not None:
            raise refusal
        for clause in _ROWS_OF:
            if clause in self._block.clauses:
                self.check_own(*self._block.clauses[clause])

    def check_own(self, first: int, last: int) -> None:
        """What the engine computes knows nothing of the query around it."""
        block = self._block
        at = next(self._lineage.outer_names(first, last, block.first, block.last), None)
        if at is not None:
            raise Refused(
                "a private question cannot use columns of the query around it",
                detail="It would be asked anew for each row there, of few people each time.",
                name=self._tokens[at + 2].value if at + 2 < len(self._tokens) else None,
                hint="Group the private question by the column instead, and join its answer.",
            ).about(self._tokens[at].start, self._tokens[min(at + 2, len(self._tokens) - 1)].end)

    def _grouping(self) -> Grouping:
        (distinct, _), outputs = self._trees.outputs(self._block)
        if "group" in self._block.clauses or not distinct or self._trees.is_grouped(self._block):
            return self._trees.grouping(self._block)
        ranges = [self._trees.before_name(o) for o in outputs]
        return Grouping(tuple(without_brackets(self._tokens, self._outline.close, *r) for r in ranges), None)

    def _check_known(self, relation: From, exprs: list[Expr]) -> None:
        """Only tables with a schema, and their columns: refused here, where the cause is known."""
        for table in tables_of(relation):
            if not table.schema:
                raise Unsupported(
                    f"{table.table} joined with a private table is not supported",
                    name=table.table,
                    hint="Aggregate the private table in a subquery of its own, and join the answers.",
                )
        columns = {c for names in self._columns.values() for c in names}
        for name in (n for e in exprs for n in walk(e) if isinstance(n, Name)):
            own = self._columns.get(name.parts[0], columns) if len(name.parts) == 2 else columns
            if name.parts[-1] not in own:
                raise Unsupported(
                    f"column {name.parts[-1]} cannot be used in a private question",
                    name=name.parts[-1],
                    detail="System columns say how rows are stored, and whole rows are one person's.",
                ).about(name.start, name.end)

    def _text(self, first: int, last: int) -> str:
        return self._sql[self._tokens[first].start : self._tokens[last - 1].end]

    def _spellings_of(self, span: Range, key: Expr) -> tuple[tuple[str, ...], ...]:
        plain = spell(self._tokens, *span)
        if not isinstance(key, Name) or len(key.parts) > 1:
            return (plain,)
        return (plain, *(('"' + alias, ".", plain[0]) for alias in self._columns))

    # -- what the remainder keeps ---------------------------------------------------------------------------------
    def _child_at(self, at: int) -> QueryText | None:
        """The query directly inside the block that holds token `at`."""
        return next((q for q in self._block.children if q.first <= at < q.last), None)

    def _is_kept(self, query: QueryText, slots: tuple[Slot, ...]) -> bool:
        kept = any(self._block.within(c, query.first) for c in KEPT)
        return kept and not any(s.first <= query.first < s.last for s in slots)

    def _slots(self, first: int, last: int, grouping: Grouping) -> Iterator[Slot]:
        """Keys and aggregates in [first, last); in queries there, keys only."""
        i = first
        while i < last:
            child = self._child_at(i)
            slot = self._slot(i, last, child is not None, grouping)
            if slot is not None:
                yield slot
            i = i + 1 if slot is None else slot.last

    def _slot(self, at: int, last: int, inner: bool, grouping: Grouping) -> Slot | None:
        hit = self._match_key(at, last, inner)
        if hit is not None:
            return Slot(at, hit[1], "k", (hit[0],))
        if inner:
            return None
        end = self._trees.aggregate_end(at, self._block)
        if end is not None:
            return Slot(at, end, "a", (self._aggregate(at, end),))
        if self._tokens[at].is_name("grouping") and at + 1 in self._outline.close:
            end = self._outline.close[at + 1]
            keys = [self._grouped_key(*r) for r in self._trees.commas(at + 2, end)]
            return Slot(at, end + 1, "g", tuple(keys) if grouping.sets is not None else ())
        return None

    def _grouped_key(self, first: int, last: int) -> int:
        first, last = without_brackets(self._tokens, self._outline.close, first, last)
        spelled = spell(self._tokens, first, last)
        found = [i for i, spellings in enumerate(self._spellings) if spelled in spellings]
        if not found:
            raise Unsupported("the arguments of GROUPING are not read as group keys", name="grouping")
        return found[0]

    def _match_key(self, at: int, last: int, inner: bool) -> tuple[int, int] | None:
        """The longest key that starts at token `at`, and its end."""
        if not self._is_expression_start(at):
            return None
        best: tuple[int, int] | None = None
        for index, spellings in enumerate(self._spellings):
            for spelled in spellings:
                end = at + len(spelled)
                if end > last or (best is not None and end <= best[1]):
                    continue
                if inner and not self._is_own(at, end):
                    continue  # an unqualified name in a subquery is the subquery's own
                if spell(self._tokens, at, end) == spelled and not self._goes_on(end):
                    best = (index, end)
        return best

    def _is_own(self, first: int, last: int) -> bool:
        """Whether tokens in a query inside the block name columns, and only the block's."""
        named = [self._lineage.named_block(i) for i in range(first, last)]
        return any(named) and all(b in (None, self._block) for b in named)

    def _goes_on(self, end: int) -> bool:
        """A name that ends before token `end` is the start of a longer one, or of a call."""
        if end >= len(self._tokens):
            return False
        is_call = self._tokens[end].is_punct("(") and self._tokens[end - 1].kind in (Kind.NAME, Kind.QUOTED)
        return self._tokens[end].is_punct(".") or is_call

    def _is_expression_start(self, at: int) -> bool:
        before = self._tokens[at - 1]
        if before.is_punct(".") or before.is_punct("::") or before.is_name("as"):
            return False
        if before.kind is Kind.NAME and before.value in ("over", "window", "nulls"):
            return False  # a window's name; FIRST or LAST
        following = self._tokens[at + 1 : at + 3]
        if len(following) == 2 and following[0].is_name("as") and following[1].is_punct("("):
            return False  # another window's name
        return not (before.is_punct("(") and self._tokens[at - 2].is_name("extract"))

    def _aggregate(self, first: int, end: int) -> int:
        spelled = spell(self._tokens, first, end)
        if spelled not in self._aggregates:
            name = self._tokens[first].value
            if name not in ANSWERED_AGGREGATES:
                raise aggregate_level(self._lineage, self._block, first, end)
            self.check_own(first, end)
            call = self._trees.expression(first, end, self._block)
            if not isinstance(call, Call):
                raise Unsupported("this form of aggregate is not supported", name=name)
            self._aggregates[spelled] = len(self._calls)
            self._calls.append(call)
        return self._aggregates[spelled]

    def _check_leftovers(self, slots: tuple[Slot, ...]) -> None:
        """What is neither in an aggregate nor in the group key is a person's value."""
        names = {c for columns in self._columns.values() for c in columns}
        for clause in KEPT:
            for i in range(*self._block.clauses.get(clause, (0, 0))):
                token = self._tokens[i]
                if not is_word(token) or any(s.first <= i < s.last for s in slots):
                    continue
                following = self._tokens[i + 1] if i + 1 < len(self._tokens) else token
                starts = self._is_expression_start(i)
                qualified = starts and self._lineage.named_block(i) is self._block
                bare = token.value in names and starts and not following.is_punct("(") and self._child_at(i) is None
                if (bare and token.value not in ("date", "time", "timestamp", "interval")) or qualified:
                    column = self._tokens[i + 2].value if qualified and i + 2 < len(self._tokens) else token.value
                    raise self._ungrouped(column).about(token.start, self._tokens[i + 2 * qualified].end)

    def _ungrouped(self, column: str) -> NoisegateError:
        if not self._calls and "group" not in self._block.clauses:
            return row_level(self._lineage, self._block)
        return Unsupported(
            f'column "{column}" must appear in the GROUP BY clause or be used in an aggregate function',
            name=column,
            detail="noisegate does not take a column as determined by the primary key of its group.",
            hint=f"Add {column} to the GROUP BY clause.",
        )

    # -- writing --------------------------------------------------------------------------------------------------
    def edits(self, cut: Cut, noisy: int) -> list[Edit]:
        """The edits that let the block read the noisy table."""
        alias = f"{RESERVED_PREFIX}_f{noisy}"
        found = [
            Edit(self._tokens[s.first].start, self._tokens[s.last - 1].end, _replacement(s, alias), noisy)
            for s in cut.slots
        ]
        found = self._with_names(found)
        clauses = self._block.clauses
        last = max(clauses[c][1] for c in _ROWS_OF if c in clauses)
        start = self._tokens[clauses["from"][0]].start
        found.append(Edit(start, self._tokens[last - 1].end, f"FROM {alias}", noisy))
        if "having" in clauses:
            token = self._tokens[clauses["having"][0]]
            found.append(Edit(token.start, token.end, "WHERE", noisy))
        return found

    def _with_names(self, edits: list[Edit]) -> list[Edit]:
        """A column that stands without AS keeps its name: add it, since the key's name replaces it."""
        alone = {}
        for first, last in self._trees.outputs(self._block)[1]:
            if self._trees.before_name((first, last)) == (first, last) and is_word(self._tokens[last - 1]):
                alone[(self._tokens[first].start, self._tokens[last - 1].end)] = self._tokens[last - 1].value
        names = [alone.get((e.start, e.end)) for e in edits]
        return [
            e if name is None else Edit(e.start, e.end, e.text + ' AS "' + name.replace('"', '""') + '"', e.noisy)
            for e, name in zip(edits, names, strict=True)
        ]

    def describe(self, cut: Cut, keys: tuple[int, ...]) -> str:
        """A query of the same keys and aggregates, for PostgreSQL to type: without WHERE, on which no type depends.
        WITH queries are the caller's to add."""
        first, last = self._block.clauses["from"]
        texts = [f"({cut.key_texts[k]})" for k in keys]
        group = f" GROUP BY {', '.join(cut.key_texts[k] for k in keys)}" if keys else ""
        if not keys and not cut.aggregates:
            group = " GROUP BY ()"
        columns = ", ".join([*texts, *cut.aggregate_texts])
        return f"SELECT {columns} {self._text(first, last)}{group}"


def _replacement(slot: Slot, alias: str) -> str:
    if slot.kind != "g":
        return f"{alias}.{slot.kind}{slot.indexes[0]}"
    value = "0"
    for i in slot.indexes:  # bits, the last argument's the lowest
        bit = f"(({alias}.g >> {i}) & 1)"
        value = bit if value == "0" else f"(({value} << 1) | {bit})"
    return value
