"""Plain columns as values: their types, what is known of their ranges by type and by policy."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from noisegate.errors import Unsupported
from noisegate.plan.catalog import CatalogColumn, CatalogTable, TableName
from noisegate.policy.model import Bound, Column
from noisegate.query.constants import quote_name
from noisegate.query.interval import ANY, Interval, meet
from noisegate.query.tree import TableRef
from noisegate.query.values import INT_RANGES, INTS, NUMBERS, Value


@dataclass(frozen=True, slots=True)
class Source:
    """One table of the relation under the alias that the generated SQL gives it."""

    ref: TableRef
    table: CatalogTable
    policy: Mapping[str, Column]
    private: bool
    sql_alias: str
    nullable: bool  # on the far side of a LEFT JOIN: its columns may be NULL

    @property
    def name(self) -> TableName:
        return (self.table.schema, self.table.name)


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of a column of a relation. `table`, `column` and `policy` are set where it is a plain copy of a
    table's column; `policy` only where that table is private."""

    not_null: bool
    unit: bool = False  # it is the row's unit, by lineage
    private: bool = True
    table: CatalogTable | None = None
    column: CatalogColumn | None = None
    policy: Column | None = None
    multiplied: bool = False  # joins may repeat its rows: a unit total declared for it does not hold


def column_value(source: Source, column: CatalogColumn, narrowed: Interval | None) -> Value:
    """A plain column as a value. Its `safe` range is the type's, never the policy's."""
    base = column.type.base
    if base in ("varchar", "name", "citext"):
        base = "text" if base == "varchar" else "other"
    if base == "other" or not column.deterministic:
        raise Unsupported(f"column {column.name} has a type that is not supported on private rows", name=column.name)
    declared = source.policy.get(column.name)
    bound = bounds_of(declared, base)
    if narrowed is not None:
        bound = meet(bound, narrowed)
    scale = 0 if base in INTS else numeric_scale(column) if base == "numeric" else None
    return Value(
        f"{source.sql_alias}.{quote_name(column.name)}",
        base,
        _safe(column, base),
        bound,
        scale,
        enum_type=column.type.sql if base == "enum" else None,
        labels=column.type.labels,
        column=(source.sql_alias, column.name),
        collation=column.collation,
    )


def _safe(column: CatalogColumn, base: str) -> Interval:
    if base in INT_RANGES:
        return INT_RANGES[base]
    scale = numeric_scale(column)
    if base == "numeric" and scale is not None:
        top = Fraction(10 ** (((column.type.typmod - 4) >> 16) & 0xFFFF))
        return Interval(-top, top)
    return ANY


def numeric_scale(column: CatalogColumn) -> int | None:
    """Decimals of numeric(p,s), from its typmod; None where unconstrained."""
    if column.type.typmod < 4:
        return None
    scale = (column.type.typmod - 4) & 0x7FF
    return scale if scale < 1024 else None


def bounds_of(declared: Column | None, base: str) -> Interval:
    """The policy's bounds as numbers: themselves, days or seconds since 2000-01-01."""
    if declared is None or declared.bounds is None:
        return ANY
    if base in NUMBERS or base in ("date", "timestamp", "timestamptz"):
        return Interval(_as_number(declared.bounds[0], base), _as_number(declared.bounds[1], base))
    return ANY


def _as_number(bound: Bound, base: str) -> Fraction:
    if isinstance(bound, dt.date):
        moment = bound if isinstance(bound, dt.datetime) else dt.datetime(bound.year, bound.month, bound.day)
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
        seconds = Fraction((moment - dt.datetime(2000, 1, 1)) // dt.timedelta(microseconds=1), 1_000_000)
        return Fraction(seconds // 86400) if base == "date" else seconds
    return Fraction(bound)
