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
_CHECK, _SAME = "_ng_check", "_ng_same"

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
    """Prepares two forms of the same that find what is expected, or cannot compute their first column: _CHECK ($3 the
    fingerprints, $4 the settings) and _SAME ($1 a state in which the fingerprints were found before, $2 the settings).
    Both mean the same under every search_path."""
    shown = f"{shown_sql(settings)} OPERATOR(pg_catalog.=)"
    found = f"ARRAY({fingerprints_sql}) OPERATOR(pg_catalog.=) $3::pg_catalog.text[]"
    return (
        f"PREPARE {_CHECK} AS {_only_if(f'{shown} $4::pg_catalog.text[] AND {found}')}; "
        f"PREPARE {_SAME} AS "
        + _only_if(f"{shown} $2::pg_catalog.text[] AND {_STATE} OPERATOR(pg_catalog.=) $1::pg_catalog.text")
    )


def _only_if(condition: str) -> str:
    return f"SELECT 1 OPERATOR(pg_catalog./) CASE WHEN {condition} THEN 1 ELSE 0 END, {_ends()}"


def execute_sql(tables: Iterable[Table], shown: Sequence[str]) -> str:
    """Looks at the tables; raises division_by_zero unless all is as expected."""
    wanted = sorted(set(tables))
    columns = [_array([table[i] for table in wanted]) for i in range(3)]
    return f"EXECUTE {_CHECK} ({', '.join(columns)}, {_array(shown)})"


def same_sql(state: str, shown: Sequence[str]) -> str:
    """Raises division_by_zero unless the database is in this state: then the catalog is the same, too."""
    return f"EXECUTE {_SAME} ({_literal(state)}, {_array(shown)})"


def _ends() -> str:
    return ", ".join(f"pg_catalog.set_config('{name}', '{text}', true)" for name, text in _AFTERWARDS)


def _array(texts: Sequence[str]) -> str:
    return f"ARRAY[{', '.join(map(_literal, texts))}]::pg_catalog.text[]"


def _literal(text: str) -> str:
    """The same under either value of standard_conforming_strings."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
