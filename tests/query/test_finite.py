"""Listed values of expressions: every group that the engine makes is declared, and so is every value that PostgreSQL
makes of a row within the bounds."""

from __future__ import annotations

import psycopg
import pytest

from noisegate.plan.measure import DeclaredGroups, Selection
from support.expressions import compiled
from support.planner import Planner, like_the_engine

LISTED = (
    "extract(month from d1)", "extract(dow from ts1)", "extract(hour from ts1)", "extract(hour from tm1)",
    "extract(year from d1)",
    "extract(isoyear from ts1)", "date_part('quarter', tz1)", "extract(month from d1)::int", "date_trunc('month', ts1)",
    "date_trunc('year', tz1)", "date_trunc('month', d1)", "date_trunc('quarter', ts1)::date", "to_char(d1, 'YYYY-MM')",
    "to_char(ts1, 'Day')", "to_char(tz1, 'HH24')", "to_char(ts1, 'IYYY')", "width_bucket(n1, 0, 100, 10)",
    "width_bucket(i41, ARRAY[0, 10, 100])", "width_bucket(f81, 10, 0, 3)", "i41 > 5", "b1 AND b2",
    "i41 IS NULL",
    "CASE WHEN i41 > 7 THEN 'many' WHEN i41 > 1 THEN 'some' END", "CASE WHEN b1 THEN 1 ELSE 0 END", "i41 % 5",
    "i41 / 100 * 100",
    "floor(money1)", "coalesce(CASE WHEN i41 > 7 THEN 'x' END, 'none')", "b1::int", "coalesce(e1, 'ok')",
    "CASE WHEN b1 THEN d1 END IS NULL",
)  # fmt: skip


INSIDE = " AND ".join((
    "d1 BETWEEN '2000-01-01' AND '2030-01-01'", "ts1 BETWEEN '2000-01-01' AND '2030-01-01'",
    "tz1 BETWEEN '2000-01-01 00:00+00' AND '2030-01-01 00:00+00'", "i41 BETWEEN -5 AND 1000", "money1 BETWEEN 0 AND 20",
))  # fmt: skip


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Pacific/Kiritimati"])
@pytest.mark.parametrize("expression", LISTED)
def test_every_group_and_every_value_of_an_ordinary_row_is_listed(planner: Planner, expression: str, zone: str) -> None:
    wild, tame = (
        planner.plan(f"SELECT {expression}, count(*) FROM {table} GROUP BY 1", time_zone=zone).only
        for table in ("wild", "tame")
    )
    assert isinstance(wild.groups, DeclaredGroups) and wild.groups == tame.groups
    with psycopg.connect(planner.policy.dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        like_the_engine(connection, tame.settings)
        groups = {plan: {(row[0],) for row in connection.execute(plan.sql)} for plan in (wild, tame)}
        assert groups[wild] <= set(tame.groups.rows) >= groups[tame]
        connection.execute("SET search_path = public, pg_catalog")
        kind = "timestamptz" if "trunc" in expression and "ts1" not in expression else "text"
        listed = [r[0] for r in tame.groups.rows if r[0] is not None]
        inside = connection.execute(f"SELECT count(*) FROM tame WHERE {INSIDE}").fetchone()
        assert inside is not None and inside[0] > 0
        other = f"({expression})::{kind} <> ALL ($1::{kind}[])"
        missing = connection.execute(f"SELECT ({expression})::text FROM tame WHERE {INSIDE} AND {other}", (listed,))
        assert missing.fetchall() == []


@pytest.mark.parametrize(
    "expression",
    ["date_trunc('hour', tz1)", "date_trunc('day', ts1)", "t1 || 'x'",
     "i41 + 1", "date_trunc('month', tz1, 'Asia/Tokyo')", "lower(t1)", "nullif(i41, 3)", "abs(i41 / 100)",
     "-(i41 % 5)"],
)  # fmt: skip
def test_others_are_read_from_data(planner: Planner, expression: str) -> None:
    plan = planner.plan(f"SELECT {expression}, count(*) FROM wild GROUP BY 1").only
    assert isinstance(plan.groups, Selection)


def test_a_where_clause_lists_fewer(planner: Planner) -> None:
    where = "ts1 >= '2020-01-01' AND ts1 < '2020-04-01'"
    plan = planner.plan(f"SELECT date_trunc('month', ts1), count(*) FROM wild WHERE {where} GROUP BY 1").only
    assert isinstance(plan.groups, DeclaredGroups)
    assert [r[0] for r in plan.groups.rows] == [f"2020-0{m}-01 00:00:00" for m in (1, 2, 3)]  # and no NULL


@pytest.mark.parametrize(
    ("expression", "bound"),
    [
        ("least(greatest(n1, 0), 100)", (0, 100)), ("CASE WHEN i81 > 100 THEN 100 ELSE i81 END", (-5, 100)),
        ("CASE WHEN n1 < 0 THEN 0 WHEN n1 > 50 THEN 50 ELSE n1 END", (0, 50)),
        ("CASE WHEN b1 THEN 1 ELSE 0 END", (0, 1)),
        ("CASE WHEN i41 BETWEEN 0 AND 10 THEN i41 ELSE 0 END", (0, 10)), ("width_bucket(long1, 0, 100, 10)", (0, 10)),
        ("extract(dow FROM d1)", (0, 6)), ("length(vc1)", (0, 10)), ("abs(i41)", (0, 1000)), ("i41 % 7", (-6, 6)),
        ("sqrt(i41)", (0, 31.6227767)), ("i41 ^ 2", (0, 1_000_000)), ("sign(n1)", (-1, 1)),
        ("d1 - date '2000-01-01'", (0, 10958)),
        ("extract(day FROM ts1 - ts2)", (-10959, 10959)),
        ("CASE WHEN (i41 + i42) > 100 THEN 0 ELSE i41 + i42 END", (-10, 100)),
        ("extract(year FROM ts1)", (2000, 2030)), ("money1 * 2", (0, 40)), ("round(money1 / 3, 1)", (0, 6.7)),
    ],
)  # fmt: skip
def test_bounds(planner: Planner, expression: str, bound: tuple[float, float]) -> None:
    _, value = compiled(planner, expression, "wild")
    assert value.bound.lo is not None and value.bound.hi is not None
    assert (float(value.bound.lo), float(value.bound.hi)) == pytest.approx(bound, rel=1e-9)
