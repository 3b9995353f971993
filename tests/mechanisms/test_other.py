"""The row of the groups that selection hid: always there, with noise for all of a unit's groups, and paid for."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from noisegate.errors import Internal
from noisegate.mechanisms.gate import release, second_road
from noisegate.plan.measure import Clip, FragmentPlan, Other
from noisegate.plan.trust import Release
from support.fragments import NO_NOISE, confidential, fragment, measurement, receipt, selection
from support.statistics import band, distance, laplace_cdf

Rows = dict[tuple[str | None, ...], tuple[int, ...]]
KEY = ("(other)",)
OTHER = Other(KEY, (0, 1), Fraction(1, 9))


def plan(epsilon: Fraction = NO_NOISE, other: Other | None = OTHER, k: int = 5) -> FragmentPlan:
    units = measurement("n", groups=3, epsilon=epsilon)
    made = fragment((units, measurement("s", per_group=7, groups=3, epsilon=epsilon)), selection(units, k), keys=1)
    return replace(made, groups=replace(made.groups, other=other))


def show(one: FragmentPlan, rows: Rows) -> Release:
    return release(confidential(one, rows), one, receipt(one))


def test_it_has_the_totals_of_what_is_not_shown() -> None:
    rows: Rows = {("a",): (9, 50), ("b",): (5, -8), ("c",): (2, 30), (None,): (1, 1)}
    assert show(plan(), rows).rows == ((("a",), (9, 50)), (KEY, (8, 23)))


@pytest.mark.parametrize("rows", [{}, {("a",): (9, 50)}, {("b",): (1, 2)}])
def test_it_is_always_there_and_the_last(rows: Rows) -> None:
    found = show(plan(Fraction(1)), rows).rows
    assert found[-1][0] == KEY and [key for key, _ in found].count(KEY) == 1


def test_a_total_that_is_not_measured_is_zero() -> None:
    assert show(plan(other=replace(OTHER, measurements=(1,))), {("b",): (4, 2)}).rows == ((KEY, (0, 2)),)


def test_its_noise_is_for_all_groups_of_a_unit_at_its_share() -> None:
    one = plan(Fraction(1))
    draws = [show(one, {("b",): (4, 2)}).rows[-1][1] for _ in range(4000)]
    assert distance([n for n, _ in draws], laplace_cdf(27.0, 4)) < band(len(draws))
    assert distance([s for _, s in draws], laplace_cdf(189.0, 2)) < band(len(draws))


def test_a_cap_is_chosen_over_all_groups_and_holds_for_the_row() -> None:
    caps = (1, 2, 4)
    clip = Clip(("s0",), "test", caps, ("a0", "a1", "a2"), (("c0",), ("c1",), ("c2",)), 3, NO_NOISE, NO_NOISE)
    units = measurement("n", groups=3)
    base = fragment((units,), selection(units, 5), keys=1)
    one = replace(
        base,
        columns=("n", *clip.read),
        clips=(clip,),
        groups=replace(base.groups, other=replace(OTHER, measurements=(0,))),
    )
    hidden = {(f"h{i}",): (3, 3, 3, 3, 3, 6, 12) for i in range(50)}
    assert show(one, hidden).rows == ((KEY, (150, 600)),)
    assert second_road(one) <= one.epsilon == units.epsilon * Fraction(10, 9) + NO_NOISE * Fraction(19, 9)


def test_the_second_road_counts_it() -> None:
    one, without = plan(Fraction(1)), plan(Fraction(1), None)
    assert one.epsilon == without.epsilon * Fraction(10, 9)
    assert without.epsilon < second_road(one) <= one.epsilon
    for bad in (
        replace(OTHER, key=("x", "y")),
        replace(OTHER, ratio=Fraction(0)),
        replace(OTHER, measurements=(0, 0)),
        replace(OTHER, measurements=(2,)),
    ):
        with pytest.raises(Internal):
            second_road(plan(Fraction(1), bad))
