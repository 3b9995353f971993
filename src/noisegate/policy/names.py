"""How a policy writes names: tables, 'table.column', and the path from a table to the privacy unit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from noisegate.policy.model import Policy


@dataclass(frozen=True, slots=True)
class UnitPath:
    """How rows of one table find their unit: `column` alone names it, or `steps` lead there.

    'user_id' is UnitPath('user_id'); 'order_id -> orders.user_id' is UnitPath('order_id', (('orders', 'user_id'),)).
    A step (table, column): the row of `table` that the column before refers to, and that row's own `column`. But for
    the last, a column may be several, in brackets: '(order_no, region) -> orders.user_id'.
    """

    column: str
    steps: tuple[tuple[str, str], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The table's own columns that lead to the unit, or are it."""
        return column_list(self.column)

    def after(self, step: int) -> UnitPath:
        """The path from the row that `step` (from 0) reaches."""
        return UnitPath(self.steps[step][1], self.steps[step + 1 :])


class Reference(Protocol):
    """A foreign key, as a catalog has it."""

    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def target(self) -> tuple[str, str]: ...
    @property
    def target_columns(self) -> tuple[str, ...]: ...


def unit_path(text: str) -> UnitPath | None:
    """Read a table's `unit`; None when it is neither a column nor a chain."""
    first, *rest = (part.strip() for part in text.split("->"))
    steps = tuple((table.strip(), column) for table, column in map(_step, rest))
    columns = [first, *(column for _, column in steps)]
    if not all(table for table, _ in steps) or not all(map(_is_list, columns)) or columns[-1].startswith("("):
        return None
    first, *others = (_spelled(column) for column in columns)
    return UnitPath(first, tuple((table, column) for (table, _), column in zip(steps, others, strict=True)))


def column_list(text: str) -> tuple[str, ...]:
    """'a' or '(a, b)'."""
    inner = text.strip()
    if inner.startswith("(") and inner.endswith(")"):
        return tuple(part.strip() for part in inner[1:-1].split(","))
    return (inner,)


def spell_columns(columns: tuple[str, ...]) -> str:
    """As a policy writes them."""
    return columns[0] if len(columns) == 1 else f"({', '.join(columns)})"


def referred_columns(
    columns: tuple[str, ...],
    target: tuple[str, str],
    foreign_keys: Iterable[Reference],
    primary: tuple[str, ...] | None,
) -> tuple[str, ...] | None:
    """The columns of `target` that `columns` refer to, one by one: by a foreign key of these columns in any order; else
    one column refers to the target's primary key (`primary`) of one column. None where neither is there."""
    for key in foreign_keys:
        if key.target == target and sorted(key.columns) == sorted(columns):
            pairs = dict(zip(key.columns, key.target_columns, strict=True))
            return tuple(pairs[column] for column in columns)
    return primary if len(columns) == 1 and primary is not None and len(primary) == 1 else None


def domain_target(text: str) -> tuple[str, str] | None:
    """Read a domain 'table.column' or 'schema.table.column'; None when it is neither."""
    table, _, column = text.rpartition(".")
    return (table, column) if table and column else None


def table_key(policy: Policy, name: str) -> str | None:
    """The key under which the policy has table `name` ('users' and 'public.users' are one table), or None."""
    schema, table = split_table(name)
    candidates = (f"{schema}.{table}", table if schema == "public" else None)
    return next((key for key in candidates if key is not None and key in policy.tables), None)


def split_table(name: str) -> tuple[str, str]:
    """(schema, table) of 'users' or 'schema.users'."""
    schema, dot, table = name.partition(".")
    return (schema, table) if dot else ("public", name)


def _step(text: str) -> tuple[str, str]:
    """'orders.user_id' or 'orders.(a, b)': the table and its column or columns."""
    table, dot, columns = text.partition(".(")
    if dot:
        return table, "(" + columns
    table, _, column = text.rpartition(".")
    return table, column


def _is_list(text: str) -> bool:
    """Whether it is one name, or several different ones in brackets."""
    columns = column_list(text)
    bracketed = text.startswith("(")
    return all(columns) and len(set(columns)) == len(columns) and bracketed == (len(columns) > 1)


def _spelled(text: str) -> str:
    return spell_columns(column_list(text))
