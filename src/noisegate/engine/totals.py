"""From the data server's rows to exact totals: whatever does not have the plan's shape is a fault, never repaired."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from noisegate.engine.generated import REST
from noisegate.errors import Internal
from noisegate.plan.measure import FragmentPlan, Selection
from noisegate.plan.trust import Confidential

KEY_TYPES: Final = frozenset({"text"})
TOTAL_TYPES: Final = frozenset({"int8", "numeric"})
LEAF_COLUMNS: Final = ("leaf", "n")  # of a histogram, after the keys

Key = tuple[str | None, ...]


def check_columns(plan: FragmentPlan, columns: Sequence[tuple[str, str]], query: int = 0) -> None:
    """`columns`: (name, pg_type name) of the result of a query: 0 is the plan's first. Raises Internal unless they are
    the plan's, in order."""
    integers = _integer_columns(plan, query)
    names = [key.name for key in plan.keys] + list(integers)
    allowed = [KEY_TYPES] * len(plan.keys) + [TOTAL_TYPES] * len(integers)
    if [name for name, _ in columns] != names or not all(
        type_name in types for (_, type_name), types in zip(columns, allowed, strict=True)
    ):
        raise Internal("a generated query does not return its plan's columns", detail="Nothing was charged.")


def _integer_columns(plan: FragmentPlan, query: int) -> tuple[str, ...]:
    if query == 0:
        return (*plan.columns, REST) if has_rest(plan) else plan.columns
    further = plan.more[query - 1]
    return LEAF_COLUMNS if further.leaves else further.columns


def to_confidential(
    plan: FragmentPlan, rows: Iterable[Sequence[object]], further: Sequence[Iterable[Sequence[object]]] = ()
) -> Confidential:
    """Exact totals under distinct keys, and histograms of them. `further`: the rows of each further query.

    A group that one query has and another one lacks has totals of 0 there. Where groups are selected, one that the
    first query lacks was not a candidate: it is left out, as the gate would do. Raises Internal for any other shape.
    """
    if len(further) != len(plan.more):
        raise _misshapen()
    first, rest = _apart(rows) if has_rest(plan) else (rows, None)
    parts = [(_totals(first, len(plan.keys), len(plan.columns)), len(plan.columns))]
    histograms = []
    for query, more in zip(plan.more, further, strict=True):
        if query.leaves:
            histograms.append(_histogram(more, len(plan.keys), query.leaves))
        else:
            parts.append((_totals(more, len(plan.keys), len(query.columns)), len(query.columns)))
    groups = list(parts[0][0])
    if not isinstance(plan.groups, Selection):
        groups = list(dict.fromkeys(key for found, _ in parts for key in found))
    totals = tuple((key, tuple(n for found, w in parts for n in found.get(key, (0,) * w))) for key in groups)
    candidates = frozenset(groups) if isinstance(plan.groups, Selection) else None
    leaves = (tuple(c for c in cells if candidates is None or c[0] in candidates) for cells in histograms)
    return Confidential(plan.digest, totals, tuple(leaves), _rest(plan, rest))


def has_rest(plan: FragmentPlan) -> bool:
    """Whether the first query has a row for the groups below the minimum."""
    return isinstance(plan.groups, Selection) and plan.groups.other is not None


def _apart(rows: Iterable[Sequence[object]]) -> tuple[list[Sequence[object]], list[Sequence[object]]]:
    """The rows of groups, and that of the rest."""
    groups: list[Sequence[object]] = []
    rest: list[Sequence[object]] = []
    for row in rows:
        (rest if row and _integer(row[-1]) else groups).append(row[:-1])
    return groups, rest


def _rest(plan: FragmentPlan, rows: Iterable[Sequence[object]] | None) -> tuple[int, ...] | None:
    """Its totals; 0 in the columns of further queries, which do not add up over groups."""
    found = list(_totals(rows or (), len(plan.keys), len(plan.columns)).values())
    if len(found) > 1:
        raise _misshapen()
    return found[0] + (0,) * (len(plan.exact) - len(plan.columns)) if found else None


def _totals(rows: Iterable[Sequence[object]], width: int, columns: int) -> dict[Key, tuple[int, ...]]:
    found: dict[Key, tuple[int, ...]] = {}
    for row in rows:
        key = tuple(_key(value) for value in row[:width])
        totals = tuple(_integer(value) for value in row[width:])
        if key in found or len(totals) != columns:
            raise _misshapen()
        found[key] = totals
    return found


def _histogram(rows: Iterable[Sequence[object]], width: int, size: int) -> list[tuple[Key, int, int]]:
    found: dict[tuple[Key, int], int] = {}
    for row in rows:
        key = tuple(_key(value) for value in row[:width])
        if len(row) != width + len(LEAF_COLUMNS):
            raise _misshapen()
        leaf, count = _integer(row[width]), _integer(row[width + 1])
        if (key, leaf) in found or not 0 <= leaf < size or count < 0:
            raise _misshapen()
        found[key, leaf] = count
    return [(key, leaf, count) for (key, leaf), count in found.items()]


def _key(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise _misshapen()


def _integer(value: object) -> int:
    if type(value) is int:
        return value
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    raise _misshapen()


def _misshapen() -> Internal:
    return Internal("the data server's result does not have its plan's shape")
