"""Reads the expressions of PostgreSQL's deparse (ruleutils.c, not pretty-printed) into trees.

The deparse puts every operator in parentheses of its own, types every constant and shows every implicit cast, so the
grammar needs no precedence: two different operators side by side are refused, as is everything unknown.
"""

from __future__ import annotations

from dataclasses import replace

from noisegate.errors import TooComplex, Unsupported
from noisegate.query.calls import CallReader
from noisegate.query.cursor import DEPTH_MAX
from noisegate.query.lexer import Kind, Token
from noisegate.query.tree import (
    FIELD,
    NUMBER,
    UNTYPED,
    AnyOf,
    Array,
    Call,
    Case,
    Cast,
    Collate,
    Expr,
    IsTest,
    Literal,
    Name,
    Op,
    Param,
    Row,
    Subscript,
)

_VALUE_KEYWORDS = frozenset(
    "current_date current_time current_timestamp localtime localtimestamp current_user session_user current_role "
    "user current_catalog current_schema".split()
)
_QUERY_WORDS = frozenset({"select", "with", "values"})
_TRIMS = {"both": "btrim", "leading": "ltrim", "trailing": "rtrim"}
_QUOTED_FUNCTIONS = frozenset(
    {"left", "right", "substring"}
)  # PostgreSQL's own, quoted because their names are keywords


