"""How a transaction begins: settings, locks, and the check that tables and connection are what they were. Pure texts.

The check is a statement that every connection prepares, so that it can stand in one text with what comes before it:
one round trip. It has no rows for the driver to read; it raises where anything differs. What differs is then found out
by `check_sql`, in a second transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from noisegate.engine.generated import Settings, quoted_name
from noisegate.engine.interface import Table

# Fingerprints take far longer to plan than to read, and best by index: their plan is made once for a connection. What
# follows is planned as the server likes.
_WHILE_CHECKING: Final[Settings] = (("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off"))
_AFTERWARDS: Final[Settings] = (("plan_cache_mode", "auto"), ("enable_seqscan", "on"))
_CHECK: Final = "_ng_check"

# What the transaction sees, as the transactions that had ended when it began: catalogs too, whose rows are versioned
# like all others. Fingerprints use nothing that is updated in place. NULL on a standby, whose snapshots do not list the
# transactions in progress.
_STATE: Final = (
    "CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_current_snapshot()::pg_catalog.text END"
)
STATE_SQL: Final = f"SELECT {_STATE}"


def begin_sql(tables: Iterable[Table]) -> str:
    """Statements, none of which takes a snapshot, that begin a transaction on these tables.

    The locks come before the snapshot, so that rows and catalog are of one time, and stand until the plans have run.
    """
    statements = ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"]
    statements += [f"SET LOCAL {name} = {text}" for name, text in _WHILE_CHECKING]
    names = sorted({(schema, name) for schema, name, _ in tables})
    if names:
        relations = ", ".join(f"{quoted_name(schema)}.{quoted_name(name)}" for schema, name in names)
        statements.append(f"LOCK TABLE {relations} IN ACCESS SHARE MODE")
    return "; ".join(statements)


def shown_sql(settings: Settings) -> str:
    """What each of `settings` is now: one text[]."""
    return "ARRAY[" + ", ".join(f"pg_catalog.current_setting('{name}')" for name, _ in settings) + "]"


def check_sql(fingerprints_sql: str, settings: Settings) -> str:
    """The transaction's first query, ($1 schemas, $2 tables) -> (fingerprints, what each of `settings` is now); ends
    what begin_sql has set for it."""
    return f"SELECT ARRAY({fingerprints_sql}), {shown_sql(settings)}, {_ends()}"


def prepare_sql(fingerprints_sql: str, settings: Settings) -> str:
    """Prepares the same with $3 the fingerprints and $4 the settings that are expected, $5 a state in which the
    fingerprints were found before. Means the same under every search_path. Its first column cannot be computed where
    it finds others. In the same state of the database the catalog is the same: then fingerprints are not computed.
    """
    same = f"{shown_sql(settings)} OPERATOR(pg_catalog.=) $4::pg_catalog.text[]"
    before = f"coalesce({_STATE} OPERATOR(pg_catalog.=) $5::pg_catalog.text, false)"
    found = f"ARRAY({fingerprints_sql}) OPERATOR(pg_catalog.=) $3::pg_catalog.text[]"
    right = f"CASE WHEN NOT {same} THEN 0 WHEN {before} THEN 1 WHEN {found} THEN 1 ELSE 0 END"
    return f"PREPARE {_CHECK} AS SELECT 1 OPERATOR(pg_catalog./) {right}, {_ends()}"


def execute_sql(tables: Iterable[Table], shown: Sequence[str], state: str = "") -> str:
    """Runs what `prepare_sql` prepared; raises division_by_zero unless all is as expected."""
    wanted = sorted(set(tables))
    columns = [_array([table[i] for table in wanted]) for i in range(3)]
    return f"EXECUTE {_CHECK} ({', '.join(columns)}, {_array(shown)}, {_literal(state)})"


def _ends() -> str:
    return ", ".join(f"pg_catalog.set_config('{name}', '{text}', true)" for name, text in _AFTERWARDS)


def _array(texts: Sequence[str]) -> str:
    return f"ARRAY[{', '.join(map(_literal, texts))}]::pg_catalog.text[]"


def _literal(text: str) -> str:
    """The same under either value of standard_conforming_strings."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
