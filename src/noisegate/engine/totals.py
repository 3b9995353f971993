"""From the data server's rows to exact totals: whatever does not have the plan's shape is a fault, never repaired."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from noisegate.errors import Internal
from noisegate.plan.measure import FragmentPlan
from noisegate.plan.trust import Confidential

KEY_TYPES: Final = frozenset({"text"})
TOTAL_TYPES: Final = frozenset({"int8", "numeric"})


def check_columns(plan: FragmentPlan, columns: Sequence[tuple[str, str]]) -> None:
    """`columns`: (name, pg_type name) of the result. Raises Internal unless they are the plan's, in order."""
    names = [key.name for key in plan.keys] + list(plan.columns)
    allowed = [KEY_TYPES] * len(plan.keys) + [TOTAL_TYPES] * len(plan.columns)
    if [name for name, _ in columns] != names or not all(
        type_name in types for (_, type_name), types in zip(columns, allowed, strict=True)
    ):
        raise Internal("a generated query does not return its plan's columns", detail="Nothing was charged.")


def to_confidential(plan: FragmentPlan, rows: Iterable[Sequence[object]]) -> Confidential:
    """Exact totals under distinct keys. Raises Internal otherwise."""
    width = len(plan.keys)
    found: dict[tuple[str | None, ...], tuple[int, ...]] = {}
    for row in rows:
        key = tuple(_key(value) for value in row[:width])
        totals = tuple(_integer(value) for value in row[width:])
        if key in found or len(totals) != len(plan.columns):
            raise Internal("the data server's result does not have its plan's shape")
        found[key] = totals
    return Confidential(plan.digest, tuple(found.items()))


def _key(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise Internal("the data server's result does not have its plan's shape")


def _integer(value: object) -> int:
    if type(value) is int:
        return value
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    raise Internal("the data server's result does not have its plan's shape")
