"""Cuts a block over people out of a statement: what the engine will compute, and the edits that leave the remainder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from noisegate.errors import NoisegateError, Refused, Unsupported
from noisegate.query.blocks import Block, closing, split_commas
from noisegate.query.fragment import Fragment, sql_of, tables_of
from noisegate.query.from_reader import FromReader
from noisegate.query.lexer import Kind, Token
from noisegate.query.reader import Reader
from noisegate.query.tree import Call, Expr, From, Name, walk
from noisegate.query.words import ANSWERED_AGGREGATES, OTHER_AGGREGATES, QUOTED_KEYWORDS, ROW_AGGREGATES

RESERVED_PREFIX = "_ng"


class Cutter:
    """Cuts one private block: reads its parts, and notes the edits that leave the remainder."""

    def __init__(
        self,
        sql: str,
        tokens: Sequence[Token],
        block: Block,
        index: int,
        columns: Callable[[str, str], Sequence[str]],
    ) -> None:
        self._sql = sql
        self._tokens = tokens
        self._block = block
        self._alias = f"{RESERVED_PREFIX}_f{index}"
        self._columns = columns
        self._keys: list[tuple[tuple[str, ...], ...]] = []  # per key: the token sequences that mean it
        self._aggregates: dict[tuple[str, ...], int] = {}
        self._calls: list[Call] = []

    def cut(self, edits: list[tuple[int, int, str]]) -> Fragment:
        block, tokens = self._block, self._tokens
        self._check_clauses()
        relation = FromReader(tokens[slice(*block.content("from"))]).from_list()
        where = self._read(*block.content("where")) if "where" in block.clauses else None
        items = self._select_items()
        ranges = self._key_ranges(items)
        keys = tuple(self._read(*r) for r in ranges)
        self._check_known(relation, [*keys, *([where] if where is not None else [])])
        self._keys = [self._spellings(r, key, relation) for r, key in zip(ranges, keys, strict=True)]
        own: list[tuple[int, int, str]] = []
        for clause in ("select", "having", "window", "order", "limit", "offset", "fetch"):
            if clause in block.clauses:
                self._scan(*block.clauses[clause], own)
        self._name_outputs(items, own)
        self._check_leftovers(own, relation)
        grouped = "group" in block.clauses or (bool(ranges) and self._is_distinct())
        if not self._calls and not grouped:
            raise self._row_level(relation)
        self._edit_clauses(own)
        edits.extend(own)
        texts = tuple(self._text(*r) for r in ranges)
        calls = tuple(sql_of(self._sql, c) for c in self._calls)
        return Fragment(relation, where, keys, texts, tuple(self._calls), calls, grouped, self._describe(texts, calls))

    # -- reading --------------------------------------------------------------------------------------------------
    def _check_known(self, relation: From, exprs: list[Expr]) -> None:
        """Only the block's own tables and their columns: refused here, where the cause is known."""
        tables = {t.alias: t for t in tables_of(relation)}
        for table in tables.values():
            if not table.schema:
                raise Unsupported(
                    f"{table.table} joined with a private table is not supported",
                    name=table.table,
                    hint="Aggregate the private table in a subquery of its own, and join the answers.",
                )
        columns = {c for t in tables.values() for c in self._columns(t.schema, t.table)}
        for name in (n for e in exprs for n in walk(e) if isinstance(n, Name)):
            if len(name.parts) == 2 and name.parts[0] not in tables:
                raise Unsupported(
                    "a private question cannot use columns of the query around it",
                    name=name.parts[-1],
                    hint="Group the private question by the column instead, and join its answer.",
                )
            if name.parts[-1] not in columns:
                raise Unsupported(
                    f"column {name.parts[-1]} cannot be used in a private question",
                    name=name.parts[-1],
                    detail="System columns say how rows are stored, and whole rows are one person's.",
                )

    def _check_clauses(self) -> None:
        for clause, what in (("for", "a row lock"), ("into", "SELECT INTO")):
            if clause in self._block.clauses:
                raise Refused(f"{what} on a private table is not allowed", name=clause, hint="Leave it out.")

    def _read(self, first: int, last: int) -> Expr:
        reader = Reader(self._tokens[first:last])
        expr = reader.expression()
        if not reader.done():
            raise reader.unknown(reader.peek())
        return expr

    def _text(self, first: int, last: int) -> str:
        return self._sql[self._tokens[first].start : self._tokens[last - 1].end]

    def _is_distinct(self) -> bool:
        first = self._block.clauses["select"][0]
        return self._tokens[first + 1].is_name("distinct")

    def _select_items(self) -> list[tuple[int, int]]:
        first, last = self._block.content("select")
        if first < last and self._tokens[first].is_name("distinct"):
            first += 1
            if self._tokens[first].is_name("on"):
                first = closing(self._tokens, first + 1) + 1
        elif first < last and self._tokens[first].is_name("all"):
            first += 1
        return split_commas(self._tokens, first, last)

    def _key_ranges(self, items: list[tuple[int, int]]) -> list[tuple[int, int]]:
        block, tokens = self._block, self._tokens
        if "group" not in block.clauses:
            if not self._is_distinct() or self._has_aggregate(items):
                return []
            if tokens[block.clauses["select"][0] + 2].is_name("on"):
                raise Unsupported(
                    "DISTINCT ON over a private table is not supported", name="distinct", hint="Use GROUP BY."
                )
            return [self._strip_parens(first, self._before_alias(first, last)) for first, last in items]
        first, last = block.content("group", 2)
        ranges = split_commas(tokens, first, last)
        for a, b in ranges:
            if (
                b - a >= 2
                and tokens[a].kind is Kind.NAME
                and (
                    (tokens[a].value in ("rollup", "cube") and tokens[a + 1].is_punct("("))
                    or (tokens[a].value == "grouping" and tokens[a + 1].is_name("sets"))
                )
            ):
                raise Unsupported(
                    "GROUPING SETS, ROLLUP and CUBE over a private table are not supported",
                    name=tokens[a].value,
                    hint="Ask one question per grouping, joined by UNION ALL.",
                )
            if tokens[a].is_name("distinct") or tokens[a].is_name("all") or b - a == 2:
                raise Unsupported("this form of GROUP BY is not supported", name="group")
        return [self._strip_parens(*r) for r in ranges]

    def _has_aggregate(self, items: list[tuple[int, int]]) -> bool:
        return any(self._is_aggregate(i) is not None for first, last in items for i in range(first, last))

    def _strip_parens(self, first: int, last: int) -> tuple[int, int]:
        while last - first > 2 and self._tokens[first].is_punct("(") and closing(self._tokens, first) == last - 1:
            first, last = first + 1, last - 1
        return first, last

    def _spell(self, first: int, last: int) -> tuple[str, ...]:
        return tuple(_spelling(t) for t in self._tokens[first:last])

    def _spellings(self, span: tuple[int, int], key: Expr, relation: From) -> tuple[tuple[str, ...], ...]:
        plain = self._spell(*span)
        if not isinstance(key, Name) or len(key.parts) > 1:
            return (plain,)
        return (plain, *((_quote_spelling(t.alias), ".", plain[0]) for t in tables_of(relation)))

    # -- what the remainder keeps ---------------------------------------------------------------------------------
    def _scan(self, first: int, last: int, edits: list[tuple[int, int, str]]) -> None:
        """Replace keys and aggregates in [first, last), subqueries of other blocks included (keys only)."""
        i = first
        while i < last:
            hit = self._match_key(i, last)
            if hit is not None:
                index, end = hit
                edits.append((self._tokens[i].start, self._tokens[end - 1].end, f"{self._alias}.k{index}"))
                i = end
                continue
            end_call = self._is_aggregate(i)
            if end_call is not None and self._owner(i) is self._block:
                edits.append((self._tokens[i].start, self._tokens[end_call - 1].end, self._aggregate(i, end_call)))
                i = end_call
                continue
            i += 1

    def _owner(self, at: int) -> Block:
        """The innermost block at token `at`."""
        block = self._block
        while True:
            child = next((c for c in block.children if c.first <= at < c.last), None)
            if child is None:
                return block
            block = child

    def _match_key(self, at: int, last: int) -> tuple[int, int] | None:
        if not self._is_expression_start(at):
            return None
        best: tuple[int, int] | None = None
        for index, spellings in enumerate(self._keys):
            for spelling in spellings:
                end = at + len(spelling)
                if end > last or (best is not None and end <= best[1]):
                    continue
                if len(spelling) == 1 and self._owner(at) is not self._block:
                    continue  # an unqualified name in a subquery is the subquery's own
                if self._spell(at, end) == spelling and not (
                    end < len(self._tokens)
                    and (
                        self._tokens[end].is_punct(".")
                        or (self._tokens[end].is_punct("(") and self._tokens[end - 1].kind in (Kind.NAME, Kind.QUOTED))
                    )
                ):
                    best = (index, end)
        return best

    def _is_expression_start(self, at: int) -> bool:
        before = self._tokens[at - 1]
        if before.is_punct(".") or before.is_punct("::") or before.is_name("as"):
            return False
        if before.kind is Kind.NAME and before.value in ("over", "window", "nulls"):
            return False  # a window's name; FIRST or LAST
        if self._word_at(at + 1) == "as" and at + 2 < len(self._tokens) and self._tokens[at + 2].is_punct("("):
            return False  # another window's name
        return not (before.is_punct("(") and self._tokens[at - 2].is_name("extract"))

    def _is_aggregate(self, at: int) -> int | None:
        """Index after the aggregate call that starts at `at`, or None. A window function call is not one."""
        token = self._tokens[at]
        if token.kind is not Kind.NAME or token.value not in ANSWERED_AGGREGATES | OTHER_AGGREGATES:
            return None
        if at + 1 >= len(self._tokens) or not self._tokens[at + 1].is_punct("("):
            return None
        end = closing(self._tokens, at + 1) + 1
        following = self._tokens[end : end + 2]
        if len(following) == 2 and following[0].is_name("within"):
            end = closing(self._tokens, end + 2) + 1
        if self._word_at(end) == "filter":
            end = closing(self._tokens, end + 1) + 1
        return None if self._word_at(end) == "over" else end

    def _word_at(self, at: int) -> str:
        return self._tokens[at].value if at < len(self._tokens) and self._tokens[at].kind is Kind.NAME else ""

    def _aggregate(self, first: int, end: int) -> str:
        spelling = self._spell(first, end)
        if spelling not in self._aggregates:
            name = self._tokens[first].value
            if name not in ANSWERED_AGGREGATES:
                raise _refuse_aggregate(name)
            call = self._read(first, end)
            assert_call(call)
            self._aggregates[spelling] = len(self._calls)
            self._calls.append(call)  # type: ignore[arg-type]
        return f"{self._alias}.a{self._aggregates[spelling]}"

    def _before_alias(self, first: int, last: int) -> int:
        """End of a select item without `AS name`."""
        return last - 2 if last - first > 2 and self._tokens[last - 2].is_name("as") else last

    def _name_outputs(self, items: list[tuple[int, int]], edits: list[tuple[int, int, str]]) -> None:
        """A column that stands without AS keeps its name: add it, since the key's name replaces it."""
        for first, last in items:
            if self._before_alias(first, last) == last and is_word(self._tokens[last - 1]):
                name = self._tokens[last - 1].value.replace('"', '""')
                for n, (start, end, text) in enumerate(edits):
                    if end == self._tokens[last - 1].end and start == self._tokens[first].start:
                        edits[n] = (start, end, f'{text} AS "{name}"')

    def _check_leftovers(self, edits: list[tuple[int, int, str]], relation: From) -> None:
        """What is neither in an aggregate nor in the group key is a person's value."""
        tables = tables_of(relation)
        aliases = {t.alias for t in tables}
        names = {c for t in tables for c in self._columns(t.schema, t.table)}
        done = [(s, e) for s, e, _ in edits]
        kept = [c for c in self._block.clauses if c not in ("from", "where", "group")]
        for clause in kept:
            for i in range(*self._block.clauses[clause]):
                token = self._tokens[i]
                if not is_word(token) or any(s <= token.start < e for s, e in done):
                    continue
                own = self._owner(i) is self._block
                following = self._tokens[i + 1] if i + 1 < len(self._tokens) else token
                qualified = token.value in aliases and following.is_punct(".") and self._is_expression_start(i)
                bare = own and token.value in names and self._is_expression_start(i) and not following.is_punct("(")
                if (bare and token.value not in ("date", "time", "timestamp", "interval")) or qualified:
                    column = self._tokens[i + 2].value if qualified and i + 2 < len(self._tokens) else token.value
                    raise self._ungrouped(column, relation)

    def _ungrouped(self, column: str, relation: From) -> NoisegateError:
        if not self._calls and "group" not in self._block.clauses:
            return self._row_level(relation, column)
        return Unsupported(
            f'column "{column}" must appear in the GROUP BY clause or be used in an aggregate function',
            name=column,
            detail="noisegate does not take a column as determined by the primary key of its group.",
            hint=f"Add {column} to the GROUP BY clause.",
        )

    def _row_level(self, relation: From, name: str | None = None) -> NoisegateError:
        table = next(iter(tables_of(relation))).table
        return Refused(
            f"rows of table {table} are private",
            name="*" if name is None else ("*", name),
            detail="Only aggregates over many people are answered.",
            hint=f"Ask for an aggregate, such as: SELECT count(*) FROM {table}",
        )

    def _edit_clauses(self, edits: list[tuple[int, int, str]]) -> None:
        clauses = self._block.clauses
        last = max(clauses[c][1] for c in ("from", "where", "group") if c in clauses)
        start = self._tokens[clauses["from"][0]].start
        edits.append((start, self._tokens[last - 1].end, f"FROM {self._alias}"))
        if "having" in clauses:
            token = self._tokens[clauses["having"][0]]
            edits.append((token.start, token.end, "WHERE"))

    def _describe(self, keys: tuple[str, ...], calls: tuple[str, ...]) -> str:
        clauses = self._block.clauses
        last = max(clauses[c][1] for c in ("from", "where", "group") if c in clauses)
        rest = self._text(clauses["from"][0], last)
        tail = f" GROUP BY {', '.join(keys)}" if keys and "group" not in clauses else ""
        columns = ", ".join([f"({k})" for k in keys] + list(calls)) or "1"
        return f"SELECT {columns} {rest}{tail}"


def assert_call(expr: Expr) -> None:
    if not isinstance(expr, Call):
        raise Unsupported("this form of aggregate is not supported")


def _refuse_aggregate(name: str) -> NoisegateError:
    if name in ROW_AGGREGATES:
        return Refused(f"{name} would show rows of people", name=name, hint="Use count, sum or avg.")
    return Unsupported(
        f"aggregate {name} over a private table is not supported yet", name=name, hint="Use count, sum or avg."
    )


def _spelling(token: Token) -> str:
    """Quoted and unquoted spellings of one identifier are equal; keywords, strings and the rest differ from them."""
    if is_word(token):
        return _quote_spelling(token.value)
    if token.kind is Kind.STRING:
        return "'" + token.value
    return token.value


def _quote_spelling(name: str) -> str:
    return '"' + name


def is_word(token: Token) -> bool:
    """An identifier. The deparse quotes every keyword that is one, but for PostgreSQL's unreserved ones."""
    return token.kind is Kind.QUOTED or (token.kind is Kind.NAME and token.value not in QUOTED_KEYWORDS)
