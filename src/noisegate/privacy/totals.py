"""Totals and answers: what is measured for an aggregate, and how the aggregate is put together from it. Pure values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from noisegate.mechanisms.shape import TreeShape
from noisegate.plan.measure import Axis, Chosen, Largest, Present, Quantiles
from noisegate.query.tree import Call


class Flag(str):
    """An integer of a total: 1 where this condition is true, else 0."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Cut:
    """The integer of a unit by which caps decide. `sql`: over the columns of `inner`, cut to the total's own ends, of
    which `low` is the lower one; never NULL. `own`: it is what is summed; else it is the unit's rows, and a unit that
    is within a cap adds the same under that cap as under the last one."""

    sql: str
    low: int
    own: bool = True


@dataclass(frozen=True, slots=True)
class Joint:
    """A cap on what a unit adds in all of its groups together. SQL over the columns of `inner`, never NULL: `size` of
    the unit in one group (0 or more, an int4), which is added up over its groups; `sums`: its integers there, whose
    absolute values are together at most `unit` times that size. A unit of size S beyond a cap R adds R times
    trunc(sum * 2^bits / S) in steps of 2^-bits, cut to `fine` of Total. cap: the one that the policy declares; None
    where caps are chosen privately."""

    size: str
    sums: tuple[str, ...]
    bits: int
    cap: int | None = None


@dataclass(frozen=True, slots=True)
class Distinct:
    """The distinct values of an expression over a row, per group: at most `values` of each unit. NULLs do not count.
    `sql` is canonical: equal values have equal bytes."""

    sql: str
    values: int


@dataclass(frozen=True, slots=True)
class Total:
    """One measurement, before it has a price.

    row: expressions over a private row, by name, of which `inner` (aggregates per unit and group, where the unit may
    have several rows) and `outer` (clamped integers over one unit's row p) are made. For one row per unit, `direct`
    are the integers over the row itself. `identity` is equal for totals that are the same numbers.

    Over `distinct` values, `outer` are clamped integers over one value {0}; `inner` and `direct` are empty.

    With `caps` (in `cap_unit` steps), `outer` are: for 0 and each cap but the last whether the unit's total is above
    it, then it cut at each cap; the gate chooses one cap privately (docs/privacy.md, private clips). `per_group` is
    then the last cap. `cut`: the integer that is compared with them.

    With `joint`, the caps hold for all groups of a unit together: `outer` has, besides, {size} of the unit over all of
    its groups, and {first}, true in one of them, in which alone it counts as above. The sums cut at caps[j] are in
    steps of 1/fine[j].

    spread: how much larger `per_group` is than what a unit is thought to add, by the plan alone; prices follow it.
    """

    identity: tuple[str, ...]
    what: str
    inner: tuple[str, ...]
    outer: tuple[str, ...]
    direct: tuple[str, ...]
    per_group: int
    unit_rows: str  # a remark for EXPLAIN on what is clamped
    distinct: Distinct | None = None
    caps: tuple[int, ...] = ()
    cap_unit: int = 1
    cut: Cut | None = None
    joint: Joint | None = None
    fine: tuple[int, ...] = ()
    spread: int = 1
    counts: bool = False  # of rows or units: never negative
    pair: int = 0  # its two columns add up to so many steps per row


@dataclass(frozen=True, slots=True)
class Leaves:
    """A histogram of a row's `leaf` (an integer in [0, size), NULL where the row does not count), per group.

    keep: which leaves of a unit count in a group: 'sample' (at most `rows` of them, chosen by a keyed hash), 'least' or
    'greatest' (its own extreme), 'each' (every leaf, at most `rows` times), 'once' (every
    leaf once, and so at most `rows` of them). `steps`: of the axis that leaves cut up;
    0 where leaves are values of a list. kind: the part of the plan that reads it: 'tree', 'choice' or 'rank', of which
    `asked` is the aggregate and the fraction.
    """

    identity: tuple[str, ...]
    what: str
    leaf: str
    size: int
    steps: int
    keep: str
    rows: int
    kind: str = "tree"
    asked: tuple[str, float] = ("", 0.0)


