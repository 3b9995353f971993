"""One room's database from a snapshot: built under a temporary name, then swapped in.

A kill at any moment leaves either the old database or the new one under the policy's name, and perhaps leftovers with
reserved names that the next build drops.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg import sql

from noisegate.errors import PolicyError, Unavailable
from noisegate.plan.catalog import DatabaseLocale, Snapshot
from noisegate.room import objects, rights, tripwire
from noisegate.room.embedded import EmbeddedServer
from noisegate.room.rows import copy_rows
from noisegate.room.source import apply_canonical_settings
from noisegate.room.views import create_views

ADMIN_DATABASE: Final = "template1"
LAYOUT: Final = 1  # raise it when what a build makes changes, so that rooms of earlier versions are made anew
RESERVED_PREFIX: Final = "_ng_"  # of databases that are being built or thrown away

_log = logging.getLogger(__name__)


def ensure_database(server: EmbeddedServer, snapshot: Snapshot) -> bool:
    """Make the policy's database, or refresh its public rows where it is that of this snapshot already.

    Returns whether it was built anew; its sessions are ended then. Raises Unavailable, PolicyError.
    """
    name = snapshot.policy.database
    if name in ("template0", "template1") or name.startswith(RESERVED_PREFIX):
        raise PolicyError([f"database: the name {name} is reserved; choose another"])
    with _admin(server) as admin:
        _drop_leftovers(admin, name)
        exists = admin.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None
        if exists and _built_version(server, name) == _version(snapshot):
            _limit_sessions(admin, name, -1)  # a swap that was cut off may have left it closed
            refresh_public_rows(server, snapshot)
            return False
        fresh = _reserved(name, "new")
        _create_database(admin, fresh, snapshot.locale)
        _fill(server, fresh, snapshot)
        _configure(admin, fresh, snapshot)
        _swap(admin, fresh, name, exists)
    return True


def refresh_public_rows(server: EmbeddedServer, snapshot: Snapshot) -> None:
    """Copy the public tables again, in one transaction: readers see the old rows until all new ones are there."""
    tables = objects.public_tables(snapshot)
    if not tables:
        return
    with _source(snapshot) as source, _connect(server.dsn(snapshot.policy.database)) as room:
        with room.transaction():
            apply_canonical_settings(room)
            room.execute("SET LOCAL session_replication_role = replica")
            for table in tables:
                room.execute(sql.SQL("DELETE FROM {}").format(objects.relation(table)))
                copy_rows(source, room, table)
            room.execute("UPDATE noisegate.build SET copied_at = now()")
        for table in tables:
            room.execute(sql.SQL("VACUUM (ANALYZE) {}").format(objects.relation(table)))


def read_copied_at(server: EmbeddedServer, database: str) -> datetime:
    with _connect(server.dsn(database)) as room:
        row = room.execute("SELECT copied_at FROM noisegate.build").fetchone()
    if row is None:
        raise Unavailable("the clean room does not answer")
    found: datetime = row[0]
    return found


def _fill(server: EmbeddedServer, database: str, snapshot: Snapshot) -> None:
    with _connect(server.dsn(database)) as room, room.transaction():
        apply_canonical_settings(room)
        collations = _collations(room)
        for line in objects.unknown_collations(snapshot.tables, collations):
            _log.warning("the clean room lacks a collation and orders by its default: %s", line)
        _run(room, [sql.SQL("CREATE SCHEMA noisegate"), sql.SQL(tripwire.FUNCTION_SQL), sql.SQL(rights.REFUSE_SQL)])
        _run(room, objects.schemas(snapshot))
        _run(room, objects.types(snapshot))
        _run(room, objects.tables(snapshot, collations))
        _run(room, objects.keys(snapshot))
        _run(room, objects.foreign_keys(snapshot))
        create_views(room, snapshot)
        room.execute("SET LOCAL session_replication_role = replica")
        for table in objects.private_tables(snapshot):
            tripwire.insert_dummies(room, table)
            _run(room, tripwire.guards(table))
        if public := objects.public_tables(snapshot):
            with _source(snapshot) as source:
                for table in public:
                    copy_rows(source, room, table)
        for table in snapshot.tables.values():
            room.execute(sql.SQL("ANALYZE {}").format(objects.relation(table)))
        room.execute("CREATE TABLE noisegate.build AS SELECT %s AS version, now() AS copied_at", (_version(snapshot),))
        _run(room, rights.inside(snapshot))
        room.execute(tripwire.NOT_LEAKPROOF_SQL)
        room.execute(tripwire.NO_SAMPLING_SQL)


def _create_database(admin: psycopg.Connection[Any], name: str, locale: DatabaseLocale) -> None:
    """With the data server's order of texts where this machine has it, else with PostgreSQL's own C.UTF-8."""
    create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' ").format(sql.Identifier(name))
    default = sql.SQL("LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_COLLATE 'C' LC_CTYPE 'C'")
    if locale.provider == "c":
        wanted = sql.SQL("LOCALE_PROVIDER libc LC_COLLATE {} LC_CTYPE {}").format(locale.collate, locale.ctype)
    elif locale.provider == "b":
        wanted = sql.SQL("LOCALE_PROVIDER builtin BUILTIN_LOCALE {} LC_COLLATE 'C' LC_CTYPE 'C'").format(locale.locale)
    else:
        wanted = sql.SQL("LOCALE_PROVIDER icu ICU_LOCALE {} LC_COLLATE 'C' LC_CTYPE 'C'").format(locale.locale)
    try:
        admin.execute(create + wanted)
    except psycopg.DatabaseError:
        _log.warning("the clean room lacks the data server's locale and orders texts as C.UTF-8 does")
        admin.execute(create + default)


def _configure(admin: psycopg.Connection[Any], name: str, snapshot: Snapshot) -> None:
    """Rights to enter, and the settings with which the data server's sessions start."""
    _run(admin, rights.entrance(name))
    for setting, value in snapshot.settings:
        try:
            admin.execute(sql.SQL("ALTER DATABASE {} SET {} TO {}").format(*_names(name, setting), sql.Literal(value)))
        except psycopg.DataError:
            _log.warning("the clean room does not know the data server's %s", setting)


