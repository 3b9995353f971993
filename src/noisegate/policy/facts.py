"""What `check` needs to know of the live database. Plain values; whoever can read a catalog fills them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TableName = tuple[str, str]  # schema, table
ColumnName = tuple[str, str, str]  # schema, table, column


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """`base` is the pg_catalog name beneath a domain ('int4', 'text' ...), 'enum', or 'other'."""

    base: str
    type_sql: str  # as PostgreSQL writes it, for messages
    not_null: bool = False
    deterministic: bool = True  # of the collation
    scale: int | None = None  # digits after the point of numeric(p, s)


@dataclass(frozen=True, slots=True)
class ForeignKeyFacts:
    columns: tuple[str, ...]
    target: TableName
    target_columns: tuple[str, ...]
    validated: bool = True


@dataclass(frozen=True, slots=True)
class TableFacts:
    columns: Mapping[str, ColumnFacts]
    keys: tuple[tuple[str, ...], ...] = ()  # enforced unique keys over NOT NULL columns
    primary: tuple[str, ...] | None = None  # the one of them that is the primary key
    foreign_keys: tuple[ForeignKeyFacts, ...] = ()
    kind: str = "r"  # pg_class.relkind
    row_security: bool = False
    readable: bool = True  # the DSN's user may SELECT
    writable: bool = False  # the DSN's user may INSERT, UPDATE or DELETE


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """`tables` holds those that the policy names and the server has; `names` all that a policy could name."""

    user: str
    superuser: bool
    tables: Mapping[TableName, TableFacts]
    names: tuple[TableName, ...] = ()
    refused_values: Mapping[ColumnName, tuple[str, ...]] = field(
        default_factory=dict
    )  # of list domains, not of the type
