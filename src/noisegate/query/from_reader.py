"""Reads the FROM clause of a block over people: tables, functions, queries and joins. Everything else is refused."""

from __future__ import annotations

from noisegate.errors import NoisegateError, TooComplex, Unsupported
from noisegate.query.cursor import DEPTH_MAX
from noisegate.query.from_outline import is_alias
from noisegate.query.lexer import Token
from noisegate.query.reader import Reader
from noisegate.query.tree import Expr, From, FunctionRef, Join, TableRef


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
                using = self.name_list()
                if self.peek().is_name("as"):
                    raise _aliased_join()
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

    def name_list(self) -> tuple[str, ...]:
        self.expect("(")
        names = [self._identifier()]
        while self.accept_punct(","):
            names.append(self._identifier())
        self.expect(")")
        return tuple(names)

    def _from_operand(self) -> From:
        start = self.peek().start
        lateral = self.accept("lateral")
        if self.opens_query():
            return self.from_query(start, lateral)
        if self.peek().is_punct("(") and not lateral:
            self.next()
            inner = self._from_item()
            self.expect(")")
            if self._is_alias(self.peek()):
                raise _aliased_join()
            return inner
        if self.peek().is_name("rows") and self.peek(1).is_name("from"):
            raise self.unknown(self.peek())
        return self._named(start)

    def from_query(self, start: int, lateral: bool) -> From:
        """The query in the bracket here, with its alias."""
        raise self._subquery()

    def from_name(self, ref: TableRef) -> From:
        """What a name without a schema means."""
        return ref

    def _named(self, start: int) -> From:
        only = self.accept("only")
        first = self.peek()
        schema, table = "", self._identifier()
        if self.accept_punct("."):
            schema, table = table, self._identifier()
        if self.peek().is_punct("("):
            if schema:
                raise Unsupported(f"function {table} is not supported in a private question", name=table)
            return self._function(table, first.start, start)
        self._refuse_sample()
        alias, columns = self.alias(table)
        self._refuse_sample()
        ref = TableRef(schema, table, alias, start, self._last_end(), only, columns)
        return ref if schema else self.from_name(ref)

    def _refuse_sample(self) -> None:
        if self.peek().is_name("tablesample"):
            raise Unsupported(
                "TABLESAMPLE is not supported",
                name="tablesample",
                hint="Leave it out: an answer over all rows costs the same.",
            )

    def _function(self, name: str, call_start: int, start: int) -> From:
        call = self._call(name, call_start)
        ordinality = self.accept("with", "ordinality")
        alias, columns = self.alias(name)
        return self.from_function(FunctionRef(call, alias, start, self._last_end(), columns or (alias,), ordinality))

    def from_function(self, ref: FunctionRef) -> From:
        return ref

    def alias(self, default: str = "") -> tuple[str, tuple[str, ...]]:
        """[AS] alias [(columns)]."""
        if not self._is_alias(self.peek()):
            return default, ()
        self.accept("as")
        name = self._identifier()
        return name, self.name_list() if self.peek().is_punct("(") else ()

    def _is_alias(self, token: Token) -> bool:
        return token.is_name("as") or is_alias(token)


def _aliased_join() -> NoisegateError:
    return Unsupported(
        "a join with an alias of its own is not supported in private questions",
        hint="Leave the alias out, and use the tables' own.",
    )
