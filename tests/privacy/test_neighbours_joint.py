"""The neighbour oracle for caps on all groups of a unit together, with K = 1, 2 and 3: whichever cap is chosen, one
unit changes the sums by no more than that cap, and stands once in the histogram."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisegate.room.embedded import EmbeddedServer
from privacy.test_neighbours import SCHEMA, SECRETS, Data, databases, event
from privacy.test_neighbours_parts import CLIPPED, CLIPS, DISTINCT, MOMENTS, Parts, Texts, texts
from support.planner import Planner
from support.servers import new_database

WHAT = f"{CLIPPED}, count(*) FILTER (WHERE e.qty > 0), avg(e.qty) FILTER (WHERE e.kind IS NOT NULL), sum(e.weight)"
KEYS = ("e.kind", "e.region", "e.origin", "e.region, e.kind", "e.qty > 0, e.origin")
STATEMENTS = (
    *(f"SELECT {k}, {WHAT} FROM events e GROUP BY {k}" for k in KEYS),
    f"SELECT kind, {WHAT}, count(DISTINCT e.user_id) FROM events e GROUP BY kind",
    f"SELECT kind, {DISTINCT}, {MOMENTS} FROM events e GROUP BY kind",
    f"SELECT t.tag, {WHAT}, sum(t.points) FROM events e JOIN tags t ON t.region = e.region "
    "WHERE t.points BETWEEN 0 AND 6 GROUP BY t.tag",
)


DECLARED = (
    ("rows_per_group_max: 9", "rows_per_group_max: 9, rows_per_unit_max: 11"),
    ("qty: {bounds: [-10, 10]}", "qty: {bounds: [-10, 10], unit_total: 30, unit_total_overall: 37}"),
    ("wild: {bounds: [-0.5, 0.5]}", "wild: {bounds: [-0.5, 0.5], unit_total_overall: 0.8}"),
)


def declared(private: bool) -> str:
    """The policy with bounds on all groups of a unit together."""
    policy = CLIPS if private else CLIPS.replace("private_clip: true", "private_clip: false")
    for old, new in DECLARED:
        assert old in policy
        policy = policy.replace(old, new)
    return policy


def parts_of(server: EmbeddedServer, most: int, policy: str = CLIPS) -> Iterator[Parts]:
    dsn = new_database(server, SCHEMA)
    policy = policy.replace("groups_per_unit_max: 2", f"groups_per_unit_max: {most}")
    with (
        Planner(dsn, policy) as planner,
        psycopg.connect(dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection,
    ):
        yield Parts(planner, connection, STATEMENTS)


@pytest.fixture(scope="module", params=[1, 2, 3])
def parts(data_server: EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[Parts]:
    yield from parts_of(data_server, request.param)


def test_caps_are_joint_where_a_unit_may_be_in_several_groups(parts: Parts) -> None:
    clips = [c for plan in parts.plans.values() for c in plan.clips]
    assert {bool(c.fine) for c in clips if c.groups > 1} <= {True}
    assert not any(c.fine for c in clips if c.groups == 1)
    assert all(c.pairs == 1 for c in clips)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=databases(), statements=st.lists(st.sampled_from(STATEMENTS), min_size=4, max_size=4), secret=SECRETS)
def test_one_unit_changes_no_more_than_the_joint_caps(
    parts: Parts, data: Data, statements: list[str], secret: int
) -> None:
    parts.compare(data, [texts(parts.plans[sql], secret) for sql in statements])


def rows(*units: tuple[int, str, int, int]) -> Data:
    """(unit, kind, its rows there, their qty); further units, and rows of nobody."""
    own = [event(u, kind=k, qty=q) for u, k, n, q in units for _ in range(n)]
    return Data((), (*own, event(7, kind="a", qty=1), event(None, kind="b", qty=9)))


EVEN = rows((1, "a", 9, 10), (1, "b", 9, 10), (1, "c", 1, 10), (2, "a", 1, 1))
BELOW = rows((1, "a", 9, -10), (1, "b", 9, 3), (2, "b", 2, -1))
SEVEN = rows((1, "a", 1, 4), (1, "b", 1, 3), (2, "a", 1, 1))
MANY = rows((1, "a", 20, 10), (1, "b", 20, 10), (2, "a", 1, 1))
COUNT = "SELECT kind, count(*) FROM events GROUP BY kind"
SUM = "SELECT kind, sum(qty) FROM events GROUP BY kind"
MEAN = "SELECT kind, avg(qty) FROM events GROUP BY kind"
STEPS = {
    "a unit's size is over its groups": (COUNT, r"OVER unit AS z0", "OVER (PARTITION BY q.u, q.k0) AS z0", EVEN),
    "a unit's size is its own": (COUNT, r"WINDOW unit AS \(PARTITION BY q\.u\)", "WINDOW unit AS ()", EVEN),
    "a size has no sign": (
        SUM, r"\(pg_catalog\.abs\((.*?)\)\)::pg_catalog\.int4\) OVER", r"(\1)::pg_catalog.int4) OVER", BELOW,
    ),
    "rows in a group": (COUNT, r"GREATEST\(LEAST\(w\.c0, 9\), 0\)", "w.c0", MANY),
    "a part of the whole": (COUNT, r" / NULLIF\(w\.z0, 0\)", "", EVEN),
    "the cap of what is beyond it": (SUM, r"ELSE (r\.x\d+) \* 4 END", r"ELSE \1 * 8 END", EVEN),
    "the size up to which a unit is whole": (SUM, r"WHEN r\.b0 <= 3 THEN", "WHEN r.b0 <= 4 THEN", SEVEN),
    "a unit stands once in the histogram": (COUNT, r"q\.rn = 1 AS first", "true AS first", EVEN),
    "K groups": (SUM, r" WHERE q\.rn <= 2", "", EVEN),
    "the parts of a mean": (MEAN, r" / NULLIF\(w\.z0, 0\)", "", EVEN),
    "the rows of a mean": (MEAN, r"LEAST\(w\.c1, 9\)", "w.c1", MANY),
}  # fmt: skip


@pytest.fixture(scope="module")
def two(data_server: EmbeddedServer) -> Iterator[Parts]:
    yield from parts_of(data_server, 2)


@pytest.mark.parametrize("step", STEPS)
def test_without_a_step_the_oracle_fails(two: Parts, step: str) -> None:
    _fails_without(two, *STEPS[step])


def _fails_without(parts: Parts, statement: str, old: str, new: str, data: Data) -> None:
    plan = parts.planner.plan(statement).only
    whole = [texts(plan, secret) for secret in range(8)]
    broken = [Texts(one.plan, tuple(re.sub(old, new, sql) for sql in one.queries)) for one in whole]
    assert broken[0] != whole[0], "the step is not in the generated SQL any more"
    parts.compare(data, whole)
    with pytest.raises((AssertionError, psycopg.DataError)):
        parts.compare(data, broken)


def test_the_cap_is_reached(two: Parts) -> None:
    """A unit that is beyond a cap changes the sums by nearly all of it: no lower sensitivity would do."""
    plan = two.planner.plan(SUM).only
    (clip,) = plan.clips
    with two.connection.transaction(force_rollback=True):
        two.fill(EVEN)
        one = texts(plan, 1)
        before = dict(one.exact(two.connection).rows)
        two.drop(1)
        after = dict(one.exact(two.connection).rows)
    for j, (column,) in enumerate(clip.sums[:6]):
        at = plan.exact.index(column)
        moved = sum(abs(row[at] - after[key][at] if key in after else row[at]) for key, row in before.items())
        assert clip.sensitivity(j) * 0.999 < moved <= clip.sensitivity(j)


# Caps that the policy declares


@pytest.fixture(scope="module", params=[(2, True), (3, False)], ids=["clips", "caps"])
def said(data_server: EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[Parts]:
    most, private = request.param
    yield from parts_of(data_server, most, declared(private))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=databases(), statements=st.lists(st.sampled_from(STATEMENTS), min_size=4, max_size=4), secret=SECRETS)
def test_one_unit_changes_no_more_than_declared(said: Parts, data: Data, statements: list[str], secret: int) -> None:
    said.compare(data, [texts(said.plans[sql], secret) for sql in statements])


def test_declared_bounds_make_the_noise_smaller(said: Parts) -> None:
    plan = said.planner.plan("SELECT kind, count(*), sum(qty), avg(weight) FROM events GROUP BY kind").only
    joint = {m.what.split()[0]: Fraction(m.sensitivity, m.fine) for m in plan.measurements if m.joint is not None}
    assert joint.pop("weight") == 720720
    if plan.clips:
        assert joint == {"sum(qty)": 37} and {c.caps[-1] for c in plan.clips} == {16}
    else:
        mean = next(m for m in plan.measurements if m.what.startswith("weight:"))
        steps = mean.per_group // (9 * mean.fine)
        assert joint == {"sum(qty)": 37, "count(*)": 11, "weight:": 11 * steps}


SAID = {
    "a declared cap on rows": (COUNT, rf"\* {11 << 16} /", f"* {12 << 16} /", EVEN),
    "a declared cap on a total": (SUM, rf"\* {37 << 16} /", f"* {40 << 16} /", EVEN),
    "who is within a declared cap": (SUM, r"<= 37 THEN", "<= 50 THEN", rows((1, "a", 3, 10), (1, "b", 2, 10))),
    "the rows of a mean": (
        MEAN.replace("qty", "weight"),
        r"OVER unit AS z0",
        "OVER (PARTITION BY q.u, q.k0) AS z0",
        EVEN,
    ),
}


@pytest.fixture(scope="module")
def caps(data_server: EmbeddedServer) -> Iterator[Parts]:
    yield from parts_of(data_server, 2, declared(False))


@pytest.mark.parametrize("step", SAID)
def test_without_a_step_of_a_declared_cap_the_oracle_fails(caps: Parts, step: str) -> None:
    _fails_without(caps, *SAID[step])
