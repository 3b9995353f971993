"""What the rules of `check` walk over: tables, columns and unit columns that both the policy and the database have."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from noisegate.policy.facts import ColumnFacts, DatabaseFacts, TableFacts, TableName
from noisegate.policy.model import Bound, Column, Policy, Table
from noisegate.policy.names import UnitPath, split_table, table_key, unit_path
from noisegate.policy.source import KeyPath, did_you_mean

Severity = Literal["error", "warning", "note"]

INTEGERS: Final = frozenset({"int2", "int4", "int8"})
NUMBERS: Final = INTEGERS | {"numeric", "float4", "float8"}
TEXTS: Final = frozenset({"text", "varchar"})


@dataclass(frozen=True, slots=True)
class Said:
    """What a rule says about one path of the policy: 'what; what to write'."""

    severity: Severity
    path: KeyPath
    text: str


Says = Iterator[Said]
LiveRule = Callable[[Policy, DatabaseFacts], Says]


def tables(policy: Policy, facts: DatabaseFacts) -> Iterator[tuple[str, Table, TableFacts]]:
    """(key in the policy, what it says, what the database has)."""
    for key, table in policy.tables.items():
        there = facts.tables.get(split_table(key))
        if there is not None:
            yield key, table, there


def private_tables(policy: Policy, facts: DatabaseFacts) -> Iterator[tuple[str, UnitPath, TableFacts]]:
    for key, table, there in tables(policy, facts):
        path = unit_path(table.unit or "")
        if path is not None:
            yield key, path, there


def columns(policy: Policy, facts: DatabaseFacts) -> Iterator[tuple[KeyPath, str, Column, ColumnFacts]]:
    for key, table, there in tables(policy, facts):
        for name, column in table.columns.items():
            if name in there.columns:
                yield ("tables", key, "columns", name), name, column, there.columns[name]


def unit_columns(policy: Policy, facts: DatabaseFacts) -> Iterator[tuple[KeyPath, str, ColumnFacts]]:
    """Every column that holds the unit itself: the unit's key first, then each private table's own column."""
    key_table = facts.tables.get(split_table(policy.unit.table))
    if key_table is not None and policy.unit.key in key_table.columns:
        yield ("unit", "key"), f"'{policy.unit.table}.{policy.unit.key}'", key_table.columns[policy.unit.key]
    for key, path, there in private_tables(policy, facts):
        if not path.steps and path.column in there.columns and key != table_key(policy, policy.unit.table):
            yield ("tables", key, "unit"), f"'{key}.{path.column}'", there.columns[path.column]


def leading_columns(policy: Policy, facts: DatabaseFacts) -> set[tuple[TableName, str]]:
    """Columns that lead to the unit; they need not be named to exist."""
    found = {(split_table(policy.unit.table), policy.unit.key)}
    for key, path, there in private_tables(policy, facts):
        found.add((split_table(key), path.column))
        for table, column in path.steps:
            found.add((split_table(table), column))
        targets = {split_table(table) for table, _ in path.steps}
        for foreign in there.foreign_keys:
            if foreign.target in targets:
                found.update((foreign.target, column) for column in foreign.target_columns)
    return found


def unknown_column(path: KeyPath, table: str, column: str, there: TableFacts) -> Said:
    hint = did_you_mean(column, there.columns, "correct the name, or leave it out")
    return Said("error", path, f"the database's table '{table}' has no column '{column}'; {hint}")


def kind_of(bound: Bound) -> str:
    """'number', 'date', 'timestamp' or 'timestamp with a zone'."""
    if isinstance(bound, dt.datetime):
        return "timestamp with a zone" if bound.tzinfo is not None else "timestamp"
    return "date" if isinstance(bound, dt.date) else "number"
