"""Declared domains of group keys: the values that are known without reading a private row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

from noisegate.errors import PolicyError
from noisegate.plan.catalog import CatalogColumn, CatalogTable, TableName
from noisegate.policy.model import Policy
from noisegate.policy.names import domain_target, split_table, table_key

VALUES_MAX = 100_000  # of one domain: each value costs a noisy row in every answer that is grouped by it

Domains = dict[tuple[str, str, str], tuple[str, ...]]


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
            found[*name, column_name] = _values(connection, source, target, where)
    return found


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
