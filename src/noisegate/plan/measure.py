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
    `groups` groups, so the L1 sensitivity of the vector is at most `groups * per_group`; it is `joint` where the SQL
    bounds what a unit changes in all of its groups together. All in steps of which `fine` are one of the released
    numbers, which are rounded after the noise.
    """

    columns: tuple[str, ...]  # columns of the engine's result
    what: str  # for EXPLAIN, e.g. 'sum(amount), grid 0.01, clamped to [0, 2000] per unit and group'
    per_group: int
    groups: int
    epsilon: Fraction
    levels: int = 1  # grouping sets at which it is measured, all from the same bounded rows (Levels)
    joint: int | None = None
    fine: int = 1

    @property
    def sensitivity(self) -> int:
        apart = self.groups * self.per_group
        return self.levels * (apart if self.joint is None else min(self.joint, apart))


@dataclass(frozen=True, slots=True)
class Clip:
    """A vector of sums, `columns` for each group, cut at a cap that is chosen privately from the data.

    The engine returns, per group, the sums cut at each cap, and how many units are above 0 and above each cap but the
    last, in absolute value (`above`). One unit adds at most caps[j] * unit to the entries of sums[j] of a group
    together, and 1 to an entry of `above`, in at most `groups` groups. The choice has the price `choice`, the sums
    that are released `epsilon`.

    With `fine`, caps are *joint*: one unit adds at most caps[j] * unit to the entries of sums[j] of all of its groups
    together, in steps of which fine[j] are one of the released numbers; `above` is of all groups together, and each
    row repeats it.
    """

    columns: tuple[str, ...]  # of the released rows
    what: str
    caps: tuple[int, ...]  # ascending
    above: tuple[str, ...]  # columns of the engine's result
    sums: tuple[tuple[str, ...], ...]  # the same, for each cap
    groups: int
    choice: Fraction
    epsilon: Fraction
    unit: int = 1  # what the caps count, in steps of the sums
    levels: int = 1  # at which the chosen sums are measured
    fine: tuple[int, ...] = ()
    bias: Fraction = Fraction(1)  # how much of what a cap cuts off counts as error beside the noise, for the choice

    @property
    def pairs(self) -> int:
        """In how many groups a unit counts in `above`, and may reach the cap: L1 of the histogram."""
        return 1 if self.fine else self.groups

    @property
    def per_cap(self) -> int:
        """L1 of the sums for each unit of the cap, in steps of the released numbers."""
        return self.levels * self.pairs * self.unit

    def sensitivity(self, chosen: int) -> int:
        """L1 of sums[chosen], in their own steps."""
        return self.per_cap * self.caps[chosen] * self.steps(chosen)

    def steps(self, chosen: int) -> int:
        """Of sums[chosen] in one of the released numbers."""
        return self.fine[chosen] if self.fine else 1

    @property
    def read(self) -> tuple[str, ...]:
        """All columns of the engine's result that it reads."""
        return self.above + tuple(name for names in self.sums for name in names)


@dataclass(frozen=True, slots=True)
class Query:
    """A further query of a fragment. It sees the groups of the first one: same secrets, same snapshot.

    leaves = 0: one row per group, whose `columns` follow the first query's. Else rows of a histogram: the group's keys,
    a leaf in [0, leaves), and its count.
    """

    sql: str
    columns: tuple[str, ...] = ()
    leaves: int = 0


