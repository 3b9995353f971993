from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

from noisegate.engine.totals import check_columns, to_confidential
from noisegate.errors import Internal
from noisegate.plan.measure import DeclaredGroups, Query, Selection
from support.fragments import fragment, measurement

PLAN = fragment((measurement("n", "s"),), DeclaredGroups((("a",),)), keys=1)


def test_totals_are_exact_integers() -> None:
    rows = [("a", 1, Decimal("12345678901234567890.00")), (None, -1, Decimal("1E+3"))]
    assert to_confidential(PLAN, rows).rows == ((("a",), (1, 12345678901234567890)), ((None,), (-1, 1000)))
    assert all(type(total) is int for _, totals in to_confidential(PLAN, rows).rows for total in totals)


def test_totals_do_not_show_themselves() -> None:
    assert "secret" not in repr(to_confidential(PLAN, [("secret", 1, 2)]))


@pytest.mark.parametrize(
    "row",
    [
        ("a", 1, None),
        ("a", 1, 2.0),
        ("a", 1, True),
        ("a", 1, "2"),
        ("a", 1, Decimal("0.5")),
        ("a", 1, Decimal("NaN")),
        ("a", 1, Decimal("Infinity")),
        (1, 1, 2),
        (b"a", 1, 2),
        ("a", 1),
        ("a", 1, 2, 3),
    ],
)
def test_what_is_not_a_key_and_integers_is_a_fault(row: tuple[object, ...]) -> None:
    with pytest.raises(Internal):
        to_confidential(PLAN, [row])


def test_a_key_twice_is_a_fault() -> None:
    with pytest.raises(Internal):
        to_confidential(PLAN, [("a", 1, 2), ("a", 1, 2)])


GOOD = [("k0", "text"), ("n", "int8"), ("s", "numeric")]


def test_columns_are_the_plans() -> None:
    check_columns(PLAN, GOOD)


@pytest.mark.parametrize(
    "columns",
    [
        GOOD[:2],
        [*GOOD, ("x", "int8")],
        [GOOD[0], GOOD[2], GOOD[1]],
        [("k0", "varchar"), *GOOD[1:]],
        [GOOD[0], ("n", "float8"), GOOD[2]],
        [GOOD[0], ("n", "int4"), GOOD[2]],
    ],
)
def test_other_columns_are_a_fault(columns: list[tuple[str, str]]) -> None:
    with pytest.raises(Internal):
        check_columns(PLAN, columns)


# Further queries

MORE = dataclasses.replace(
    PLAN, more=(Query("", ("d",)), Query("", (), 4)), groups=DeclaredGroups((("a",), ("b",), ("c",)))
)


def test_groups_of_all_queries_are_joined_and_what_is_missing_is_zero() -> None:
    found = to_confidential(
        MORE, [("a", 1, 2), ("b", 3, 4)], [[("b", 5), ("c", 6)], [("a", 3, Decimal(7)), ("b", 0, 1)]]
    )
    assert dict(found.rows) == {("a",): (1, 2, 0), ("b",): (3, 4, 5), ("c",): (0, 0, 6)}
    assert found.leaves == (((("a",), 3, 7), (("b",), 0, 1)),)


def test_where_groups_are_selected_the_first_query_says_which_there_are() -> None:
    plan = dataclasses.replace(MORE, groups=Selection(0, 1, Decimal("1e-6"), 5))
    found = to_confidential(plan, [("a", 1, 2)], [[("b", 5)], [("a", 3, 7), ("b", 0, 1)]])
    assert dict(found.rows) == {("a",): (1, 2, 0)} and found.leaves == (((("a",), 3, 7),),)


@pytest.mark.parametrize(
    "further",
    [
        [[]],
        [[("a", 1), ("a", 1)], []],
        [[("a", 1, 2)], []],
        [[], [("a", 4, 1)]],
        [[], [("a", -1, 1)]],
        [[], [("a", 1, -1)]],
        [[], [("a", 1, 1), ("a", 1, 2)]],
        [[], [("a", 1)]],
        [[], [("a", 1, 1, 1)]],
        [[], [("a", None, 1)]],
        [[], [(1, 1, 1)]],
    ],
)
def test_further_queries_of_another_shape_are_a_fault(further: list[list[tuple[object, ...]]]) -> None:
    with pytest.raises(Internal):
        to_confidential(MORE, [("a", 1, 2)], further)


def test_the_columns_of_a_further_query() -> None:
    check_columns(MORE, [("k0", "text"), ("d", "int8")], 1)
    check_columns(MORE, [("k0", "text"), ("leaf", "int8"), ("n", "numeric")], 2)
    for columns, query in (
        ([("k0", "text"), ("n", "int8")], 1),
        ([("k0", "text"), ("n", "int8"), ("leaf", "int8")], 2),
    ):
        with pytest.raises(Internal):
            check_columns(MORE, columns, query)
