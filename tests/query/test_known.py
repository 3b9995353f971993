"""What is taken from the deparse is what PostgreSQL would say."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from noisegate.query.constants import constant_parts, evaluation_sql
from noisegate.query.known import known_row
from noisegate.query.lexer import tokenize
from noisegate.query.reader import Reader
from noisegate.room.embedded import EmbeddedServer

KNOWN = (
    "0", "7", "2147483647", "2147483648", "999999999999999999", "'-5'::integer", "'-2147483647'::integer",
    "'-1'::bigint", "'3000000000'::bigint", "'FR'::text", "''::text", "'o''k {secret:0} é'::text", "true", "false",
)  # fmt: skip
ASKED = (
    "1.5", "9999999999999999999", "'x'::bpchar", "'1'::smallint", "NULL::integer", "NULL::text", "E'a\\\\b'::text",
    "'2020-01-01'::date", "1 + 1", "$1", "lower('X'::text)",
)  # fmt: skip


@pytest.fixture(scope="module")
def session(data_server: EmbeddedServer) -> Iterator[psycopg.Connection]:
    with psycopg.connect(data_server.dsn("postgres"), autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("sql", KNOWN)
def test_a_known_value_is_postgresqls(session: psycopg.Connection, sql: str) -> None:
    parts = constant_parts([Reader(tokenize(sql)).expression()])
    with psycopg.RawCursor(session) as cursor:
        cursor.execute(evaluation_sql(sql, parts).encode(), binary=True)
        assert cursor.pgresult is not None
        assert known_row(parts) == (cursor.pgresult.get_value(0, 0), cursor.pgresult.get_value(0, 1))


@pytest.mark.parametrize("sql", ASKED)
def test_other_constants_are_asked_for(sql: str) -> None:
    parts = constant_parts([Reader(tokenize(f"1 + {sql}")).expression(), Reader(tokenize("5")).expression()])
    assert known_row(parts) is None


def test_nothing_is_known_of_nothing() -> None:
    assert known_row(()) == ()