@dataclass(frozen=True, slots=True)
class Tree:
    """Noisy counts of a column's values at several levels, per group (mechanisms/shape.py says of which nodes).

    One unit has at most `rows` values in each of at most `groups` groups.
    """

    query: int  # index into FragmentPlan.more
    what: str
    steps: int  # of the column's axis
    rows: int
    groups: int
    epsilon: Fraction


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the leaves of a histogram, per group, by the exponential mechanism: likelier the higher its count.

    One unit adds at most `rows` to each leaf's count, in at most `groups` groups.
    """

    query: int  # index into FragmentPlan.more
    what: str
    rows: int
    groups: int
    epsilon: Fraction


@dataclass(frozen=True, slots=True)
class Rank:
    """One percentile per group, by private choice of the leaf where it stands, and the noisy number of values.

    One unit has at most `rows` values in each of at most `groups` groups. `between`: the leaves of the values on both
    sides of percentile_cont's place, each by a choice of its own; else one leaf.
    """

    query: int  # index into FragmentPlan.more
    what: str
    steps: int  # of the column's axis
    rows: int
    groups: int
    fraction: float
    between: bool
    epsilon: Fraction


@dataclass(frozen=True, slots=True)
class GroupKey:
    """One column of the group key: column `name` of the engine's result holds its canonical text."""

    name: str
    sql: str  # the expression, for EXPLAIN
    type_sql: str  # type of the original expression, with typmod
    collation: str | None = None


@dataclass(frozen=True, slots=True)
class Other:
    """One further row, under `key`: the totals of all groups that are not shown, measured once these are known.

    It has those of `measurements` (indexes into FragmentPlan.measurements) and of all clips, each for `ratio` times the
    price that the shown groups' totals have.
    """

    key: tuple[str | None, ...]
    measurements: tuple[int, ...]
    ratio: Fraction


@dataclass(frozen=True, slots=True)
class Selection:
    """How groups with keys read from data are selected (docs/privacy.md, group selection).

    A group is a candidate iff its bounded unit count is >= `group_size_min`; it appears iff that count plus the noise
    of measurement `measurement` (index into FragmentPlan.measurements) is >= `threshold`.

    With `units`, the count is this column, which is tested and never released; what is measured are the units' weights:
    a unit in m groups adds weight // m to each of them. `unused`: a column that nothing reads, and never released.
    """

    measurement: int
    group_size_min: int
    delta: Decimal
    threshold: int
    other: Other | None = None
    units: str = ""
    weight: int = 1
    unused: str = ""

    @property
    def kept_back(self) -> frozenset[str]:
        """The columns of the engine's result that are never released, with noise or without."""
        return frozenset(filter(None, (self.units, self.unused)))


@dataclass(frozen=True, slots=True)
class DeclaredGroups:
    """The groups are known before any private row is read: exactly `rows`, in order, always measured.

    `hide_below` (with `measurement`): a group whose *noisy* unit count is below it is left out of the answer.
    """

    rows: tuple[tuple[str | None, ...], ...]  # canonical texts; an ungrouped fragment has the single row ()
    measurement: int | None = None
    hide_below: int | None = None


@dataclass(frozen=True, slots=True)
class Levels:
    """Several grouping sets of one question, made consistent: each total is the sum of its parts.

    The engine returns the *leaves*, the groups by all keys: all combinations of `sizes` values, the last key's fastest.
    Everything is measured at each of `sets` (indexes of keys; all keys are one of them), of which the first `asked`
    are shown. Which released columns are `counts`; `pairs` (a, b, steps), where (a + b) / steps is a count; `parts`
    (column, count): sums of nothing, hence 0, where the count is not above 0. Counts are cut at 0 unless `negative`.
    """

    sizes: tuple[int, ...]
    sets: tuple[tuple[int, ...], ...]
    asked: int
    counts: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str, int], ...] = ()
    parts: tuple[tuple[str, str], ...] = ()
    negative: bool = False


