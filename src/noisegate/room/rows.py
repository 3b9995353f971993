"""Copying public tables' rows from the data server into a room's database."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg import sql

from noisegate.plan.catalog import CatalogTable
from noisegate.room.objects import column_list, relation

_BLOCK_BYTES: Final = 1 << 16


def copy_rows(source: psycopg.Connection[Any], room: psycopg.Connection[Any], table: CatalogTable) -> None:
    """Add all of a public table's rows. Both connections have the canonical settings.

    In text: binary rows carry the data server's own object ids (arrays of enums).
    """
    columns = column_list(tuple(column.name for column in table.columns))
    read = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(columns, relation(table))
    write = sql.SQL("COPY {} ({}) FROM STDIN").format(relation(table), columns)
    with source.cursor().copy(read) as rows, room.cursor().copy(write) as sink:
        block = bytearray()
        for row in rows:
            block += row
            if len(block) >= _BLOCK_BYTES:
                sink.write(bytes(block))
                block.clear()
        sink.write(bytes(block))
