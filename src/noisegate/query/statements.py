"""Statement kinds: which texts are relayed, which are private questions, which are never run. An allow list.

Pure and cheap: it reads tokens only. A text that might name a private table is called private; whether it does is
decided later, from PostgreSQL's own reading.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence, Set
from dataclasses import dataclass

from noisegate.errors import NoisegateError, Refused, TextTooLong, Unsupported
from noisegate.query.lexer import Kind, Token, tokenize

TEXT_MAX = 256 * 1024  # characters of one message
TOKENS_MAX = 32_768  # of one message: what is read here is read on the event loop


class Verdict(enum.Enum):
    RELAY = "relay"
    PRIVATE = "private"
    REFUSE = "refuse"


class Wrapper(enum.Enum):
    """What stands around the query of a private statement."""

    NONE = "none"
    EXPLAIN = "explain"


@dataclass(frozen=True, slots=True)
class Sketch:
    """One statement of a text: its slice, the offset of the slice, and its tokens (spans of the whole text)."""

    text: str
    offset: int
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    refusal: NoisegateError | None = None
    wrapper: Wrapper = Wrapper.NONE
    query: str = ""  # of a private statement: the query inside the wrapper


_QUERIES = frozenset({"select", "values", "table", "with"})
_RELAYED = frozenset(
    "show reset discard begin start commit end rollback abort savepoint release fetch move close execute deallocate "
    "listen unlisten lock checkpoint".split()
) - {"checkpoint"}
_OWN_TEMP = frozenset("insert update delete merge truncate drop alter analyze comment".split())
_WRAPPERS = frozenset("declare copy prepare create".split())
_WRITES = frozenset({"insert", "update", "delete", "merge"})
_TWO_WORDS = frozenset({"create", "alter", "drop", "prepare", "security", "import", "reassign"})
_ALTERABLE = frozenset("table view index sequence".split())
_TEMP = frozenset({"temp", "temporary"})
SETTINGS = frozenset({"noisegate.epsilon"})
_BEFORE_STAR = frozenset({"select", "distinct", "all", ",", "."})  # of a list of columns, not of a product


def sketch(text: str) -> tuple[Sketch, ...]:
    """Split a text at its semicolons. Raises TextTooLong; an empty text gives ()."""
    if len(text) > TEXT_MAX:
        raise TextTooLong("the statement is too long", detail=f"At most {TEXT_MAX} characters are read.")
    found: list[Sketch] = []
    own: list[Token] = []
    start = depth = 0
    tokens = tokenize(text, TOKENS_MAX)
    if len(tokens) > TOKENS_MAX:
        raise TextTooLong("the statement has too many words", detail=f"At most {TOKENS_MAX} are read.")
    for token in tokens:
        if token.is_punct(";") and depth <= 0:
            if own:
                found.append(Sketch(text[start : token.start], start, tuple(own)))
            own, start, depth = [], token.end, 0
            continue
        if token.kind is Kind.PUNCT:
            depth += (token.value in "([") - (token.value in ")]")
        own.append(token)
    if own:
        found.append(Sketch(text[start:], start, tuple(own)))
    return tuple(found)


def judge(one: Sketch, private_names: Set[str]) -> Judgement:
    """The last branch refuses: a kind that is not listed is never run."""
    first = next((t for t in one.tokens if not t.is_punct("(")), None)
    word = first.value if first is not None and first.kind is Kind.NAME else ""
    private = _may_be_private(one.tokens, private_names)
    if one.tokens[0].is_punct("(") and word not in _QUERIES:
        return _refuse(one.tokens[0], "this statement")
    if word in _QUERIES:
        if not private:
            return Judgement(Verdict.RELAY)
        changes = _changes(one.tokens)
        if changes is not None:
            return Judgement(Verdict.REFUSE, changes)
        return Judgement(Verdict.PRIVATE, None, Wrapper.NONE, one.text)
    if word == "explain":
        return _explain(one, private)
    if word == "set":
        return Judgement(Verdict.RELAY)
    if word in _RELAYED:
        return Judgement(Verdict.RELAY)
    assert first is not None
    if word in _WRAPPERS or word in _OWN_TEMP:
        if not _is_own(word, one.tokens):
            return _refuse(first, _spell(one.tokens))
        return Judgement(Verdict.REFUSE, _with_people(word, one.tokens)) if private else Judgement(Verdict.RELAY)
    return _refuse(first, _spell(one.tokens))


def _with_people(word: str, tokens: Sequence[Token]) -> NoisegateError:
    """The refusal of a statement that is allowed on the session's own tables but names a private one."""
    if any(t.kind is Kind.NAME and t.value in ("select", "table", "with") for t in tokens[1:]):
        return Unsupported(
            f"{word.upper()} around a private question is not supported",
            name=word,
            hint="Ask the question as a plain SELECT.",
        )
    return Refused(
        f"{word.upper()} on a private table is not allowed", name=word, hint="Private tables are for questions: SELECT."
    )


