"""PostgreSQL's lexical rules (scan.l): text -> tokens with exact spans, in characters.

Assumes standard_conforming_strings = on. Never raises on any text: what cannot be lexed becomes a token of kind BAD.
Linear in the length of the text.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

NAME_BYTES_MAX = 63  # NAMEDATALEN - 1


class Kind(enum.IntEnum):
    NAME = 1  # unquoted: keyword or identifier; value is folded
    QUOTED = 2  # "quoted identifier"; value is unescaped
    STRING = 3  # any string constant; value is its content where plain, '' escapes removed
    NUMBER = 4
    PARAM = 5  # $1
    OP = 6
    PUNCT = 7  # ( ) [ ] , ; . : :: := ..
    BAD = 8


class Token(NamedTuple):
    """Kind, value as described there, and the span in the text."""

    kind: Kind
    value: str
    start: int
    end: int

    def is_name(self, word: str) -> bool:
        """True for the unquoted keyword or identifier `word` (lower case)."""
        return self.kind is Kind.NAME and self.value == word

    def is_punct(self, mark: str) -> bool:
        return self.kind is Kind.PUNCT and self.value == mark


_LETTER = r"A-Za-z_\x80-\U0010ffff"
_ESCAPED = r"'([^'\\]*(?:(?:\\.|'')[^'\\]*)*)'"
# Between the parts of one string; there is a line break in it. An escape string goes on by its own rules.
_GAP = r"(?:[ \t\f\v]|--[^\n\r]*+)*+[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*+[\n\r])*+"
_TOKEN = re.compile(
    rf"""
    (?P<space>[ \t\n\r\f\v]+ | --[^\n\r]*)
  | (?P<comment>/\*)
  | (?P<estring>[eE]{_ESCAPED}(?:{_GAP}{_ESCAPED})*+)
  | (?P<ustring>[uU]&'[^']*(?:''[^']*)*')
  | (?P<uquoted>[uU]&"[^"]*(?:""[^"]*)*")
  | (?P<string>[bBxXnN]?'[^']*(?:''[^']*)*')
  | (?P<dollar>\$(?P<tag>(?:[{_LETTER}][{_LETTER}0-9]*)?)\$)
  | (?P<param>\$[0-9]+)
  | (?P<name>(?![eE]')[{_LETTER}][{_LETTER}0-9$]*)
  | (?P<quoted>"[^"]*(?:""[^"]*)*")
  | (?P<number>0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+
        |(?:[0-9][0-9_]*(?:\.(?!\.)[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9][0-9_]*)?)
  | (?P<punct>::|:=|\.\.|[()\[\],;.:])
  | (?P<op>[-+*/<>=~!@\#%^&|`?]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_PART = re.compile(rf"(?:[eE]|{_GAP}){_ESCAPED}", re.DOTALL)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_SIMPLE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ASCII_FOLD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def fold(name: str) -> str:
    """Fold and truncate an unquoted identifier as PostgreSQL does in a UTF-8 database."""
    return truncate(name.translate(_ASCII_FOLD))


def truncate(name: str) -> str:
    """Cut an identifier to 63 bytes at a character boundary."""
    if len(name) * 4 <= NAME_BYTES_MAX:
        return name
    return name.encode("utf-8", "surrogatepass")[:NAME_BYTES_MAX].decode("utf-8", "ignore")


def tokenize(text: str, most: int | None = None) -> tuple[Token, ...]:
    """All tokens of `text` without white space and comments. An unlexable rest becomes one BAD token, and so does what
    comes after `most` tokens."""
    tokens: list[Token] = []
    at, end = 0, len(text)
    match_at = _TOKEN.match
    while at < end:
        m = match_at(text, at)
        if m is None or len(tokens) == most:
            tokens.append(Token(Kind.BAD, text[at], at, end))
            break
        kind = m.lastgroup
        stop = m.end()
        if kind == "space":
            at = stop
            continue
        if kind == "comment":
            stop = _skip_comment(text, stop)
            if stop < 0:
                tokens.append(Token(Kind.BAD, "/*", at, end))
                break
            at = stop
            continue
        if kind == "dollar" or kind == "tag":
            quote = m.group("dollar")
            close = text.find(quote, stop)
            if close < 0:
                tokens.append(Token(Kind.BAD, quote, at, end))
                break
            tokens.append(Token(Kind.STRING, text[stop:close], at, close + len(quote)))
            at = close + len(quote)
            continue
        if kind == "name":  # most tokens are names or marks
            token = Token(Kind.NAME, fold(m.group()), at, stop)
        elif kind == "punct":
            token = Token(Kind.PUNCT, m.group(), at, stop)
        else:
            token = _make(m.group(), kind or "", at, stop)
        tokens.append(token)
        at = token.end
    return tuple(tokens)


def _make(raw: str, kind: str, start: int, stop: int) -> Token:
    if kind == "op":
        for edge in ("--", "/*"):  # an operator ends where a comment begins
            cut = raw.find(edge, 1)
            if cut > 0:
                raw = raw[:cut]
        return Token(Kind.OP, raw, start, start + len(raw))
    if kind == "string":
        body = raw[raw.index("'") + 1 : -1].replace("''", "'")
        return Token(Kind.STRING, body, start, stop)
    if kind == "quoted":
        return Token(Kind.QUOTED, truncate(raw[1:-1].replace('""', '"')), start, stop)
    if kind == "estring":
        return Token(Kind.STRING, _parts(raw), start, stop)
    if kind == "ustring":
        return Token(Kind.STRING, raw[3:-1].replace("''", "'"), start, stop)
    if kind == "uquoted":  # its escapes depend on a UESCAPE that may follow: nobody may trust the value
        return Token(Kind.BAD, raw, start, stop)
    if kind == "number":
        return Token(Kind.NUMBER, raw, start, stop)
    if kind == "param":
        return Token(Kind.PARAM, raw[1:], start, stop)
    return Token(Kind.BAD, raw, start, stop)


def _skip_comment(text: str, at: int) -> int:
    """Index after a nested comment whose opening ends at `at`, or -1."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(text, at):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return -1


def _parts(raw: str) -> str:
    """The content of an escape string in one or several parts."""
    found: list[str] = []
    at = 0
    while (part := _PART.match(raw, at)) is not None:
        found.append(_unescape(part[1]))
        at = part.end()
    return "".join(found)


def _unescape(body: str) -> str:
    def one(m: re.Match[str]) -> str:
        octal, hexa, u4, u8, other = m.groups()
        if octal:
            return chr(int(octal, 8) & 0xFF)
        if hexa or u4 or u8:
            code = int(hexa or u4 or u8, 16)
            return chr(code) if code < 0x110000 else "\ufffd"
        return _SIMPLE.get(other, other)

    return _ESCAPE.sub(one, body.replace("''", "'"))
