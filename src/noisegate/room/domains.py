"""Domains of group keys: the values that are known without reading a private row, since the policy declares them or a
public table has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql

from noisegate.errors import PolicyError
from noisegate.plan.catalog import CatalogColumn, CatalogTable, TableName
from noisegate.policy.check_columns import element_base
from noisegate.policy.facts import ColumnFacts
from noisegate.policy.model import Policy
from noisegate.policy.names import domain_target, split_table, table_key

VALUES_MAX = 100_000  # of one domain: each value costs a noisy row in every answer that is grouped by it

PUBLIC_VALUES_MAX = 1_000  # of one column of a public table; with more, groups by it are selected from data
PUBLIC_CHARACTERS_MAX = 50_000  # of all its values: they are written into the engine's SQL
PUBLIC_ROWS_MAX = 1_000_000  # of a public table whose values are looked at: it is read at every start
PUBLIC_TYPES = frozenset("text varchar bpchar int2 int4 int8 bool date uuid numeric".split())

Column = tuple[str, str, str]  # schema, table, column
Domains = dict[Column, tuple[str, ...]]


def read_domains(
    connection: psycopg.Connection[Any], policy: Policy, tables: Mapping[TableName, CatalogTable]
) -> Domains:
    """(schema, table, column) -> the domain's distinct values in the column's own type and canonical text, in the
    order of that text's bytes. The connection has the canonical settings.

    Raises PolicyError: a value that the type refuses, a domain column that is not public, too many values.
    """
    found: Domains = {}
    for key, promise in policy.tables.items():
        name = split_table(key)
        for column_name, column in promise.columns.items():
            target = tables[name].column(column_name)
            if column.domain is None or target is None:
                continue
            where = f"table {key}: the domain of column {column_name}"
            source = _source(policy, tables, column.domain, where)
            found[*name, column_name] = _values(connection, source, _of_elements(target), where)
    return found


def read_public_values(
    connection: psycopg.Connection[Any], tables: Iterable[CatalogTable], rows: Mapping[TableName, int]
) -> tuple[Domains, frozenset[Column]]:
    """Of the columns of public tables, where there are few: the values, as read_domains has them; and which have NULLs.

    Claim: both are a function of public rows. A value that the engine's rows have and these lack is dropped before
    bounding, as one outside a declared domain is. The connection has the canonical settings.
    """
    found: Domains = {}
    nulls: set[Column] = set()
    for table in tables:
        name = table.schema, table.name
        for column in table.columns if rows.get(name, 0) <= PUBLIC_ROWS_MAX else ():
            if not _has_one_text(column):
                continue
            values = _few_values(connection, table, column)
            if values is None:
                continue
            if None in values:
                nulls.add((*name, column.name))
            found[*name, column.name] = tuple(value for value in values if value is not None)
    return found, frozenset(nulls)


def _of_elements(column: CatalogColumn) -> CatalogColumn:
    """A column of an array's elements, whose values a domain lists; any other column as it is."""
    base = element_base(ColumnFacts(column.type.base, column.type.sql))
    if not base:
        return column
    return replace(column, type=replace(column.type, sql=column.type.sql.removesuffix("[]"), base=base))


def _has_one_text(column: CatalogColumn) -> bool:
    """Whether each value has the text that privacy/keys.py gives it."""
    scaled = column.type.typmod >= 4 and (column.type.typmod - 4) & 0x7FF < 1024
    return column.type.base in PUBLIC_TYPES and column.deterministic and (column.type.base != "numeric" or scaled)


def _few_values(
    connection: psycopg.Connection[Any], table: CatalogTable, column: CatalogColumn
) -> list[str | None] | None:
    """With None for NULL, which is the last; None where there are too many."""
    query = sql.SQL(
        'SELECT DISTINCT v COLLATE pg_catalog."C" FROM (SELECT {} AS v FROM (SELECT {} AS x FROM {}) AS s) AS d '
        "ORDER BY 1 LIMIT {}"
    ).format(
        _canonical(column),
        sql.Identifier(column.name),
        sql.Identifier(table.schema, table.name),
        sql.Literal(PUBLIC_VALUES_MAX + 2),
    )
    values = [row[0] for row in connection.execute(query)]
    known = [value for value in values if value is not None]
    few = len(known) <= PUBLIC_VALUES_MAX and sum(map(len, known)) <= PUBLIC_CHARACTERS_MAX
    return values if few else None


def _source(
    policy: Policy, tables: Mapping[TableName, CatalogTable], domain: tuple[str, ...] | str, where: str
) -> sql.Composable:
    """A relation of one column x: the domain's values as written, or as a public table has them."""
    if not isinstance(domain, str):
        return sql.SQL("unnest({}::text[]) AS s(x)").format(sql.Literal(list(domain)))
    target = domain_target(domain)
    key = None if target is None else table_key(policy, target[0])
    if target is None or key is None or not policy.tables[key].public:
        raise PolicyError([f"{where} names {domain}; write 'table.column' of a table that is declared public"])
    table = tables[split_table(key)]
    if table.column(target[1]) is None:
        raise PolicyError([f"{where} names {domain}, which is not a column that the policy shows"])
    relation, column = sql.Identifier(table.schema, table.name), sql.Identifier(target[1])
    return sql.SQL("(SELECT DISTINCT {} AS x FROM {}) AS s").format(column, relation)


def _values(
    connection: psycopg.Connection[Any], source: sql.Composable, column: CatalogColumn, where: str
) -> tuple[str, ...]:
    query = sql.SQL(
        'SELECT DISTINCT v COLLATE pg_catalog."C" FROM (SELECT {} AS v FROM {} WHERE x IS NOT NULL) AS d ORDER BY 1'
    ).format(_canonical(column), source)
    try:
        with connection.transaction():
            values = tuple(row[0] for row in connection.execute(query).fetchmany(VALUES_MAX + 1))
    except psycopg.DataError:
        raise PolicyError([f"{where} has a value that is not of type {column.type.sql}; correct it"]) from None
    except (psycopg.errors.CannotCoerce, psycopg.errors.UndefinedFunction):
        raise PolicyError([f"{where} has values of a type that does not become {column.type.sql}"]) from None
    if len(values) > VALUES_MAX:
        raise PolicyError([f"{where} has more than {VALUES_MAX} values; leave the domain out"])
    return values


def _canonical(column: CatalogColumn) -> sql.Composable:
    """The canonical text of x in the column's type: values that are equal have the same text."""
    cast = sql.SQL("x::" + column.type.sql)  # format_type() wrote it
    if column.type.base == "numeric" and column.type.typmod == -1:
        return sql.SQL("trim_scale({})::text").format(cast)
    if column.type.base in ("float4", "float8"):
        return sql.SQL("({} + 0)::text").format(cast)  # one zero
    return sql.SQL("({})::text").format(cast)
