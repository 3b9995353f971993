"""What a policy must satisfy beyond its schema, without a database: an ordered tuple of small rules.

Each rule yields problems (path in the file, 'what is wrong; what to write'). Rules against the live database are in
check.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

from noisegate.policy.model import Budget, Column, Policy, Table
from noisegate.policy.names import UnitPath, column_list, domain_target, split_table, table_key, unit_path
from noisegate.policy.source import KeyPath, Problem, did_you_mean
from noisegate.policy.walk import kind_of

Problems = Iterator[Problem]

IDENTIFIER_BYTES_MAX: Final = 63
RESERVED_DATABASES: Final = frozenset({"postgres", "template0", "template1"})
SYSTEM_COLUMNS: Final = frozenset({"tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"})


def database_name(policy: Policy) -> Problems:
    name = policy.database
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name) or len(name) > IDENTIFIER_BYTES_MAX:
        yield Problem(
            ("database",),
            "the database name cannot be used; write letters, digits, '_' and '-', at most 63, a letter first",
        )
    if name.lower() in RESERVED_DATABASES:
        yield Problem(("database",), f"'{name}' is a database of PostgreSQL itself; write another name")


def table_names(policy: Policy) -> Problems:
    seen: dict[tuple[str, str], str] = {}
    for key in policy.tables:
        path = ("tables", key)
        schema, table = split_table(key)
        if not schema or not table or "." in table:
            yield Problem(path, f"'{key}' is not a table's name; write 'table' or 'schema.table'")
        elif schema.startswith("pg_") or schema == "information_schema":
            yield Problem(path, f"'{key}' belongs to PostgreSQL's catalogs; leave it out")
        if (schema, table) in seen:
            yield Problem(path, f"'{key}' and '{seen[schema, table]}' are one table; write it once")
        seen[schema, table] = key


def view_names(policy: Policy) -> Problems:
    seen: set[tuple[str, str]] = set()
    for i, key in enumerate(policy.views):
        path = ("views", i)
        schema, view = split_table(key)
        if not schema or not view or "." in view:
            yield Problem(path, f"'{key}' is not a view's name; write 'view' or 'schema.view'")
        elif schema.startswith("pg_") or schema in ("information_schema", "noisegate"):
            yield Problem(path, f"'{key}' belongs to a schema that is reserved; leave it out")
        if (schema, view) in seen:
            yield Problem(path, f"'{key}' stands twice among the views; write it once")
        if table_key(policy, key) is not None:
            yield Problem(path, f"'{key}' stands under 'tables', too; write it in one place")
        seen.add((schema, view))


def column_names(policy: Policy) -> Problems:
    for path, name, _ in _columns(policy):
        if name in SYSTEM_COLUMNS:
            yield Problem(path, f"'{name}' is a system column; leave it out")


def private_or_public(policy: Policy) -> Problems:
    for key, table in policy.tables.items():
        if table.unit is None and not table.public:
            yield Problem(
                ("tables", key),
                f"table '{key}' says neither whose its rows are nor that they are public; "
                "write 'unit: <column>' or 'public: true'",
            )
        if table.unit is not None and table.public:
            yield Problem(
                ("tables", key, "public"),
                f"table '{key}' has a unit and is public; write one of 'unit' and 'public: true'",
            )


def public_columns(policy: Policy) -> Problems:
    """What a policy does not name does not exist, in public tables too."""
    for key, table in policy.tables.items():
        if table.public and not any(not column.hidden for column in table.columns.values()):
            yield Problem(
                ("tables", key),
                f"table '{key}' names no column, so analysts would see nothing of it; "
                "write 'columns: {code: , name: }'",
            )


def something_private(policy: Policy) -> Problems:
    if all(table.public for table in policy.tables.values()):
        yield Problem(
            ("tables",), "no table is private, so nothing is protected; write 'unit: <column>' in a table of people"
        )


def unit_paths(policy: Policy) -> Problems:
    for key, table in policy.tables.items():
        if table.unit is None:
            continue
        found = unit_path(table.unit)
        path = ("tables", key, "unit")
        if found is None:
            yield Problem(
                path,
                "the unit is not a column or a chain; write 'user_id', 'order_id -> orders.user_id' or "
                "'(order_no, region) -> orders.user_id'",
            )
            continue
        for step, (name, _) in enumerate(found.steps):
            yield from _chain_step(policy, path, name, found.after(step))


def _chain_step(policy: Policy, path: KeyPath, name: str, rest: UnitPath) -> Problems:
    """Two paths from one table would find two units for its rows, so the rest of a chain is the table's own path."""
    target = table_key(policy, name)
    if target is None:
        yield Problem(
            path, f"the chain leads to '{name}', which has no entry; {did_you_mean(name, policy.tables, 'write one')}"
        )
    elif policy.tables[target].unit is None:
        yield Problem(path, f"the chain leads to '{name}', which is not private; write 'unit' in that table")
    elif (own := unit_path(policy.tables[target].unit or "")) is not None and not _same_path(own, rest):
        said = "ends in" if not rest.steps else "goes on with"
        yield Problem(
            path,
            f"the chain {said} '{name}.{rest.column}', but the unit of '{name}' is '{policy.tables[target].unit}'; "
            "write that",
        )


