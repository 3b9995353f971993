"""What nobody but the gate may do in the clean room's databases, and who may enter them."""

from __future__ import annotations

from typing import Final

from psycopg import sql

from noisegate.plan.catalog import Snapshot
from noisegate.room.objects import Statements, relation

ANALYSTS: Final = "noisegate_analysts"  # every analyst's role is in it
CHECKER: Final = "noisegate_checker"

REFUSE_SQL: Final = """
CREATE FUNCTION noisegate.refuse(state text, message text, detail text, hint text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF coalesce(detail, '') = '' AND coalesce(hint, '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message;
  ELSIF coalesce(detail, '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message, HINT = hint;
  ELSIF coalesce(hint, '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message, DETAIL = detail;
  END IF;
  RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message, DETAIL = detail, HINT = hint;
END $$
"""

# Functions that write, wait, lock, signal, reach other sessions, or run a text that they are given.
# pg_advisory_unlock_all stays: pools and drivers call it when they reset a session.
_REVOKED: Final = r"""
  proname ~ '^lo_' OR proname IN ('loread', 'lowrite')
  OR (proname ~ '^pg_(try_)?advisory_' AND proname <> 'pg_advisory_unlock_all')
  OR proname ~ '^pg_sleep' OR proname IN ('pg_export_snapshot', 'pg_logical_emit_message', 'pg_notify')
  OR proname ~ '^(query|table|schema|database|cursor)_to_xml'
  OR proname = 'ts_stat' OR (proname = 'ts_rewrite' AND pronargs = 2)
  OR proname IN ('pg_terminate_backend', 'pg_cancel_backend')
"""
REVOKE_FUNCTIONS_SQL: Final = f"""
DO $do$
DECLARE f pg_catalog.regprocedure;
BEGIN
  FOR f IN SELECT oid FROM pg_catalog.pg_proc
           WHERE pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND ({_REVOKED})
  LOOP
    EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
  END LOOP;
END $do$
"""


def entrance(database: str) -> Statements:
    """Who may connect to a database that was just made."""
    name = sql.Identifier(database)
    yield sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name)
    for role in (ANALYSTS, CHECKER):
        yield sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(name, sql.Identifier(role))


def inside(snapshot: Snapshot) -> Statements:
    """Rights in one room's database. Last of all, since nothing can run DO afterwards but a superuser."""
    yield sql.SQL("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    for table in snapshot.tables.values():
        yield sql.SQL("GRANT SELECT ON {} TO PUBLIC").format(relation(table))
    yield sql.SQL("GRANT USAGE ON SCHEMA noisegate TO PUBLIC")
    yield sql.SQL(REVOKE_FUNCTIONS_SQL)
    # Without a language nobody runs a DO block or makes a function; existing functions go on working.
    yield sql.SQL("REVOKE ALL ON LANGUAGE plpgsql, sql FROM PUBLIC")
    yield sql.SQL("GRANT USAGE ON LANGUAGE sql TO {}").format(sql.Identifier(CHECKER))
