"""The ledger's schema on PostgreSQL, and how it is opened: what the session must be, what the server must not be.

Invariant: a connection that `connect` returned commits durably: the server has fsync on, the session waits for the
write, and no table is one that a crash empties.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from noisegate.errors import BadSetting, LedgerFailed
from noisegate.ledger import audit

Connection = psycopg.Connection[tuple[Any, ...]]

SCHEMA: Final = "noisegate_ledger"
CREATION_LOCK: Final = 0x4E474C44  # 'NGLD': the advisory lock of whoever makes or changes the schema
IDLE_IN_TRANSACTION_S: Final = 5  # a gate that is stopped while it holds the head must not hold up the others

# Never changed once published: the next version of the schema is one more script.
MIGRATIONS: tuple[str, ...] = (
    """
CREATE TABLE noisegate_ledger.head (
    one int PRIMARY KEY CHECK (one = 1), version int NOT NULL, count bigint NOT NULL, hash bytea NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE noisegate_ledger.account (
    name text COLLATE "C" PRIMARY KEY, kind text NOT NULL,
    epsilon numeric NOT NULL CHECK (epsilon >= 0 AND epsilon < 1e24 AND scale(epsilon) <= 40),
    delta numeric NOT NULL CHECK (delta >= 0 AND delta < 1e24 AND scale(delta) <= 40),
    granted_epsilon numeric NOT NULL CHECK (granted_epsilon >= 0 AND granted_epsilon < 1e24),
    granted_delta numeric NOT NULL CHECK (granted_delta >= 0 AND granted_delta < 1e24)
) WITH (fillfactor = 70);
CREATE TABLE noisegate_ledger.charge (
    record bigint NOT NULL, account text COLLATE "C" NOT NULL, kind text NOT NULL,
    epsilon numeric NOT NULL, delta numeric NOT NULL, PRIMARY KEY (record, account)
);
CREATE TABLE noisegate_ledger.audit (id bigint PRIMARY KEY, receipt text, body text NOT NULL, hash bytea NOT NULL);
CREATE INDEX audit_receipt ON noisegate_ledger.audit (receipt) WHERE receipt IS NOT NULL;
CREATE FUNCTION noisegate_ledger.append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'append-only' USING ERRCODE = 'restrict_violation'; END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON noisegate_ledger.audit
    EXECUTE FUNCTION noisegate_ledger.append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON noisegate_ledger.charge
    EXECUTE FUNCTION noisegate_ledger.append_only();
""",
)

# libpq's settings, where the URL says nothing: the primary of several hosts, and peers that died are noticed.
_DEFAULTS: Final = {
    "application_name": "noisegate ledger",
    "connect_timeout": "5",
    "target_session_attrs": "read-write",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
_SESSION: Final = """
SELECT pg_catalog.set_config('synchronous_commit',
           CASE pg_catalog.current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END,
           false),
       pg_catalog.set_config('lock_timeout', %s, false),
       pg_catalog.set_config('idle_in_transaction_session_timeout', %s, false),
       pg_catalog.set_config('statement_timeout', '0', false),
       pg_catalog.set_config('search_path', '', false),
       pg_catalog.set_config('row_security', 'off', false)
"""  # row_security: a policy on these tables raises, instead of hiding rows of accounts
_TABLES: Final = """
SELECT pg_catalog.count(*) FILTER (WHERE relkind = 'r' AND relpersistence = 'p') = 4 FROM pg_catalog.pg_class
WHERE relnamespace = pg_catalog.to_regnamespace(%s) AND relname IN ('head', 'account', 'charge', 'audit')
"""
_STATE: Final = """
SELECT pg_catalog.to_regnamespace(%s) IS NOT NULL,
       EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.to_regnamespace(%s)),
       EXISTS (SELECT FROM pg_catalog.pg_class
               WHERE relnamespace = pg_catalog.to_regnamespace(%s) AND relname = 'head')
