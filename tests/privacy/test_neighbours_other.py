"""The neighbour oracle for the row of hidden groups: one unit, for every set of groups that may be shown."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, combinations

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from noisegate.mechanisms.gate import second_road
from noisegate.mechanisms.other import hidden_sums
from noisegate.plan.measure import FragmentPlan, Selection
from noisegate.plan.trust import Confidential
from noisegate.room.embedded import EmbeddedServer
from privacy.test_neighbours import SCHEMA, SECRETS, Data, Oracle, databases, event
from privacy.test_neighbours_parts import CLIPS, Texts, texts
from support.planner import Planner
from support.servers import new_database

STATEMENTS = (
    "SELECT kind, count(*), sum(amount), sum(qty), avg(weight), count(DISTINCT user_id), max(qty) FROM events "
    "GROUP BY 1",
    "SELECT kind, wild, count(DISTINCT qty), var_pop(qty), bool_or(qty > 0) FROM events GROUP BY 1, 2",
    "SELECT age::text, count(*), sum(score), avg(balance) FROM users GROUP BY 1",
)
SHOWN_MAX = 5  # groups, whose subsets are tried


def assert_close(plan: FragmentPlan, before: Confidential, after: Confidential, unit: int | None) -> int:
    """The most that any vector of the row changes, as a share of its claim, is at most 1. Returns whether it is 1."""
    assert isinstance(plan.groups, Selection) and plan.groups.other is not None
    vectors = [(m.columns, m.sensitivity) for m in (plan.measurements[i] for i in plan.groups.other.measurements)]
    vectors += [(names, c.sensitivity(j)) for c in plan.clips for j, names in enumerate(c.sums)]
    groups = sorted((key for key, _ in before.rows), key=repr)[:SHOWN_MAX]
    reached = False
    for shown in map(set, chain.from_iterable(combinations(groups, n) for n in range(len(groups) + 1))):
        for columns, most in vectors:
            sums = [hidden_sums(plan, columns, hidden_of(one, shown)) for one in (before, after)]
            change = sum(abs(a - b) for a, b in zip(*sums, strict=True))
            assert change <= most, f"unit {unit}: {columns} with {shown} shown"
            assert unit is not None or not change, "rows of nobody count"
            reached |= change == most
    return reached


def hidden_of(one: Confidential, shown: set[tuple[str | None, ...]]) -> list[tuple[int, ...]]:
    return [row for key, row in one.rows if key not in shown] + ([one.rest] if one.rest is not None else [])


class Hidden(Oracle):
    def __init__(self, planner: Planner, connection: psycopg.Connection) -> None:
        super().__init__(planner, connection, STATEMENTS)

    def compare(self, data: Data, queries: list[Texts]) -> bool:
        reached = False
        with self.connection.transaction(force_rollback=True):
            self.fill(data)
            before = [one.exact(self.connection) for one in queries]
            for unit in data.units:
                with self.connection.transaction(force_rollback=True):
                    self.drop(unit)
                    for one, whole in zip(queries, before, strict=True):
                        reached |= assert_close(one.plan, whole, one.exact(self.connection), unit)
        return reached


POLICY = CLIPS.replace("answers: {", "answers: {other_row: true, ")


@pytest.fixture(scope="module", params=[POLICY, POLICY.replace("group_size_min: 1", "group_size_min: 2")])
def hidden(data_server: EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[Hidden]:
    dsn = new_database(data_server, SCHEMA)
    with (
        Planner(dsn, request.param) as planner,
        psycopg.connect(dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection,
    ):
        yield Hidden(planner, connection)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=databases(), secret=SECRETS)
def test_one_unit_changes_the_row_no_more_than_the_plan_claims(hidden: Hidden, data: Data, secret: int) -> None:
    hidden.compare(data, [texts(plan, secret) for plan in hidden.plans.values()])


WIDE = Data((), (*(event(1, kind=k, amount=90.0) for k in "abcdef" for _ in range(12)), event(2), event(None)))


def test_the_bound_is_reached_and_the_oracle_has_power(hidden: Hidden) -> None:
    """A unit with all of its groups hidden changes the row by the whole bound; with one group more, by more."""
    plan = hidden.plans[STATEMENTS[0]]
    assert hidden.compare(WIDE, [texts(plan, 1)])
    first, *more = texts(plan, 1).queries
    assert " WHERE q.rn <= 2" in first
    with pytest.raises(AssertionError, match="shown"):
        hidden.compare(WIDE, [Texts(plan, (first.replace(" WHERE q.rn <= 2", " WHERE q.rn <= 3"), *more))])


def test_what_the_row_has(hidden: Hidden) -> None:
    keys = [p.groups.other.key for p in hidden.plans.values() if isinstance(p.groups, Selection) and p.groups.other]
    assert keys == [("(other)",), ("(other)", None), ("(other)",)]


def test_all_of_the_price_is_used_and_no_more(hidden: Hidden) -> None:
    for plan in hidden.plans.values():
        assert plan.epsilon == 1
        assert Fraction(9, 10) < second_road(plan) <= 1
