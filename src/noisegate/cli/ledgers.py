"""Whether a ledger on PostgreSQL lies in a database of people: restoring that to yesterday would give budgets back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import psycopg
import typer

from noisegate.errors import LedgerFailed
from noisegate.ledger.opening import on_postgres
from noisegate.ledger.postgres_schema import first_line, parameters
from noisegate.policy.check import Finding
from noisegate.policy.load import LoadedPolicy
from noisegate.policy.walk import Severity

BesideOption = Annotated[
    bool,
    typer.Option("--ledger-beside-data", help="The ledger may be in a policy's own database (docs/operations.md)."),
]

# Of a server and its replicas the first is the same; the second is of a database in it.
_IDENTITY: Final = """
SELECT system_identifier::text, (SELECT oid::text FROM pg_catalog.pg_database
                                 WHERE datname = pg_catalog.current_database())
FROM pg_catalog.pg_control_system()
"""


def shared_database(loaded: Sequence[LoadedPolicy], place: str | None, *, beside_data: bool) -> list[Finding]:
    """A finding for each policy whose database holds the ledger, too: an error unless the operator said `beside_data`.

    Names do not matter: servers are asked who they are. A policy's server that does not answer has another finding.
    Raises BadSetting: the ledger's URL cannot be read; LedgerFailed: its server does not answer.
    """
    if not place or not on_postgres(place):
        return []
    try:
        ledgers = _identities(parameters(place))
    except psycopg.Error as error:
        raise LedgerFailed("the ledger could not be opened", detail=first_line(error)) from None
    severity: Severity = "warning" if beside_data else "error"
    text = "the ledger is in this database; give it one of its own" + (
        "" if beside_data else ", or --ledger-beside-data"
    )
    return [
        Finding(severity, one.source.file, one.source.line(("dsn",)), text)
        for one in loaded
        if ledgers & _of_policy(one)
    ]


def _of_policy(one: LoadedPolicy) -> set[tuple[str, ...]]:
    try:
        return _identities({"conninfo": one.policy.dsn, "connect_timeout": "10"})
    except psycopg.Error:
        return set()


def _identities(options: dict[str, Any]) -> set[tuple[str, ...]]:
    """What the server says that it is, where the role may ask, and how it was reached."""
    with psycopg.connect(**options, autocommit=True) as db:
        found: set[tuple[str, ...]] = {(db.info.host, str(db.info.port), db.info.dbname)}
        try:
            row = db.execute(_IDENTITY).fetchone()
        except psycopg.Error:
            return found
        return found if row is None else found | {tuple(row)}
