"""Measurement plans: what is asked of the engine, what noise it gets, what it costs. Pure values; no I/O.

Units: totals, `per_group` and `sensitivity` are integers (counts, or multiples of a measurement's grid). `epsilon` and
`delta` are exact.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Measurement:
    """A vector of exact integer totals, one entry per (group, column), that gets one draw of noise.

    One unit changes the entries of one group by at most `per_group` in L1 (all `columns` together) and touches at most
    `groups` groups, so the L1 sensitivity of the vector is `groups * per_group`.
    """

    columns: tuple[str, ...]  # columns of the engine's result
    what: str  # for EXPLAIN, e.g. 'sum(amount), grid 0.01, clamped to [0, 2000] per unit and group'
    per_group: int
    groups: int
    epsilon: Fraction

    @property
    def sensitivity(self) -> int:
        return self.groups * self.per_group


@dataclass(frozen=True, slots=True)
class GroupKey:
    """One column of the group key: column `name` of the engine's result holds its canonical text."""

    name: str
    sql: str  # the expression, for EXPLAIN
    type_sql: str  # type of the original expression, with typmod
    collation: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """How groups with keys read from data are selected (docs/privacy.md, group selection).

    A group is a candidate iff its bounded unit count is >= `group_size_min`; it appears iff that count plus the noise
    of measurement `measurement` (index into FragmentPlan.measurements) is >= `threshold`.
    """

    measurement: int
    group_size_min: int
    delta: Decimal
    threshold: int


@dataclass(frozen=True, slots=True)
class DeclaredGroups:
    """The groups are known before any private row is read: exactly `rows`, in order, always measured.

    `hide_below` (with `measurement`): a group whose *noisy* unit count is below it is left out of the answer.
    """

    rows: tuple[tuple[str | None, ...], ...]  # canonical texts; an ungrouped fragment has the single row ()
    measurement: int | None = None
    hide_below: int | None = None


@dataclass(frozen=True)
class FragmentPlan:
    """One fragment, ready to be charged and run. `sql` is generated, never the analyst's text."""

    sql: str  # holds {secret:N} placeholders; see `secrets`
    secrets: int  # how many 64-bit secrets the engine fills in, fresh for each run
    tables: tuple[tuple[str, str, str], ...]  # (schema, table, fingerprint) that the plan relies on
    keys: tuple[GroupKey, ...]
    columns: tuple[str, ...]  # integer totals of the engine's result, after the keys
    measurements: tuple[Measurement, ...]
    groups: DeclaredGroups | Selection
    settings: tuple[tuple[str, str], ...] = ()  # engine settings that change meaning, e.g. ('TimeZone', 'UTC')
    explain: tuple[str, ...] = ()  # lines about units, bounds and paths

    @property
    def epsilon(self) -> Fraction:
        return sum((m.epsilon for m in self.measurements), Fraction(0))

    @property
    def delta(self) -> Decimal:
        return self.groups.delta if isinstance(self.groups, Selection) else Decimal(0)

    @cached_property
    def digest(self) -> str:
        """Identifies exactly this plan: what a receipt is good for."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Charge:
    """A price: exact, of one kind. A statement charges the sum over its fragments."""

    epsilon: Decimal
    delta: Decimal
    kind: str = "basic"


@dataclass(frozen=True, slots=True)
class StatementPlan:
    fragments: tuple[FragmentPlan, ...]
    price: Charge

    @property
    def digests(self) -> tuple[str, ...]:
        return tuple(f.digest for f in self.fragments)


@dataclass(frozen=True, slots=True)
class NoisyColumn:
    """A column of a noisy table in the clean room: SQL over its raw columns, its exact type and collation."""

    sql: str
    type_sql: str
    collation: str | None


@dataclass(frozen=True, slots=True)
class NoisyTable:
    """What the remainder reads: k0.., a0.. over raw columns k0.. (text) and the plan's columns (numeric)."""

    keys: tuple[NoisyColumn, ...]
    aggregates: tuple[NoisyColumn, ...]