"""


def connect(url: str, wait_s: float) -> Connection:
    """A connection for the ledger, in autocommit mode. `wait_s`: for locks that other gates hold.

    Raises BadSetting: the URL cannot be read; LedgerFailed: the server is none to keep a ledger on; psycopg.Error.
    """
    db: Connection = psycopg.connect(**parameters(url), autocommit=True)
    try:
        row = db.execute(_SESSION, (f"{round(wait_s * 1000)}ms", f"{IDLE_IN_TRANSACTION_S}s")).fetchone()
        [writable] = db.execute("SELECT NOT pg_catalog.pg_is_in_recovery()").fetchone() or (False,)
        if not writable:
            raise LedgerFailed("the ledger's server is a standby, or still recovering", hint="Name its primary.")
        [fsync] = db.execute("SHOW fsync").fetchone() or ("",)
        check_durable(fsync, row[0] if row else "")
    except BaseException:
        db.close()
        raise
    return db


def parameters(url: str) -> dict[str, Any]:
    """What the URL says, as libpq's parameters. Raises BadSetting; the text has nothing of the URL: it may hold a
    password."""
    try:
        return {**_DEFAULTS, **conninfo_to_dict(url), "client_encoding": "utf8"}
    except psycopg.ProgrammingError:
        raise BadSetting(
            "the ledger's URL cannot be read", hint="Write it like postgresql://user@host:5432/database."
        ) from None


def check_durable(fsync: str, synchronous_commit: str) -> None:
    """Raises LedgerFailed where what is committed now could be lost in a crash of the server."""
    if fsync != "on":
        raise LedgerFailed("the ledger's server has fsync off: a crash would forget charges", hint="Set fsync = on.")
    if synchronous_commit not in ("on", "remote_apply"):
        raise LedgerFailed(
            "the ledger's session does not wait for its commits", hint="A pooler must keep sessions as they are."
        )


def prepare(db: Connection, *, create: bool) -> None:
    """Make the schema where there is none and `create` says so, or bring an older one up to date; then check it.

    Raises LedgerFailed where it is no ledger's, or a newer one's.
    """
    if _version(db) != len(MIGRATIONS):
        with db.transaction():
            db.execute("SELECT pg_catalog.pg_advisory_xact_lock(%s)", (CREATION_LOCK,))
            _migrate(db, _version(db), create)  # read again: two gates may start at once
    check_version(_version(db))
    [permanent] = db.execute(_TABLES, (SCHEMA,)).fetchone() or (False,)
    if not permanent:
        raise LedgerFailed("the ledger's tables are not all ordinary ones: a crash of the server could empty them")


def exists(url: str) -> bool:
    """Whether the database has a ledger. Raises BadSetting, LedgerFailed."""
    try:
        with psycopg.connect(**parameters(url), autocommit=True) as db:
            return _version(db) is not None
    except psycopg.Error as error:
        raise LedgerFailed("the ledger could not be opened", detail=first_line(error)) from None


def check_version(version: int | None) -> None:
    """Raises LedgerFailed unless the schema is the one that this program writes."""
    if version is None:
        raise LedgerFailed("there is no ledger in this database")
    if version != len(MIGRATIONS):
        raise LedgerFailed(
            f"the ledger has schema {version}, this noisegate knows {len(MIGRATIONS)}", hint="Use a newer noisegate."
        )


def first_line(error: Exception) -> str:
    """What the driver says first. For operators; libpq writes no password."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _version(db: Connection) -> int | None:
    """The schema's version; None: there is no ledger, though there may be an empty schema for one."""
    _, used, ours = db.execute(_STATE, (SCHEMA,) * 3).fetchone() or (False, False, False)
    if used and not ours:
        raise LedgerFailed(f"the schema {SCHEMA} of this database holds something else")
    if not ours:
        return None
    [version] = db.execute("SELECT version FROM noisegate_ledger.head").fetchone() or (None,)
    if version is None:
        raise LedgerFailed("the ledger has lost the head of its log")
    return int(version)


def _migrate(db: Connection, version: int | None, create: bool) -> None:
    if version is None:
        if not create:
            return
        [present, *_] = db.execute(_STATE, (SCHEMA,) * 3).fetchone() or (False,)
        if not present:  # an operator may have made it, for a role that may not
            db.execute("CREATE SCHEMA noisegate_ledger")
    else:
        db.execute("SELECT FROM noisegate_ledger.head FOR UPDATE")  # gates at work finish; then they see the version
    for script in MIGRATIONS[version or 0 :]:
        db.execute(script.encode())
    if version is None:
        db.execute("INSERT INTO noisegate_ledger.head VALUES (1, %s, 0, %s)", (len(MIGRATIONS), audit.GENESIS))
    elif version < len(MIGRATIONS):
        db.execute("UPDATE noisegate_ledger.head SET version = %s", (len(MIGRATIONS),))
