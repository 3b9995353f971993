"""The data owner's promises, as pydantic models. Field names are the YAML keys; docs/policy.md is the reference.

Invariant: a policy that exists was checked; what a policy does not name does not exist for analysts.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Bound = Decimal | dt.datetime | dt.date
PositiveInt = Annotated[int, Field(ge=1, le=2**31 - 1)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Unit(Model):
    """The privacy unit: the table whose key names a person (household, device, company)."""

    table: str  # 'users' or 'schema.users'; may be absent from `tables` when the key table is not in the database
    key: str


class Column(Model):
    """What may be known of one column. `bounds`, `unit_total` and `unit_total_overall` are in its own units."""

    bounds: tuple[Bound, Bound] | None = None
    grid: Decimal | None = None  # sums are exact multiples of this; None: from the type, else from the bounds
    unit_total: Decimal | None = None  # most that one unit adds, in absolute value, to a group's sum; None: undeclared
    unit_total_overall: Decimal | None = None  # the same, to all groups of an answer together
    domain: tuple[str, ...] | str | None = None  # a list of values, or 'table.column' of a public table
    typical: Decimal | None = None  # a public centre for averages
    length_max: Annotated[int, Field(ge=1, le=10_000)] | None = None  # of an array: how many elements unnest() shows
    hidden: bool = False


class Limits(Model):
    """Contribution limits; a table's own override the policy's."""

    groups_per_unit_max: PositiveInt | None = None
    rows_per_group_max: PositiveInt | None = None
    group_size_min: PositiveInt | None = None
    rows_per_unit_max: PositiveInt | None = None  # over all groups of an answer; None: groups times rows
    values_per_group_max: PositiveInt | None = None  # distinct values; None: rows_per_group_max
    sampled_rows_max: PositiveInt | None = None  # rows in a percentile; None: 5
    join_rows_per_unit_max: PositiveInt | None = None  # on each side of a join of people's rows with people's rows

    def over(self, other: Limits) -> Limits:
        """These limits, and `other`'s where they say nothing."""
        return Limits(**{**other.model_dump(exclude_none=True), **self.model_dump(exclude_none=True)})


DEFAULT_LIMITS = Limits(groups_per_unit_max=3, rows_per_group_max=50, group_size_min=10, join_rows_per_unit_max=10_000)


class Table(Model):
    """One table. Exactly one of `unit` (private) and `public`."""

    unit: str | None = None  # a column, or a chain 'order_id -> orders.user_id', '(no, region) -> orders.user_id'
    public: bool = False
    columns: dict[str, Column] = {}  # a column that is named nowhere is not mirrored
    limits: Limits = Limits()
    unprotected_units: tuple[str, ...] = ()  # other columns that lead to units whom rows of this table do not protect


class Price(Model):
    epsilon: Decimal = Decimal("0.1")
    epsilon_max: Decimal = Decimal(1)
    delta: Decimal = Decimal("1e-9")


class Ceiling(Model):
    epsilon: Decimal
    delta: Decimal = Decimal(0)


class Budget(Model):
    """What an account may spend. Grants may raise it to `ceiling`; without one, nothing can be granted."""

    epsilon: Decimal
    delta: Decimal = Decimal(0)
    ceiling: Ceiling | None = None

    @model_validator(mode="after")
    def _ceiling_is_above(self) -> Self:
        if self.ceiling and (self.ceiling.epsilon < self.epsilon or self.ceiling.delta < self.delta):
            raise ValueError("the ceiling is below the budget; write a ceiling of at least the budget, or none")
        return self


class Budgets(Model):
    dataset: Budget
    analyst: Budget  # the default
    analysts: dict[str, Budget] = {}


class Answers(Model):
    show_empty_groups: bool = False
    negative_counts: bool = False
    other_row: bool = False  # one further row for the groups that selection hid
    private_clip: bool = True  # sums and counts without a declared total are cut where a part of their price says
    engine_timeout_s: Annotated[int, Field(ge=1, le=3600)] = 60
    joined_rows_max: PositiveInt = 1000  # public rows that one private row may meet where no unique key says one


class Access(Model):
    tls: Literal["require", "allow"] = "allow"
    sessions_per_analyst_max: PositiveInt = 60
    statement_timeout_s: Annotated[int, Field(ge=1, le=86400)] = 300
    idle_in_transaction_timeout_s: Annotated[int, Field(ge=1, le=86400)] = 3600


class Policy(Model):
    """One policy file: one database as analysts see it."""

    database: str  # the name that clients connect to
    dsn: str  # of the data owner's database; ${NAME} is taken from the environment
    unit: Unit
    tables: dict[str, Table]
    views: tuple[str, ...] = ()  # of the data server, over these tables; 'seen' or 'schema.seen'
    limits: Limits = DEFAULT_LIMITS
    price: Price = Price()
    budgets: Budgets
    accounting: Literal["basic"] = "basic"
    answers: Answers = Answers()
    access: Access = Access()

    @field_validator("limits")
    @classmethod
    def _complete(cls, limits: Limits) -> Limits:
        return limits.over(DEFAULT_LIMITS)

    def limits_of(self, table: str) -> Limits:
        """The limits of the table with key `table`: its own, else the policy's. All are set."""
        return self.tables[table].limits.over(self.limits)
