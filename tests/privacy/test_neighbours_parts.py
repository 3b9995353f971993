"""The neighbour oracle for the parts of a fragment besides plain totals: distinct values, histograms, clips.

As in test_neighbours.py: each unit is dropped in turn, and what changes is compared with what the plan claims.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import sub

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisegate.engine.generated import candidates_only
from noisegate.engine.totals import has_rest, to_confidential
from noisegate.plan.measure import FragmentPlan
from noisegate.plan.trust import Confidential
from noisegate.room.embedded import EmbeddedServer
from privacy.test_neighbours import POLICY, SCALED, SCHEMA, SECRETS, Data, Oracle, databases, event, many, spread, user
from support.planner import Planner, with_secret
from support.servers import new_database

CLIPS = POLICY.replace("private_clip: false", "private_clip: true").replace(
    "rows_per_group_max: 3", "rows_per_group_max: 9, values_per_group_max: 2, sampled_rows_max: 3"
)
DISTINCT = (
    "count(DISTINCT e.qty), count(DISTINCT e.kind) FILTER (WHERE e.qty > 0), count(DISTINCT e.wild), "
    "count(DISTINCT e.weight), count(DISTINCT e.origin), count(DISTINCT e.region) FILTER (WHERE e.qty > 0), "
    "sum(DISTINCT e.price), sum(DISTINCT e.qty), avg(DISTINCT e.weight), avg(DISTINCT e.big)"
)
MOMENTS = (
    "var_pop(e.qty), stddev(e.price), variance(e.weight), var_samp(e.big), corr(e.qty, e.weight), "
    "covar_samp(e.weight, e.price), regr_count(e.qty, e.big), "
    "regr_slope(e.wild, e.qty) FILTER (WHERE e.kind IS NOT NULL)"
)
PLACES = (
    "min(e.qty), max(e.at), min(e.weight) FILTER (WHERE e.qty > 0), max(e.wild), "
    "percentile_cont(0.5) WITHIN GROUP (ORDER BY e.price), "
    "percentile_disc(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY e.at DESC), "
    "percentile_disc(0.5) WITHIN GROUP (ORDER BY e.qty) FILTER (WHERE e.kind IS NOT NULL), "
    "mode() WITHIN GROUP (ORDER BY e.origin), mode() WITHIN GROUP (ORDER BY e.region) FILTER (WHERE e.qty > 0)"
)
ALONE = (
    "percentile_cont(0.5) WITHIN GROUP (ORDER BY e.qty), percentile_disc(0.9) WITHIN GROUP (ORDER BY e.at DESC), "
    "percentile_disc(0.1) WITHIN GROUP (ORDER BY e.price) FILTER (WHERE e.kind IS NOT NULL), count(*)"
)
CLIPPED = (
    "count(*), count(e.qty), sum(e.qty), sum(e.price * e.qty), sum(e.wild), "
    "avg(e.qty), avg(e.weight), avg(e.price), bool_or(e.qty > 0), every(e.qty > 0)"
)
USERS = (
    "count(DISTINCT u.age), sum(DISTINCT u.score), avg(DISTINCT u.balance), var_pop(u.age), corr(u.score, u.balance), "
    "min(u.score), max(u.balance), percentile_cont(0.3) WITHIN GROUP (ORDER BY u.age), "
    "mode() WITHIN GROUP (ORDER BY u.mood), bool_and(u.vip), count(*)"
)
GROUPS = (("", ""), ("origin, ", " GROUP BY 1"), ("kind, ", " GROUP BY 1"), ("region, wild, ", " GROUP BY 1, 2"))
STATEMENTS = (
    *(
        f"SELECT {k}{what} FROM events e{group}"
        for what in (DISTINCT, MOMENTS, PLACES, ALONE, CLIPPED)
        for k, group in GROUPS
    ),
    f"SELECT {USERS} FROM users u",
    f"SELECT city, {USERS} FROM users u GROUP BY 1",
    f"SELECT age / 10, {USERS} FROM users u GROUP BY 1",
    f"SELECT t.tag, {USERS} FROM users u JOIN tags t ON t.region = u.city OR u.vip GROUP BY t.tag",
)


@dataclass(frozen=True)
class Texts:
    """A plan's queries, with fixed secrets."""

    plan: FragmentPlan
    queries: tuple[str, ...]

    def exact(self, connection: psycopg.Connection) -> Confidential:
        rows, *further = [connection.execute(sql.encode()).fetchall() if sql else [] for sql in self.queries]
        return to_confidential(self.plan, rows, further)


