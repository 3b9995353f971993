"""Which ledger a name means: a URL is one on PostgreSQL, everything else the path of an SQLite file."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

from noisegate.errors import BadSetting
from noisegate.ledger.interface import Ledger
from noisegate.ledger.sqlite import SqliteLedger

SCHEMES = ("postgresql", "postgres")


def on_postgres(place: str) -> bool:
    """Whether the ledger `place` is on PostgreSQL. Raises BadSetting for a URL of something else."""
    scheme, separator, _ = place.partition("://")
    if separator and scheme not in SCHEMES:
        raise BadSetting("the ledger must be a path or a URL like postgresql://user@host:5432/database")
    return bool(separator)


def open_ledger(place: str, *, create: bool) -> Ledger:
    """Raises BadSetting, and LedgerFailed where there is no ledger and `create` is false, or it cannot be opened."""
    if not on_postgres(place):
        return SqliteLedger(place, create=create)
    ledger: Ledger = import_module("noisegate.ledger.postgres").PostgresLedger(place, create=create)  # not for a file
    return ledger


def has_ledger(place: str) -> bool:
    """Raises BadSetting, and LedgerFailed where a server cannot be asked."""
    if not on_postgres(place):
        return Path(place).exists()
    return bool(import_module("noisegate.ledger.postgres_schema").exists(place))


def shown(place: str) -> str:
    """For a log: without user and password."""
    if not on_postgres(place):
        return place
    url = urlsplit(place)
    return f"PostgreSQL, database {url.path.lstrip('/') or '(default)'} on {url.hostname or 'this machine'}"
