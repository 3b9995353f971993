"""One further row beside selected groups: the totals of all groups that are not shown. Called by the release gate only.

Claim: given the groups that are shown, the row costs Other.ratio times the prices of the parts that it measures.
Because: its totals are sums over groups of what one unit changes by at most `per_group` in at most K groups, all of
which may be hidden: K * per_group in L1, as for the vector over all groups; and no more than a joint cap, where there
is one: what changes groups by so much in L1 changes no sum of them by more. It is measured after the selection and
charged before (adaptive composition); it is there whether anything is hidden or not.
Checked by: tests/privacy/test_neighbours_other.py for every set of shown groups, tests/mechanisms/test_other.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from noisegate.errors import Internal
from noisegate.mechanisms.clip import in_steps
from noisegate.mechanisms.laplace import TOTAL_MAX, add_noise, loss
from noisegate.mechanisms.scale import scale_for
from noisegate.plan.measure import FragmentPlan, Other

Totals = tuple[int, ...]


def check_other(plan: FragmentPlan, other: Other) -> None:
    """Raises Internal unless the row has a price, a key that fits, and totals that add up over groups."""
    if len(other.key) != len(plan.keys) or other.ratio <= 0 or plan.levels is not None:
        raise Internal("a row of hidden groups without key or price")
    if len(set(other.measurements)) != len(other.measurements):
        raise Internal("a row of hidden groups measures a total twice")
    if any(not 0 <= i < len(plan.measurements) for i in other.measurements):
        raise Internal("a plan names a measurement that it does not have")
    if any(c not in plan.columns for i in other.measurements for c in plan.measurements[i].columns):
        raise Internal("distinct values of several groups do not add up")


def other_loss(plan: FragmentPlan, other: Other) -> Fraction:
    """What the row costs by OpenDP's map. Raises Internal where a part costs more than its price."""
    total = Fraction(0)
    for i in other.measurements:
        m = plan.measurements[i]
        total += _at_most(m.sensitivity, m.epsilon * other.ratio)
    for clip in plan.clips:
        total += max(_at_most(clip.sensitivity(j), clip.epsilon * other.ratio) for j in range(len(clip.caps)))
    return total


def _at_most(sensitivity: int, price: Fraction) -> Fraction:
    spent = loss(sensitivity, scale_for(sensitivity, price))
    if spent > price:
        raise Internal("a row of hidden groups costs more than its price")
    return spent


def hidden_sums(plan: FragmentPlan, columns: Sequence[str], hidden: Sequence[Totals]) -> list[int]:
    """Exact totals over the hidden groups. Cut at what the sampler takes, which brings neighbours no further apart."""
    most = TOTAL_MAX - 1
    places = [plan.exact.index(column) for column in columns]
    return [min(max(sum(row[p] for row in hidden), -most), most) for p in places]


def other_row(plan: FragmentPlan, other: Other, hidden: Sequence[Totals], chosen: Sequence[int]) -> Totals:
    """The noisy row, in the order of `plan.released`; 0 for what is not measured. chosen: each clip's cap, by index."""
    found: dict[str, int] = {}
    for i in other.measurements:
        m = plan.measurements[i]
        noise = scale_for(m.sensitivity, m.epsilon * other.ratio)
        drawn = in_steps(add_noise(hidden_sums(plan, m.columns, hidden), noise), m.fine)
        found |= zip(m.columns, drawn, strict=True)
    for clip, cap in zip(plan.clips, chosen, strict=True):
        noise = scale_for(clip.sensitivity(cap), clip.epsilon * other.ratio)
        drawn = in_steps(add_noise(hidden_sums(plan, clip.sums[cap], hidden), noise), clip.steps(cap))
        found |= zip(clip.columns, drawn, strict=True)
    return tuple(found.get(column, 0) for column in plan.released)