@dataclass(frozen=True, slots=True)
class Limits:
    """rows: the most rows of one unit that count in one group (C); values: the most distinct values (V); sampled: the
    most rows in a quantile (M). All are 1 where a unit has one row. groups: in how many a unit may be (K); overall: the
    most rows in all of them together, where the policy says."""

    rows: int
    one_row: bool
    values: int = 1
    sampled: int = 1
    groups: int = 1
    overall: int | None = None

    @property
    def spread(self) -> int:
        """How many times more rows a unit may have than it is thought to: between 1 and all of them."""
        return max(1, math.isqrt(self.rows))


UNITS = Total(("units",), "units per group", (), ("1",), ("1",), 1, "each unit counts once", counts=True)
WEIGHT = 720720  # of a unit: divided by each number up to 16 without remainder
WEIGHTS = Total(
    ("weights",),
    f"weight of units per group, in steps of 1/{WEIGHT}",
    (),
    (f"{WEIGHT} / {{groups}}",),
    (),
    WEIGHT,
    "a unit weighs 1, in equal parts in each of its groups",
)


@dataclass(frozen=True, slots=True)
class Aside:
    """A mode() whose values are selected from data, in a question of their own. `identity` is equal where that is the
    same question; `text`: of the value, for EXPLAIN."""

    identity: tuple[str, ...]
    call: Call
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An aggregate over totals. `recombine` is SQL for the clean room over raw noisy columns {0}, {1} ... of `totals`,
    or over the one column that is computed from `leaves`. `error` is, for EXPLAIN, the error per output: ('sd', factor)
    of total 0, or a formula in words. `instead`: the same answer from totals that may be measured anyway."""

    totals: tuple[Total, ...]
    recombine: str
    error: tuple[str, Fraction]
    note: str = ""
    null_by: Total | None = None  # NULL where this released count is <= 0, if it is measured anyway
    leaves: Leaves | None = None
    shape: TreeShape | None = None
    computed: Quantiles | Chosen | Present | Largest | None = None  # its `part` is set by the planner
    instead: Answer | None = None
    alone: Answer | None = None  # the same percentile, where it is all that is read from its histogram
    of_units: bool = False  # a number of units: a unit in two groups is one in both together
    aside: Aside | None = None


def shared(answers: Iterable[Answer]) -> tuple[Answer, ...]:
    """The answers, each from what others measure anyway where it can be.

    Claim: nothing is measured that no answer reads. Because: an answer takes its other form only where that needs no
    total that the answers without another form lack.
    """
    asked = tuple(answers)
    fixed = {t.identity for a in asked if a.instead is None for t in a.totals}
    return tuple(
        a.instead if a.instead is not None and all(t.identity in fixed for t in a.instead.totals) else a for a in asked
    )


def totals_of(answers: Iterable[Answer]) -> list[Total]:
    """The distinct totals of the answers, in order: aggregates that need the same numbers share them."""
    found: dict[tuple[str, ...], Total] = {}
    for answer in answers:
        for total in answer.totals:
            found.setdefault(total.identity, total)
    return list(found.values())


def leaves_of(answers: Iterable[Answer]) -> list[Leaves]:
    """The distinct histograms of the answers, in order."""
    found: dict[tuple[str, ...], Leaves] = {}
    for answer in answers:
        if answer.leaves is not None:
            found.setdefault(answer.leaves.identity, answer.leaves)
    return list(found.values())


__all__ = [
    "UNITS",
    "WEIGHT",
    "WEIGHTS",
    "Answer",
    "Aside",
    "Axis",
    "Cut",
    "Distinct",
    "Flag",
    "Joint",
    "Leaves",
    "Limits",
    "Total",
    "leaves_of",
    "shared",
    "totals_of",
]