@dataclass(frozen=True)
class FragmentPlan:
    """One fragment, ready to be charged and run. `sql` is generated, never the analyst's text."""

    sql: str  # empty where only further queries ask; holds {secret:N} placeholders; see `secrets`
    secrets: int  # how many 64-bit secrets the engine fills in, fresh for each run
    tables: tuple[tuple[str, str, str], ...]  # (schema, table, fingerprint) that the plan relies on
    keys: tuple[GroupKey, ...]
    columns: tuple[str, ...]  # integer totals of the engine's result, after the keys
    measurements: tuple[Measurement, ...]
    groups: DeclaredGroups | Selection
    settings: tuple[tuple[str, str], ...] = ()  # engine settings that change meaning, e.g. ('TimeZone', 'UTC')
    explain: tuple[str, ...] = ()  # lines about units, bounds and paths
    more: tuple[Query, ...] = ()
    clips: tuple[Clip, ...] = ()
    trees: tuple[Tree, ...] = ()
    choices: tuple[Choice, ...] = ()
    givens: tuple[int, ...] = ()  # of the statement's closed subqueries, those whose values the queries take
    levels: Levels | None = None
    ranks: tuple[Rank, ...] = ()
    aside: bool = False  # what is released is for computed columns of the next plan that is not one (Largest)

    @property
    def epsilon(self) -> Fraction:
        parts: list[Measurement | Clip | Tree | Choice | Rank] = [
            *self.measurements, *self.clips, *self.trees, *self.choices, *self.ranks
        ]  # fmt: skip
        own = sum((p.epsilon for p in parts), Fraction(0)) + sum((c.choice for c in self.clips), Fraction(0))
        return own + self._other_epsilon

    @property
    def _other_epsilon(self) -> Fraction:
        other = self.groups.other if isinstance(self.groups, Selection) else None
        if other is None:
            return Fraction(0)
        paid = [self.measurements[i].epsilon for i in other.measurements] + [c.epsilon for c in self.clips]
        return other.ratio * sum(paid, Fraction(0))

    @cached_property
    def exact(self) -> tuple[str, ...]:
        """The integer totals of all its queries: the columns of Confidential.rows."""
        return self.columns + tuple(c for q in self.more if not q.leaves for c in q.columns)

    @property
    def tested(self) -> str:
        """The column with the exact bounded unit count of selected groups; empty where groups are declared."""
        if not isinstance(self.groups, Selection):
            return ""
        return self.groups.units or self.measurements[self.groups.measurement].columns[0]

    @cached_property
    def released(self) -> tuple[str, ...]:
        """The columns of Release.rows."""
        inside = {name for clip in self.clips for name in clip.read}
        inside |= self.groups.kept_back if isinstance(self.groups, Selection) else set()
        return tuple(c for c in self.exact if c not in inside) + tuple(n for c in self.clips for n in c.columns)

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
class Axis:
    """What the grid steps 0, 1, ... of a tree mean: value = low + step * width, or high to low with width < 0.

    form: 'number' with `digits` decimals, 'float', 'date' (days since 2000-01-01), 'timestamp' or 'timestamptz'
    (seconds since then).
    """

    low: Fraction
    width: Fraction
    form: str
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A column of texts that is computed from tree (or rank) `part` after the release: one value, or an array of them.

    asked: (percentile_cont, percentile_disc, min or max; its fraction); None is NULL.
    """

    part: int
    axis: Axis
    asked: tuple[tuple[str, float] | None, ...]
    array: bool = False
    by_rank: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """A column of texts: the value that choice `part` made."""

    part: int
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Present:
    """A column of texts: how many leaves of tree `part`, which has one level, surely hold a unit."""

    part: int


@dataclass(frozen=True, slots=True)
class Largest:
    """A column of texts: the array of the last key's values that have the largest noisy `column` in aside `part`, whose
    other keys are the row's; NULL where no value has one above 0."""

    part: int
    column: str
    descending: bool = False  # of equal counts the last value wins


@dataclass(frozen=True, slots=True)
class NoisyTable:
    """What the remainder reads: k0.., a0.. over raw columns k0.. (text), the released columns (numeric), and q0..
    (text), which are `computed` from the rest of the release."""

    keys: tuple[NoisyColumn, ...]
    aggregates: tuple[NoisyColumn, ...]
    computed: tuple[Quantiles | Chosen | Present | Largest, ...] = ()
    released: tuple[str, ...] = ()  # FragmentPlan.released
    other: bool = False  # the last row is Other's; the column `other` (integer) is 1 there and 0 elsewhere
