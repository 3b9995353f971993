"""Which constants of a statement need not be asked for again."""

from __future__ import annotations

import psycopg

from noisegate.preparing import FIXED_TYPES, are_fixed
from noisegate.query.tree import Expr, Literal, Param
from noisegate.room.embedded import EmbeddedServer

NUMBER, WORD = Literal("5", "integer", 0, 1), Literal("FR", "bpchar", 2, 6)
DATE = 1082


def test_values_of_these_types_depend_on_no_setting(data_server: EmbeddedServer) -> None:
    sql = """SELECT t.oid::int FROM pg_type t JOIN pg_proc p ON p.oid = t.typinput::oid
             WHERE t.oid = ANY (%s::oid[]) AND t.typtype = 'b' AND p.provolatile = 'i'"""
    with psycopg.connect(data_server.dsn("postgres")) as connection:
        found = {row[0] for row in connection.execute(sql, [list(FIXED_TYPES)])}
        assert found == FIXED_TYPES
        assert not connection.execute(sql, [[DATE]]).fetchall()


def test_only_literals_of_these_types_are_kept() -> None:
    def fixed(*parts: tuple[Expr, bytes | None]) -> bool:
        return are_fixed([part for part, _ in parts], [cell for _, word in parts for cell in (word, b"value")])

    assert fixed((NUMBER, b"Nb23"), (WORD, b"Sb1042"))
    assert not fixed((NUMBER, b"Nb23"), (WORD, b"Db1082"))
    assert not fixed((NUMBER, b"Nb23"), (WORD, b"Ee16400"))
    assert not fixed((Param(1, 0, 2), b"Nb23"))
    assert not fixed((NUMBER, None))
