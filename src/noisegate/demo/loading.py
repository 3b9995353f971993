"""What both demo data sets need: progress, the mark of a finished load, and a role that may only read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import psycopg
from psycopg import sql

Progress = Callable[[str, float], None]  # (what is being done, share of the whole that is done, 0 to 1)
Connection = psycopg.Connection[tuple[object, ...]]

READER: Final = "noisegate_reader"


def no_progress(_what: str, _share: float) -> None:
    """For callers who watch nothing."""


def connect(dsn: str) -> Connection:
    """Autocommit, and no wait for the disk: a demo's data can be made again."""
    connection = psycopg.connect(dsn, autocommit=True, application_name="noisegate demo data")
    connection.execute("SET synchronous_commit = off")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def mark_loaded(connection: Connection, mark: str) -> None:
    """Say in the database itself that the load `mark` is whole, and let READER read it."""
    database = sql.Identifier(connection.info.dbname)
    connection.execute(
        sql.SQL(
            "DO $do$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {name}) THEN CREATE ROLE {role} LOGIN; "
            "END IF; END $do$"
        ).format(name=sql.Literal(READER), role=sql.Identifier(READER))
    )
    connection.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(sql.Identifier(READER)))
    connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, sql.Literal(mark)))


def is_marked(dsn: str, mark: str) -> bool:
    """Whether the database holds exactly the data that `mark` names."""
    with connect(dsn) as connection:
        row = connection.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    return row is not None and row[0] == mark
