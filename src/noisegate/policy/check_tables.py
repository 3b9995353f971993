"""Rules of `check` about tables and units."""

from __future__ import annotations

from typing import Final

from noisegate.policy.facts import DatabaseFacts
from noisegate.policy.model import Policy
from noisegate.policy.names import split_table, table_key, unit_path
from noisegate.policy.source import did_you_mean
from noisegate.policy.walk import (
    INTEGERS,
    TEXTS,
    LiveRule,
    Said,
    Says,
    private_tables,
    tables,
    unit_columns,
    unknown_column,
)

UNIT_TYPES: Final = INTEGERS | TEXTS | {"uuid"}


def tables_exist(policy: Policy, facts: DatabaseFacts) -> Says:
    for key in policy.tables:
        name = split_table(key)
        if name not in facts.tables:
            shown = [table if schema == "public" else f"{schema}.{table}" for schema, table in facts.names]
            hint = did_you_mean(key, shown, "correct the name, or give the DSN's user the right to see it")
            yield Said("error", ("tables", key), f"the database has no table '{key}'; {hint}")
        elif facts.tables[name].kind not in ("r", "p"):
            yield Said("error", ("tables", key), f"'{key}' is a view or a foreign table; name the tables beneath it")


def tables_readable(policy: Policy, facts: DatabaseFacts) -> Says:
    for key, _, there in tables(policy, facts):
        if not there.readable:
            yield Said("error", ("tables", key), f"user '{facts.user}' may not read '{key}'; GRANT SELECT on it")
        if there.row_security:
            yield Said(
                "warning",
                ("tables", key),
                f"'{key}' has row security, which may hide rows from '{facts.user}'; "
                "exempt that user if all rows are meant",
            )


def unit_columns_exist(policy: Policy, facts: DatabaseFacts) -> Says:
    for key, path, there in private_tables(policy, facts):
        where = ("tables", key, "unit")
        if path.column not in there.columns:
            yield unknown_column(where, key, path.column, there)
        for table, column in path.steps:
            target = facts.tables.get(split_table(table))
            if target is not None and column not in target.columns:
                yield unknown_column(where, table, column, target)
    unit_table = facts.tables.get(split_table(policy.unit.table))
    if unit_table is not None and policy.unit.key not in unit_table.columns:
        yield unknown_column(("unit", "key"), policy.unit.table, policy.unit.key, unit_table)


def unit_types(policy: Policy, facts: DatabaseFacts) -> Says:
    """One equality for a unit: the same simple type everywhere, compared byte by byte (no case-blind collation)."""
    first: tuple[str, str] | None = None
    for where, label, column in unit_columns(policy, facts):
        if column.base not in UNIT_TYPES:
            yield Said(
                "error",
                where,
                f"{label} has type {column.type_sql}; a unit is an integer, a uuid or a text: name another column",
            )
            continue
        if not column.deterministic:
            yield Said(
                "error",
                where,
                f"{label} has a collation that takes different texts for equal; use a deterministic collation",
            )
        first = first or (label, column.base)
        if column.base != first[1]:
            yield Said(
                "error",
                where,
                f"{label} is {column.base} and {first[0]} is {first[1]}; give both columns the same type",
            )


def unit_nullable(policy: Policy, facts: DatabaseFacts) -> Says:
    for key, path, there in private_tables(policy, facts):
        column = there.columns.get(path.column)
        if column is not None and not column.not_null:
            yield Said(
                "warning",
                ("tables", key, "unit"),
                f"'{key}.{path.column}' may be NULL; rows without a unit are left out of every answer: "
                "add NOT NULL if there are none",
            )


def unit_key_unique(policy: Policy, facts: DatabaseFacts) -> Says:
    there = facts.tables.get(split_table(policy.unit.table))
    if there is not None and (policy.unit.key,) not in there.keys and policy.unit.key in there.columns:
        yield Said(
            "warning",
            ("unit", "key"),
            f"'{policy.unit.table}.{policy.unit.key}' is not an enforced key, so one unit may have several rows there "
            "and answers are bounded as for other tables; add a primary key if it is unique",
        )


def chains_have_foreign_keys(policy: Policy, facts: DatabaseFacts) -> Says:
    for key, path, there in private_tables(policy, facts):
        column = path.column
        for table, next_column in path.steps:
            wanted = split_table(table)
            if not any(k.columns == (column,) and k.target == wanted and k.validated for k in there.foreign_keys):
                yield Said(
                    "warning",
                    ("tables", key, "unit"),
                    f"no validated foreign key leads from '{column}' to '{table}'; rows without a partner there belong "
                    "to nobody and are left out: add the foreign key if there are none",
                )
            found = facts.tables.get(wanted)
            if found is None:
                break
            there, column = found, next_column


def other_paths_to_units(policy: Policy, facts: DatabaseFacts) -> Says:
    target = split_table(policy.unit.table)
    for key, table, there in tables(policy, facts):
        path = unit_path(table.unit or "")
        named = {*table.unprotected_units, *([path.column] if path and not path.steps else [])}
        for foreign in there.foreign_keys:
            if foreign.target != target or foreign.target_columns != (policy.unit.key,):
                continue
            column = foreign.columns[0]
            if table.public:
                yield Said(
                    "warning",
                    ("tables", key, "public"),
                    f"'{key}' is public, and its column '{column}' refers to '{policy.unit.table}'; anybody sees all "
                    f"of its rows: write 'unit: {column}' instead of 'public: true'",
                )
            elif column not in named and key != table_key(policy, policy.unit.table):
                yield Said(
                    "warning",
                    ("tables", key, "unit"),
                    f"'{key}.{column}' names units, too, and they are not protected in these rows; "
                    f"write 'unprotected_units: [{column}]' if that is meant",
                )


TABLE_RULES: Final[tuple[LiveRule, ...]] = (
    tables_exist,
    tables_readable,
    unit_columns_exist,
    unit_types,
    unit_nullable,
    unit_key_unique,
    chains_have_foreign_keys,
    other_paths_to_units,
)
