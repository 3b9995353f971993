"""A cursor over the tokens of one clause of a deparse: looking, taking, refusing; names and types."""

from __future__ import annotations

from collections.abc import Sequence

from noisegate.errors import NoisegateError, Unsupported
from noisegate.query.lexer import Kind, Token

DEPTH_MAX = 100

END = Token(Kind.BAD, "", 0, 0)
_MULTIWORD_TYPES = frozenset({"double", "character", "timestamp", "time", "bit", "interval"})
_TYPE_WORDS = frozenset("precision varying with without time zone year month day hour minute second to".split())


class Cursor:
    """A cursor over the tokens of one clause."""

    def __init__(self, tokens: Sequence[Token], depth: int = 0) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = depth

    # -- cursor ---------------------------------------------------------------------------------------------------
    def peek(self, ahead: int = 0) -> Token:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else END

    def done(self) -> bool:
        return self._at >= len(self._tokens)

    def next(self) -> Token:
        token = self.peek()
        if token is END:
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
        word = token.value if token is not None and token is not END else ""
        return Unsupported(
            f"this part of a private question is not supported: {word}" if word else "the private question ends early",
            hint="Private questions use columns, constants, comparisons, arithmetic, CASE and the listed functions.",
            name=word or None,
        )

    def _last_end(self) -> int:
        return self._tokens[self._at - 1].end

    def _subquery(self) -> NoisegateError:
        return Unsupported(
            "a subquery inside a private question is not supported",
            hint="Join a public table instead; ask an inner private question first, and write its answer here.",
            name="select",
        )

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
