"""The mirrored schema as statements, one function per kind of object. Pure: snapshot in, statements out.

What is left out: CHECK constraints, defaults, indexes without a key, partitions (a partitioned table is mirrored as
one plain table), and what a domain forbids (the clean room sees released values only).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from psycopg import sql

from noisegate.plan.catalog import CatalogColumn, CatalogTable, Snapshot, TableName, TypeDefinition

Statements = Iterator[sql.SQL | sql.Composed]


def relation(table: CatalogTable) -> sql.Composable:
    return sql.Identifier(table.schema, table.name)


def column_list(names: tuple[str, ...]) -> sql.Composable:
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)


def schemas(snapshot: Snapshot) -> Statements:
    names = {name[0] for name in (*snapshot.tables, *snapshot.views)} | {t.schema for t in snapshot.types}
    for name in sorted(names):
        yield sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(name))
        yield sql.SQL("GRANT USAGE ON SCHEMA {} TO PUBLIC").format(sql.Identifier(name))


def types(snapshot: Snapshot) -> Statements:
    for definition in snapshot.types:
        name = sql.Identifier(definition.schema, definition.name)
        if definition.beneath is None:
            labels = sql.SQL(", ").join(sql.Literal(label) for label in definition.labels)
            yield sql.SQL("CREATE TYPE {} AS ENUM ({})").format(name, labels)
        else:
            yield sql.SQL("CREATE DOMAIN {} AS {}").format(name, sql.SQL(definition.beneath))
        yield from _comment(_kind(definition), name, definition.comment)


def tables(snapshot: Snapshot, collations: frozenset[str]) -> Statements:
    """`collations`: those that the room's server has, quoted and qualified; a column of another gets the default."""
    for table in snapshot.tables.values():
        columns = sql.SQL(", ").join(_column(column, collations) for column in table.columns)
        yield sql.SQL("CREATE TABLE {} ({})").format(relation(table), columns)
        yield from _comment("TABLE", relation(table), table.comment)
        for column in table.columns:
            name = sql.SQL("{}.{}").format(relation(table), sql.Identifier(column.name))
            yield from _comment("COLUMN", name, column.comment)


def keys(snapshot: Snapshot) -> Statements:
    for table in snapshot.tables.values():
        primary_seen = False
        for key in table.keys:
            kind = "PRIMARY KEY" if key.primary and not primary_seen else "UNIQUE"
            primary_seen = primary_seen or key.primary
            yield sql.SQL("ALTER TABLE {} ADD {} ({})").format(relation(table), sql.SQL(kind), column_list(key.columns))


def foreign_keys(snapshot: Snapshot) -> Statements:
    """Those whose target has a key of exactly these columns in the room; tools draw them."""
    for table in snapshot.tables.values():
        for key in table.foreign_keys:
            target = snapshot.tables.get(key.target)
            if target is None or not _has_key(target, key.target_columns):
                continue
            yield sql.SQL("ALTER TABLE {} ADD FOREIGN KEY ({}) REFERENCES {} ({}){}").format(
                relation(table),
                column_list(key.columns),
                relation(target),
                column_list(key.target_columns),
                sql.SQL("" if key.validated else " NOT VALID"),
            )


def private_tables(snapshot: Snapshot) -> list[CatalogTable]:
    return [table for name, table in snapshot.tables.items() if snapshot.is_private(name)]


def public_tables(snapshot: Snapshot) -> list[CatalogTable]:
    return [table for name, table in snapshot.tables.items() if not snapshot.is_private(name)]


def unknown_collations(tables: Mapping[TableName, CatalogTable], collations: frozenset[str]) -> list[str]:
    """'table.column: collation' of columns whose order differs in the room, for a warning."""
    return [
        f"{name[0]}.{name[1]}.{column.name}: {column.collation}"
        for name, table in tables.items()
        for column in table.columns
        if column.collation is not None and column.collation not in collations
    ]


def _column(column: CatalogColumn, collations: frozenset[str]) -> sql.Composable:
    parts = [sql.Identifier(column.name), sql.SQL(column.type.sql)]
    if column.collation is not None and column.collation in collations:
        parts.append(sql.SQL("COLLATE " + column.collation))
    if column.not_null:
        parts.append(sql.SQL("NOT NULL"))
    return sql.SQL(" ").join(parts)


def _has_key(table: CatalogTable, columns: tuple[str, ...]) -> bool:
    return any(sorted(key.columns) == sorted(columns) for key in table.keys)


def _kind(definition: TypeDefinition) -> str:
    return "TYPE" if definition.beneath is None else "DOMAIN"


def _comment(kind: str, name: sql.Composable, comment: str | None) -> Statements:
    if comment is not None:
        yield sql.SQL("COMMENT ON {} {} IS {}").format(sql.SQL(kind), name, sql.Literal(comment))
