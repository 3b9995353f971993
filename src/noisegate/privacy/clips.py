"""Totals whose cap is chosen privately (docs/privacy.md, private clips): of sums and counts without a declared
total. Where a unit may be in several groups, a cap is on what it adds in all of them together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from noisegate.mechanisms.clip import TYPICAL, clip_limits
from noisegate.privacy.outer import INT4_MAX
from noisegate.privacy.totals import Cut, Flag, Joint, Total

CLIPPED_MIN = 8  # below, a choice of cap costs more than it saves
CLIPPED_SPREAD = 2  # a cap is near what many units have
JOINT_CAPS_MAX = 32  # of one total: the largest; each is two columns of the engine's result
BITS_MAX = 16  # of the fractions in which units beyond a cap add
PRODUCT_MAX = 2**32  # with an int4, a product fits int8
UNIT_BITS = 30  # of what one unit adds in fractions: 2^31 units fit the sampler's 62 bits


def clipped(total: Total, unit_sum: str, low: int, high: int, groups: int = 1, overall: int | None = None) -> Total:
    """The total with a choice of caps. unit_sum: the unit's integer in its group, not NULL, over the columns of
    `inner`; groups: in how many groups a unit may be; overall: the most that it is said to add to all of them.

    Claim: whichever cap T the gate chooses, one unit adds an integer within [max(low, -T), min(high, T)]; it is above
    each threshold or not. Because: GREATEST(LEAST(...)), last in the SQL. The choice's own price is paid by the gate.
    """
    own = f"GREATEST(LEAST({unit_sum}, {high}), {low})"
    size = f"pg_catalog.abs({own})" if low < 0 else own
    most = max(abs(low), abs(high))
    if groups > 1 and most <= INT4_MAX:
        return joint(total, size, (own,), most, 1, groups, overall)
    caps = _caps(most)
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


def clipped_rows(
    total: Total,
    rows: str,
    most: int,
    sums: Callable[[int], tuple[str, ...]],
    unit: int,
    groups: int = 1,
    overall: int | None = None,
) -> Total:
    """The total with a choice of how many rows of a unit weigh: at most each cap up to `most`. rows: the unit's number
    of rows in its group; sums: the integers of a unit whose rows weigh as at most so many.

    Claim: with a cap of R rows, one unit adds at most R * unit to its group in L1. Because: `sums` is clamped so.
    Assumes: `sums` are the same under every cap that the unit's rows do not exceed.
    """
    if groups > 1 and most * unit <= INT4_MAX:
        return joint(total, f"LEAST({rows}, {most})", sums(most), most, unit, groups, overall)
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


def joint(
    total: Total, size: str, sums: tuple[str, ...], most: int, unit: int, groups: int, overall: int | None = None
) -> Total:
    """The total with a choice of caps on what a unit adds in all of its groups together.

    size: of the unit in one group, at most `most`, an integer expression that is never negative or NULL; sums: its
    integers there, in absolute value together at most `unit` * size.
    Claim: under cap R one unit adds, over all of its groups, at most R * unit in L1, in steps of 1/fine: R * unit *
    fine of them. Because: let S be the sum of its sizes. If S <= R it adds its integers times `fine`, together at most
    S * unit * fine. Else it adds trunc(sum * 2^bits / S), together at most unit * 2^bits, times R * fine / 2^bits,
    which is an integer, for R and fine are powers of two, and R * fine >= 2^bits. S is of the unit's own kept rows.
    Claim: all fits int8. Because: beyond a cap, a unit adds less than its integer does; so each is at most
    max(2^30, |sum|) <= 2^31 in its steps, and sum * 2^bits < 2^47.
    Checked by: tests/privacy/test_neighbours_joint.py, tests/privacy/test_outer.py.
    """
    caps = _joint_caps(min(most * groups, overall or most * groups))
    room = UNIT_BITS - unit.bit_length()
    bits = max(0, min(BITS_MAX, room))
    fine = tuple(1 << max(0, min(bits, room - (cap.bit_length() - 1))) for cap in caps)
    above = tuple(Flag(f"{{first}} AND {{size}} > {t}") for t in (0, *caps[:-1]))
    kept = tuple(cut_jointly(one, cap, steps, bits) for cap, steps in zip(caps, fine, strict=True) for one in sums)
    return replace(
        total,
        identity=(*total.identity, "clipped"),
        outer=above + kept,
        per_group=most * unit,
        unit_rows=f"a unit is cut over all of its groups together, at a cap of at most {caps[-1]}",
        caps=caps,
        cap_unit=unit,
        joint=Joint(size, sums, bits),
        fine=fine,
        spread=CLIPPED_SPREAD,
    )


def bounded(
    total: Total, size: str, sums: tuple[str, ...], most: int, unit: int, groups: int, overall: int | None
) -> Total:
    """The total with the cap `overall` on what a unit adds in all of its groups together, where that is lower than what
    it may add in each; else as it is.

    Claim: one unit adds at most overall * unit in L1, in steps of 1/fine. Because: let S be the sum of its sizes. If
    S <= overall, it adds its integers times `fine`; else trunc(sum * overall * fine / S), together at most unit times
    overall * fine. The product comes first, so that large caps are not divided by coarse fractions.
    Claim: all fits int4, so 2^31 units fit int8. Because: either overall * unit * fine < 2^30; or fine is 1, and a
    unit adds no more than its integer. The product fits int8: one factor is below 2^31, the other one at most 2^32.
    Checked by: tests/privacy/test_neighbours_joint.py, tests/privacy/test_outer.py.
    """
    if overall is None or overall >= groups * most or most * unit > INT4_MAX:
        return total
    bits = max(0, min(BITS_MAX, UNIT_BITS - unit.bit_length() - overall.bit_length()))
    return replace(
        total,
        identity=(*total.identity, "overall", str(overall)),
        outer=tuple(_cut_by(one, overall, 1 << bits) for one in sums),
        per_group=min(most, overall) * unit,
        unit_rows=f"{total.unit_rows}; at most {overall * unit} in all groups of a unit together",
        cap_unit=unit,
        joint=Joint(size, sums, bits, overall),
        fine=(1 << bits,),
    )


def cut_jointly(own: str, cap: int, fine: int, bits: int) -> str:
    """What a unit of size {size} adds to one sum, in steps of 1/fine."""
    part = f"({own})::pg_catalog.int8 * {1 << bits} / {{size}} * {cap * fine >> bits}"
    return f"(CASE WHEN {{size}} <= {cap} THEN ({own})::pg_catalog.int8 * {fine} ELSE {part} END)"


def _cut_by(own: str, cap: int, fine: int) -> str:
    """What a unit of size {size} adds to one sum under a declared cap, in steps of 1/fine."""
    if cap * fine > PRODUCT_MAX:
        part = f"pg_catalog.div(({own})::pg_catalog.numeric * {cap * fine}, {{size}})::pg_catalog.int8"
    else:
        part = f"({own})::pg_catalog.int8 * {cap * fine} / {{size}}"
    return f"(CASE WHEN {{size}} <= {cap} THEN ({own})::pg_catalog.int8 * {fine} ELSE {part} END)"


def _joint_caps(most: int) -> tuple[int, ...]:
    """Powers of two, up to the first that is no less than the most."""
    last = (most - 1).bit_length()
    return tuple(1 << j for j in range(max(0, last + 1 - JOINT_CAPS_MAX), last + 1))


def _caps(most: int) -> tuple[int, ...]:
    """Powers of two, and the most. The last power is left out where the most is so near that a choice by expected
    errors would never take it."""
    caps = clip_limits(most)
    if len(caps) > 1 and caps[-1] * TYPICAL <= caps[-2]:
        caps = (*caps[:-2], caps[-1])
    return caps
