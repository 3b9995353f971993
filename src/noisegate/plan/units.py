"""How the rows of a private table find their unit, and which columns of a row determine it. Pure values.

A *determinant* of a row is a label and columns: rows of any tables that agree in the columns of equal labels belong to
the same unit. The unit's own column has the label UNIT; a key of a table, and a chain's reference to it, have the
table's name and the key's columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from noisegate.errors import Internal, Unsupported
from noisegate.plan.catalog import Snapshot, TableName
from noisegate.policy.names import column_list, referred_columns, split_table, unit_path

Label = tuple[str, ...]
UNIT: Label = ("unit",)


@dataclass(frozen=True, slots=True)
class Determinant:
    """Columns of a row, in the label's order, that say which unit the row belongs to."""

    label: Label
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hop:
    """From a row to the row of `target` whose `target_columns`, a key of it, equal `columns`."""

    columns: tuple[str, ...]
    target: TableName
    target_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnitPath:
    """`hops` lead from a row to the row whose `column` is the unit; none where the table has the column itself."""

    hops: tuple[Hop, ...]
    column: str


def unit_path_of(snapshot: Snapshot, name: TableName) -> UnitPath:
    """The policy's path from a private table to its unit.

    Raises Internal for a table without a unit, Unsupported where a chain leads to columns that are no enforced key:
    a row could then belong to several units.
    """
    found = snapshot.memo.get(("unit path", name))
    if found is None:
        found = snapshot.memo[("unit path", name)] = _unit_path_of(snapshot, name)
    return cast(UnitPath, found)


def _unit_path_of(snapshot: Snapshot, name: TableName) -> UnitPath:
    key = snapshot.policy_name(name)
    text = snapshot.policy.tables[key].unit if key is not None else None
    found = unit_path(text) if text is not None else None
    if found is None:
        raise Internal("a private table has no unit")
    hops: list[Hop] = []
    here, columns = name, column_list(found.column)
    for step_table, step_column in found.steps:
        target = _table_named(snapshot, step_table)
        hops.append(_hop(snapshot, here, columns, target))
        here, columns = target, column_list(step_column)
    if len(columns) != 1:
        raise Internal("a unit is one column")
    return UnitPath(tuple(hops), columns[0])


def determinants(snapshot: Snapshot, name: TableName) -> tuple[Determinant, ...]:
    """Claim: two rows that agree in the columns of equal labels (none NULL) belong to the same unit, or to none.

    Assumes: the catalog's keys are enforced (its fingerprint is read again in the engine's transaction).
    Because: a key names one row, and a row one unit; a chain's first reference names, by a key, the row that the unit
    is taken from.
    """
    table = snapshot.tables.get(name)
    if table is None or not snapshot.is_private(name):
        return ()
    path = unit_path_of(snapshot, name)
    found = [Determinant(_label(name, key.columns), tuple(sorted(key.columns))) for key in table.keys]
    if path.hops:
        found.append(_reference(path.hops[0]))
    else:
        found.insert(0, Determinant(UNIT, (path.column,)))
    return tuple(found)


def _label(table: TableName, columns: tuple[str, ...]) -> Label:
    return (*table, *sorted(columns))


def _reference(hop: Hop) -> Determinant:
    pairs = sorted(zip(hop.target_columns, hop.columns, strict=True))
    return Determinant(_label(hop.target, hop.target_columns), tuple(own for _, own in pairs))


def _table_named(snapshot: Snapshot, text: str) -> TableName:
    name = split_table(text)
    if name not in snapshot.tables:
        raise Unsupported(f"the policy's path to the unit leads to table {text}, which is not there")
    return name


def _hop(snapshot: Snapshot, here: TableName, columns: tuple[str, ...], target: TableName) -> Hop:
    """By a foreign key, if there is one; else to the target's primary key of as many columns."""
    there, table = snapshot.tables[target], snapshot.tables[here]
    primary = next((k.columns for k in there.keys if k.primary), None)
    wanted = referred_columns(columns, target, table.foreign_keys, primary)
    if wanted is None or not any(set(k.columns) == set(wanted) for k in there.keys):
        raise Unsupported(
            f"rows of table {here[1]} reach their unit through {target[1]}, which has no enforced key for that",
            name=here[1],
            hint="The data owner can add a primary key or a unique constraint.",
        )
    return Hop(columns, target, wanted)
