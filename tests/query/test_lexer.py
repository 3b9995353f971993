"""The lexer against PostgreSQL: never raises, spans tile the text, strings and identifiers are PostgreSQL's own."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from noisegate.query.lexer import Kind, Token, tokenize
from noisegate.room.embedded import EmbeddedServer
from support.servers import new_database

PIECES = (
    "'", "''", "\\'", "\\\\", '"', '""', "$$", "$a$", "$1", "/*", "*/", "--", "\n", "\r\n", " ", "\t", "e'", "E'",
    "U&'", 'U&"', "b'", "x'", "n'", "select", "SELECT", "\u00c4", "\u00df", "\u0130", "a", "_", "$", "1", "1e5",
    "1..2", "0x1F", ".5", "::", ":=", "..", "(", ")", "[", "]", ",", ";", ".", "+", "-", "*", "/", "<=", "->>", "@",
    "\0", "\ud800", "\u007f", "\U0001f600", "\\", "\\u0041", "\\x41", "\\101", "\\b", "~", "|", "`", "?", "{",
    "}", "{secret:0}",
)  # fmt: skip
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
BREAKS = st.sampled_from(["\n", " \n ", "\n\n", " -- gone'\n", "\r", "\n --\n"])


@pytest.fixture(scope="module")
def server(data_server: EmbeddedServer) -> Iterator[psycopg.Connection]:
    with psycopg.connect(new_database(data_server), autocommit=True) as connection:
        yield connection


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_any_text_becomes_tokens_in_order(text: str) -> None:
    tokens = tokenize(text)
    at = 0
    for token in tokens:
        assert at <= token.start < token.end <= len(text)
        between = tokenize(text[at : token.start])
        assert between == () or text[at : token.start].strip().startswith("/*")
        at = token.end
    bad = [t for t in tokens if t.kind is Kind.BAD]
    assert len(bad) <= 1 or all(t.value[:2].lower() == "u&" for t in bad[:-1])


def only(text: str) -> Token:
    (token,) = tokenize(text)
    return token


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from([p for p in PIECES if p not in ("\0", "\ud800")]), max_size=8).map("".join))
@example("a\\'b")
@example("\\u00e9\\U0001F600\\x41\\101\\n")
def test_escape_strings(server: psycopg.Connection, body: str) -> None:
    text = f"E'{body}'"
    tokens = tokenize(text)
    try:
        row = server.execute(f"SELECT {text}".encode()).fetchone()
        columns = server.execute(f"SELECT {text}".encode()).description
    except psycopg.Error:
        return  # PostgreSQL refuses it: nothing rests on what it would mean
    if len(tokens) == 1 and columns is not None and len(columns) == 1 and tokens[0].kind is Kind.STRING:
        assert row == (tokens[0].value,)
    else:
        assert tokens[0].kind is not Kind.STRING or tokens[0].value == (row or ("",))[0] or len(tokens) > 1


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12), st.sampled_from("acde"))
def test_plain_and_dollar_strings(server: psycopg.Connection, body: str, tag: str) -> None:
    quoted = "'" + body.replace("'", "''") + "'"
    assert only(quoted).value == body
    assert server.execute(f"SELECT {quoted}".encode()).fetchone() == (body,)
    if f"${tag}$" not in f"{body}$":
        dollars = f"${tag}${body}${tag}$"
        assert only(dollars) == Token(Kind.STRING, body, 0, len(dollars))
        assert server.execute(f"SELECT {dollars}".encode()).fetchone() == (body,)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(["a", "\\'", "''", "b;", "--", "/*"]), min_size=2, max_size=4), BREAKS)
def test_an_escape_string_goes_on_after_a_line_break(server: psycopg.Connection, parts: list[str], gap: str) -> None:
    text = "E" + gap.join(f"'{p}'" for p in parts)
    assert server.execute(f"SELECT {text}".encode()).fetchone() == (only(text).value,)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text("abzAZ_09$ÄäßİıΣéЖ中\U0001f600", min_size=1, max_size=40).map(lambda s: "X" + s))
def test_identifiers_fold_and_are_cut_like_postgresql(server: psycopg.Connection, name: str) -> None:
    def column(sql: str) -> str:
        description = server.execute(f"SELECT 1 AS {sql}".encode()).description
        assert description is not None
        return description[0].name

    assert only(name) == Token(Kind.NAME, column(name), 0, len(name))
    quoted = '"' + name + '""x"'
    assert only(quoted) == Token(Kind.QUOTED, column(quoted), 0, len(quoted))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(["/*", "*/", "'", "--", "\n", "x", "/", "*", '"', "$$"]), max_size=10).map("".join))
def test_comments_end_where_postgresql_ends_them(server: psycopg.Connection, body: str) -> None:
    text = f"SELECT 1 /*{body}*/ AS a"
    tokens = tokenize(text)
    try:
        description = server.execute(text.encode()).description
    except psycopg.Error:
        return
    assert description is not None
    last = tokens[-1]
    if last.kind in (Kind.NAME, Kind.QUOTED) and len(tokens) > 2:
        assert description[-1].name == last.value
    else:
        assert description[-1].name == "?column?" and last.kind is not Kind.BAD


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a--b\nc", ["a", "c"]),
        ("a/*b/*c*/d*/e", ["a", "e"]),
        ("1+--2\n3", ["1", "+", "3"]),
        ("a.b::c", ["a", ".", "b", "::", "c"]),
        ("$1$2", ["1", "2"]),
        ("f(x)[1:2]", ["f", "(", "x", ")", "[", "1", ":", "2", "]"]),
        ("'it''s' \"q\"\"t\"", ["it's", 'q"t']),
        ("B'101' x'F' n'y'", ["101", "F", "y"]),
        ("1_000 0xFF 1.5e-3 .5 1..2", ["1_000", "0xFF", "1.5e-3", ".5", "1", "..", "2"]),
        ("é\u00a0x", ["é\u00a0x"]),
    ],
)
def test_tokens(text: str, values: list[str]) -> None:
    assert [t.value for t in tokenize(text)] == values


@pytest.mark.parametrize("text", ["'open", '"open', "$$open", "/* open", "E'\\'", 'U&"x"', "\0", "a \0 b", "$a", "{x}"])
def test_what_cannot_be_read_safely_is_bad(text: str) -> None:
    assert any(t.kind is Kind.BAD for t in tokenize(text))
