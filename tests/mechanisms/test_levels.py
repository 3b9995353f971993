"""Releases of several levels by the gate: what is paid for, what is shown."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from noisegate.errors import Internal
from noisegate.mechanisms.gate import draws, release, second_road
from noisegate.mechanisms.scale import scale_for, standard_deviation
from noisegate.plan.measure import DeclaredGroups, FragmentPlan, Levels
from noisegate.plan.trust import Release
from support.fragments import NO_NOISE, confidential, fragment, measurement, receipt

VALUES = (("a", "b", None), ("x", "y"))
ROWS = tuple(product(*VALUES))
LEVELS = Levels((3, 2), ((), (0,), (0, 1)), 2, counts=("n",), pairs=(("p", "q", 10),), parts=(("s", "n"),))
LEAVES = {("a", "x"): (4, -7, 12, 28), ("b", "y"): (1, 2**60, 10, 0), (None, "y"): (3, 2**60, 1, 29)}


def plan(epsilon: Fraction = NO_NOISE, levels: Levels = LEVELS, hide: int | None = None) -> FragmentPlan:
    parts = [measurement(*names, epsilon=epsilon, per_group=most) for names, most in (("n", 1), ("s", 9), ("pq", 10))]
    parts = [replace(m, levels=len(levels.sets)) for m in parts]
    groups = DeclaredGroups(ROWS, None if hide is None else 0, hide)
    return replace(fragment(tuple(parts), groups, keys=2), levels=levels)


def show(one: FragmentPlan) -> Release:
    return release(confidential(one, LEAVES), one, receipt(one))


def test_without_noise_each_level_is_the_sum_of_the_leaves() -> None:
    total, by_first = show(plan()).levels
    assert total == (((), (8, 2**61 - 7, 23, 57)),)
    assert by_first == ((("a",), (4, -7, 12, 28)), (("b",), (1, 2**60, 10, 0)), ((None,), (3, 2**60, 1, 29)))


def test_groups_are_hidden_but_never_the_grand_total() -> None:
    total, by_first = show(plan(hide=4)).levels
    assert [key for key, _ in by_first] == [("a",)] and total[0][1][0] == 8
    assert show(plan(hide=40)).levels[0] == total


@pytest.mark.parametrize("epsilon", [Fraction(1, 100), Fraction(1)])
def test_counts_are_not_negative_and_sums_of_nothing_are_zero(epsilon: Fraction) -> None:
    both = replace(LEVELS, asked=3)
    for _ in range(30):
        total, by_first, leaves = show(plan(epsilon, both)).levels
        assert total[0][1] == tuple(sum(row[i] for _, row in by_first) for i in range(4))
        for key, row in by_first:
            assert row == tuple(sum(part[i] for k, part in leaves if k[:1] == key) for i in range(4))
        for _, (n, s, p, q) in leaves:
            assert n >= 0 and (p + q) >= 0 and (p + q) % 10 == 0, "a pair's count is a whole number"
            assert n or not s
            assert p + q or not p


def test_counts_may_be_negative_where_the_policy_says_so() -> None:
    shown = [show(plan(Fraction(1, 50), replace(LEVELS, negative=True))).levels for _ in range(30)]
    assert any(row[0] < 0 for _, rows in shown for _, row in rows)


def test_each_level_has_the_noise_of_its_share() -> None:
    """Three levels of sensitivity 1 at one price: noise of scale 3 each, and the consistent total has less."""
    one = plan(Fraction(1), replace(LEVELS, parts=()))
    alone = standard_deviation(scale_for(3, Fraction(1)))
    errors = np.array([show(one).levels[0][0][1][1] - (2**61 - 7) for _ in range(500)]) / 9
    assert abs(errors.mean()) < 5 * alone / 500**0.5
    assert 0.4 < errors.std() / alone < 0.97


def test_every_level_must_be_paid_for() -> None:
    good = plan(Fraction(1))
    assert second_road(good) <= good.epsilon == 3
    assert draws(confidential(good, LEAVES), good) == (1 + 3 + 6) * 4
    one_less = tuple(replace(m, levels=2) for m in good.measurements)
    for bad in (
        replace(good, measurements=one_less),
        replace(good, levels=None),
        replace(good, levels=replace(LEVELS, sets=((), (0,), (1,)))),
        replace(good, levels=replace(LEVELS, sets=((0, 1), (0, 1), ()))),
        replace(good, levels=replace(LEVELS, sizes=(2, 3))),
        replace(good, groups=DeclaredGroups(ROWS[:-1])),
    ):
        with pytest.raises(Internal):
            second_road(bad)
