"""The neighbour oracle for grouping sets that are made consistent: one unit at every level, and at all together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from noisegate.mechanisms.levels import exact_levels
from noisegate.plan.measure import FragmentPlan
from noisegate.plan.trust import Confidential
from noisegate.room.embedded import EmbeddedServer
from privacy.test_neighbours import POLICY, SCHEMA, SECRETS, Data, Oracle, databases, event
from privacy.test_neighbours_parts import CLIPS, Texts, texts
from support.planner import Planner
from support.servers import new_database

SUMS = "count(*), count(e.qty), sum(e.amount), sum(e.qty), avg(e.weight), var_pop(e.qty), bool_or(e.qty > 0)"
STATEMENTS = (
    f"SELECT {SUMS} FROM events e GROUP BY ROLLUP (origin, region)",
    f"SELECT {SUMS} FROM events e GROUP BY CUBE (origin, region, qty > 0)",
    f"SELECT {SUMS} FROM events e GROUP BY GROUPING SETS ((origin), (region), ())",
    "SELECT count(*), count(DISTINCT id), sum(age), avg(score) FROM users GROUP BY CUBE (city, vip)",
    f"SELECT {SUMS}, count(DISTINCT u.id) FROM users u JOIN events e ON u.id = e.user_id GROUP BY ROLLUP (city, mood)",
    "SELECT count(*), sum(e.qty) FROM events e JOIN tags t ON t.region = e.region GROUP BY ROLLUP (origin, t.tag)",
)


def assert_close(plan: FragmentPlan, before: Confidential, after: Confidential, unit: int | None) -> None:
    """At each level, one unit changes a measurement by no more than it may change the leaves; all levels together by
    its sensitivity; and sums cut at a cap likewise."""
    vectors = [(m.columns, m.per_group * m.groups, m.sensitivity, m.what) for m in plan.measurements]
    for clip in plan.clips:
        for j, columns in enumerate(clip.sums):
            most = clip.pairs * clip.caps[j] * clip.unit * clip.steps(j)
            vectors.append((columns, most, clip.sensitivity(j), clip.what))
    for columns, most, sensitivity, what in vectors:
        changes = [changes_of(plan, column, before, after) for column in columns]
        by_level = [sum(found) for found in zip(*changes, strict=True)]
        assert max(by_level) <= most, f"unit {unit}: {what} at a level"
        assert sum(by_level) <= sensitivity, f"unit {unit}: {what} at all levels"
        assert unit is not None or not sum(by_level), "rows of nobody count"


def changes_of(plan: FragmentPlan, column: str, before: Confidential, after: Confidential) -> list[int]:
    assert plan.levels is not None
    old, new = (
        exact_levels(plan, plan.levels, column, [dict(one.rows).get(key) for key in plan.groups.rows])
        for one in (before, after)
    )
    return [int(np.abs(a - b).sum()) for a, b in zip(old, new, strict=True)]


class Levels(Oracle):
    def __init__(self, planner: Planner, connection: psycopg.Connection) -> None:
        super().__init__(planner, connection, STATEMENTS)

    def compare(self, data: Data, queries: list[Texts]) -> None:
        with self.connection.transaction(force_rollback=True):
            self.fill(data)
            before = [one.exact(self.connection) for one in queries]
            for unit in data.units:
                with self.connection.transaction(force_rollback=True):
                    self.drop(unit)
                    for one, whole in zip(queries, before, strict=True):
                        assert_close(one.plan, whole, one.exact(self.connection), unit)


@pytest.fixture(scope="module", params=[POLICY, CLIPS], ids=["caps", "clips"])
def levels(data_server: EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[Levels]:
    dsn = new_database(data_server, SCHEMA)
    with (
        Planner(dsn, request.param) as planner,
        psycopg.connect(dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection,
    ):
        yield Levels(planner, connection)


def test_each_question_is_one_fragment(levels: Levels) -> None:
    assert all(p.levels is not None for p in levels.plans.values())
    assert {m.groups for p in levels.plans.values() for m in p.measurements} == {1, 2}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=databases(), secret=SECRETS)
def test_one_unit_changes_no_level_more_than_the_plan_claims(levels: Levels, data: Data, secret: int) -> None:
    levels.compare(data, [texts(plan, secret) for plan in levels.plans.values()])


KINDS = [(o, r, q) for o in ("web", "app") for r in ("north", "south", None) for q in (-1, 1)]
WIDE = Data((), (*(event(1, origin=o, region=r, qty=q) for o, r, q in KINDS * 3), event(2), event(None)))


def test_the_oracle_has_power(levels: Levels) -> None:
    """Without the choice of K groups it fails."""
    sql = STATEMENTS[1]
    plan = levels.plans[sql]
    assert " WHERE q.rn <= 2" in plan.sql
    levels.compare(WIDE, [texts(plan, 1)])
    free = Texts(plan, (texts(plan, 1).queries[0].replace(" WHERE q.rn <= 2", ""),))
    with pytest.raises(AssertionError, match="at a level"):
        levels.compare(WIDE, [free])


def test_the_bound_is_reached(levels: Levels) -> None:
    """One unit with all it may have changes every level by the whole bound: no level could be cheaper."""
    plan = levels.plans[STATEMENTS[0]]
    one = texts(plan, 3)
    with levels.connection.transaction(force_rollback=True):
        levels.fill(WIDE)
        before = one.exact(levels.connection)
        levels.drop(1)
        after = one.exact(levels.connection)
    units = next(m for m in plan.measurements if m.what == "units per group")
    assert changes_of(plan, units.columns[0], before, after) == [units.groups] * units.levels
