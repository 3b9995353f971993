"""Reading the data server's catalog and public domains into a Snapshot, in one read-only transaction.

Which columns a mirrored table has (what is not among them does not exist for analysts):
- the columns that the policy names and does not mark `hidden`;
- the columns that lead to the privacy unit: a private table's unit column, each step of its chain and the columns that
  the chain's foreign keys (or, without one, a primary key) refer to, and the unit's own key. They are needed to plan,
  and analysts need them to join. Marking one of them `hidden` is an error of the policy;
- every column of a public table whose policy names none. Where it names any, only those.
A key or a foreign key is kept where all of its columns (and its target) are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg import sql

from noisegate.errors import PolicyError, Unavailable
from noisegate.plan.catalog import (
    CatalogColumn,
    CatalogTable,
    ColumnType,
    DatabaseLocale,
    ForeignKey,
    Key,
    Snapshot,
    TableName,
    TypeDefinition,
)
from noisegate.policy.model import Policy
from noisegate.policy.names import column_list, referred_columns, split_table, table_key, unit_path
from noisegate.room.catalog_sql import (
    COMMENTS_SQL,
    FACTS_SQL,
    FINGERPRINT_SQL,
    LOCALE_SQL,
    SESSION_SETTINGS_SQL,
    TYPES_SQL,
)
from noisegate.room.domains import read_domains, read_public_values
from noisegate.room.views import read_views

__all__ = ["CANONICAL_SETTINGS", "FINGERPRINT_SQL", "load_snapshot"]

# Under these a value has one text, whatever the server's and the session's own settings are.
CANONICAL_SETTINGS: Final[Mapping[str, str]] = {
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_messages": "C",
    "search_path": "",
    "lc_monetary": "C",
    "standard_conforming_strings": "on",
}

RESERVED_SCHEMAS: Final = ("noisegate", "information_schema")

Facts = dict[str, Any]  # what FACTS_SQL returns for one table
Columns = Mapping[TableName, frozenset[str]]  # the columns that are mirrored


def load_snapshot(policy: Policy, dsn: str) -> Snapshot:
    """Read what the policy names from the server at `dsn`. Blocking.

    Raises Unavailable (the driver's error is its __cause__) and PolicyError: a table or column that the server does
    not have, a kind of relation or type that cannot be mirrored, a domain value that its column cannot have.
    """
    try:
        with psycopg.connect(dsn, connect_timeout=10, cursor_factory=psycopg.RawCursor) as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            return _read(policy, connection)
    except psycopg.OperationalError as error:
        raise Unavailable("the data server cannot be reached") from error
    except psycopg.Error as error:
        raise Unavailable("the data server's catalog cannot be read") from error


def _read(policy: Policy, connection: psycopg.Connection[Any]) -> Snapshot:
    settings = tuple((str(name), str(value)) for name, value in connection.execute(SESSION_SETTINGS_SQL))
    apply_canonical_settings(connection)
    names = {split_table(key): key for key in policy.tables}
    facts = {name: _facts(connection, name) for name in names}
    columns = _mirrored(policy, names, facts)
    tables = {name: _table(connection, name, facts[name], columns) for name in names}
    types = _types(connection, columns)
    _refuse_types(names, facts, columns, types)
    views = read_views(connection, policy, tables, types)
    public = [name for name, key in names.items() if policy.tables[key].public]
    sizes = {name: _size(connection, name) for name in public}
    values, nulls = read_public_values(connection, [tables[name] for name in public], sizes)
    declared = read_domains(connection, policy, tables)
    locale = connection.execute(LOCALE_SQL).fetchone()
    assert locale is not None
    return Snapshot(
        policy=policy,
        tables=tables,
        domains=values | declared,
        version=_version(policy, tables, declared, types, locale, settings, views),
        server_version=connection.info.server_version,
        types=types,
        locale=DatabaseLocale(*locale),
        public_rows=sizes,
        settings=settings,
        views=views,
        nulls=nulls,
    )


def _size(connection: psycopg.Connection[Any], name: TableName) -> int:
    """Rows of a public table, which planning needs to bound the work of a join."""
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*name))).fetchone()
    assert row is not None
    return int(row[0])


def _version(policy: Policy, *parts: object) -> str:
    """The DSN is left out: it holds a password, and the same catalog reached by another way is the same."""
    return hashlib.sha256(repr((policy.model_dump_json(exclude={"dsn"}), *parts)).encode()).hexdigest()


def apply_canonical_settings(connection: psycopg.Connection[Any]) -> None:
    """For the rest of the connection's transaction, or of its life where it commits."""
    for name, value in CANONICAL_SETTINGS.items():
        if name != "lc_messages":  # a superuser's setting; no text of the server is shown anyway
            connection.execute(sql.SQL("SELECT set_config({}, {}, false)").format(name, value))


def _facts(connection: psycopg.Connection[Any], name: TableName) -> Facts:
    if name[0] in RESERVED_SCHEMAS or name[0].startswith("pg_"):
        raise PolicyError([f"table {'.'.join(name)}: schema {name[0]} is reserved; take the table out"])
    row = connection.execute(FACTS_SQL, name).fetchone()
    if row is None:
        raise PolicyError([f"table {'.'.join(name)}: the data server has no such table; correct the name"])
    facts: Facts = row[0]
    if facts["kind"] not in ("r", "p"):
        raise PolicyError([f"table {'.'.join(name)}: it is a view or a foreign table; name it under 'views'"])
    return facts


def _mirrored(policy: Policy, names: Mapping[TableName, str], facts: Mapping[TableName, Facts]) -> Columns:
    """The columns of each table that exist for analysts."""
    leading = _leading_columns(policy, facts)
    problems: list[str] = []
    found: dict[TableName, frozenset[str]] = {}
    for name, key in names.items():
        table, label = policy.tables[key], ".".join(name)
        existing = {column["name"] for column in facts[name]["columns"]}
        hidden = {column for column, promise in table.columns.items() if promise.hidden}
        named = set(table.columns) - hidden
        wanted = named | leading.get(name, set())
        for column in sorted((wanted | hidden) - existing):
            problems.append(f"table {label}: the data server has no column {column}; correct the name")
        for column in sorted(leading.get(name, set()) & hidden):
            problems.append(f"table {label}: column {column} leads to the privacy unit; do not mark it hidden")
        found[name] = frozenset(wanted)
    if problems:
        raise PolicyError(problems)
    return found


def _leading_columns(policy: Policy, facts: Mapping[TableName, Facts]) -> dict[TableName, set[str]]:
    """Columns that lead from a private table to its unit, and those that foreign keys on that way refer to."""
    leading: dict[TableName, set[str]] = {}
    unit_table = table_key(policy, policy.unit.table)
    if unit_table is not None:
        leading[split_table(unit_table)] = {policy.unit.key}
    for key, table in policy.tables.items():
        path = None if table.unit is None else unit_path(table.unit)
        if path is None:
            continue
        here = split_table(key)
        leading.setdefault(here, set()).update(path.columns)
        columns = path.columns
        for step_table, step_columns in path.steps:
            target = split_table(step_table)
            referred = referred_columns(columns, target, _references(facts.get(here)), _primary(facts.get(target)))
            leading.setdefault(target, set()).update(column_list(step_columns), referred or ())
            here, columns = target, column_list(step_columns)
    return {name: names for name, names in leading.items() if name in facts}


def _references(facts: Facts | None) -> list[ForeignKey]:
    return [_foreign_key(key) for key in facts["foreign_keys"]] if facts is not None else []


def _foreign_key(key: Facts) -> ForeignKey:
    target = (key["target"][0], key["target"][1])
    return ForeignKey(tuple(key["columns"]), target, tuple(key["target_columns"]), key["validated"])


def _primary(facts: Facts | None) -> tuple[str, ...] | None:
    return next((tuple(key["columns"]) for key in facts["keys"] if key["primary"]), None) if facts is not None else None


def _table(connection: psycopg.Connection[Any], name: TableName, facts: Facts, columns: Columns) -> CatalogTable:
    described = {row[0]: row for row in connection.execute(COMMENTS_SQL, name)}
    fingerprint = connection.execute(FINGERPRINT_SQL, name).fetchone()
    assert fingerprint is not None
    return CatalogTable(
        schema=name[0],
        name=name[1],
        columns=tuple(
            _column(column, *described[column["name"]][2:])
            for column in facts["columns"]
            if column["name"] in columns[name]
        ),
        keys=tuple(
            Key(tuple(key["columns"]), key["primary"]) for key in facts["keys"] if set(key["columns"]) <= columns[name]
        ),
        foreign_keys=tuple(
            key
            for key in _references(facts)
            if set(key.columns) <= columns[name] and set(key.target_columns) <= columns.get(key.target, frozenset())
        ),
        kind=facts["kind"],
        has_children=facts["has_children"],
        comment=next((row[1] for row in described.values()), None),
        fingerprint=fingerprint[0],
    )


def _column(facts: Facts, comment: str | None, type_sql: str) -> CatalogColumn:
    base_schema, base_name = facts["base"]
    if facts["kind"] == "e":
        base = "enum"
    elif facts["kind"] == "b" and base_schema == "pg_catalog" and not facts["array"]:
        base = base_name
    else:
        base = "other"
    return CatalogColumn(
        name=facts["name"],
        type=ColumnType(type_sql, base, facts["typmod"], tuple(facts["labels"] or ()), facts["domain"]),
        not_null=facts["not_null"],
        collation=None if facts["collation"] is None else sql.Identifier(*facts["collation"]).as_string(),
        deterministic=facts["deterministic"],
        comment=comment,
    )


def _types(connection: psycopg.Connection[Any], columns: Columns) -> tuple[TypeDefinition, ...]:
    wanted = [(*name, column) for name, names in sorted(columns.items()) for column in sorted(names)]
    rows = connection.execute(TYPES_SQL, [list(part) for part in zip(*wanted, strict=True)] or [[], [], []])
    return tuple(
        TypeDefinition(schema, name, tuple(labels), beneath, not_null, comment)
        for schema, name, _, labels, beneath, not_null, comment in rows
    )


def _refuse_types(
    names: Mapping[TableName, str],
    facts: Mapping[TableName, Facts],
    columns: Columns,
    types: tuple[TypeDefinition, ...],
) -> None:
    """Only pg_catalog's types, enums, domains and arrays of these can be mirrored; xml needs a library that the
    embedded PostgreSQL lacks."""
    mirrored = {(t.schema, t.name) for t in types}
    problems = []
    for name in names:
        for column in facts[name]["columns"]:
            schema, type_name = column["base"]
            element = (schema, type_name.removeprefix("_")) if column["array"] else (schema, type_name)
            known = (schema == "pg_catalog" and element[1] != "xml") or element in mirrored
            if column["name"] in columns[name] and not known:
                problems.append(
                    f"table {'.'.join(name)}: column {column['name']} has type {schema}.{type_name}, which cannot be "
                    "mirrored; mark it hidden"
                )
    if problems:
        raise PolicyError(problems)
