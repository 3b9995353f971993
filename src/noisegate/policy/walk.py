"""What the rules of `check` walk over: tables, columns and unit columns that both the policy and the database have."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from noisegate.policy.facts import ColumnFacts, DatabaseFacts, TableFacts, TableName
from noisegate.policy.model import Bound, Column, Policy, Table
from noisegate.policy.names import (
    UnitPath,
    column_list,
    referred_columns,
    spell_columns,
    split_table,
    table_key,
    unit_path,
)
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
    for key, path, _ in private_tables(policy, facts):
        found.update((split_table(key), column) for column in path.columns)
        for hop in hops(split_table(key), path, facts):
            found.update((hop.target, column) for column in (*(hop.target_columns or ()), *hop.next_columns))
    return found


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a chain: `columns` of table `here` refer to `target_columns` (None: nothing says which) of the table
    that the policy calls `name`, where the chain goes on with `next_columns`."""

    here: TableName
    columns: tuple[str, ...]
    name: str
    target: TableName
    target_columns: tuple[str, ...] | None
    next_columns: tuple[str, ...]

    @property
    def own(self) -> str:
        return spell_columns(self.columns)


def hops(table: TableName, path: UnitPath, facts: DatabaseFacts) -> Iterator[Hop]:
    """The steps of a chain, as far as the database has their tables."""
    here, columns = table, path.columns
    for name, column in path.steps:
        target = split_table(name)
        one, other = facts.tables.get(here), facts.tables.get(target)
        if one is None or other is None:
            return
        following = column_list(column)
        yield Hop(
            here, columns, name, target, referred_columns(columns, target, one.foreign_keys, other.primary), following
        )
        here, columns = target, following


def unknown_column(path: KeyPath, table: str, column: str, there: TableFacts) -> Said:
    hint = did_you_mean(column, there.columns, "correct the name, or leave it out")
    return Said("error", path, f"the database's table '{table}' has no column '{column}'; {hint}")


def kind_of(bound: Bound) -> str:
    """'number', 'date', 'timestamp' or 'timestamp with a zone'."""
    if isinstance(bound, dt.datetime):
        return "timestamp with a zone" if bound.tzinfo is not None else "timestamp"
    return "date" if isinstance(bound, dt.date) else "number"
