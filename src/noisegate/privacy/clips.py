"""Totals whose cap is chosen privately (docs/privacy.md, private clips): of sums and counts without a declared
total."""

from __future__ import annotations

from dataclasses import replace

from noisegate.mechanisms.clip import TYPICAL, clip_limits
from noisegate.privacy.totals import Flag, Total

CLIPPED_MIN = 8  # below, a choice of cap costs more than it saves
CLIPPED_SPREAD = 2  # a cap is near what many units have


def clipped(total: Total, unit_sum: str, low: int, high: int) -> Total:
    """The total with a choice of caps. unit_sum: the unit's integer in its group, not NULL, over the columns of
    `inner`.

    Claim: whichever cap T the gate chooses, one unit adds an integer within [max(low, -T), min(high, T)]; it is above
    each threshold or not. Because: GREATEST(LEAST(...)), last in the SQL. The choice's own price is paid by the gate.
    """
    caps = _caps(max(abs(low), abs(high)))
    size = f"pg_catalog.abs({unit_sum})" if low < 0 else unit_sum
    above = tuple(Flag(f"{size} > {t}") for t in (0, *caps[:-1]))
    cut = tuple(f"GREATEST(LEAST({unit_sum}, {min(t, high)}), {max(-t, low)})" for t in caps)
    return replace(
        total,
        identity=(*total.identity, "clipped"),
        outer=above + cut,
        per_group=caps[-1],
        unit_rows=f"each unit cut at a cap of at most {caps[-1]}",
        caps=caps,
        spread=CLIPPED_SPREAD,
    )


def _caps(most: int) -> tuple[int, ...]:
    """Powers of two, and the most. The last power is left out where the most is so near that a choice by expected
    errors would never take it."""
    caps = clip_limits(most)
    if len(caps) > 1 and caps[-1] * TYPICAL <= caps[-2]:
        caps = (*caps[:-2], caps[-1])
    return caps
