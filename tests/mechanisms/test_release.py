"""The laws of the release gate."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisegate.errors import Internal
from noisegate.mechanisms.gate import release, second_road
from noisegate.mechanisms.scale import scale_for
from noisegate.mechanisms.threshold import weighted_threshold
from noisegate.plan.measure import DeclaredGroups, FragmentPlan, Measurement, Selection
from noisegate.plan.trust import Confidential, Release
from support.fragments import confidential, fragment, measurement, receipt, selection
from support.statistics import band, distance, laplace_cdf, sign_agreement, sign_bound

Rows = dict[tuple[str | None, ...], tuple[int, ...]]

ONE = Fraction(1)
keys = st.tuples(st.none() | st.text(max_size=3), st.none() | st.sampled_from(["", "a", "b"]))
totals = st.tuples(st.integers(0, 60), st.integers(-(2**40), 2**40))


def show(plan: FragmentPlan, rows: Rows) -> Release:
    return release(confidential(plan, rows), plan, receipt(plan))


def declared(*rows: tuple[str | None, ...], hide_below: int | None = None) -> DeclaredGroups:
    return DeclaredGroups(rows, None if hide_below is None else 0, hide_below)


# Declared groups


@given(st.lists(keys, unique=True, max_size=8), st.data())
@settings(max_examples=60, deadline=None)
def test_declared_rows_are_exact_and_in_order(rows: list[tuple[str | None, ...]], data: st.DataObject) -> None:
    plan = fragment((measurement("n"), measurement("s", per_group=9)), declared(*rows), keys=2)
    seen: Rows = data.draw(st.dictionaries(st.sampled_from(rows), totals)) if rows else {}
    answer = show(plan, seen)
    assert answer == Release(plan.digest, tuple((row, seen.get(row, (0, 0))) for row in rows))


def test_an_ungrouped_question_is_always_answered() -> None:
    plan = fragment((measurement("n"),), declared(()))
    assert show(plan, {}).rows == (((), (0,)),)
    assert show(plan, {(): (5,)}).rows == (((), (5,)),)


def test_an_undeclared_group_is_left_out_without_a_word() -> None:
    """An error would tell, without noise, that somebody is in it."""
    plan = fragment((measurement("n"),), declared(("a",)), keys=1)
    assert show(plan, {("a",): (5,), ("b",): (5,)}).rows == ((("a",), (5,)),)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_hidden_groups_are_those_whose_noisy_count_is_low(counts: list[int]) -> None:
    rows = tuple((str(i),) for i in range(len(counts)))
    plan = fragment((measurement("n"), measurement("s")), declared(*rows, hide_below=3), keys=1)
    answer = show(plan, {row: (n, 7) for row, n in zip(rows, counts, strict=True)})
    assert answer.rows == tuple((row, (n, 7)) for row, n in zip(rows, counts, strict=True) if n >= 3)


def test_hiding_reads_the_noisy_count_only() -> None:
    rows = tuple((str(i),) for i in range(2000))
    plan = fragment((measurement("n", epsilon=Fraction(1, 10)),), declared(*rows, hide_below=1), keys=1)
    answer = show(plan, {})  # every group is empty
    assert all(n >= 1 for _, (n,) in answer.rows)
    assert abs(len(answer.rows) / 2000 - (1 - laplace_cdf(10.0)(0))) < band(2000)


def test_every_group_and_column_gets_noise_of_its_own_at_its_own_scale() -> None:
    rows = tuple((str(i),) for i in range(20_000))
    parts = (
        measurement("n", epsilon=ONE, groups=3),
        measurement("a", "b", epsilon=Fraction(1, 2), per_group=10, groups=3),
    )
    plan = fragment(parts, declared(*rows), keys=1)
    answer = show(plan, dict.fromkeys(rows, (100, -7, 0)))
    n, a, b = ([row[i] for _, row in answer.rows] for i in range(3))
    assert distance(n, laplace_cdf(3.0, 100)) < band(len(rows))
    assert distance(a, laplace_cdf(60.0, -7)) < band(len(rows))
    assert distance(b, laplace_cdf(60.0)) < band(len(rows))
    n, a = [x - 100 for x in n], [x + 7 for x in a]
    for one, other in ((n, a), (n, b), (a, b), (b[:-1], b[1:])):
        assert abs(sign_agreement(one, other)) < sign_bound(len(one))


# Selected groups


@given(st.dictionaries(keys, totals, max_size=12), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_without_noise_the_groups_above_the_minimum_appear_sorted(rows: Rows, k: int) -> None:
    units = measurement("n", groups=3)
    plan = fragment((units, measurement("s", per_group=5, groups=3)), selection(units, k), keys=2)
    answer = show(plan, rows)
    assert dict(answer.rows) == {key: row for key, row in rows.items() if row[0] >= k + 1}
    for column in (0, 1):
        texts = [key[column] for key, _ in answer.rows if column == 0 or key[0] == answer.rows[0][0][0]]
        present = [text for text in texts if text is not None]
        assert texts[: len(present)] == sorted(present), "sorted by text, NULL last"


@given(st.permutations(list(range(12))))
@settings(max_examples=20, deadline=None)
def test_the_engines_order_is_not_seen(order: list[int]) -> None:
    units = measurement("n")
    plan = fragment((units,), selection(units, 2), keys=1)
    answer = show(plan, {(f"g{i:02}",): (i,) for i in order})
    assert answer.rows == tuple(((f"g{i:02}",), (i,)) for i in range(3, 12))


def test_a_group_below_the_minimum_never_appears() -> None:
    """With noise of scale 100 and a large delta the threshold alone would let many through."""
    units = measurement("n", epsilon=Fraction(1, 100))
    plan = fragment((units,), selection(units, 10, Decimal("0.4")), keys=1)
    rows: Rows = {(f"below{i}",): (i % 10,) for i in range(2000)} | {(f"at{i}",): (10,) for i in range(2000)}
    shown = [key[0] for key, _ in show(plan, rows).rows]
    assert all(key is not None and key.startswith("at") for key in shown)
    assert len(shown) > 400, "and the others do appear"


def test_at_the_minimum_a_group_appears_with_probability_delta() -> None:
    units = measurement("n", epsilon=Fraction(1, 3), groups=1)
    delta = Decimal("0.05")
    plan = fragment((units,), selection(units, 10, delta), keys=1)
    n = 20_000
    share = len(show(plan, {(str(i),): (10,) for i in range(n)}).rows) / n
    assert share < float(delta) + band(n)
    assert share > float(delta) / 2 - band(n)


def test_shown_groups_have_the_noise_of_their_condition() -> None:
    """Far above the threshold the noise is the whole distribution."""
    units = measurement("n", epsilon=ONE, groups=2)
    plan = fragment((units, measurement("s", epsilon=ONE, groups=2)), selection(units, 10), keys=1)
    answer = show(plan, {(str(i),): (500, 0) for i in range(10_000)})
    assert len(answer.rows) == 10_000
    assert distance([row[0] for _, row in answer.rows], laplace_cdf(2.0, 500)) < band(10_000)
    assert distance([row[1] for _, row in answer.rows], laplace_cdf(2.0)) < band(10_000)


def weighed(k: int = 10, epsilon: Fraction = ONE, groups: int = 3) -> FragmentPlan:
    """Groups by weight: n is tested, w measured, s shown."""
    units = Measurement(("w",), "", 12, groups, epsilon, joint=12)
    least = weighted_threshold(k, scale_for(12, epsilon), Decimal("1e-6"), 12, groups)
    chosen = Selection(0, k, Decimal("1e-6"), least, units="n", weight=12)
    base = fragment((units, measurement("s")), chosen, keys=1)
    return dataclasses.replace(base, columns=("n", "w", "s"))


def test_weights_select_and_the_number_of_units_is_tested_and_never_shown() -> None:
    plan = weighed(epsilon=Fraction(10**9))
    rows: Rows = {("few",): (9, 900, 1), ("light",): (500, 50, 2), ("much",): (50, 400, 3), ("at",): (10, 120, 4)}
    assert plan.released == ("w", "s")
    assert show(plan, rows).rows == ((("much",), (400, 3)),)


def test_the_noise_of_weights_is_for_one_unit_in_all_of_its_groups() -> None:
    plan = weighed(epsilon=ONE)
    answer = show(plan, {(str(i),): (500, 6000, 0) for i in range(10_000)})
    assert distance([row[0] for _, row in answer.rows], laplace_cdf(12.0, 6000)) < band(10_000)


def test_numbers_in_fine_steps_are_rounded_after_the_noise() -> None:
    rows = tuple((str(i),) for i in range(20_000))
    fine = dataclasses.replace(measurement("s", epsilon=ONE, per_group=48, groups=3), joint=96, fine=16)
    plan = fragment((fine, measurement("t")), declared(*rows), keys=1)
    answer = show(plan, dict.fromkeys(rows, (160, 7)))
    assert {t for _, (_, t) in answer.rows} == {7}
    drawn, cdf = [s for _, (s, _) in answer.rows], laplace_cdf(96.0, 160)
    assert distance(drawn, lambda s: cdf(16 * s + 7)) < band(len(rows)), "scale 96 / 16 = 6, not 9"


# Receipts and shapes


def simple() -> FragmentPlan:
    return fragment((measurement("n"),), declared(("a",)), keys=1)


def test_a_receipt_is_good_once_for_each_fragment() -> None:
    plan = simple()
    paid = receipt(plan, plan)
    for _ in range(2):
        release(confidential(plan, {}), plan, paid)
    with pytest.raises(Internal):
        release(confidential(plan, {}), plan, paid)


def test_a_receipt_for_another_plan_is_not_good() -> None:
    plan = simple()
    other = dataclasses.replace(plan, sql="another")
    with pytest.raises(Internal):
        release(confidential(plan, {}), plan, receipt(other))


def test_totals_of_another_plan_are_not_released_and_cost_no_receipt() -> None:
    plan = simple()
    paid = receipt(plan)
    with pytest.raises(Internal):
        release(confidential(dataclasses.replace(plan, sql="another"), {}), plan, paid)
    assert release(confidential(plan, {}), plan, paid).rows


@pytest.mark.parametrize(
    "rows",
    [
        ((("a",), (1,)), (("a",), (2,))),
        ((("a", "b"), (1,)),),
        (((), (1,)),),
        ((("a",), (1, 2)),),
        ((("a",), ()),),
        ((("a",), (1.5,)),),
        ((("a",), (True,)),),
        ((("a",), (2**62,)),),
    ],
)
def test_totals_of_a_wrong_shape_are_a_fault(rows: tuple[tuple[tuple[str, ...], tuple[int, ...]], ...]) -> None:
    plan = simple()
    with pytest.raises(Internal):
        release(Confidential(plan.digest, rows), plan, receipt(plan))


# The second road


@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.integers(1, 100), st.fractions(Fraction(1, 10**6), 10)), min_size=1,
             max_size=4)
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_second_road_finds_what_the_plan_says(parts: list[tuple[int, int, Fraction]]) -> None:
    plan = fragment(
        tuple(
            measurement(f"c{i}", per_group=per_group, groups=groups, epsilon=epsilon)
            for i, (per_group, groups, epsilon) in enumerate(parts)
        ),
        declared(()),
    )
    assert plan.epsilon * (1 - Fraction(1, 2**50)) <= second_road(plan) <= plan.epsilon


def bad_plans() -> dict[str, FragmentPlan]:
    units = measurement("n", groups=2, epsilon=ONE)
    selected = fragment((units,), selection(units, 10), keys=1)
    assert isinstance(selected.groups, Selection)
    wide = Measurement(("n",), "", 2, 2, ONE)
    return {
        "threshold too low": replace_selection(selected, threshold=selected.groups.threshold - 1),
        "minimum raised beneath the threshold": replace_selection(selected, group_size_min=11),
        "delta too small": replace_selection(selected, delta=selected.groups.delta / 10),
        "delta of zero": replace_selection(selected, delta=Decimal(0)),
        "minimum of zero": replace_selection(selected, group_size_min=0),
        "unknown measurement": replace_selection(selected, measurement=1),
        "negative measurement": replace_selection(selected, measurement=-1),
        "a unit adds two to the unit count": dataclasses.replace(selected, measurements=(wide,)),
        "more groups than the threshold knows": dataclasses.replace(
            selected, measurements=(dataclasses.replace(units, groups=200),)
        ),
        "a weighted threshold too low": replace_selection(weighed(), threshold=weighed().groups.threshold - 3),  # type: ignore[union-attr]
        "weights that are not a unit's": replace_selection(weighed(), weight=6),
        "weights that nothing bounds together": bound_to(weighed(), None),
        "weights that add up to more": bound_to(weighed(), 13),
        "weights without a count of units": replace_selection(weighed(), units=""),
        "a count of units that is measured, too": replace_selection(weighed(), units="s"),
        "a vector that nobody may change": bound_to(simple(), 0),
        "no steps": dataclasses.replace(simple(), measurements=(dataclasses.replace(measurement("n"), fine=0),)),
        "selection without keys": dataclasses.replace(selected, keys=()),
        "no measurement": dataclasses.replace(simple(), measurements=(), columns=()),
        "a column that is not measured": dataclasses.replace(simple(), columns=("n", "s")),
        "a column measured twice": fragment((measurement("n"), measurement("n")), declared(())),
        "columns of another name": dataclasses.replace(simple(), columns=("m",)),
        "no sensitivity": fragment((measurement("n", per_group=0),), declared(())),
        "no groups": fragment((measurement("n", groups=0),), declared(())),
        "no price": fragment((measurement("n", epsilon=Fraction(0)),), declared(())),
        "a negative price": fragment((measurement("n", epsilon=-ONE), measurement("s", epsilon=ONE * 2)), declared(())),
        "a declared group twice": fragment((measurement("n"),), declared(("a",), ("a",)), keys=1),
        "a declared group without its key": fragment((measurement("n"),), declared(()), keys=1),
        "hiding without a count": dataclasses.replace(simple(), groups=DeclaredGroups((("a",),), None, 1)),
        "hiding without a bound": dataclasses.replace(simple(), groups=DeclaredGroups((("a",),), 0, None)),
        "hiding by an unknown measurement": dataclasses.replace(simple(), groups=DeclaredGroups((("a",),), 3, 1)),
    }


def bound_to(plan: FragmentPlan, joint: int | None) -> FragmentPlan:
    first, *rest = plan.measurements
    return dataclasses.replace(plan, measurements=(dataclasses.replace(first, joint=joint), *rest))


def replace_selection(plan: FragmentPlan, **changes: object) -> FragmentPlan:
    return dataclasses.replace(plan, groups=dataclasses.replace(plan.groups, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("case", bad_plans())
def test_second_road_stops_plans_that_cost_more_than_they_say(case: str) -> None:
    plan = bad_plans()[case]
    paid = receipt(plan)
    with pytest.raises(Internal):
        second_road(plan)
    with pytest.raises(Internal):
        release(confidential(plan, {}), plan, paid)
    paid.use(plan.digest)  # still unused: nothing was drawn


def test_a_threshold_from_too_little_noise_is_noticed() -> None:
    """The scale in the threshold must be that of L groups, not of one."""
    units = measurement("n", groups=5, epsilon=ONE)
    wrong = selection(dataclasses.replace(units, groups=1), 10)
    with pytest.raises(Internal):
        second_road(fragment((units,), wrong, keys=1))
    assert scale_for(5, ONE) == 5.0
