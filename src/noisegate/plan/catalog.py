"""A snapshot of the data server's catalog, restricted to what the policy names. Pure values; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from noisegate.policy.model import Policy

TableName = tuple[str, str]  # schema, table
ColumnName = tuple[str, str, str]  # schema, table, column


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column's type. `sql` is format_type() with the schema ('numeric(10,2)', 'public.mood'); `base` is the
    pg_catalog name beneath a domain ('int4', 'numeric', 'text', 'bpchar' ...), 'enum' for an enum, 'other' otherwise.
    """

    sql: str
    base: str
    typmod: int = -1
    labels: tuple[str, ...] = ()  # of an enum, in order
    domain: bool = False


@dataclass(frozen=True, slots=True)
class CatalogColumn:
    name: str
    type: ColumnType
    not_null: bool = False
    collation: str | None = None  # quoted, qualified; None when the type has none or it is the default
    deterministic: bool = True  # of the collation
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """A primary key or unique constraint that is enforced, validated, not deferrable and on NOT NULL columns."""

    columns: tuple[str, ...]
    primary: bool = False


@dataclass(frozen=True, slots=True)
class ForeignKey:
    columns: tuple[str, ...]
    target: TableName
    target_columns: tuple[str, ...]
    validated: bool = True


@dataclass(frozen=True, slots=True)
class CatalogTable:
    schema: str
    name: str
    columns: tuple[CatalogColumn, ...]
    keys: tuple[Key, ...] = ()  # empty where inheritance children exist: a parent's key does not cover them
    foreign_keys: tuple[ForeignKey, ...] = ()
    kind: str = "r"  # pg_class.relkind: 'r' or 'p'
    has_children: bool = False
    comment: str | None = None
    fingerprint: str = ""  # of columns, types, constraints, children; re-read in the engine's transaction

    def column(self, name: str) -> CatalogColumn | None:
        return next((c for c in self.columns if c.name == name), None)


@dataclass(frozen=True, slots=True)
class CatalogView:
    """A view of the data server that the policy names. `columns`: (name, comment); `definition`: what pg_get_viewdef
    prints under an empty search_path, without the semicolon; `reads`: the tables and views in it."""

    schema: str
    name: str
    columns: tuple[tuple[str, str | None], ...]
    definition: str
    reads: tuple[TableName, ...]
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class TypeDefinition:
    """An enum (`labels` in order) or a domain (`beneath`: format_type() of what it stands on) that columns use."""

    schema: str
    name: str
    labels: tuple[str, ...] = ()
    beneath: str | None = None
    not_null: bool = False
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class DatabaseLocale:
    """Of the data server's database: pg_database.datlocprovider ('c' libc, 'b' builtin, 'i' ICU) and its locales."""

    provider: str = "b"
    collate: str = "C"
    ctype: str = "C"
    locale: str | None = "C.UTF-8"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that planning may know: policy, catalog, declared domains; `version` changes when any of them does.
    And public rows: how many, and the few values of their columns; a room that has older ones is refreshed, not built.
    """

    policy: Policy
    tables: Mapping[TableName, CatalogTable]
    domains: Mapping[ColumnName, tuple[str, ...]]  # values in canonical text: declared, or of public tables
    version: str
    server_version: int = 0
    types: tuple[TypeDefinition, ...] = ()  # each after those that it stands on
    locale: DatabaseLocale = DatabaseLocale()
    public_rows: Mapping[TableName, int] = field(default_factory=dict)  # of public tables; not part of `version`
    settings: tuple[tuple[str, str], ...] = ()  # what a session of the data server starts with: TimeZone, DateStyle ...
    views: Mapping[TableName, CatalogView] = field(default_factory=dict)  # each after those that it reads
    nulls: frozenset[ColumnName] = frozenset()  # columns of public tables, among `domains`, that have a NULL
    memo: dict[object, Any] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )  # of what follows from it

    def policy_name(self, table: TableName) -> str | None:
        """The key under which the policy names `table`, or None."""
        schema, name = table
        for key in (f"{schema}.{name}", name if schema == "public" else None):
            if key is not None and key in self.policy.tables:
                return key
        return None

    def is_private(self, table: TableName) -> bool:
        """True unless the policy declares the table public: what is not named is private."""
        key = self.policy_name(table)
        return key is None or not self.policy.tables[key].public

    def reads_private(self, view: TableName) -> bool:
        """Whether a private table stands beneath a view."""
        return any(self.reads_private(r) if r in self.views else self.is_private(r) for r in self.views[view].reads)

    def private_names(self) -> frozenset[str]:
        """Names, without schemas, of private tables and of views that read one."""
        tables = {name for schema, name in self.tables if self.is_private((schema, name))}
        return frozenset(tables | {name for schema, name in self.views if self.reads_private((schema, name))})
