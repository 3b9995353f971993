"""Reads the FROM clause of a block over people: tables and joins. Everything else in FROM is refused."""

from __future__ import annotations

from noisegate.errors import TooComplex, Unsupported
from noisegate.query.cursor import DEPTH_MAX
from noisegate.query.lexer import Kind, Token
from noisegate.query.reader import Reader
from noisegate.query.tree import Expr, From, Join, TableRef

_ALIAS_STOP = frozenset(
    "on using join left right full inner cross natural where group having order limit offset window union".split()
)


class FromReader(Reader):
    """Reads FROM clauses, and the conditions of joins in them."""

    def from_list(self) -> From:
        """The whole FROM clause; a comma is a cross join."""
        left = self._from_item()
        while self.accept_punct(","):
            right = self._from_item()
            left = Join("cross", left, right, None, (), left.start, right.end)
        if not self.done():
            raise self.unknown(self.peek())
        return left

    def _from_item(self) -> From:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise TooComplex("the FROM clause is nested too deeply")
        left = self._from_operand()
        while (kind := self._join_kind()) is not None:
            right = self._from_operand()
            on: Expr | None = None
            using: tuple[str, ...] = ()
            if self.accept("on"):
                on = self.expression()
            elif self.accept("using"):
                using = self._name_list()
                if self.accept("as"):
                    raise self.unknown(self.peek())
            elif kind != "cross":
                raise self.unknown(self.peek())
            left = Join(kind, left, right, on, using, left.start, self._last_end())
        self._depth -= 1
        return left

    def _join_kind(self) -> str | None:
        if self.accept("cross", "join"):
            return "cross"
        if self.accept("join") or self.accept("inner", "join"):
            return "inner"
        for word in ("left", "right", "full"):
            if self.accept(word, "join") or self.accept(word, "outer", "join"):
                return word
        return None

    def _name_list(self) -> tuple[str, ...]:
        self.expect("(")
        names = [self._identifier()]
        while self.accept_punct(","):
            names.append(self._identifier())
        self.expect(")")
        return tuple(names)

    def _from_operand(self) -> From:
        token = self.peek()
        if token.is_punct("("):
            if self.peek(1).is_name("select") or self.peek(1).is_name("with") or self.peek(1).is_name("values"):
                raise Unsupported(
                    "a subquery joined with a private table is not supported",
                    hint="Aggregate the private table in a subquery of its own, and join the answers.",
                    name="select",
                )
            self.next()
            inner = self._from_item()
            self.expect(")")
            if self.peek().is_name("as") or self._is_alias(self.peek()):
                raise Unsupported(
                    "a join with an alias of its own is not supported in private questions",
                    hint="Leave the alias out, and use the tables' own.",
                )
            return inner
        return self._table_ref()

    def _table_ref(self) -> TableRef:
        start = self.peek().start
        only = self.accept("only")
        if self.peek().is_name("lateral") or self.peek().is_name("rows"):
            raise self.unknown(self.peek())
        schema, table = "", self._identifier()
        if self.accept_punct("."):
            schema, table = table, self._identifier()
        if self.peek().is_punct("("):
            raise Unsupported(
                f"function {table} joined with a private table is not supported",
                name=table,
                hint="Join private tables with public tables only.",
            )
        if self.peek().is_name("tablesample"):
            raise Unsupported(
                "TABLESAMPLE is not supported",
                name="tablesample",
                hint="Leave it out: an answer over all rows costs the same.",
            )
        alias = table
        if self.accept("as") or self._is_alias(self.peek()):
            alias = self._identifier()
            if self.peek().is_punct("("):
                raise Unsupported(
                    "column aliases of a private table are not supported",
                    name=alias,
                    hint="Use the table's own column names.",
                )
        if self.peek().is_name("tablesample"):
            raise Unsupported(
                "TABLESAMPLE is not supported",
                name="tablesample",
                hint="Leave it out: an answer over all rows costs the same.",
            )
        return TableRef(schema, table, alias, start, self._last_end(), only)

    def _is_alias(self, token: Token) -> bool:
        return token.kind is Kind.QUOTED or (
            token.kind is Kind.NAME and token.value not in _ALIAS_STOP and token.value != "tablesample"
        )
