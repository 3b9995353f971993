"""Reads calls: arguments, the clauses of aggregates, and windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from noisegate.errors import Unsupported
from noisegate.query.cursor import Cursor
from noisegate.query.lexer import Kind
from noisegate.query.tree import Call, Expr, SortKey, WindowSpec

_FRAME_WORDS = frozenset(
    "rows range groups between unbounded preceding following current row and exclude ties group no others".split()
)


class CallReader(Cursor):
    """Reads calls. `windows`: what the WINDOW clause of the query defines."""

    windows: Mapping[str, WindowSpec] = {}

    def expression(self) -> Expr:
        raise NotImplementedError

    def expressions(self) -> tuple[Expr, ...]:
        found = [self.expression()]
        while self.accept_punct(","):
            found.append(self.expression())
        return tuple(found)

    def _call(self, name: str, start: int) -> Call:
        self.expect("(")
        star = distinct = False
        extras = ""
        args: list[Expr] = []
        order: tuple[SortKey, ...] = ()
        if self.peek().kind is Kind.OP and self.peek().value == "*":
            self.next()
            star = True
        elif not self.peek().is_punct(")"):
            distinct = self.accept("distinct")
            extras = "VARIADIC" if self.accept("variadic") else ""
            args.append(self.expression())
            while self.accept_punct(","):
                extras = "VARIADIC" if self.accept("variadic") else extras
                args.append(self.expression())
            order = self.order_by()
        self.expect(")")
        call = Call(name, tuple(args), start, self._last_end(), star, distinct, None, extras, order)
        return self._after_call(call)

    def _after_call(self, call: Call) -> Call:
        """WITHIN GROUP, FILTER and OVER."""
        if self.accept("within", "group"):
            self.expect("(")
            call = replace(call, within=self.order_by())
            self.expect(")")
        if self.peek().is_name("filter") and self.peek(1).is_punct("("):
            self.next()
            self.expect("(")
            self.expect_word("where")
            call = replace(call, filter=self.expression())
            self.expect(")")
        if self.accept("over"):
            call = replace(call, over=self._over())
        return replace(call, end=self._last_end())

    def order_by(self) -> tuple[SortKey, ...]:
        """ORDER BY, if one stands here."""
        if not self.accept("order", "by"):
            return ()
        keys = [self._sort_key()]
        while self.accept_punct(","):
            keys.append(self._sort_key())
        return tuple(keys)

    def _sort_key(self) -> SortKey:
        expr = self.expression()
        descending = self.accept("desc")
        if not descending:
            self.accept("asc")
        if self.accept("nulls", "first"):
            return SortKey(expr, descending, True)
        return SortKey(expr, descending, False if self.accept("nulls", "last") else None)

    def _over(self) -> WindowSpec:
        if self.peek().is_punct("("):
            return self.window()
        return self._named_window()

    def _named_window(self) -> WindowSpec:
        token = self.peek()
        found = self.windows.get(self._identifier())
        if found is None:
            raise self.unknown(token)
        return found

    def window(self) -> WindowSpec:
        """A window in brackets: [name] [PARTITION BY ...] [ORDER BY ...] [frame]."""
        self.expect("(")
        base = WindowSpec((), ())
        if self._is_name_of_window():
            base = self._named_window()
        partition = base.partition
        if self.accept("partition", "by"):
            partition = self.expressions()
        order = self.order_by() or base.order
        frame = self._frame() or base.frame
        self.expect(")")
        return WindowSpec(partition, order, frame)

    def _is_name_of_window(self) -> bool:
        token = self.peek()
        if token.kind is Kind.QUOTED:
            return True
        following = {"partition": "by", "order": "by"}.get(token.value)
        if following is not None and self.peek(1).is_name(following):
            return False
        is_frame = token.value in ("rows", "range", "groups") and not self.peek(1).is_punct(")")
        return token.kind is Kind.NAME and not is_frame

    def _frame(self) -> str:
        """The words of an explicit frame. Its offsets are whole numbers."""
        words: list[str] = []
        while not self.peek().is_punct(")"):
            bracketed = self.accept_punct("(")
            token = self.next()
            is_number = token.kind is Kind.NUMBER and token.value.isdecimal()
            if not is_number and (bracketed or token.kind is not Kind.NAME or token.value not in _FRAME_WORDS):
                raise Unsupported(
                    "this frame of a window is not supported on private rows",
                    name="over",
                    hint="Use ROWS BETWEEN with whole numbers, UNBOUNDED or CURRENT ROW.",
                )
            words.append(token.value)
            if bracketed:
                self.expect(")")
        return " ".join(words)
