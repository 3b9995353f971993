"""Grouping sets of one question: made consistent where their totals add up, else measured each for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import permutations

from noisegate.errors import NoisegateError, Unsupported
from noisegate.mechanisms.sets import CLOSED_MAX, closed
from noisegate.plan.measure import Levels
from noisegate.plan.reading import OutputType
from noisegate.policy.model import Answers
from noisegate.privacy.other import with_other
from noisegate.privacy.planner import Analysis
from noisegate.query.fragment import Answered, Fragment
from noisegate.query.split import FRAGMENTS_MAX

Analyse = Callable[[Fragment, Sequence[OutputType]], Analysis]
Set = tuple[int, ...]


def with_levels(
    fragments: Sequence[Fragment],
    outputs: Sequence[tuple[OutputType, ...]],
    answered: Sequence[Answered],
    analyse: Analyse,
    policy: Answers,
) -> tuple[Analysis, ...]:
    """One analysis for each fragment in order, or one for all grouping sets of a question that are made consistent; the
    questions beside a fragment come right before it."""
    found: list[Analysis] = []
    start = 0
    while start < len(fragments):
        family = next((a for a in answered if a.rolled and a.parts[0].fragment == start), None)
        count = len({p.fragment for p in family.parts}) if family is not None else 1
        if family is None or count == 1:
            alone = analyse(fragments[start], outputs[start])
            found.append(with_other(alone) if policy.other_row and family is None else alone)
        else:
            found += _family(family, fragments, outputs, analyse, policy.negative_counts)
        start += count
    whole = tuple(one for a in found for one in (*a.asides, a))
    if len(whole) > max(FRAGMENTS_MAX, len(found)):
        raise Unsupported(
            f"a statement may hold at most {FRAGMENTS_MAX} private questions",
            name="mode",
            detail="Each mode() over values that nobody declared is one of its own.",
        )
    return whole


def _family(
    family: Answered,
    fragments: Sequence[Fragment],
    outputs: Sequence[tuple[OutputType, ...]],
    analyse: Analyse,
    negative: bool,
) -> list[Analysis]:
    sets = {p.fragment: tuple(i for i, key in enumerate(p.keys) if key is not None) for p in family.parts}
    together = _together(family, sets, fragments, outputs, analyse)
    if isinstance(together, str):
        line = f"grouping sets are measured separately: {together}"
        alone = [analyse(fragments[f], outputs[f]) for f in sets]
        return [replace(a, explain=(*a.explain, line)) for a in alone]
    return [_levelled(together, list(sets.values()), negative)]


def _together(
    family: Answered,
    sets: dict[int, Set],
    fragments: Sequence[Fragment],
    outputs: Sequence[tuple[OutputType, ...]],
    analyse: Analyse,
) -> Analysis | str:
    """The analysis of the groups by all keys of all sets, or why the sets are not made consistent.

    Claim: where it is one, every total of a set is the sum of the totals of these groups. Because: their rows are all
    combinations of declared values, and what each unit adds to a group (cut there) is an integer that adds up: not a
    number of units (unless a unit is in one group only), of distinct values, or a place in an order.
    """
    if not any(set(a) < set(b) for a, b in permutations(sets.values(), 2)):
        return "none is a part of another"
    try:
        a = analyse(*_finest(family, fragments, outputs))
    except (
        NoisegateError
    ):  # of all keys together: each set may have a meaning of its own, or be refused with its reason
        return "all keys together cannot be asked"
    if a.declared is None:
        return "not all groups are known beforehand"
    if a.leaves or a.asides or any(t.distinct is not None for t in a.totals):
        return "percentiles, extremes, modes and distinct values do not add up"
    if not a.of_unit and any(answer.of_units for answer in a.answers):
        return "a unit may be in several groups, so that numbers of units do not add up"
    if len(closed([*sets.values(), tuple(range(len(a.keys)))])) > CLOSED_MAX:
        return "there are too many"
    return a


def _finest(
    family: Answered, fragments: Sequence[Fragment], outputs: Sequence[tuple[OutputType, ...]]
) -> tuple[Fragment, tuple[OutputType, ...]]:
    """The fragment by all keys of the family, and the types of its outputs."""
    first = family.parts[0].fragment
    keys = [next(_keys(family, i)) for i in range(len(family.parts[0].keys))]
    base = fragments[first]
    whole = replace(
        base,
        keys=tuple(fragments[f].keys[k] for f, k in keys),
        key_texts=tuple(fragments[f].key_texts[k] for f, k in keys),
    )
    return whole, (*(outputs[f][k] for f, k in keys), *outputs[first][len(base.keys) :])


def _keys(family: Answered, column: int) -> Iterator[tuple[int, int]]:
    """The fragments that have a key column, and which of their keys it is."""
    return ((p.fragment, key) for p in family.parts if (key := p.keys[column]) is not None)


def _levelled(a: Analysis, asked: list[Set], negative: bool) -> Analysis:
    whole = tuple(range(len(a.keys)))
    sets = (*asked, *(() if whole in asked else (whole,)))
    sizes = tuple(len(dict.fromkeys(row[i] for row in a.declared or ())) for i in whole)
    lines = [f"{len(asked)} grouping sets, made consistent: totals are the sums of their parts"]
    if len(sets) > len(asked):
        lines.append("the groups by all keys are measured, too: the others are bounded by them")
    return replace(a, levels=Levels(sizes, sets, len(asked), negative=negative), explain=(*a.explain, *lines))
