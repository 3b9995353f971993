"""Clipped sums, trees and choices in the release gate, and the columns that are computed from them."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisegate.errors import Internal, TooComplex
from noisegate.mechanisms.computed import computed
from noisegate.mechanisms.gate import draws, release, second_road
from noisegate.mechanisms.ranking import leaves_of
from noisegate.mechanisms.shape import check_nodes, nodes_per_group, present_from, shape_for
from noisegate.plan.measure import (
    Axis,
    Choice,
    Chosen,
    Clip,
    DeclaredGroups,
    FragmentPlan,
    NoisyTable,
    Present,
    Quantiles,
    Query,
    Rank,
    Tree,
)
from noisegate.plan.trust import Confidential, Release
from support.fragments import NO_NOISE, fragment, measurement, receipt, selection
from support.statistics import band, distance, laplace_cdf, separation

ONE = Fraction(1)
CAPS = (1, 2, 4, 8)
ABOVE, SUMS = ("u0", "u1", "u2", "u3"), ("s0", "s1", "s2", "s3")
Key = tuple[str | None, ...]


def clipped(
    groups: DeclaredGroups,
    *,
    choice: Fraction = NO_NOISE,
    epsilon: Fraction = NO_NOISE,
    keys: int = 1,
    unit_groups: int = 1,
    unit: int = 1,
) -> FragmentPlan:
    clip = Clip(("s",), "test", CAPS, ABOVE, tuple((s,) for s in SUMS), unit_groups, choice, epsilon, unit)
    return dataclasses.replace(fragment((), groups, keys=keys), columns=ABOVE + SUMS, clips=(clip,))


def totals(*units: int) -> tuple[int, ...]:
    """What the engine returns for one group of units with these totals."""
    above = tuple(sum(u > t for u in units) for t in (0, *CAPS[:-1]))
    return above + tuple(sum(min(u, t) for u in units) for t in CAPS)


def histogram(plan: FragmentPlan, *leaves: tuple[Key, int, int], rows: tuple[Key, ...] = ()) -> Confidential:
    width = len(plan.exact)
    return Confidential(plan.digest, tuple((key, (5,) * width) for key in rows), (leaves,))


def with_tree(groups: DeclaredGroups, *, steps: int = 40, rows: int = 1, unit_groups: int = 1,
              epsilon: Fraction = NO_NOISE, keys: int = 1) -> FragmentPlan:  # fmt: skip
    tree = Tree(0, "test", steps, rows, unit_groups, epsilon)
    return dataclasses.replace(
        fragment((), groups, keys=keys), more=(Query("", (), shape_for(steps).leaves),), trees=(tree,)
    )


def with_choice(
    groups: DeclaredGroups, *, values: int = 3, epsilon: Fraction = NO_NOISE, keys: int = 1
) -> FragmentPlan:
    choice = Choice(0, "test", 1, 1, epsilon)
    return dataclasses.replace(fragment((), groups, keys=keys), more=(Query("", (), values),), choices=(choice,))


def with_rank(
    groups: DeclaredGroups, *, steps: int = 40, fraction: float = 0.5, between: bool = True,
    epsilon: Fraction = NO_NOISE, keys: int = 1,
) -> FragmentPlan:  # fmt: skip
    rank = Rank(0, "test", steps, 1, 1, fraction, between, epsilon)
    return dataclasses.replace(fragment((), groups, keys=keys), more=(Query("", (), leaves_of(rank)),), ranks=(rank,))


def show(plan: FragmentPlan, confidential: Confidential) -> Release:
    return release(confidential, plan, receipt(plan))


# Clips


@given(st.lists(st.lists(st.integers(0, 8), max_size=6), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_without_noise_nothing_is_clipped(groups: list[list[int]]) -> None:
    keys = tuple((str(i),) for i in range(len(groups)))
    plan = clipped(DeclaredGroups(keys))
    exact = Confidential(plan.digest, tuple((k, totals(*units)) for k, units in zip(keys, groups, strict=True)))
    shown = show(plan, exact)
    assert shown.rows == tuple((k, (sum(units),)) for k, units in zip(keys, groups, strict=True)), (
        "one number per group"
    )


def test_the_noise_is_that_of_the_cap_that_was_chosen() -> None:
    """All units have 2: the cap is 2 for certain, and noise of scale K*2/epsilon, not that of 4 or of 8."""
    keys = tuple((str(i),) for i in range(24_000))
    plan = clipped(DeclaredGroups(keys), epsilon=ONE, unit_groups=3, unit=2)
    exact = Confidential(plan.digest, tuple((key, totals(*[2] * 200)) for key in keys))
    drawn = [row[0] for _, row in show(plan, exact).rows]
    expected, other = laplace_cdf(12.0, 400), laplace_cdf(12.0 * 1.3, 400)
    assert distance(drawn, expected) < band(len(drawn)) < separation(expected, other, 600) / 2


def test_a_cap_costs_what_it_says() -> None:
    plan = clipped(DeclaredGroups(((),)), choice=ONE / 10, epsilon=ONE, keys=0, unit_groups=5)
    assert Fraction(11, 10) * (1 - Fraction(1, 2**50)) <= second_road(plan) <= plan.epsilon == Fraction(11, 10)


def jointly(plan: FragmentPlan, fine: tuple[int, ...] = (8, 8, 4, 1)) -> FragmentPlan:
    (clip,) = plan.clips
    return dataclasses.replace(plan, clips=(dataclasses.replace(clip, fine=fine),))


def test_a_joint_cap_has_noise_for_one_group_and_is_shown_in_whole_steps() -> None:
    """All units have 2: the cap is 2, its sums in eighths; K = 3 does not matter."""
    keys = tuple((str(i),) for i in range(24_000))
    plan = jointly(clipped(DeclaredGroups(keys), epsilon=ONE, unit_groups=3, unit=20))
    row = tuple(n * f for n, f in zip(totals(*[2] * 200), (len(keys),) * 4 + (8, 8, 4, 1), strict=True))
    drawn = [row[0] for _, row in show(plan, Confidential(plan.digest, tuple((key, row) for key in keys))).rows]
    cdf, wide = laplace_cdf(40.0 * 8, 400 * 8), laplace_cdf(40.0 * 8 * 1.3, 400 * 8)
    assert distance(drawn, lambda s: cdf(8 * s + 3)) < band(len(drawn))
    assert distance(drawn, lambda s: wide(8 * s + 3)) > band(len(drawn))


def test_a_joint_cap_costs_what_it_says() -> None:
    plan = jointly(clipped(DeclaredGroups(((),)), choice=ONE / 10, epsilon=ONE, keys=0, unit_groups=5))
    assert Fraction(11, 10) * (1 - Fraction(1, 2**50)) <= second_road(plan) <= plan.epsilon == Fraction(11, 10)
    (clip,) = plan.clips
    assert (clip.pairs, clip.sensitivity(2), clip.sensitivity(3)) == (1, 16, 8)


def test_a_joint_cap_is_of_hidden_groups_too_where_nobody_is_in_the_shown_ones() -> None:
    """Noise shows a declared group that has no row, and hides one with 200 units. Their sizes are in the histogram, as
    they are once a first unit is in the shown group: the noise is that of their cap."""
    groups = DeclaredGroups((("shown",), ("hidden",)), 0, 0)
    plan = fragment((measurement("n", groups=2),), groups, keys=1)
    clip = Clip(("s",), "test", (1, 2**40), ("u0", "u1"), (("s0",), ("s1",)), 2, NO_NOISE, ONE, fine=(1, 1))
    plan = dataclasses.replace(plan, columns=("n", "u0", "u1", "s0", "s1"), clips=(clip,))
    hidden = (-1, 200, 200, 200, 200 * 2**40)
    ((key, (_, found)),) = show(plan, Confidential(plan.digest, ((("hidden",), hidden),))).rows
    assert key == ("shown",) and abs(found) > 1000


# Trees and choices


def test_a_tree_without_noise_is_the_histogram() -> None:
    keys: tuple[Key, ...] = (("a",), ("b",))
    plan = with_tree(DeclaredGroups(keys))
    shown = show(plan, histogram(plan, (("b",), 3, 2), (("b",), 39, 1), (("x",), 0, 9)))
    ((a, b),) = shown.trees
    sizes = shape_for(40).sizes
    assert len(a) == sum(sizes) and not any(a), "a group that nobody is in has a tree of its own"
    assert b[: sizes[0]] == (2, 0, 1) and sum(b) == 3 * len(sizes)
    assert draws(histogram(plan), plan) == 2 * sum(sizes)


def test_every_node_has_noise_for_all_levels_groups_and_rows() -> None:
    keys = tuple((str(i),) for i in range(700))
    plan = with_tree(DeclaredGroups(keys), rows=2, unit_groups=3)
    plan = dataclasses.replace(plan, trees=(dataclasses.replace(plan.trees[0], epsilon=ONE),))
    shown = show(plan, histogram(plan))
    drawn = [node for row in shown.trees[0] for node in row]
    scale = float(len(shape_for(40).sizes) * 2 * 3)
    expected = laplace_cdf(scale)
    assert distance(drawn, expected) < band(len(drawn)) < separation(expected, laplace_cdf(1.3 * scale), 200) / 2


def test_histograms_of_groups_that_are_not_shown_are_not_drawn_for() -> None:
    units = measurement("n", epsilon=NO_NOISE)
    base = fragment((units,), selection(units, 3), keys=1)
    plan = dataclasses.replace(base, more=(Query("", (), 3),), choices=(Choice(0, "test", 1, 1, NO_NOISE),))
    exact = Confidential(plan.digest, ((("a",), (9,)), (("b",), (1,))), (((("a",), 2, 9), (("b",), 1, 1)),))
    shown = show(plan, exact)
    assert [key for key, _ in shown.rows] == [("a",)] and shown.choices == ((2,),)


def test_a_choice_takes_the_first_of_the_largest() -> None:
    plan = with_choice(DeclaredGroups((("a",), ("b",))))
    assert show(plan, histogram(plan, (("a",), 1, 4), (("a",), 2, 4), (("b",), 2, 1))).choices == ((1, 2),)


def bad_plans() -> dict[str, FragmentPlan]:
    one = DeclaredGroups(((),))
    clip, tree, choice = clipped(one, keys=0), with_tree(one, keys=0), with_choice(one, keys=0)
    rank = with_rank(one, keys=0)

    def changed(plan: FragmentPlan, part: str, **changes: object) -> FragmentPlan:
        (only,) = getattr(plan, part)
        return dataclasses.replace(plan, **{part: (dataclasses.replace(only, **changes),)})

    return {
        "a choice of cap without a price": changed(clip, "clips", choice=Fraction(0)),
        "a clipped sum without a price": changed(clip, "clips", epsilon=Fraction(0)),
        "caps that fall": changed(clip, "clips", caps=(1, 4, 2, 8)),
        "a cap of zero": changed(clip, "clips", caps=(0, 1, 2, 4)),
        "a cap without a sum": changed(clip, "clips", caps=(1, 2, 4)),
        "a cap with a sum too many": changed(clip, "clips", sums=(("s0",), ("s1",), ("s2", "s3"), ("s3",))),
        "caps of nothing": changed(clip, "clips", unit=0),
        "a column in two clips": dataclasses.replace(clip, clips=clip.clips * 2),
        "a joint clip with steps too few": changed(clip, "clips", fine=(1, 1)),
        "a joint clip without steps": changed(clip, "clips", fine=(1, 1, 0, 1)),
        "a clip in no groups": changed(clip, "clips", groups=0),
        "a tree without a price": changed(tree, "trees", epsilon=Fraction(0)),
        "a tree of no rows": changed(tree, "trees", rows=0),
        "a tree over another histogram": changed(tree, "trees", steps=50),
        "a tree over none": changed(tree, "trees", query=1),
        "two trees over one histogram": dataclasses.replace(tree, trees=tree.trees * 2),
        "a histogram that nothing releases": dataclasses.replace(tree, trees=()),
        "a choice without a price": changed(choice, "choices", epsilon=Fraction(-1)),
        "a choice of no rows": changed(choice, "choices", rows=0),
        "a rank without a price": changed(rank, "ranks", epsilon=Fraction(0)),
        "a rank of no rows": changed(rank, "ranks", rows=0),
        "a rank over another histogram": changed(rank, "ranks", steps=50),
        "a rank of no fraction": changed(rank, "ranks", fraction=1.5),
    }


@pytest.mark.parametrize("case", bad_plans())
def test_second_road_stops_parts_that_are_not_well_formed(case: str) -> None:
    with pytest.raises(Internal):
        second_road(bad_plans()[case])


@given(st.integers(1, 5000), st.integers(1, 50), st.integers(1, 50), st.fractions(Fraction(1, 1000), 10))
@settings(max_examples=40, deadline=None)
def test_second_road_finds_the_price_of_trees_and_choices(
    steps: int, rows: int, groups: int, epsilon: Fraction
) -> None:
    one = DeclaredGroups(((),))
    for plan in (with_tree(one, steps=steps, rows=rows, unit_groups=groups, epsilon=epsilon, keys=0),
                 with_rank(one, steps=steps, epsilon=epsilon, keys=0),
                 with_choice(one, epsilon=epsilon, keys=0)):  # fmt: skip
        assert epsilon * (1 - Fraction(1, 2**30)) <= second_road(plan) <= epsilon


def test_a_histogram_too_few_is_a_fault() -> None:
    plan = with_tree(DeclaredGroups(((),)), keys=0)
    with pytest.raises(Internal):
        show(plan, Confidential(plan.digest, ()))


# What is computed after the release

YEARS = Axis(Fraction(-366), ONE, "date")


@pytest.mark.parametrize(
    ("axis", "asked", "array", "expected"),
    [
        (Axis(Fraction(-5), ONE, "number"), (("percentile_disc", 0.5),), False, "-3"),
        (Axis(Fraction(0), Fraction(1, 100), "number", 2), (("max", 0.0),), False, "0.04"),
        (Axis(Fraction(0), Fraction(1, 4), "float"), (("percentile_cont", 0.75),), False, "0.75"),
        (Axis(Fraction(0), ONE, "number"), (("percentile_cont", 0.9),), False, "3.6"),
        (YEARS, (("min", 0.0), None, ("max", 0.0)), True, '{"1998-12-31",NULL,"1999-01-04"}'),
        (Axis(Fraction(7), ONE, "timestamp"), (("min", 0.0),), False, "2000-01-01 00:00:07"),
        (Axis(Fraction(-1), ONE, "timestamptz"), (("max", 0.0),), False, "2000-01-01 00:00:03+00"),
        (Axis(Fraction(9), -ONE, "number"), (("percentile_disc", 0.0),), False, "9"),
    ],
)
def test_steps_become_values(
    axis: Axis, asked: tuple[tuple[str, float] | None, ...], array: bool, expected: str
) -> None:
    """Of the steps 0, 1, 2, 3, 4; nothing of a group without values."""
    plan = with_tree(DeclaredGroups((("a",), ("b",))))
    leaves = [(("a",), step, 1) for step in range(5)]
    table = NoisyTable((), (), (Quantiles(0, axis, asked, array),))
    assert computed(plan, table, show(plan, histogram(plan, *leaves))) == ((expected, None),)


@pytest.mark.parametrize(
    ("axis", "steps", "fraction", "between", "expected"),
    [
        (Axis(Fraction(-5), ONE, "number"), 40, 0.5, False, "-3"),
        (Axis(Fraction(0), ONE, "number"), 40, 0.9, True, "3.6"),
        (Axis(Fraction(0), ONE, "number"), 40, 0.9, False, "4"),
        (Axis(Fraction(0), Fraction(1, 4), "float"), 40, 0.75, True, "0.75"),
        (Axis(Fraction(9), -ONE, "number"), 40, 0.0, False, "9"),
        (YEARS, 40, 1.0, True, "1999-01-04"),
        (Axis(Fraction(0), ONE, "number"), 16384 * 5, 0.5, False, "12"),  # the middle of a leaf of 5 steps
    ],
)
def test_ranks_become_values(axis: Axis, steps: int, fraction: float, between: bool, expected: str) -> None:
    """As above: of the steps (or leaves) 0, 1, 2, 3, 4."""
    plan = with_rank(DeclaredGroups((("a",), ("b",))), steps=steps, fraction=fraction, between=between)
    shown = show(plan, histogram(plan, *((("a",), leaf, 1) for leaf in range(5))))
    for array in (False, True):
        table = NoisyTable((), (), (Quantiles(0, axis, (("x", fraction),), array, by_rank=True),))
        found = f'{{"{expected}"}}' if array else expected
        assert computed(plan, table, shown) == ((found, None),)
    assert draws(histogram(plan), plan) == 2 * plan.more[0].leaves


def test_values_are_present_where_noise_alone_is_not_their_count() -> None:
    plan = with_tree(DeclaredGroups((("a",), ("b",))), steps=8, rows=8)
    table = NoisyTable((), (), (Present(0),))
    assert computed(plan, table, show(plan, histogram(plan, (("a",), 0, 1), (("a",), 7, 1)))) == (("2", "0"),)
    noisy = dataclasses.replace(plan, trees=(dataclasses.replace(plan.trees[0], epsilon=ONE),))
    least = present_from(noisy.trees[0])
    assert least == 30  # 8 ln(8 / 0.2)
    counts = (least, least - 1, -99, 5 * least, 0, 0, 0, 0)
    assert computed(noisy, table, Release("", ((("a",), ()),), ((counts,),))) == (("2",),)


def test_values_on_both_sides_that_crossed_are_in_order() -> None:
    plan = with_rank(DeclaredGroups((("a",),)))
    crossed = dataclasses.replace(show(plan, histogram(plan)), ranks=(((4, 9, 2),),))
    table = NoisyTable((), (), (Quantiles(0, Axis(Fraction(0), ONE, "number"), (("x", 0.5),), by_rank=True),))
    assert computed(plan, table, crossed) == (("5.5",),)


def test_choices_become_values_and_nothing_shown_gives_no_rows() -> None:
    plan = with_choice(DeclaredGroups((("a",),)))
    table = NoisyTable((), (), (Chosen(0, ("x", "y", "z")),))
    assert computed(plan, table, show(plan, histogram(plan, (("a",), 1, 4)))) == (("y",),)
    nobody = with_tree(DeclaredGroups(()))
    assert computed(
        nobody, NoisyTable((), (), (Quantiles(0, YEARS, (("min", 0.0),)),)), show(nobody, histogram(nobody))
    ) == ((),)


def test_more_groups_than_memory_has_are_refused() -> None:
    """How many are selected is known only afterwards, and is released: the same answer is refused by it."""
    units = measurement("u")
    tree, choice = Tree(0, "test", 4096, 1, 1, NO_NOISE), Choice(1, "test", 1, 1, NO_NOISE)
    plan = dataclasses.replace(
        fragment((units,), selection(units, 1), keys=1),
        more=(Query("", leaves=4096), Query("", leaves=4000)),
        trees=(tree,),
        choices=(choice,),
    )
    assert nodes_per_group(plan) == sum(shape_for(4096).sizes) + 4000 == 8368
    check_nodes(plan, 239)
    with pytest.raises(TooComplex):
        check_nodes(plan, 240)
    rows = tuple(((str(i),), (5,)) for i in range(240))
    with pytest.raises(TooComplex):
        release(Confidential(plan.digest, rows, ((), ())), plan, receipt(plan))
