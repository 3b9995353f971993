"""Grouping sets as sets of keys. Pure: planning imports it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

CLOSED_MAX = 128  # of sets and their intersections: the most that one answer is made consistent over

Set = tuple[int, ...]


def closed(sets: Iterable[Set]) -> list[Set]:
    """The sets and all their intersections, each before those that hold it. Stops soon after CLOSED_MAX."""
    found = {frozenset(s) for s in sets}
    while len(found) <= CLOSED_MAX and (more := {a & b for a, b in combinations(found, 2)} - found):
        found |= more
    return sorted((tuple(sorted(s)) for s in found), key=lambda s: (len(s), s))
