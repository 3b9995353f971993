"""Totals and answers: what is measured for an aggregate, and how the aggregate is put together from it. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Total:
    """One measurement, before it has a price.

    row: expressions over a private row, by name, of which `inner` (aggregates per unit and group, where the unit may
    have several rows) and `outer` (clamped integers over one unit's row p) are made. For one row per unit, `direct`
    are the integers over the row itself. `identity` is equal for totals that are the same numbers.
    """

    identity: tuple[str, ...]
    what: str
    inner: tuple[str, ...]
    outer: tuple[str, ...]
    direct: tuple[str, ...]
    per_group: int
    unit_rows: str  # a remark for EXPLAIN on what is clamped


@dataclass(frozen=True, slots=True)
class Limits:
    """rows: the most rows of one unit that count in one group (C); 1 where a unit has one row."""

    rows: int
    one_row: bool


UNITS = Total(("units",), "units per group", (), ("1",), ("1",), 1, "each unit counts once")


@dataclass(frozen=True, slots=True)
class Answer:
    """An aggregate over totals. `recombine` is SQL for the clean room over raw noisy columns {0}, {1} ... of `totals`;
    `error` is, for EXPLAIN, the error per output: ('sd', factor) of total 0, or a formula in words."""

    totals: tuple[Total, ...]
    recombine: str
    error: tuple[str, Fraction]
    note: str = ""
    null_by: Total | None = None  # NULL where this released count is <= 0, if it is measured anyway


def totals_of(answers: Mapping[int, Answer]) -> list[Total]:
    """The distinct totals of the answers, in order: aggregates that need the same numbers share them."""
    found: dict[tuple[str, ...], Total] = {}
    for answer in answers.values():
        for total in answer.totals:
            found.setdefault(total.identity, total)
    return list(found.values())