def texts(plan: FragmentPlan, secret: int) -> Texts:
    first = candidates_only(plan.sql, plan) if has_rest(plan) else plan.sql
    return Texts(plan, tuple(with_secret(sql, secret) for sql in (first, *(q.sql for q in plan.more))))


def assert_close(plan: FragmentPlan, before: Confidential, after: Confidential, unit: int | None) -> None:
    """One unit changes no more than each part claims, and all parts together in one choice of groups."""
    touched: set[object] = set()
    differences = _differences(plan, before, after)
    for m in plan.measurements:
        _check(differences, m.columns, m.per_group, m.groups, f"unit {unit}: {m.what}", touched)
        moved = sum(abs(d[column]) for d in differences.values() for column in m.columns)
        assert moved <= m.sensitivity, f"unit {unit}: {m.what} in all groups"
    if plan.tested:
        _check(differences, [plan.tested], 1, plan.measurements[0].groups, f"unit {unit}: what is tested", touched)
    for clip in plan.clips:
        for j, (cap, columns) in enumerate(zip(clip.caps, clip.sums, strict=True)):
            most = cap * clip.unit * clip.steps(j)
            assert clip.sensitivity(j) == most * clip.pairs
            _check(differences, columns, most, clip.pairs, f"unit {unit}: {clip.what} at {cap}", touched)
        if clip.fine:  # of all groups, in each row
            old, new = ([_most(plan, one, c) for c in clip.above] for one in (before, after))
            buckets: dict[object, list[int]] = {"all": _buckets(list(map(sub, old, new)))}
        else:
            buckets = {key: _buckets([d[c] for c in clip.above]) for key, d in differences.items()}
        assert sum(abs(n) for row in buckets.values() for n in row) <= clip.pairs, f"unit {unit}: histogram"
        assert all(n >= 0 for row in buckets.values() for n in row), "a unit adds to a histogram"
    queries = [i for i, q in enumerate(plan.more) if q.leaves]
    for part in (*plan.trees, *plan.choices, *plan.ranks):
        place = queries.index(part.query)
        old, new = ({(k, leaf): n for k, leaf, n in c.leaves[place]} for c in (before, after))
        change = {cell: old.get(cell, 0) - new.get(cell, 0) for cell in old.keys() | new.keys()}
        assert all(0 <= n <= part.rows for n in change.values()), f"unit {unit}: {part.what} in a leaf"
        groups = {key for (key, _), n in change.items() if n}
        touched |= groups
        if part not in plan.choices:
            for key in groups:
                moved = sum(n for (k, _), n in change.items() if k == key)
                assert moved <= part.rows, f"unit {unit}: {part.what} in a group"
        assert len(groups) <= part.groups
    parts = (*plan.measurements, *plan.clips, *plan.trees, *plan.choices, *plan.ranks)
    assert len(touched) <= max(p.groups for p in parts), f"unit {unit} touches too many groups"
    assert unit is not None or not touched, "rows of nobody count"


def _differences(plan: FragmentPlan, before: Confidential, after: Confidential) -> dict[object, dict[str, int]]:
    nothing = (0,) * len(plan.exact)
    old, new = dict(before.rows), dict(after.rows)
    return {
        key: dict(zip(plan.exact, map(sub, old.get(key, nothing), new.get(key, nothing)), strict=True))
        for key in old.keys() | new.keys()
    }


def _most(plan: FragmentPlan, one: Confidential, column: str) -> int:
    values = {row[plan.exact.index(column)] for _, row in one.rows}
    assert len(values) <= 1, "each row repeats what is of all groups"
    return max(values, default=0)


def _check(
    differences: dict[object, dict[str, int]],
    columns: Sequence[str],
    most: int,
    groups: int,
    what: str,
    touched: set[object],
) -> None:
    sizes = {key: sum(abs(d[c]) for c in columns) for key, d in differences.items()}
    assert max(sizes.values(), default=0) <= most, f"{what} in a group"
    assert sum(sizes.values()) <= most * groups, what
    touched |= {key for key, size in sizes.items() if size}


def _buckets(above: Sequence[int]) -> list[int]:
    return [n - (above[j + 1] if j + 1 < len(above) else 0) for j, n in enumerate(above)]


class Parts(Oracle):
    """The oracle over all queries of a plan."""

    def __init__(
        self, planner: Planner, connection: psycopg.Connection, statements: Sequence[str] = STATEMENTS
    ) -> None:
        super().__init__(planner, connection, statements)

    def compare(self, data: Data, queries: Sequence[Texts]) -> None:
        with self.connection.transaction(force_rollback=True):
            self.fill(data)
            before = [one.exact(self.connection) for one in queries]
            for unit in data.units:
                with self.connection.transaction(force_rollback=True):
                    self.drop(unit)
                    for one, whole in zip(queries, before, strict=True):
                        assert_close(one.plan, whole, one.exact(self.connection), unit)


