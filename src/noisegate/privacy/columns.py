"""Sources of a FROM clause, and their columns as values: types, ranges by type and by policy, what is known of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from noisegate.errors import NoisegateError, Unsupported
from noisegate.plan.catalog import CatalogColumn, CatalogTable, Snapshot
from noisegate.plan.units import UNIT, Determinant, Hop, determinants, unit_path_of
from noisegate.policy.model import Bound, Column
from noisegate.query.constants import quote_name
from noisegate.query.interval import ANY, Interval
from noisegate.query.total.arrays import ELEMENTS
from noisegate.query.total.casts import target_of
from noisegate.query.tree import TableRef
from noisegate.query.values import INT_RANGES, INTS, NUMBERS, Value

OWN_UNIT = ""  # the name of a derived source's hidden column that holds the unit; no column of SQL has it


@dataclass(frozen=True, slots=True)
class Left:
    """What a nested query leaves of a column's values: canonical texts, None where they are not known; and NULL."""

    values: tuple[str, ...] | None
    null: bool


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
    left_out: bool = False  # it is NOT NULL only because rows without a unit are left out
    missing: bool = False  # an outer join may put NULL in its place
    left: Left | None = None  # where the conditions and constants of nested queries say it (privacy/passing.py)


@dataclass(frozen=True, slots=True)
class SourceColumn:
    value: Value
    fact: Fact


@dataclass(frozen=True, slots=True)
class Source:
    """One item of a FROM clause, under the alias that the generated SQL gives it.

    private: its rows are people's; then `unit` is the SQL of a row's unit, or `hops` lead to it, or every row is of the
    unit of the outer sources `tied`. determinants, keys: in names of `columns`; OWN_UNIT stands for the unit itself.
    rows: the most rows of a public source, None where nothing is known. beside: of a LATERAL source, the generated
    aliases of the items that it may read: its keys name one row for one row of each of them.
    """

    alias: str
    sql_alias: str
    sql: str
    columns: Mapping[str, SourceColumn | NoisegateError]
    private: bool
    unit: Value | None = None
    determinants: tuple[Determinant, ...] = ()
    keys: tuple[frozenset[str], ...] = ()
    tables: tuple[CatalogTable, ...] = ()
    limits: tuple[str, ...] = ()  # the policy's names of the private tables beneath
    hops: tuple[Hop, ...] = ()
    tied: tuple[str, ...] = ()
    rows: int | None = None
    beside: frozenset[str] = frozenset()

    @property
    def once(self) -> bool:
        """Whether a unit has at most one row, by an enforced key."""
        unit = {c for d in self.determinants if d.label == UNIT for c in d.columns} | {OWN_UNIT}
        return any(key <= unit for key in self.keys)

    def column(self, name: str) -> SourceColumn:
        """Raises what is wrong with the column; KeyError where there is none."""
        found = self.columns[name]
        if isinstance(found, NoisegateError):
            raise type(found)(found.message, detail=found.detail, hint=found.hint, name=found.name)
        return found


def table_source(ref: TableRef, sql_alias: str, snapshot: Snapshot) -> Source:
    """A table of the policy. Raises Unsupported for any other."""
    name = (ref.schema, ref.table)
    table, key = snapshot.tables.get(name), snapshot.policy_name(name)
    if table is None or key is None:
        raise Unsupported(
            f"{ref.table} joined with a private table is not supported",
            name=ref.table,
            hint="Join private tables with the policy's public tables only.",
        )
    private = snapshot.is_private(name)
    policy = snapshot.policy.tables[key].columns
    only = "ONLY " if ref.only else ""
    named = [*ref.columns, *(c.name for c in table.columns[len(ref.columns) :])]
    if len(set(named)) < len(named):
        raise Unsupported(f"two columns of {ref.alias} have one name", name=ref.alias)
    renamed = dict(zip((c.name for c in table.columns), named, strict=True))
    source = Source(
        ref.alias,
        sql_alias,
        f"{only}{table_sql(table)} AS {sql_alias}",
        {
            renamed[c.name]: _table_column(table, c, policy.get(c.name), private, sql_alias, renamed[c.name])
            for c in table.columns
        },
        private,
        keys=tuple(frozenset(renamed[c] for c in k.columns) for k in table.keys if set(k.columns) <= set(renamed)),
        tables=(table,),
        limits=(key,) if private else (),
        rows=None if private else snapshot.public_rows.get(name),
    )
    if not private:
        return source
    found = tuple(
        Determinant(d.label, tuple(renamed[c] for c in d.columns))
        for d in determinants(snapshot, name)
        if set(d.columns) <= set(renamed)
    )
    path = unit_path_of(snapshot, name)
    if path.hops:
        return replace(source, determinants=found, hops=path.hops)
    shown = renamed[path.column]
    own = source.column(shown)
    columns = {**source.columns, shown: replace(own, fact=replace(own.fact, unit=True))}
    return replace(source, determinants=found, columns=columns, unit=own.value)


def _table_column(
    table: CatalogTable, column: CatalogColumn, policy: Column | None, private: bool, sql_alias: str, shown: str
) -> SourceColumn | NoisegateError:
    try:
        value = column_value(column, policy, sql_alias, shown)
    except Unsupported as error:
        return error
    return SourceColumn(value, Fact(column.not_null, False, private, table, column, policy if private else None))


def column_value(column: CatalogColumn, declared: Column | None, sql_alias: str, shown: str) -> Value:
    """A plain column as a value. Its `safe` range is the type's, never the policy's."""
    base = column.type.base
    if base in ("varchar", "name", "citext"):
        base = "text" if base == "varchar" else "other"
    element = element_of(column.type.sql) if base == "other" and not column.type.domain else ""
    if element:
        base = "array"
    if base == "other" or not column.deterministic:
        raise Unsupported(f"column {column.name} has a type that is not supported on private rows", name=column.name)
    scale = 0 if base in INTS else numeric_scale(column) if base == "numeric" else None
    return Value(
        f"{sql_alias}.{quote_name(column.name)}",
        base,
        _safe(column, base),
        bounds_of(declared, base),
        scale,
        enum_type=column.type.sql if base == "enum" else None,
        labels=column.type.labels,
        column=(sql_alias, shown),
        collation=column.collation,
        null=not column.not_null,
        element=element,
        chars=_chars(column),
    )


def element_of(type_sql: str) -> str:
    """The type of an array's items, or '' where noisegate reads no such arrays."""
    if not type_sql.endswith("[]"):
        return ""
    try:
        base = target_of(type_sql[:-2])[0]
    except NoisegateError:
        return ""
    return base if base in ELEMENTS else ""


def _chars(column: CatalogColumn) -> int | None:
    """Of varchar(n) and char(n)."""
    limited = column.type.base in ("varchar", "bpchar") and column.type.typmod >= 4
    return column.type.typmod - 4 if limited else None


def table_sql(table: CatalogTable) -> str:
    return f"{quote_name(table.schema)}.{quote_name(table.name)}"


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
