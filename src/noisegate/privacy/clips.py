"""Totals whose cap is chosen privately (docs/privacy.md, private clips): of sums and counts without a declared
total."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from noisegate.mechanisms.clip import TYPICAL, clip_limits
from noisegate.privacy.totals import Cut, Flag, Total

CLIPPED_MIN = 8  # below, a choice of cap costs more than it saves
CLIPPED_SPREAD = 2  # a cap is near what many units have


def clipped(total: Total, unit_sum: str, low: int, high: int) -> Total:
    """The total with a choice of caps. unit_sum: the unit's integer in its group, not NULL, over the columns of
    `inner`.

    Claim: whichever cap T the gate chooses, one unit adds an integer within [max(low, -T), min(high, T)]; it is above
    each threshold or not. Because: GREATEST(LEAST(...)), last in the SQL. The choice's own price is paid by the gate.
    """
    caps = _caps(max(abs(low), abs(high)))
    own = f"GREATEST(LEAST({unit_sum}, {high}), {low})"
    size = f"pg_catalog.abs({own})" if low < 0 else own
    above = tuple(Flag(f"{size} > {t}") for t in (0, *caps[:-1]))
    cut = tuple(f"GREATEST(LEAST({unit_sum}, {min(t, high)}), {max(-t, low)})" for t in caps)
    return replace(
        total,
        identity=(*total.identity, "clipped"),
        outer=above + cut,
        per_group=caps[-1],
        unit_rows=f"each unit cut at a cap of at most {caps[-1]}",
        caps=caps,
        cut=Cut(own, low),
        spread=CLIPPED_SPREAD,
    )


def clipped_rows(total: Total, rows: str, most: int, sums: Callable[[int], tuple[str, ...]], unit: int) -> Total:
    """The total with a choice of how many rows of a unit weigh: at most each cap up to `most`. rows: the unit's number
    of rows in its group; sums: the integers of a unit whose rows weigh as at most so many.

    Claim: with a cap of R rows, one unit adds at most R * unit to its group in L1. Because: `sums` is clamped so.
    Assumes: `sums` are the same under every cap that the unit's rows do not exceed.
    """
    caps = _caps(most)
    above = tuple(Flag(f"{rows} > {t}") for t in (0, *caps[:-1]))
    return replace(
        total,
        identity=(*total.identity, "clipped"),
        outer=above + tuple(one for cap in caps for one in sums(cap)),
        per_group=caps[-1] * unit,
        unit_rows=f"a unit's rows weigh as at most a cap of up to {caps[-1]}",
        caps=caps,
        cap_unit=unit,
        cut=Cut(f"LEAST({rows}, {most})", 0, own=False),
        spread=CLIPPED_SPREAD,
    )


def _caps(most: int) -> tuple[int, ...]:
    """Powers of two, and the most. The last power is left out where the most is so near that a choice by expected
    errors would never take it."""
    caps = clip_limits(most)
    if len(caps) > 1 and caps[-1] * TYPICAL <= caps[-2]:
        caps = (*caps[:-2], caps[-1])
    return caps
