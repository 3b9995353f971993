"""How a policy writes names: tables, 'table.column', and the path from a table to the privacy unit."""

from __future__ import annotations

from dataclasses import dataclass

from noisegate.policy.model import Policy


@dataclass(frozen=True, slots=True)
class UnitPath:
    """How rows of one table find their unit: `column` alone names it, or `steps` lead there.

    'user_id' is UnitPath('user_id'); 'order_id -> orders.user_id' is UnitPath('order_id', (('orders', 'user_id'),)).
    A step (table, column): the row of `table` that the column before refers to, and that row's own `column`.
    """

    column: str
    steps: tuple[tuple[str, str], ...] = ()


def unit_path(text: str) -> UnitPath | None:
    """Read a table's `unit`; None when it is neither a column nor a chain."""
    first, *rest = (part.strip() for part in text.split("->"))
    steps = tuple((table, column) for table, _, column in (part.rpartition(".") for part in rest))
    if not first or not all(table and column for table, column in steps):
        return None
    return UnitPath(first, steps)


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
