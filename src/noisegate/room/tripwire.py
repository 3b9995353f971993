"""The second net: a private table that is read in the clean room raises (SQLSTATE NG001), it never counts zero rows.

Each private table is under a row-security policy whose function raises when it sees a row. So that there is a row to
see, each has two (dummies; NULL wherever NULL is allowed in the second: IS NULL and max() look for rows by index
conditions that no function guards). So that no condition of the analyst drops the row before the policy sees it, no
function of the database is LEAKPROOF, and the methods of TABLESAMPLE, which skip rows earlier than any policy, are
not there.

Silent, and right: LIMIT 0, WHERE false, conditions that contradict each other, a join that the planner removes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg import sql

from noisegate.errors import PolicyError
from noisegate.plan.catalog import CatalogColumn, CatalogTable
from noisegate.room.objects import Statements, relation

SQLSTATE: Final = "NG001"
POLICY: Final = "answered_through_aggregates_only"

FUNCTION_SQL: Final = f"""
CREATE FUNCTION noisegate.tripwire() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = '{SQLSTATE}', MESSAGE = 'a private table cannot be read here';
END $$
"""

# Direct updates of the catalog, as superuser: there is no ALTER FUNCTION ALL.
NOT_LEAKPROOF_SQL: Final = "UPDATE pg_catalog.pg_proc SET proleakproof = false WHERE proleakproof"

# 'system' and 'bernoulli'. Not by REVOKE: using a sampling method asks for no right.
NO_SAMPLING_SQL: Final = (
    "DELETE FROM pg_catalog.pg_proc WHERE prorettype = 'pg_catalog.tsm_handler'::pg_catalog.regtype"
)

# Texts that some type's input takes, tried in this order; the room's own input functions choose.
_CANDIDATES: Final = (
    *("0", "1", "a", "b", "0.1", "0.01", "0.001", "0.0001", "1000", "2000-01-01", "2000-01-02", "00:00", "00:01"),
    *("00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000001", "10.0.0.0", "10.0.0.1"),
    *("08:00:2b:01:02:03", "08:00:2b:01:02:04", "08:00:2b:01:02:03:04:05", "08:00:2b:01:02:03:04:06"),
    *("{}", "{null}", "empty", "(,)", "{(,)}", "-", "(0,0)", "(0,1)", "0/0", "0/1", "1:1:", "1:2:", "2:3:", "2:4:"),
    *("(0,0),(1,1)", "(0,0),(2,2)", "((0,0),(1,1))", "{1,1,0}", "<(0,0),1>", "[(0,0),(1,1)]", "1 0", "0 1"),
)


def guards(table: CatalogTable) -> Statements:
    """Row security on one table; after its rows are in."""
    yield sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(relation(table))
    yield sql.SQL("CREATE POLICY {} ON {} USING (noisegate.tripwire())").format(sql.Identifier(POLICY), relation(table))


def insert_dummies(connection: psycopg.Connection[Any], table: CatalogTable) -> None:
    """Two rows; the connection does not check foreign keys (session_replication_role = replica).

    A key that allows only one row (an enum with a single label) gets one. Raises PolicyError for a NOT NULL column
    whose type has no dummy.
    """
    choices = _choices(connection, table.columns)
    for column, texts in zip(table.columns, choices, strict=True):
        if column.not_null and not texts:
            raise PolicyError(
                [
                    f"table {table.schema}.{table.name}: column {column.name} has type {column.type.sql}, "
                    "which cannot be mirrored; mark it hidden"
                ]
            )
    columns = list(zip(table.columns, choices, strict=True))
    first = [texts[0] if texts else None for _, texts in columns]
    second = [texts[-1] if column.not_null else None for column, texts in columns]
    for row in (first, second):
        values = sql.SQL(", ").join(
            sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(column.type.sql))
            for value, column in zip(row, table.columns, strict=True)
        )
        connection.execute(sql.SQL("INSERT INTO {} VALUES ({}) ON CONFLICT DO NOTHING").format(relation(table), values))


def _choices(connection: psycopg.Connection[Any], columns: Sequence[CatalogColumn]) -> list[list[str]]:
    """Up to two texts per column that its type accepts, type modifier included."""
    found = []
    for column in columns:
        candidates = [*column.type.labels, *_bits(column), *_CANDIDATES]
        rows = connection.execute(
            "SELECT c FROM unnest(%s::text[]) WITH ORDINALITY AS u(c, n) WHERE pg_input_is_valid(c, %s) "
            "ORDER BY n LIMIT 2",
            (candidates, column.type.sql),
        )
        found.append([row[0] for row in rows])
    return found


def _bits(column: CatalogColumn) -> list[str]:
    """bit(n) takes exactly n digits, and its type modifier is n."""
    if column.type.base != "bit" or column.type.typmod < 1:
        return []
    return ["0" * column.type.typmod, "1" * column.type.typmod]
