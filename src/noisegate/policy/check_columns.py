"""Rules of `check` about columns: names, bounds, grids, totals, domains."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from noisegate.policy.facts import ColumnFacts, DatabaseFacts
from noisegate.policy.model import Column, Policy
from noisegate.policy.names import column_list, domain_target, split_table
from noisegate.policy.walk import (
    INTEGERS,
    NUMBERS,
    TEXTS,
    LiveRule,
    Said,
    Says,
    columns,
    kind_of,
    leading_columns,
    tables,
    unknown_column,
)

DOMAIN_TYPES: Final = INTEGERS | TEXTS | {"bpchar", "numeric", "date", "uuid", "bool", "enum"}
TIMES: Final = {
    "date": frozenset({"date"}),
    "timestamp": frozenset({"date", "timestamp"}),
    "timestamptz": frozenset({"date", "timestamp", "timestamp with a zone"}),
}
ELEMENTS: Final = {
    "boolean": "bool",
    "smallint": "int2",
    "integer": "int4",
    "bigint": "int8",
    "numeric": "numeric",
    "real": "float4",
    "double precision": "float8",
    "text": "text",
    "character varying": "text",
    "date": "date",
    "time without time zone": "time",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "uuid": "uuid",
}
INT8_MAX: Final = 2**63 - 1
UNITS_MAX: Final = 10**9  # how many units a sum must have room for


def columns_exist(policy: Policy, facts: DatabaseFacts) -> Says:
    for key, table, there in tables(policy, facts):
        for column in table.columns:
            if column not in there.columns:
                yield unknown_column(("tables", key, "columns", column), key, column, there)
        for i, entry in enumerate(table.unprotected_units):
            for column in column_list(entry):
                if column not in there.columns:
                    yield unknown_column(("tables", key, "unprotected_units", i), key, column, there)


def columns_named_nowhere(policy: Policy, facts: DatabaseFacts) -> Says:
    leading = leading_columns(policy, facts)
    for key, table, there in tables(policy, facts):
        if table.public and not table.columns:
            continue
        missing = [c for c in there.columns if c not in table.columns and (split_table(key), c) not in leading]
        if missing:
            yield Said(
                "warning",
                ("tables", key, "columns"),
                f"columns of '{key}' that are named nowhere do not exist for analysts: {', '.join(missing)}; "
                f"write '{missing[0]}: {{hidden: true}}' if that is meant",
            )


def bounds_fit_types(policy: Policy, facts: DatabaseFacts) -> Says:
    for path, name, column, there in columns(policy, facts):
        if column.bounds is None:
            continue
        kinds = {kind_of(bound) for bound in column.bounds}
        base = element_base(there) or there.base
        fits = base in NUMBERS if kinds == {"number"} else kinds <= TIMES.get(base, frozenset())
        if not fits:
            yield Said("error", (*path, "bounds"), f"'{name}' has type {there.type_sql}; {_bounds_hint(there)}")


def number_settings_fit_types(policy: Policy, facts: DatabaseFacts) -> Says:
    for path, name, column, there in columns(policy, facts):
        for setting in ("grid", "unit_total", "unit_total_overall", "typical"):
            value = getattr(column, setting)
            if value is not None and there.base not in NUMBERS:
                yield Said(
                    "error",
                    (*path, setting),
                    f"'{name}' has type {there.type_sql} and '{setting}' is for numbers; leave it out",
                )
        if column.grid is not None and there.base in INTEGERS and column.grid % 1 != 0:
            yield Said("error", (*path, "grid"), f"'{name}' has whole numbers; write a whole grid, like '1'")


def lengths_are_of_arrays(policy: Policy, facts: DatabaseFacts) -> Says:
    for path, name, column, there in columns(policy, facts):
        if column.length_max is not None and not element_base(there):
            yield Said(
                "error",
                (*path, "length_max"),
                f"'{name}' has type {there.type_sql} and 'length_max' is for arrays of numbers, texts, booleans, "
                "dates, times and uuids; leave it out",
            )


def unit_total_needs_bounds(policy: Policy, facts: DatabaseFacts) -> Says:
    for path, name, column, _ in columns(policy, facts):
        for setting in ("unit_total", "unit_total_overall"):
            if getattr(column, setting) is not None and column.bounds is None:
                yield Said(
                    "warning",
                    (*path, setting),
                    f"'{name}' has a {setting} and no bounds, so it cannot be summed; write its bounds",
                )


def domains_fit_types(policy: Policy, facts: DatabaseFacts) -> Says:
    for path, name, column, there in columns(policy, facts):
        if column.domain is None:
            continue
        if (element_base(there) or there.base) not in DOMAIN_TYPES:
            yield Said(
                "error",
                (*path, "domain"),
                f"'{name}' has type {there.type_sql}, which cannot have a domain; leave it out",
            )
        elif there.base in ("bool", "enum"):
            yield Said(
                "warning",
                (*path, "domain"),
                f"the values of '{name}' are known from its type {there.type_sql}; leave 'domain' out",
            )


def domain_values_fit(policy: Policy, facts: DatabaseFacts) -> Says:
    for key, table, there in tables(policy, facts):
        for name, column in table.columns.items():
            refused = facts.refused_values.get((*split_table(key), name), ())
            for value in refused:
                at = column.domain.index(value) if isinstance(column.domain, tuple) and value in column.domain else 0
                yield Said(
                    "error",
                    ("tables", key, "columns", name, "domain", at),
                    f"'{value}' is not a value of type {there.columns[name].type_sql}; correct it",
                )


def domain_columns_fit(policy: Policy, facts: DatabaseFacts) -> Says:
    for path, name, column, there in columns(policy, facts):
        target = domain_target(column.domain) if isinstance(column.domain, str) else None
        source = facts.tables.get(split_table(target[0])) if target is not None else None
        if target is None or source is None:
            continue
        if target[1] not in source.columns:
            yield unknown_column((*path, "domain"), target[0], target[1], source)
        elif not _comparable(source.columns[target[1]].base, element_base(there) or there.base):
            yield Said(
                "error",
                (*path, "domain"),
                f"'{name}' has type {there.type_sql} and '{column.domain}' has type "
                f"{source.columns[target[1]].type_sql}; name a column of the same type",
            )


def sums_fit_integers(policy: Policy, facts: DatabaseFacts) -> Says:
    """Sums run over integers, multiples of the grid: UNITS_MAX units must stay below 2^63."""
    for path, name, column, there in columns(policy, facts):
        grid, key = _grid(column, there), str(path[1])
        if grid is None or column.bounds is None or there.base not in NUMBERS or kind_of(column.bounds[0]) != "number":
            continue
        rows = policy.limits_of(key).rows_per_group_max or 1
        largest = max(abs(Decimal(str(bound))) for bound in column.bounds)
        per_unit = int((column.unit_total or largest * rows) / grid) + 1
        if per_unit * UNITS_MAX > INT8_MAX:
            yield Said(
                "warning",
                path,
                f"one unit adds up to {per_unit} steps of {grid} to a sum of '{name}', so more than "
                f"{INT8_MAX // per_unit} units need slower arithmetic; write a coarser grid or a smaller unit_total",
            )


COLUMN_RULES: Final[tuple[LiveRule, ...]] = (
    columns_exist,
    columns_named_nowhere,
    bounds_fit_types,
    number_settings_fit_types,
    lengths_are_of_arrays,
    unit_total_needs_bounds,
    domains_fit_types,
    domain_values_fit,
    domain_columns_fit,
    sums_fit_integers,
)


def element_base(there: ColumnFacts) -> str:
    """The `base` of an array's elements; '' for other types, and for elements that are not read on private rows."""
    if there.base != "other" or not there.type_sql.endswith("[]"):
        return ""
    return ELEMENTS.get(re.sub(r"\(.*?\)", "", there.type_sql.removesuffix("[]")), "")


def _bounds_hint(there: ColumnFacts) -> str:
    base = element_base(there) or there.base
    if base in NUMBERS:
        return "write two numbers, like '[0, 100]'"
    if base in TIMES:
        example = "[2020-01-01, 2025-12-31]"
        zone = "" if base != "timestamp" else ", without a zone"
        return f"write dates, like '{example}'" + (f", or timestamps{zone}" if base != "date" else "")
    return "only numbers, dates and timestamps have bounds: leave them out"


def _comparable(one: str, other: str) -> bool:
    families = (INTEGERS | {"numeric"}, TEXTS | {"bpchar"})
    return one == other or any(one in family and other in family for family in families)


def _grid(column: Column, there: ColumnFacts) -> Decimal | None:
    """The step of a sum as far as policy and type say it; None where it would follow from the bounds."""
    if column.grid is not None:
        return column.grid
    if there.base in INTEGERS:
        return Decimal(1)
    return None if there.scale is None else Decimal(1).scaleb(-there.scale)