class Reader(CallReader):
    """Reads expressions. Queries in them are read by its subclass."""

    # -- queries in expressions -----------------------------------------------------------------------------------
    def opens_query(self) -> bool:
        """Whether the bracket here holds a query."""
        return self.peek().is_punct("(") and self.peek(1).kind is Kind.NAME and self.peek(1).value in _QUERY_WORDS

    def _nested(self, kind: str, start: int, arg: Expr | None = None, op: str = "=") -> Expr:
        """The query in the bracket here. tree.Subquery names the kinds."""
        raise self._subquery()

    # -- expressions ----------------------------------------------------------------------------------------------
    def expression(self) -> Expr:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise TooComplex(
                "the statement is nested too deeply",
                detail=f"At most {DEPTH_MAX} levels are read.",
                hint="Split the question with common table expressions.",
            )
        start = self.peek().start
        left = self._postfix(self._operand())
        left = self._infix(left, start)
        self._depth -= 1
        return left

    def _infix(self, left: Expr, start: int) -> Expr:
        token = self.peek()
        if token.is_name("in"):
            self.next()
            return self._nested("in", start, left)
        for word in ("and", "or"):
            if token.is_name(word):
                items = [left]
                while self.accept(word):
                    items.append(self._postfix(self._operand()))
                return Op(word, tuple(items), start, self._last_end())
        if token.is_name("is"):
            return self._is_test(left, start)
        if token.is_name("at"):
            self.next()
            self.expect_word("time")
            self.expect_word("zone")
            zone = self._postfix(self._operand())
            return Call("timezone", (zone, left), start, self._last_end())
        if token.kind is Kind.OP:
            self.next()
            for word in ("any", "all"):
                if self.peek().is_name(word) and self.peek(1).is_punct("("):
                    self.next()
                    if self.opens_query():
                        return self._nested(word, start, left, token.value)
                    self.expect("(")
                    array = self.expression()
                    self.expect(")")
                    return AnyOf(left, token.value, array, word == "all", start, self._last_end())
            right = self._postfix(self._operand())
            return Op(token.value, (left, right), start, self._last_end())
        return left

    def _is_test(self, left: Expr, start: int) -> Expr:
        self.next()
        negated = self.accept("not")
        if self.accept("distinct", "from"):
            right = self._postfix(self._operand())
            same = Op("is distinct from", (left, right), start, self._last_end())
            return Op("not", (same,), start, self._last_end()) if negated else same
        test = self.next()
        if test.kind is Kind.NAME and test.value in ("null", "true", "false", "unknown"):
            return IsTest(left, test.value, negated, start, self._last_end())
        raise self.unknown(test)

    def _postfix(self, expr: Expr) -> Expr:
        while True:
            if self.accept_punct("::"):
                type_name = self.type_name()
                if isinstance(expr, Literal) and expr.type == UNTYPED:
                    expr = Literal(expr.text, type_name, expr.start, self._last_end())
                else:
                    expr = Cast(expr, type_name, expr.start, self._last_end())
            elif self.accept("collate"):
                expr = Collate(expr, self._dotted_text(), expr.start, self._last_end())
            elif self.accept_punct("["):
                index = self.expression()
                if self.peek().is_punct(":"):
                    raise Unsupported("slices of arrays are not supported in private questions", name="[")
                self.expect("]")
                expr = Subscript(expr, index, expr.start, self._last_end())
            elif self.peek().is_punct("."):
                raise Unsupported("fields of values are not supported in private questions", name=".")
            else:
                return expr

    def _operand(self) -> Expr:
        token = self.peek()
        match token.kind:
            case Kind.PUNCT if token.value == "(":
                return self._parenthesis()
            case Kind.NUMBER:
                self.next()
                return Literal(token.value, NUMBER, token.start, token.end)
            case Kind.STRING:
                self.next()
                return Literal(token.value, UNTYPED, token.start, token.end)
            case Kind.PARAM:
                self.next()
                return Param(int(token.value), token.start, token.end)
            case Kind.OP:
                self.next()
                arg = self._postfix(self._operand())
                return Op(token.value, (arg,), token.start, self._last_end())
            case Kind.NAME:
                return self._word(token)
            case Kind.QUOTED:
                return self._column_or_call()
            case _:
                raise self.unknown(token)

    def _parenthesis(self) -> Expr:
        if self.opens_query():
            return self._nested("scalar", self.peek().start)
        start = self.next().start
        inner = self.expression()
        if self.accept_punct(","):
            items = (inner, *self.expressions())
            self.expect(")")
            return Row(items, start, self._last_end())
        self.expect(")")
        return _respan(inner, start, self._last_end())

    def _word(self, token: Token) -> Expr:
        word = token.value
        if word in ("true", "false") and not self.peek(1).is_punct("("):
            self.next()
            return Literal(word, "boolean", token.start, token.end)
        if word == "null":
            self.next()
            return Literal(None, UNTYPED, token.start, token.end)
        if word == "not":
            self.next()
            arg = self._postfix(self._operand())
            return Op("not", (arg,), token.start, self._last_end())
        if word == "case":
            return self._case()
        if word == "array" and self.peek(1).is_punct("["):
            return self._array()
        if word in _VALUE_KEYWORDS and not self.peek(1).is_punct("."):
            return self._value_keyword(token)
        if word == "extract" and self.peek(1).is_punct("("):
            return self._extract()
        if word == "substring" and self.peek(1).is_punct("("):
            return self._substring()
        if word == "trim" and self.peek(1).is_punct("("):
            return self._trim()
        if word == "exists" and self.peek(1).is_punct("("):
            self.next()
            return self._nested("exists", token.start)
        if word == "array" and self.peek(1).is_punct("("):
            self.next()
            return self._nested("array", token.start)
        if word == "row" and self.peek(1).is_punct("("):
            return self._row()
        if word == "grouping" and self.peek(1).is_punct("("):
            self.next()
            return self._call(word, token.start)
        if word == "position" and self.peek(1).is_punct("("):
            return self._position()
        if word in ("operator", "overlay", "cast") and (self.peek(1).is_punct("(")):
            raise self.unknown(token)
        return self._column_or_call()

    def _value_keyword(self, token: Token) -> Expr:
        self.next()
        args: tuple[Expr, ...] = ()
        if self.accept_punct("("):
            number = self.next()
            args = (Literal(number.value, NUMBER, number.start, number.end),)
            self.expect(")")
        return Call(token.value, args, token.start, self._last_end())

    def _extract(self) -> Expr:
        start = self.next().start
        self.expect("(")
        field = self.next()
        self.expect_word("from")
        arg = self.expression()
        self.expect(")")
        return Call("extract", (Literal(field.value, FIELD, field.start, field.end), arg), start, self._last_end())

    def _substring(self) -> Expr:
        """SUBSTRING(x FROM start FOR length), as the function it means."""
        start = self.next().start
        self.expect("(")
        args = [self.expression()]
        self.expect_word("from")
        args.append(self.expression())
        if self.accept("for"):
            args.append(self.expression())
        self.expect(")")
        return Call("substring", tuple(args), start, self._last_end())

    def _position(self) -> Expr:
        """POSITION((part) IN (text)), as the function it means."""
        start = self.next().start
        self.expect("(")
        part = self._postfix(self._operand())
        self.expect_word("in")
        text = self._postfix(self._operand())
        self.expect(")")
        return Call("position", (text, part), start, self._last_end())

    def _trim(self) -> Expr:
        """TRIM({BOTH | LEADING | TRAILING} [characters] FROM x), as the function it means."""
        start = self.next().start
        self.expect("(")
        name = _TRIMS.get(self.peek().value)
        if name is None:
            raise self.unknown(self.peek())
        self.next()
        characters = () if self.peek().is_name("from") else (self.expression(),)
        self.expect_word("from")
        text = self.expression()
        self.expect(")")
        return Call(name, (text, *characters), start, self._last_end())

    def _case(self) -> Expr:
        start = self.next().start
        operand = None if self.peek().is_name("when") else self.expression()
        whens: list[tuple[Expr, Expr]] = []
        default: Expr | None = None
        while self.accept("when"):
            condition = self.expression()
            self.expect_word("then")
            whens.append((condition, self.expression()))
        if self.accept("else"):
            default = self.expression()
        self.expect_word("end")
        return Case(operand, tuple(whens), default, start, self._last_end())

    def _row(self) -> Expr:
        start = self.next().start
        self.expect("(")
        items = () if self.peek().is_punct(")") else self.expressions()
        self.expect(")")
        return Row(items, start, self._last_end())

    def _array(self) -> Expr:
        start = self.next().start
        self.expect("[")
        items: list[Expr] = []
        while not self.accept_punct("]"):
            if items:
                self.expect(",")
            items.append(self.expression())
        return Array(tuple(items), start, self._last_end())

    def _column_or_call(self) -> Expr:
        start = self.peek().start
        parts = [self._identifier()]
        quoted = self._tokens[self._at - 1].kind is Kind.QUOTED
        while self.accept_punct("."):
            if self.peek().kind is Kind.OP and self.peek().value == "*":
                raise Unsupported(
                    "whole rows of a private table are not supported",
                    hint="Name the columns, or use count(*).",
                    name=parts[0],
                )
            parts.append(self._identifier())
        if self.peek().is_punct("("):
            if len(parts) > 1 or (quoted and parts[0] not in _QUOTED_FUNCTIONS):
                raise Unsupported(f"function {'.'.join(parts)} is not supported on private rows", name=parts[-1])
            return self._call(parts[0], start)
        if len(parts) > 2:
            raise self.unknown(self.peek(-1))
        return Name(tuple(parts), start, self._last_end())


def _respan(expr: Expr, start: int, end: int) -> Expr:
    """The same node with the span of its parentheses."""
    return replace(expr, start=start, end=end)