def _same_path(one: UnitPath, other: UnitPath) -> bool:
    """The order of a step's columns says nothing."""

    def plain(path: UnitPath) -> tuple[object, ...]:
        return sorted(path.columns), [(split_table(t), sorted(column_list(c))) for t, c in path.steps]

    return plain(one) == plain(other)


def unit_table(policy: Policy) -> Problems:
    key = table_key(policy, policy.unit.table)
    if key is None:
        return
    table = policy.tables[key]
    if table.public:
        yield Problem(
            ("tables", key, "public"),
            f"'{key}' is the table of units and cannot be public; write 'unit: {policy.unit.key}'",
        )
    elif table.unit is not None and table.unit.strip() != policy.unit.key:
        yield Problem(
            ("tables", key, "unit"),
            f"'{key}' is the table of units, whose key is '{policy.unit.key}'; write 'unit: {policy.unit.key}'",
        )


def unit_column_not_hidden(policy: Policy) -> Problems:
    for key, table in policy.tables.items():
        found = unit_path(table.unit or "")
        for name in found.columns if found is not None else ():
            if (column := table.columns.get(name)) is not None and column.hidden:
                yield Problem(
                    ("tables", key, "columns", name, "hidden"),
                    f"'{name}' leads to the unit and every question needs it; leave 'hidden' out "
                    "(its values are never shown)",
                )


def private_settings_on_public(policy: Policy) -> Problems:
    for key, table in policy.tables.items():
        if not table.public:
            continue
        if table.unprotected_units:
            yield Problem(
                ("tables", key, "unprotected_units"), "a public table protects nobody; leave 'unprotected_units' out"
            )
        if table.limits.model_fields_set:
            yield Problem(("tables", key, "limits"), "a public table has no contribution limits; leave 'limits' out")


def hidden_alone(policy: Policy) -> Problems:
    for path, name, column in _columns(policy):
        if column.hidden and column.model_fields_set - {"hidden"}:
            yield Problem(path, f"'{name}' is hidden and has other properties; leave them out, or 'hidden'")


def bounds_in_order(policy: Policy) -> Problems:
    for path, name, column in _columns(policy):
        if column.bounds is None:
            continue
        low, high = column.bounds
        if kind_of(low) != kind_of(high):
            yield Problem(
                (*path, "bounds"), f"the bounds of '{name}' are of two kinds; write two numbers, dates or timestamps"
            )
        elif low > high:  # type: ignore[operator]  # one kind
            yield Problem(
                (*path, "bounds"), f"the bounds of '{name}' have the low value above the high one; write [low, high]"
            )


def number_settings(policy: Policy) -> Problems:
    for path, _, column in _columns(policy):
        timed = column.bounds is not None and kind_of(column.bounds[0]) != "number"
        for key in ("grid", "unit_total", "unit_total_overall", "typical"):
            if timed and getattr(column, key) is not None:
                yield Problem((*path, key), f"'{key}' is for numbers, and the bounds are dates; leave it out")
        for key in ("grid", "unit_total", "unit_total_overall"):
            value = getattr(column, key)
            if value is not None and value <= 0:
                yield Problem((*path, key), f"'{key}' must be above 0; write a positive number")


def grid_and_typical_fit(policy: Policy) -> Problems:
    for path, _, column in _columns(policy):
        if column.bounds is None or kind_of(column.bounds[0]) != "number":
            continue
        low, high = Decimal(str(column.bounds[0])), Decimal(str(column.bounds[1]))
        if column.grid is not None and low < high and column.grid > high - low:
            yield Problem(
                (*path, "grid"), "the grid is wider than the bounds; write the step of the values, like '0.01'"
            )
        if column.typical is not None and low <= high and not low <= column.typical <= high:
            yield Problem((*path, "typical"), "'typical' is outside the bounds; write a value inside them")


def domain_lists(policy: Policy) -> Problems:
    for path, name, column in _columns(policy):
        if not isinstance(column.domain, tuple):
            continue
        if not column.domain:
            yield Problem(
                (*path, "domain"), f"the domain of '{name}' is empty; write its values, or leave 'domain' out"
            )
        for i, value in enumerate(column.domain):
            if value in column.domain[:i]:
                yield Problem((*path, "domain", i), f"'{value}' stands twice in the domain of '{name}'; write it once")


