"""One price per statement: shares are exact, sum to at most the price, and delta goes to groups read from data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisegate.errors import BadSetting, TooComplex
from noisegate.mechanisms.gate import second_road
from noisegate.mechanisms.scale import scale_for
from noisegate.mechanisms.threshold import tail_above
from noisegate.plan.measure import Choice, Clip, DeclaredGroups, FragmentPlan, Measurement, Rank, Selection, Tree
from noisegate.privacy.planner import Analysis
from noisegate.privacy.pricing import price
from noisegate.room.embedded import EmbeddedServer
from support.planner import Planner
from support.servers import new_database

SCHEMA = """
CREATE TABLE users (id int PRIMARY KEY, city text NOT NULL, plan text, age int);
CREATE TABLE events (user_id int, kind text, x int, y numeric(6,2), z text);
"""
POLICY = """
database: prices
dsn: ${DSN}
unit: {table: users, key: id}
tables:
  users: {unit: id, columns: {city: {domain: [Oslo, Rome]}, plan: , age: {bounds: [0, 100]}}}
  events: {unit: user_id, columns: {kind: , x: {bounds: [0, 5]}, y: {bounds: [-3, 3]}, z: {domain: [a, b]}}}
price: {epsilon: 1, epsilon_max: 1000000000, delta: 1e-6}
budgets: {dataset: {epsilon: 1, delta: 1e-3}, analyst: {epsilon: 1, delta: 1e-3}}
"""
PARTS = (
    "SELECT count(*) FROM users",
    "SELECT count(*), sum(age), avg(age), count(DISTINCT id) FROM users GROUP BY city",
    "SELECT count(*) FROM users GROUP BY plan",
    "SELECT sum(x), avg(y), count(x) FILTER (WHERE y > 0), count(*) FROM events GROUP BY kind",
    "SELECT count(DISTINCT user_id) FROM events GROUP BY kind",
    "SELECT count(*), count(*) FROM events",
    "SELECT 1 FROM users GROUP BY city",
    "SELECT 1 FROM events GROUP BY kind, x",
    "SELECT min(x), percentile_disc(0.5) WITHIN GROUP (ORDER BY y), mode() WITHIN GROUP (ORDER BY z) FROM events",
    "SELECT var_pop(x), avg(x), count(DISTINCT y), mode() WITHIN GROUP (ORDER BY z), sum(y) FROM events GROUP BY kind",
    "SELECT count(DISTINCT user_id), max(y), count(*) FROM events GROUP BY kind",
    "SELECT count(age), sum(age), avg(age), stddev(age), var_pop(age) FROM users",
)
EPSILONS = st.decimals("0.000001", 10**9, allow_nan=False, places=None).filter(lambda d: d > 0)
DELTAS = st.decimals("1e-15", "0.01", allow_nan=False).filter(lambda d: d > 0)


@pytest.fixture(scope="module")
def analyses(data_server: EmbeddedServer) -> Iterator[list[Analysis]]:
    with Planner(new_database(data_server, SCHEMA), POLICY) as planner:
        yield [planner.plan(sql).analyses[0] for sql in PARTS]


def parts(plan: FragmentPlan) -> list[Measurement | Clip | Tree | Choice | Rank]:
    return [*plan.measurements, *plan.clips, *plan.trees, *plan.choices, *plan.ranks]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(0, len(PARTS) - 1), min_size=1, max_size=9), EPSILONS, DELTAS)
def test_the_parts_cost_no_more_than_the_price(
    analyses: list[Analysis], chosen: list[int], epsilon: Decimal, delta: Decimal
) -> None:
    plan, tables = price([analyses[i] for i in chosen], epsilon, delta)
    assert len(plan.fragments) == len(tables) == len(chosen)
    spent = sum((p.epsilon for f in plan.fragments for p in parts(f)), Fraction(0))
    spent += sum((c.choice for f in plan.fragments for c in f.clips), Fraction(0))
    assert spent == Fraction(epsilon) == Fraction(plan.price.epsilon), "all of the price is used, and no more"
    selecting = [f for f in plan.fragments if isinstance(f.groups, Selection)]
    assert sum((f.delta for f in plan.fragments), Decimal(0)) <= plan.price.delta
    assert plan.price.delta == (delta if selecting else 0)
    assert sum(Fraction(second_road(f)) for f in plan.fragments) <= Fraction(epsilon), "the noise covers the price"
    for f in plan.fragments:
        assert all(m.epsilon > 0 and m.per_group >= 1 and m.groups >= 1 for m in f.measurements)
        assert len(f.released) == sum(len(p.columns) for p in (*f.measurements, *f.clips))
        assert all(p.epsilon > 0 and p.groups >= 1 for p in parts(f))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(EPSILONS.filter(lambda e: e < 100), DELTAS)
def test_a_group_of_the_minimum_size_appears_with_at_most_its_share_of_delta(
    analyses: list[Analysis], epsilon: Decimal, delta: Decimal
) -> None:
    plan, _ = price([analyses[2], analyses[3]], epsilon, delta)
    for f in plan.fragments:
        assert isinstance(f.groups, Selection)
        m, least = f.measurements[f.groups.measurement], f.groups.threshold
        scale = scale_for(m.sensitivity, m.epsilon)
        assert m.per_group == f.groups.weight
        assert m.sensitivity == (f.groups.weight if f.groups.units else m.groups)
        for n in range(1, m.groups + 1):  # of the groups that a unit is in, and brings to the minimum
            there = (f.groups.group_size_min - 1) * f.groups.weight
            there += f.groups.weight // n if f.groups.units else 1
            assert n * Fraction(tail_above(least - there, scale)) <= Fraction(f.groups.delta)
        assert f.groups.delta <= delta / 2


@pytest.mark.parametrize("delta", ["1e-400", "0.49"])
def test_any_delta_selects(analyses: list[Analysis], delta: str) -> None:
    plan, _ = price([analyses[2]], Decimal(1), Decimal(delta))
    assert second_road(plan.fragments[0]) <= 1


def test_equal_totals_are_measured_once_and_a_hidden_count_gets_what_it_needs(analyses: list[Analysis]) -> None:
    plan, _ = price([analyses[5]], Decimal(1), Decimal("1e-6"))
    (once,) = plan.fragments[0].clips
    assert once.epsilon + once.choice == 1
    plan, _ = price([analyses[3]], Decimal(1), Decimal("1e-6"))
    f = plan.fragments[0]
    assert isinstance(f.groups, Selection)
    share = Fraction(91, 1000)
    assert f.measurements[f.groups.measurement].epsilon == share, "300 units in root of 3 groups: ln(3e6) / (173 - 10)"
    assert f.groups.threshold <= 174 * f.groups.weight
    dear, _ = price([analyses[3]], Decimal(100), Decimal("1e-6"))
    cheap, _ = price([analyses[3]], Decimal("0.1"), Decimal("1e-6"))
    shares = [p.fragments[0].measurements[0].epsilon / p.fragments[0].epsilon for p in (dear, cheap)]
    assert shares == [Fraction(1, 20), Fraction(1, 4)], "no more than it needs, and no more than a quarter"
    kinds = [p.fragments[0].groups for p in (dear, cheap)]
    assert all(isinstance(g, Selection) for g in kinds)
    assert [bool(g.units) for g in kinds if isinstance(g, Selection)] == [False, True], "by count, where noise is small"
    plan, _ = price([analyses[6]], Decimal(1), Decimal("1e-6"))
    assert plan.fragments[0].epsilon == 1
    plan, _ = price([analyses[4]], Decimal(1), Decimal("1e-6"))
    f = plan.fragments[0]
    assert isinstance(f.groups, Selection) and f.measurements[f.groups.measurement].epsilon == 1, "selected on it"


def test_shares_follow_public_scales(analyses: list[Analysis]) -> None:
    """A square is a quarter of the most or so, where a value is half of it."""
    plan, _ = price([analyses[9]], Decimal(1), Decimal("1e-6"))
    measured = {
        ("squares" if "squares" in m.what else "sums"): m.epsilon
        for m in plan.fragments[0].measurements
        if "sum" in m.what
    }
    assert measured["squares"] == 3 * measured["sums"]
    plan, _ = price([analyses[10]], Decimal(1), Decimal("1e-6"))
    f = plan.fragments[0]
    assert isinstance(f.groups, Selection)
    units = f.measurements[f.groups.measurement].epsilon
    assert units >= Fraction(15, 100), "what selects the groups gets no less than if nobody had asked for it"


def test_aggregates_share_what_is_the_same(analyses: list[Analysis]) -> None:
    """count, sum, avg, stddev and var_pop of one column: the two sums of the mean, and the squares."""
    plan, _ = price([analyses[11]], Decimal(1), Decimal("1e-6"))
    assert len(parts(plan.fragments[0])) == 2


def test_groups_read_from_data_need_delta(analyses: list[Analysis]) -> None:
    with pytest.raises(BadSetting):
        price([analyses[2]], Decimal(1), Decimal(0))
    plan, _ = price([analyses[1]], Decimal(1), Decimal(0))
    assert isinstance(plan.fragments[0].groups, DeclaredGroups) and plan.price.delta == 0


def test_percentiles_of_too_many_declared_groups_are_refused_before_the_charge(analyses: list[Analysis]) -> None:
    declared = tuple((str(i),) for i in range(100_000))
    many = replace(analyses[8], keys=analyses[1].keys, declared=declared)
    with pytest.raises(TooComplex):
        price([many], Decimal(1), Decimal(0))
