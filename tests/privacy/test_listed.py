"""Values that VALUES and generate_series spell out: groups that are known, and ranges for sums."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from noisegate.errors import NoisegateError
from noisegate.plan.measure import DeclaredGroups, Selection
from noisegate.room.embedded import EmbeddedServer
from privacy.test_passing import POLICY, SCHEMA
from support.planner import Planner
from support.servers import new_database


@pytest.fixture(scope="module")
def planner(data_server: EmbeddedServer) -> Iterator[Planner]:
    with Planner(new_database(data_server, SCHEMA), POLICY) as planner:
        yield planner


def _joined(rows: str, kind: str = "JOIN") -> str:
    return f"FROM people p {kind} {rows} ON v.a = p.small"


@pytest.mark.parametrize(
    ("rows", "kind", "groups"),
    [
        ("(VALUES (1, 'x'), (2, 'y'), (3, 'x')) v(a, b)", "JOIN", ["x", "y"]),
        ("(VALUES (1, 'x'), (2, NULL)) v(a, b)", "JOIN", ["x", None]),
        ("(VALUES (1, 'x'), (2, 'y')) v(a, b)", "LEFT JOIN", ["x", "y", None]),
        ("(VALUES (1, -7), (2, 8::bigint)) v(a, b)", "JOIN", ["-7", "8"]),
        ("generate_series(1, 5, 2) v(a)", "JOIN", ["1", "3", "5"]),
        ("generate_series(5, 1, -2) v(a)", "LEFT JOIN", ["1", "3", "5", None]),
    ],
)
def test_groups(planner: Planner, rows: str, kind: str, groups: list[str | None]) -> None:
    key = "v.a" if "series" in rows else "v.b"
    plan = planner.plan(f"SELECT {key}, count(*) {_joined(rows, kind)} GROUP BY 1").only
    assert isinstance(plan.groups, DeclaredGroups)
    assert set(plan.groups.rows) == {(g,) for g in groups}


@pytest.mark.parametrize(
    "rows",
    [
        "(VALUES (1, 'x'), (2, upper('y'))) v(a, b)",
        "(VALUES (1, 'x'), (2, (SELECT 'y'))) v(a, b)",
        "(SELECT a, b FROM (VALUES (1, 'x')) i(a, b)) v",
        "(VALUES (1, 'x') UNION ALL VALUES (2, 'y')) v(a, b)",
        "(VALUES (1, 1.5)) v(a, b)",  # one numeric has many spellings
    ],
)
def test_what_is_not_spelled_out_is_selected(planner: Planner, rows: str) -> None:
    plan = planner.plan(f"SELECT v.b, count(*) {_joined(rows)} GROUP BY 1").only
    assert isinstance(plan.groups, Selection)


@pytest.mark.parametrize(
    ("values", "range_"),
    [
        ("(1, 3), (2, -4)", "[-200, 150]"),
        ("(1, 0.5), (2, 2)", "[0, 100]"),
        ("(1, 7), (2, NULL)", "[0, 350]"),
        ("(1, 3), (2, random()::int)", None),
        ("(1, 3), (2, (SELECT count(*) FROM people))", None),
    ],
)
def test_sums(planner: Planner, values: str, range_: str | None) -> None:
    sql = f"SELECT sum(v.b) {_joined(f'(VALUES {values}) v(a, b)')}"
    if range_ is None:
        with pytest.raises(NoisegateError, match=r"bounds"):
            planner.plan(sql)
    else:
        (total, *_) = planner.plan(sql).analyses[0].totals
        assert total.what.endswith(range_)  # in 50 rows of a unit
