"""Rules of `check` about tables and units."""

from __future__ import annotations

from typing import Final

from noisegate.policy.facts import DatabaseFacts, ForeignKeyFacts
from noisegate.policy.model import Policy
from noisegate.policy.names import UnitPath, column_list, spell_columns, split_table, table_key, unit_path
from noisegate.policy.source import KeyPath, did_you_mean
from noisegate.policy.walk import (
    INTEGERS,
    TEXTS,
    Hop,
    LiveRule,
    Said,
    Says,
    hops,
    private_tables,
    tables,
    unit_columns,
    unknown_column,
)

UNIT_TYPES: Final = INTEGERS | TEXTS | {"uuid"}


def tables_exist(policy: Policy, facts: DatabaseFacts) -> Says:
    for key in policy.tables:
        name = split_table(key)
        if name not in facts.tables:
            shown = [table if schema == "public" else f"{schema}.{table}" for schema, table in facts.names]
            hint = did_you_mean(key, shown, "correct the name, or give the DSN's user the right to see it")
            yield Said("error", ("tables", key), f"the database has no table '{key}'; {hint}")
        elif facts.tables[name].kind not in ("r", "p"):
            yield Said("error", ("tables", key), f"'{key}' is a view or a foreign table; name a view under 'views'")


def tables_readable(policy: Policy, facts: DatabaseFacts) -> Says:
    for key, _, there in tables(policy, facts):
        if not there.readable:
            yield Said("error", ("tables", key), f"user '{facts.user}' may not read '{key}'; GRANT SELECT on it")
        if there.row_security:
            yield Said(
                "warning",
                ("tables", key),
                f"'{key}' has row security, which may hide rows from '{facts.user}'; "
                "exempt that user if all rows are meant",
            )


def unit_columns_exist(policy: Policy, facts: DatabaseFacts) -> Says:
    for key, path, there in private_tables(policy, facts):
        where = ("tables", key, "unit")
        for column in path.columns:
            if column not in there.columns:
                yield unknown_column(where, key, column, there)
        for table, columns in path.steps:
            target = facts.tables.get(split_table(table))
            for column in column_list(columns) if target is not None else ():
                if target is not None and column not in target.columns:
                    yield unknown_column(where, table, column, target)
    unit_table = facts.tables.get(split_table(policy.unit.table))
    if unit_table is not None and policy.unit.key not in unit_table.columns:
        yield unknown_column(("unit", "key"), policy.unit.table, policy.unit.key, unit_table)


def unit_types(policy: Policy, facts: DatabaseFacts) -> Says:
    """One equality for a unit: the same simple type everywhere, compared byte by byte (no case-blind collation)."""
    first: tuple[str, str] | None = None
    for where, label, column in unit_columns(policy, facts):
        if column.base not in UNIT_TYPES:
            yield Said(
                "error",
                where,
                f"{label} has type {column.type_sql}; a unit is an integer, a uuid or a text: name another column",
            )
            continue
        if not column.deterministic:
            yield Said(
                "error",
                where,
                f"{label} has a collation that takes different texts for equal; use a deterministic collation",
            )
        first = first or (label, column.base)
        if column.base != first[1]:
            yield Said(
                "error",
                where,
                f"{label} is {column.base} and {first[0]} is {first[1]}; give both columns the same type",
            )


def unit_nullable(policy: Policy, facts: DatabaseFacts) -> Says:
    for key, path, there in private_tables(policy, facts):
        for name in path.columns:
            column = there.columns.get(name)
            if column is not None and not column.not_null:
                yield Said(
                    "warning",
                    ("tables", key, "unit"),
                    f"'{key}.{name}' may be NULL; rows without a unit are left out of every answer: "
                    "add NOT NULL if there are none",
                )


def unit_key_unique(policy: Policy, facts: DatabaseFacts) -> Says:
    there = facts.tables.get(split_table(policy.unit.table))
    if there is not None and (policy.unit.key,) not in there.keys and policy.unit.key in there.columns:
        yield Said(
            "warning",
            ("unit", "key"),
            f"'{policy.unit.table}.{policy.unit.key}' is not an enforced key, so one unit may have several rows there "
            "and answers are bounded as for other tables; add a primary key if it is unique",
        )


def chains_have_foreign_keys(policy: Policy, facts: DatabaseFacts) -> Says:
    for key, path, _ in private_tables(policy, facts):
        for hop in hops(split_table(key), path, facts):
            columns = sorted(hop.columns)
            keys = facts.tables[hop.here].foreign_keys
            if not any(sorted(k.columns) == columns and k.target == hop.target and k.validated for k in keys):
                yield Said(
                    "warning",
                    ("tables", key, "unit"),
                    f"no validated foreign key leads from '{hop.own}' to '{hop.name}'; rows without a partner there "
                    "belong to nobody and are left out: add the foreign key if there are none",
                )


