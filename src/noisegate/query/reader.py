"""Reads the expressions and FROM clauses of PostgreSQL's deparse (ruleutils.c, not pretty-printed) into trees.

The deparse puts every operator in parentheses of its own, types every constant and shows every implicit cast, so the
grammar needs no precedence: two different operators side by side are refused, as is everything unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from noisegate.errors import NoisegateError, TooComplex, Unsupported
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
    From,
    IsTest,
    Join,
    Literal,
    Name,
    Op,
    Param,
    TableRef,
)

DEPTH_MAX = 100

_END = Token(Kind.BAD, "", 0, 0)
_VALUE_KEYWORDS = frozenset(
    "current_date current_time current_timestamp localtime localtimestamp current_user session_user current_role "
    "user current_catalog current_schema".split()
)
_TRIMS = {"both": "btrim", "leading": "ltrim", "trailing": "rtrim"}
_QUOTED_FUNCTIONS = frozenset({"left", "right"})  # PostgreSQL's own, quoted because their names are keywords
_MULTIWORD_TYPES = frozenset({"double", "character", "timestamp", "time", "bit", "interval"})
_TYPE_WORDS = frozenset("precision varying with without time zone year month day hour minute second to".split())
_ALIAS_STOP = frozenset(
    "on using join left right full inner cross natural where group having order limit offset window union".split()
)


class Reader:
    """A cursor over the tokens of one clause."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    # -- cursor ---------------------------------------------------------------------------------------------------
    @property
    def position(self) -> int:
        return self._at

    def peek(self, ahead: int = 0) -> Token:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else _END

    def done(self) -> bool:
        return self._at >= len(self._tokens)

    def next(self) -> Token:
        token = self.peek()
        if token is _END:
            raise self.unknown(None)
        self._at += 1
        return token

    def accept(self, *words: str) -> bool:
        """Consume the unquoted words if they all stand here."""
        if all(self.peek(i).is_name(w) for i, w in enumerate(words)):
            self._at += len(words)
            return True
        return False

    def accept_punct(self, mark: str) -> bool:
        if self.peek().is_punct(mark):
            self._at += 1
            return True
        return False

    def expect(self, mark: str) -> Token:
        token = self.next()
        if not token.is_punct(mark):
            raise self.unknown(token)
        return token

    def expect_word(self, word: str) -> None:
        if not self.accept(word):
            raise self.unknown(self.peek())

    def unknown(self, token: Token | None) -> NoisegateError:
        """The refusal that ends every dispatch over SQL."""
        word = token.value if token is not None and token is not _END else ""
        return Unsupported(
            f"this part of a private question is not supported: {word}" if word else "the private question ends early",
            hint="Private questions use columns, constants, comparisons, arithmetic, CASE and the listed functions.",
            name=word or None,
        )

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

    def _subquery(self) -> NoisegateError:
        return Unsupported(
            "a subquery inside a private question is not supported",
            hint="Join a public table instead; ask an inner private question first, and write its answer here.",
            name="select",
        )

    def _infix(self, left: Expr, start: int) -> Expr:
        token = self.peek()
        if token.is_name("in"):
            raise self._subquery()
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

    def _last_end(self) -> int:
        return self._tokens[self._at - 1].end

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
            elif self.peek().is_punct("[") or self.peek().is_punct("."):
                raise Unsupported("subscripts and fields are not supported in private questions", name="[")
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
        start = self.next().start
        if self.peek().is_name("select") or self.peek().is_name("with") or self.peek().is_name("values"):
            raise self._subquery()
        inner = self.expression()
        if self.peek().is_punct(","):
            raise Unsupported("row values are not supported in private questions", name=",")
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
            raise self._subquery()
        if word in ("row", "operator", "grouping", "overlay", "position", "cast") and (
            self.peek(1).is_punct("(")
        ):
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

    def _call(self, name: str, start: int) -> Expr:
        self.expect("(")
        star = distinct = False
        extras = ""
        args: list[Expr] = []
        if self.peek().kind is Kind.OP and self.peek().value == "*":
            self.next()
            star = True
        elif not self.peek().is_punct(")"):
            distinct = self.accept("distinct")
            if self.accept("variadic"):
                extras = "VARIADIC"
            args.append(self.expression())
            while self.accept_punct(","):
                args.append(self.expression())
            if self.accept("order", "by"):
                extras = "ORDER BY"
                self._skip_to_close()
        self.expect(")")
        if self.accept("within"):
            extras = "WITHIN GROUP"
            self.expect_word("group")
            self._skip_group()
        condition: Expr | None = None
        if self.peek().is_name("filter") and self.peek(1).is_punct("("):
            self.next()
            self.expect("(")
            self.expect_word("where")
            condition = self.expression()
            self.expect(")")
        if self.peek().is_name("over"):
            self.next()
            extras = "OVER"
            if self.peek().is_punct("("):
                self._skip_group()
            else:
                self.next()
        return Call(name, tuple(args), start, self._last_end(), star, distinct, condition, extras)

    def _skip_group(self) -> None:
        self.expect("(")
        self._skip_to_close()
        self.expect(")")

    def _skip_to_close(self) -> None:
        depth = 0
        while not (depth == 0 and self.peek().is_punct(")")):
            token = self.next()
            depth += token.is_punct("(") - token.is_punct(")")

    # -- names and types ------------------------------------------------------------------------------------------
    def _identifier(self) -> str:
        token = self.next()
        if token.kind in (Kind.NAME, Kind.QUOTED):
            return token.value
        raise self.unknown(token)

    def _dotted_text(self) -> str:
        parts = [self._quoted_text()]
        while self.accept_punct("."):
            parts.append(self._quoted_text())
        return ".".join(parts)

    def _quoted_text(self) -> str:
        token = self.next()
        if token.kind is Kind.NAME:
            return token.value
        if token.kind is Kind.QUOTED:
            return '"' + token.value.replace('"', '""') + '"'
        raise self.unknown(token)

    def type_name(self) -> str:
        """The type as PostgreSQL printed it, e.g. 'numeric(10,2)', 'timestamp without time zone', 'public.mood[]'."""
        first = self.peek()
        text = self._dotted_text()
        if first.kind is Kind.NAME and first.value in _MULTIWORD_TYPES:
            while True:
                if self.peek().kind is Kind.NAME and self.peek().value in _TYPE_WORDS:
                    text += " " + self.next().value
                elif self.peek().is_punct("(") and self.peek(1).kind is Kind.NUMBER:
                    text += self._type_modifier()
                else:
                    break
        elif self.peek().is_punct("(") and self.peek(1).kind is Kind.NUMBER:
            text += self._type_modifier()
        while self.peek().is_punct("[") and self.peek(1).is_punct("]"):
            self.next()
            self.next()
            text += "[]"
        return text

    def _type_modifier(self) -> str:
        self.expect("(")
        numbers = [self.next().value]
        while self.accept_punct(","):
            numbers.append(self.next().value)
        self.expect(")")
        return "(" + ",".join(numbers) + ")"

    # -- FROM -----------------------------------------------------------------------------------------------------
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


def _respan(expr: Expr, start: int, end: int) -> Expr:
    """The same node with the span of its parentheses."""
    return replace(expr, start=start, end=end)
