"""Views of the data server: their definitions into the snapshot, and the snapshot's into the clean room.

A view is only a text. In the room it is one over the mirrored tables that reads them with the rights of whoever asks
(security_invoker): with its owner's rights, a superuser's, it would pass by the tripwire of the tables beneath.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from psycopg import sql

from noisegate.errors import PolicyError
from noisegate.plan.catalog import CatalogTable, CatalogView, Snapshot, TableName, TypeDefinition
from noisegate.policy.model import Policy
from noisegate.policy.names import split_table
from noisegate.room.catalog_sql import VIEW_SQL, VIEW_USES_SQL
from noisegate.room.objects import Statements, column_list

Views = dict[TableName, CatalogView]
Uses = list[tuple[str, str, str, str | None]]  # kind of object, schema, name, column (None: the whole)


def read_views(
    connection: psycopg.Connection[Any],
    policy: Policy,
    tables: Mapping[TableName, CatalogTable],
    types: tuple[TypeDefinition, ...],
) -> Views:
    """The policy's views, each after those that it reads. The connection has the canonical settings.

    Raises PolicyError: no such view, a view of something that the policy does not name or the room does not have.
    """
    names = {split_table(key): key for key in policy.views}
    found: Views = {}
    problems: list[str] = []
    for name, key in names.items():
        row = connection.execute(VIEW_SQL, name).fetchone()
        if row is None or row[0] != "v":
            problems.append(f"view {key}: {_not_a_view(None if row is None else row[0])}")
            continue
        uses: Uses = connection.execute(VIEW_USES_SQL, name).fetchall()
        wrong = [text for use in uses if (text := _missing(use, tables, names, types)) is not None]
        problems += [f"view {key}: {text}" for text in dict.fromkeys(wrong)]
        found[name] = _view(name, row, uses)
    if problems:
        raise PolicyError(problems)
    order = graphlib.TopologicalSorter({name: [r for r in view.reads if r in found] for name, view in found.items()})
    return {name: found[name] for name in order.static_order()}


def views(snapshot: Snapshot) -> Iterator[tuple[CatalogView, Statements]]:
    """For each view, the statements that make it."""
    for view in snapshot.views.values():
        yield view, _statements(view)


def create_views(room: psycopg.Connection[Any], snapshot: Snapshot) -> None:
    """In the transaction that builds a room. Raises PolicyError for a text that PostgreSQL refuses there."""
    for view, statements in views(snapshot):
        try:
            with room.transaction():
                for statement in statements:
                    room.execute(statement)
        except psycopg.Error as error:
            reason = error.diag.message_primary or "it is refused"
            name = next(key for key in snapshot.policy.views if split_table(key) == (view.schema, view.name))
            raise PolicyError([f"view {name}: the clean room cannot make it: {reason}; leave it out"]) from None


def _statements(view: CatalogView) -> Statements:
    name = sql.Identifier(view.schema, view.name)
    columns = column_list(tuple(column for column, _ in view.columns))
    listed = sql.SQL(" ({})").format(columns) if view.columns else sql.SQL("")
    yield sql.SQL("CREATE VIEW {}{} WITH (security_invoker = true) AS {}").format(
        name,
        listed,
        sql.SQL(view.definition),  # pg_get_viewdef() wrote it
    )
    if view.comment is not None:
        yield sql.SQL("COMMENT ON VIEW {} IS {}").format(name, sql.Literal(view.comment))
    for column, comment in view.columns:
        if comment is not None:
            place = sql.SQL("{}.{}").format(name, sql.Identifier(column))
            yield sql.SQL("COMMENT ON COLUMN {} IS {}").format(place, sql.Literal(comment))
    yield sql.SQL("GRANT SELECT ON {} TO PUBLIC").format(name)


def _view(name: TableName, row: tuple[Any, ...], uses: Uses) -> CatalogView:
    _, definition, comment, columns = row
    return CatalogView(
        schema=name[0],
        name=name[1],
        columns=tuple((column, said) for column, said in columns),
        definition=str(definition).strip().removesuffix(";"),
        reads=tuple(sorted({(schema, table) for kind, schema, table, _ in uses if kind == "relation"})),
        comment=comment,
    )


def _not_a_view(kind: str | None) -> str:
    if kind is None:
        return "the data server has no such view; correct the name"
    if kind in ("r", "p"):
        return "it is a table; name it under 'tables'"
    return "it is no plain view; name the tables beneath it under 'tables'"


def _missing(
    use: tuple[str, str, str, str | None],
    tables: Mapping[TableName, CatalogTable],
    views: Mapping[TableName, str],
    types: tuple[TypeDefinition, ...],
) -> str | None:
    """Why the clean room lacks something that a view uses; None where it has it."""
    kind, schema, name, column = use
    label = f"{schema}.{name}" if schema else name
    if kind == "relation":
        if (schema, name) in views:
            return None
        table = tables.get((schema, name))
        if table is None:
            return f"it reads {label}, which the policy does not name; write that under 'tables' or 'views'"
        if column is not None and table.column(column) is None:
            return (
                f"it reads column {column} of {label}, which the policy does not show; write '{column}:' among the "
                "table's columns, or leave the view out"
            )
        return None
    if kind == "type" and (schema, name) in {(t.schema, t.name) for t in types}:
        return None
    return f"it uses {kind} {label}, which the clean room does not have; leave it out"