def _changes(tokens: Sequence[Token]) -> NoisegateError | None:
    """What a query with SELECT INTO, or with a change of data in its WITH list, is told."""
    for i, token in enumerate(tokens):
        if token.is_name("into"):
            return Refused("SELECT INTO with a private question is not allowed", name="into", hint="Leave INTO out.")
        in_list = i > 1 and tokens[i - 1].is_punct("(") and tokens[i - 2].value in ("as", "materialized")
        if in_list and token.kind is Kind.NAME and token.value in _WRITES:
            return Refused("a private question cannot change data in its WITH list", name=token.value)
    return None


def _may_be_private(tokens: Sequence[Token], names: Set[str]) -> bool:
    return any((t.kind in (Kind.NAME, Kind.QUOTED) and t.value in names) or t.kind is Kind.BAD for t in tokens)


def _spell(tokens: Sequence[Token]) -> str:
    words = [t.value for t in tokens[: 2 if tokens[0].value in _TWO_WORDS else 1] if t.kind is Kind.NAME]
    return " ".join(words).upper() or "this statement"


def _refuse(token: Token, what: str) -> Judgement:
    return Judgement(
        Verdict.REFUSE,
        Refused(
            f"{what} is not allowed here",
            name=token.value,
            hint="Ask questions with SELECT. Temporary tables, cursors and transactions work as in PostgreSQL.",
        ),
    )


def _is_own(word: str, tokens: Sequence[Token]) -> bool:
    """Kinds that can only touch the session's own temporary objects; the clean-room role could do no more anyway."""
    second = tokens[1].value if len(tokens) > 1 and tokens[1].kind is Kind.NAME else ""
    third = tokens[2].value if len(tokens) > 2 and tokens[2].kind is Kind.NAME else ""
    match word:
        case "create":
            if second == "or":
                second, third = (t.value for t in tokens[3:5]) if len(tokens) > 4 else ("", "")
            return (
                second in _TEMP
                or (second in ("local", "global") and third in _TEMP)
                or second == "index"
                or (second == "unique" and third == "index")
            )
        case "drop" | "alter":
            return second in _ALTERABLE
        case "comment":
            return third in _ALTERABLE | {"column"}
        case "copy":
            return not any(t.is_name("program") for t in tokens)
        case "prepare":
            return second != "transaction"
        case _:
            return True


def _explain(one: Sketch, private: bool) -> Judgement:
    if not private:
        return Judgement(Verdict.RELAY)
    tokens = [t for t in one.tokens if t.kind is not Kind.BAD]
    at, words = 1, []
    begins = [t.is_punct("(") or t.value in _QUERIES for t in tokens]
    if len(tokens) > 2 and tokens[1].is_punct("(") and not begins[2]:  # options, not a query in parentheses
        at = 2
        while at < len(tokens) and not tokens[at].is_punct(")"):
            words.append(tokens[at].value.lower())
            at += 1
        at += 1
    while at < len(tokens) and tokens[at].kind is Kind.NAME and tokens[at].value in ("analyze", "verbose"):
        words.append(tokens[at].value)
        at += 1
    if at >= len(tokens) or not begins[at]:
        return _refuse(one.tokens[0], "EXPLAIN of this statement")
    if "analyze" in words or ("format" in words and "text" not in words):
        return Judgement(
            Verdict.REFUSE,
            Unsupported(
                "EXPLAIN of a private question shows noisegate's plan as text, without running it",
                name="explain",
                hint="Use EXPLAIN without ANALYZE and FORMAT.",
            ),
        )
    start = tokens[at].start - one.offset
    return Judgement(Verdict.PRIVATE, None, Wrapper.EXPLAIN, one.text[start:])


def setting_change(one: Sketch) -> tuple[str, str] | None:
    """(name, value) of `SET [SESSION|LOCAL] noisegate.x {TO|=} value` with a plain value; None for other statements."""
    tokens = [t for t in one.tokens if not (t.kind is Kind.NAME and t.value in ("session", "local"))]
    if len(tokens) < 6 or not tokens[0].is_name("set") or not tokens[1].is_name("noisegate"):
        return None
    if not tokens[2].is_punct(".") or not (tokens[4].is_name("to") or tokens[4].value == "="):
        return None
    value = "".join(t.value for t in tokens[5:])
    return f"noisegate.{tokens[3].value}", value


def locate(tokens: Sequence[Token], name: str | tuple[str, ...] | None) -> int:
    """1-based position in characters, relative to the first token's text, of the identifier that an error is about;
    of the first token where the text has no such identifier."""
    names = () if name is None else (name,) if isinstance(name, str) else name
    for wanted in (*names, "*") if names else ():  # a column that the text does not name stands behind its star
        for before, token in zip((None, *tokens), tokens, strict=False):
            if token.value == "*" == wanted and before is not None and before.value in _BEFORE_STAR:
                return token.start + 1
            if token.value.lower() == wanted.lower() and (wanted != "*" or name == "*"):
                return token.start + 1
    return tokens[0].start + 1 if tokens else 1