@pytest.fixture(scope="module")
def parts(data_server: EmbeddedServer) -> Iterator[Parts]:
    dsn = new_database(data_server, SCHEMA)
    with (
        Planner(dsn, CLIPS) as planner,
        psycopg.connect(dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection,
    ):
        yield Parts(planner, connection)


def test_the_statements_have_every_part(parts: Parts) -> None:
    plans = list(parts.plans.values())
    assert any(p.clips for p in plans) and any(p.trees for p in plans) and any(p.choices for p in plans)
    assert (
        {p.groups for plan in plans for p in plan.trees} == {1, 2} == {p.groups for plan in plans for p in plan.ranks}
    )
    assert any("row_number" in q.sql and "dense_rank" in q.sql for p in plans for q in p.more)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=databases(),
    statements=st.lists(st.sampled_from(STATEMENTS), min_size=4, max_size=4, unique=True),
    secret=SECRETS,
)
def test_one_unit_changes_no_more_than_the_parts_claim(
    parts: Parts, data: Data, statements: list[str], secret: int
) -> None:
    parts.compare(data, [texts(parts.plans[sql], secret) for sql in statements])


# -- without any one of the steps that bound, it fails ----------------------------------------------------------------
NUMBERS = spread("qty", 4, 5, 6, 7, 8, 9, 10)
OTHERS = tuple(event(u, kind=k, qty=2) for u, kinds in ((2, "ab"), (3, "cd"), (4, "ef")) for k in kinds)
KINDS = Data((), (*(event(1, kind=k, amount=1.0) for k in "abcdef"), *OTHERS))
REGIONS = Data((), (*(event(1, region=r, amount=1.0) for r in ("north", "south", "east", "west", None)), event(2)))
STEPS = {
    "at most V values": (
        "SELECT count(DISTINCT qty) FROM events", r" WHERE v\.rv <= 2", "", NUMBERS,
    ),
    "V values of each unit": (
        "SELECT sum(DISTINCT qty) FROM events", r"PARTITION BY q\.u ", "",
        Data((), (event(1, qty=-10), event(1, qty=-9), event(2, qty=10), event(2, qty=9))),
    ),
    "V values, chosen groups": (
        "SELECT kind, sum(DISTINCT qty) FROM events GROUP BY kind", r" WHERE v\.rv <= 2", "", NUMBERS,
    ),
    "a distinct value's clamp": (
        "SELECT sum(DISTINCT qty) FROM events", r"GREATEST\(LEAST\(\(CASE WHEN .*? END\), 10\), -10\)",
        "r.x", spread("qty", 2**31 - 1),
    ),
    "K groups of the distinct values": (
        "SELECT kind, count(DISTINCT qty) FROM events GROUP BY kind", r"w\.rn <= 2 AND ", "", KINDS,
    ),
    "the same groups for distinct values": (
        "SELECT kind, count(DISTINCT qty), sum(amount) FROM events GROUP BY kind",
        r"(dense_rank\(\) OVER \(PARTITION BY p\.u ORDER BY ).*?(p\.k0\) AS rn)", r"\1\2",
        KINDS,
    ),
    "the declared groups for distinct values, too": (
        "SELECT region, count(DISTINCT qty), sum(amount) FROM events GROUP BY region",
        r"( AS x FROM .*? IS NOT NULL) AND \(.*? IS NULL\)( GROUP BY)", r"\1\2", REGIONS,
    ),
    "the declared groups for a histogram, too": (
        "SELECT region, max(qty), sum(amount) FROM events GROUP BY region",
        r"( AS x FROM .*? IS NOT NULL) AND \(.*? IS NULL\)( GROUP BY)", r"\1\2", REGIONS,
    ),
    "the same groups for a histogram": (
        "SELECT kind, percentile_disc(0.5) WITHIN GROUP (ORDER BY qty), sum(amount) FROM events GROUP BY kind",
        r"(dense_rank\(\) OVER \(PARTITION BY p\.u ORDER BY ).*?(p\.k0\) AS rn)", r"\1\2", KINDS,
    ),
    "the same groups for an extreme": (
        "SELECT kind, max(qty), sum(amount) FROM events GROUP BY kind",
        r"(1 AS f, pg_catalog\.row_number\(\) OVER \(PARTITION BY p\.u ORDER BY ).*?(p\.k0\) AS rn)", r"\1\2", KINDS,
    ),
    "rows of nobody in a set of values": (
        "SELECT count(DISTINCT qty) FROM events", r't0\."user_id" IS NOT NULL', "true",
        Data((), (event(1, qty=2), event(None, qty=5))),
    ),
    "rows of nobody in a histogram": (
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY qty) FROM events", r't0\."user_id" IS NOT NULL', "true",
        many(1),
    ),
    "at most M rows in a histogram": (
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY qty) FROM events", r"WHEN v\.t <= 3", "WHEN true", many(9),
    ),
    "M rows of each unit": (
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY qty) FROM events", r"PARTITION BY q\.u ?", "",
        Data((), (*[event(1)] * 4, *(event(2, qty=n) for n in range(2, 11)))),
    ),
    "K groups of a histogram": (
        "SELECT kind, percentile_disc(0.5) WITHIN GROUP (ORDER BY qty) FROM events GROUP BY kind",
        r" WHERE w\.rn <= 2\) AS q", ") AS q", KINDS,
    ),
    "one extreme of a unit": (
        "SELECT min(qty) FROM events", r"pg_catalog\.min\((.*?)\) AS x FROM (.*?) GROUP BY 1\)",
        r"\1 AS x FROM \2)", NUMBERS,
    ),
    "K groups of an extreme": (
        "SELECT kind, max(qty) FROM events GROUP BY kind", r" WHERE q\.rn <= 2\) AS r", ") AS r", KINDS,
    ),
    "one of a unit in each declared value": (
        "SELECT count(DISTINCT origin) FROM events", r"LEAST\(q\.c, 1\)", "q.c", many(20),
    ),
    "rows of one choice": (
        "SELECT mode() WITHIN GROUP (ORDER BY origin) FROM events", r"LEAST\(q\.c, 9\)", "q.c", many(20),
    ),
    "the cap of a clipped count": (
        "SELECT count(*) FROM events", r"r\.x0 \* 4", "r.x0 * 9", many(9),
    ),
    "the size of a clipped count": (
        "SELECT count(*) FROM events", r"ARRAY\[1, 2, 3, 5\]", "ARRAY[1, 2, 3, 50]", many(9),
    ),
    "the last cap": (
        "SELECT count(*) FROM events", r"LEAST\(p\.c0, 9\)", "p.c0", many(20),
    ),
    "the cap of a clipped sum, below": (
        "SELECT sum(qty) FROM events", r"r\.x0 \* -4", "r.x0 * -8", many(9, qty=-9),
    ),
    "above a cap or not": (
        "SELECT count(*) FROM events", r"\(r\.x0\) FILTER \(WHERE r\.b0 > 2\)",
        "(2 * r.x0) FILTER (WHERE r.b0 > 2)", many(9),
    ),
    "the rows of a clipped mean": (
        "SELECT avg(qty) FROM events", r"LEAST\(p\.c1, 4\)", "p.c1", many(9, qty=-10),
    ),
    "the scale of a clipped mean's rows": (
        "SELECT avg(qty) FROM events", SCALED + r"80\)", "p.c0",
        many(9, qty=10),
    ),
    "squares": (
        "SELECT var_pop(qty) FROM events", r"GREATEST\(LEAST\(CASE WHEN p\.c1 > 9 THEN .*? END, 900\), 0\)", "p.c2",
        many(20, qty=10),
    ),
    "one row's square": (
        "SELECT var_pop(score) FROM users", r"GREATEST\(LEAST\((.*?), 250000\), 0\)", r"(\1) * 2",
        Data((user(1, score=5.0), user(2)), ()),
    ),
    "products": (
        "SELECT covar_pop(qty, weight) FROM events", r"GREATEST\(LEAST\((CASE WHEN p\.c1 > 9 .*? END), \d+\), -\d+\)",
        "p.c2", many(20, qty=10, weight=0.75),
    ),
    "a unit with a true value counts once": (
        "SELECT bool_or(qty > 0) FROM events", r"\(CASE WHEN p\.c0 > 0 THEN 1 ELSE 0 END\)", "p.c0", many(9),
    ),
}  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_without_a_step_the_oracle_fails(parts: Parts, step: str) -> None:
    statement, old, new, data = STEPS[step]
    plan = parts.planner.plan(statement).only
    whole = [texts(plan, secret) for secret in range(16)]
    broken = [Texts(one.plan, tuple(re.sub(old, new, sql) for sql in one.queries)) for one in whole]
    assert broken[0] != whole[0], "the step is not in the generated SQL any more"
    parts.compare(data, whole)
    with pytest.raises((AssertionError, psycopg.DataError)):
        parts.compare(data, broken)