def _names(*names: str) -> list[sql.Identifier]:
    return [sql.Identifier(name) for name in names]


def _swap(admin: psycopg.Connection[Any], fresh: str, name: str, exists: bool) -> None:
    """One transaction renames both; a database is renamed only while nobody is in it."""
    old = _reserved(name, "old")
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    if exists:
        _limit_sessions(admin, name, 0)  # new ones must not slip in between the end of the old ones and the new name
        _end_sessions(admin, name)
    with admin.transaction():
        if exists:
            admin.execute(rename.format(*_names(name, old)))
        admin.execute(rename.format(*_names(fresh, name)))
    if exists:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(old)))


def _limit_sessions(admin: psycopg.Connection[Any], name: str, most: int) -> None:
    """-1 for no limit. The superuser is not limited."""
    admin.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(sql.Identifier(name), most))


def _end_sessions(admin: psycopg.Connection[Any], name: str) -> None:
    """End a database's sessions and wait (5 s each at most) until they are gone."""
    admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,)).fetchall()


def _drop_leftovers(admin: psycopg.Connection[Any], name: str) -> None:
    for leftover in (_reserved(name, "new"), _reserved(name, "old")):
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(leftover)))


def _reserved(name: str, suffix: str) -> str:
    """A name for a temporary database that belongs to this one alone and fits in 63 bytes."""
    return f"{RESERVED_PREFIX}{hashlib.sha256(name.encode()).hexdigest()[:32]}_{suffix}"


def _version(snapshot: Snapshot) -> str:
    return f"{LAYOUT}:{snapshot.version}"


def _built_version(server: EmbeddedServer, name: str) -> str | None:
    try:
        with _connect(server.dsn(name)) as room:
            row = room.execute("SELECT version FROM noisegate.build").fetchone()
    except psycopg.Error:
        return None  # not a room, or not a whole one: it is built anew
    return None if row is None else str(row[0])


def _collations(room: psycopg.Connection[Any]) -> frozenset[str]:
    rows = room.execute(
        "SELECT n.nspname, c.collname FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace "
        "WHERE c.collencoding IN (-1, (SELECT encoding FROM pg_database WHERE datname = current_database()))"
    )
    return frozenset(sql.Identifier(*row).as_string() for row in rows)


def _run(connection: psycopg.Connection[Any], statements: Iterable[sql.SQL | sql.Composed]) -> None:
    for statement in statements:
        connection.execute(statement)


@contextmanager
def _admin(server: EmbeddedServer) -> Iterator[psycopg.Connection[Any]]:
    with _connect(server.dsn(ADMIN_DATABASE)) as connection:
        yield connection


@contextmanager
def _source(snapshot: Snapshot) -> Iterator[psycopg.Connection[Any]]:
    """The data server, read-only, every table in one state of the data."""
    try:
        connection = psycopg.connect(snapshot.policy.dsn, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise Unavailable("the data server cannot be reached") from error
    with connection:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        apply_canonical_settings(connection)
        yield connection


def _connect(dsn: str) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(dsn, connect_timeout=10, autocommit=True)
    except psycopg.OperationalError as error:
        raise Unavailable("the clean room does not answer") from error
