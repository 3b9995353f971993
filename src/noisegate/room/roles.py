"""Roles of the clean room: one per analyst, with no right but to connect, read and make temp tables."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg import sql

from noisegate.errors import BadSetting
from noisegate.room.rights import ANALYSTS, CHECKER

NAME_BYTES_MAX: Final = 63
_RESERVED: Final = frozenset({"postgres", "public", "none", "current_user", "current_role", "session_user", "user"})


def check_analyst_name(analyst: str) -> None:
    """Raises BadSetting unless `analyst` can be a role's name that means nothing else to PostgreSQL or noisegate."""
    if not analyst or "\0" in analyst or len(analyst.encode(errors="replace")) > NAME_BYTES_MAX:
        raise BadSetting(f"an analyst's name has 1 to {NAME_BYTES_MAX} bytes and no zero byte")
    try:
        analyst.encode()
    except UnicodeEncodeError:
        raise BadSetting("an analyst's name is not valid Unicode") from None
    lowered = analyst.lower()
    if lowered in _RESERVED or lowered.startswith(("pg_", "noisegate")):
        raise BadSetting(f'the name "{analyst}" is reserved; choose another')


def ensure_groups(admin: psycopg.Connection[Any]) -> None:
    """Roles and rights that are there once per cluster. The checker may use the connections that are kept back."""
    for role, login in ((ANALYSTS, "NOLOGIN"), (CHECKER, "LOGIN")):
        if not _exists(admin, role):
            admin.execute(sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(role), sql.SQL(login)))
    admin.execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")
    admin.execute(sql.SQL("GRANT pg_use_reserved_connections TO {}").format(sql.Identifier(CHECKER)))


def ensure_role(admin: psycopg.Connection[Any], analyst: str, sessions_max: int) -> None:
    """Make the analyst's role, or bring it back to what it should be. Raises BadSetting for a reserved name."""
    check_analyst_name(analyst)
    name = sql.Identifier(analyst)
    if not _exists(admin, analyst):
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
    admin.execute(
        sql.SQL(
            "ALTER ROLE {} WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT "
            "PASSWORD NULL CONNECTION LIMIT {}"
        ).format(name, sessions_max)
    )
    admin.execute(sql.SQL("ALTER ROLE {} RESET ALL").format(name))
    admin.execute(
        sql.SQL("GRANT {} TO {} WITH INHERIT TRUE, SET FALSE, ADMIN FALSE").format(sql.Identifier(ANALYSTS), name)
    )


def drop_role(admin: psycopg.Connection[Any], analyst: str) -> None:
    """End the analyst's sessions and remove the role; nothing happens if it is not there."""
    check_analyst_name(analyst)
    if not _exists(admin, analyst):
        return
    admin.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(analyst)))
    admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", (analyst,))
    admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(analyst)))


def _exists(admin: psycopg.Connection[Any], role: str) -> bool:
    return admin.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None