def domain_targets(policy: Policy) -> Problems:
    for path, name, column in _columns(policy):
        if not isinstance(column.domain, str):
            continue
        where = (*path, "domain")
        target = domain_target(column.domain)
        if target is None:
            yield Problem(
                where, f"the domain of '{name}' is not a list or a column; write '[free, pro]' or 'countries.code'"
            )
            continue
        key = table_key(policy, target[0])
        if key is None:
            hint = did_you_mean(target[0], policy.tables, "write a public table")
            yield Problem(where, f"the domain names table '{target[0]}', which has no entry; {hint}")
        elif not policy.tables[key].public:
            yield Problem(
                where, f"the domain names '{target[0]}', which is not public; write a public table's column, or a list"
            )
        elif not _shows(policy.tables[key], target[1]):
            hint = did_you_mean(target[1], policy.tables[key].columns, f"write '{target[1]}:' among its columns")
            yield Problem(where, f"the domain names column '{target[1]}', which '{key}' does not show; {hint}")


def prices(policy: Policy) -> Problems:
    price = policy.price
    if price.epsilon <= 0:
        yield Problem(("price", "epsilon"), "the default price is not above 0; write a number like '0.1'")
    if price.epsilon > price.epsilon_max:
        yield Problem(
            ("price", "epsilon"),
            f"the default price is above epsilon_max ({price.epsilon_max}); write at most that, or raise it",
        )
    if not 0 <= price.delta < Decimal("0.5"):
        yield Problem(("price", "delta"), "delta is not a probability below 1/2; write a number like '1e-9'")


def budget_amounts(policy: Policy) -> Problems:
    for path, budget in _budgets(policy):
        if budget.epsilon < 0:
            yield Problem((*path, "epsilon"), "a budget cannot be negative; write 0 or more")
        if not 0 <= budget.delta < 1:
            yield Problem((*path, "delta"), "delta is not a probability below 1; write a number like '1e-6'")


def budget_ceilings(policy: Policy) -> Problems:
    for path, budget in _budgets(policy):
        if budget.ceiling is not None and not budget.ceiling.delta < 1:
            yield Problem((*path, "ceiling", "delta"), "delta is not a probability below 1; write a number like '1e-6'")


def budget_deltas(policy: Policy) -> Problems:
    """A budget must fit more than one statement that selects groups; an explicit 0 says that none shall run."""
    price = policy.price.delta
    for path, budget in _budgets(policy):
        deliberate = "delta" in budget.model_fields_set and budget.delta == 0
        if not deliberate and 0 <= budget.delta <= price and price > 0:
            yield Problem(
                (*path, "delta"),
                f"the budget's delta ({budget.delta}) does not exceed the price of one statement ({price}); write "
                f"'delta: {price * 1000:.0e}' (a thousand groupings by keys read from data), or 'delta: 0' for none",
            )


def analyst_names(policy: Policy) -> Problems:
    for name in policy.budgets.analysts:
        if not name.isprintable() or not name or len(name.encode()) > IDENTIFIER_BYTES_MAX or name.startswith("pg_"):
            yield Problem(
                ("budgets", "analysts", name),
                "this cannot be a user's name; write at most 63 bytes, not starting with 'pg_'",
            )


RULES: Final[tuple[Callable[[Policy], Problems], ...]] = (
    database_name,
    table_names,
    view_names,
    column_names,
    private_or_public,
    public_columns,
    something_private,
    unit_paths,
    unit_table,
    unit_column_not_hidden,
    private_settings_on_public,
    hidden_alone,
    bounds_in_order,
    number_settings,
    grid_and_typical_fit,
    domain_lists,
    domain_targets,
    prices,
    budget_amounts,
    budget_ceilings,
    budget_deltas,
    analyst_names,
)


def _columns(policy: Policy) -> Iterator[tuple[KeyPath, str, Column]]:
    for key, table in policy.tables.items():
        for name, column in table.columns.items():
            yield ("tables", key, "columns", name), name, column


def _shows(table: Table, column: str) -> bool:
    """Whether analysts can see a public table's column, as far as the policy says: all, where it names none."""
    return not table.columns or (column in table.columns and not table.columns[column].hidden)


def _budgets(policy: Policy) -> Iterator[tuple[KeyPath, Budget]]:
    yield ("budgets", "dataset"), policy.budgets.dataset
    yield ("budgets", "analyst"), policy.budgets.analyst
    for name, budget in policy.budgets.analysts.items():
        yield ("budgets", "analysts", name), budget