def chains_lead_to_keys(policy: Policy, facts: DatabaseFacts) -> Says:
    """A row that met several rows of a chain's next table could belong to several units."""
    for key, path, _ in private_tables(policy, facts):
        where = ("tables", key, "unit")
        for hop in hops(split_table(key), path, facts):
            there = facts.tables[hop.target]
            if hop.target_columns is None:
                yield Said(
                    "error",
                    where,
                    f"nothing says which columns of '{hop.name}' '{hop.own}' refers to; add a foreign key"
                    + (f", or a primary key of one column to '{hop.name}'" if len(hop.columns) == 1 else ""),
                )
            elif not any(sorted(k) == sorted(hop.target_columns) for k in there.keys):
                yield Said(
                    "error",
                    where,
                    f"'{hop.name}.{spell_columns(hop.target_columns)}' is not an enforced key, so a row of "
                    f"'{key}' could belong to several units; add a primary key or a unique constraint to '{hop.name}'",
                )
            else:
                yield from _comparable(where, hop, facts)


def _comparable(where: KeyPath, hop: Hop, facts: DatabaseFacts) -> Says:
    """By one equality: where two types meet, one value could equal several keys."""
    here, there = facts.tables[hop.here], facts.tables[hop.target]
    for own, other in zip(hop.columns, hop.target_columns or (), strict=True):
        one, two = here.columns.get(own), there.columns.get(other)
        if one is None or two is None:
            continue
        kinds = {"integer" if c.base in INTEGERS else "text" if c.base in TEXTS else c.base for c in (one, two)}
        if len(kinds) > 1 or kinds & {"other", "float4", "float8"} or not (one.deterministic and two.deterministic):
            yield Said(
                "error",
                where,
                f"'{own}' ({one.type_sql}) leads to '{hop.name}.{other}' ({two.type_sql}); a chain needs columns "
                "of one type, compared byte by byte: change their types, or name another path",
            )


def chain_keys_not_hidden(policy: Policy, facts: DatabaseFacts) -> Says:
    for key, path, _ in private_tables(policy, facts):
        for hop in hops(split_table(key), path, facts):
            target = table_key(policy, hop.name)
            for column in (hop.target_columns or ()) if target is not None else ():
                promise = policy.tables[target].columns.get(column) if target is not None else None
                if promise is not None and promise.hidden:
                    yield Said(
                        "error",
                        ("tables", str(target), "columns", column, "hidden"),
                        f"the chain of '{key}' needs '{column}' to find the unit; leave 'hidden' out "
                        "(its values are never shown)",
                    )


def other_paths_to_units(policy: Policy, facts: DatabaseFacts) -> Says:
    """Foreign keys to the table of units, or to another private table, that are not the table's own path."""
    for key, table, there in tables(policy, facts):
        path = unit_path(table.unit or "")
        first = split_table(path.steps[0][0]) if path is not None and path.steps else split_table(policy.unit.table)
        own = (set(path.columns), first) if path is not None else None
        listed = [set(column_list(entry)) for entry in table.unprotected_units]
        for foreign in there.foreign_keys:
            through = _leads_to_units(policy, foreign)
            columns = spell_columns(foreign.columns)
            if through is None or key == table_key(policy, policy.unit.table):
                continue
            if table.public:
                rest = "" if through == policy.unit.table else f" -> {through}.{policy.tables[through].unit}"
                yield Said(
                    "warning",
                    ("tables", key, "public"),
                    f"'{key}' is public, and its column '{columns}' refers to '{through}'; anybody sees all "
                    f"of its rows: write 'unit: {columns}{rest}' instead of 'public: true'",
                )
            elif (set(foreign.columns), foreign.target) != own and set(foreign.columns) not in listed:
                yield _other_path(policy, key, path, columns, through)


def _other_path(policy: Policy, key: str, path: UnitPath | None, columns: str, through: str) -> Said:
    """Only a note where a row names its unit itself and refers to people's rows: mostly, these are the same unit's."""
    where, listed = ("tables", key, "unit"), f"write 'unprotected_units: [{_listed(columns)}]'"
    if path is not None and not path.steps and through != policy.unit.table:
        return Said(
            "note",
            where,
            f"'{key}.{columns}' leads to units, too, through '{through}'; where they are not those of '{path.column}', "
            f"they are not protected in these rows: {listed}",
        )
    return Said(
        "warning",
        where,
        f"'{key}.{columns}' names units, too, and they are not protected in these rows; {listed} if that is meant",
    )


def _leads_to_units(policy: Policy, foreign: ForeignKeyFacts) -> str | None:
    """The policy's name of the table of units, or of people's rows, that a foreign key refers to."""
    if foreign.target == split_table(policy.unit.table):
        return policy.unit.table if foreign.target_columns == (policy.unit.key,) else None
    key = table_key(policy, ".".join(foreign.target))
    return key if key is not None and policy.tables[key].unit is not None else None


def _listed(columns: str) -> str:
    """As an entry of a YAML list."""
    return f'"{columns}"' if columns.startswith("(") else columns


TABLE_RULES: Final[tuple[LiveRule, ...]] = (
    tables_exist,
    tables_readable,
    unit_columns_exist,
    unit_types,
    unit_nullable,
    unit_key_unique,
    chains_have_foreign_keys,
    chains_lead_to_keys,
    chain_keys_not_hidden,
    other_paths_to_units,
)
