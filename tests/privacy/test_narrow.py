"""Narrowed intervals hold every row that passes; the clamp stands in the SQL whatever the WHERE clause says."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisegate.planning.jobs import ReadJob, read_job
from noisegate.privacy.rules import resolver_of
from noisegate.privacy.ties import conjuncts_of
from noisegate.query.fragment import expressions_of
from noisegate.query.interval import ANY
from noisegate.query.total.narrow import narrowings
from noisegate.room.embedded import EmbeddedServer
from support.extremes import TAME, WILD, create_sql, fill, policy_text
from support.planner import Planner
from support.servers import new_database

OPERATORS = st.sampled_from(["=", "<", "<=", ">", ">=", "<>"])
NUMBERS = st.sampled_from(["0", "7", "-3", "2.5", "-2.25", "1e3", "12", "2147483647", "1e400", "-0.0"])
FLOATS = st.sampled_from(["0::float8", "'1e300'::float8", "'-Infinity'::float8", "'NaN'::float8", "2.5::float8"])
DATES = st.sampled_from(["date '2000-02-29'", "date 'infinity'", "date '1999-12-31'", "date '2024-01-02'"])
STAMPS = st.sampled_from(
    ["timestamp '2000-02-29 12:00'", "timestamp '1999-12-31 23:59:59.5'", "timestamptz '2000-01-01 05:00+05'"]
)
COLUMNS = ("i21", "i41", "i81", "n1", "money1", "f41", "f81", "d1", "ts1", "tz1")


def clause(column: str) -> st.SearchStrategy[str]:
    if column[0] in "dt":
        constants = st.one_of(DATES, STAMPS)
        return st.one_of(
            st.builds(f"{column} {{}} {{}}".format, OPERATORS, constants),
            st.builds(f"{{}} {{}} {column}".format, constants, OPERATORS),
            st.builds(f"{column} BETWEEN {{}} AND {{}}".format, constants, constants),
        )
    constants = st.one_of(NUMBERS, FLOATS) if column[0] == "f" else NUMBERS
    return st.one_of(
        st.builds(f"{column} {{}} {{}}".format, OPERATORS, constants),
        st.builds(f"{{}} {{}} {column}".format, constants, OPERATORS),
        st.builds(f"{column} BETWEEN {{}} AND {{}}".format, constants, constants),
        st.builds(f"{column} IN ({{}}, {{}})".format, constants, constants),
        st.builds(f"{column} NOT IN ({{}}, {{}})".format, constants, constants),
        st.builds(f"({column} > {{}} OR {column} < {{}})".format, constants, constants),
        st.builds(f"NOT ({column} > {{}})".format, constants),
        st.builds(f"{column}::numeric {{}} {{}}".format, OPERATORS, NUMBERS) if column[0] == "i" else st.nothing(),
    )


WHERE = st.sampled_from(COLUMNS).flatmap(
    lambda c: st.tuples(st.just(c), st.lists(clause(c), min_size=1, max_size=3).map(" AND ".join))
)


@pytest.fixture(scope="module")
def planner(data_server: EmbeddedServer) -> Iterator[Planner]:
    dsn = new_database(data_server, create_sql())
    with psycopg.connect(dsn) as connection:
        fill(connection, "wild", WILD, 40)
        fill(connection, "tame", TAME, 40)
    with Planner(dsn, policy_text()) as planner:
        yield planner


_AS_NUMBER = {
    "d": "({0} - date '2000-01-01')::numeric",
    "ts": "extract(epoch FROM {0}) - 946684800",
    "tz": "extract(epoch FROM {0}) - 946684800",
}


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(WHERE)
def test_rows_that_pass_are_inside(planner: Planner, drawn: tuple[str, str]) -> None:
    column, where = drawn
    try:
        text = planner.deparse(f"SELECT count(*) FROM wild WHERE {where}")
        (fragment,) = read_job(ReadJob(text), planner.snapshot).fragments
        constants = planner.constants(text, expressions_of(fragment))
    except psycopg.DataError:
        return  # a constant that its type does not hold
    resolver = resolver_of(fragment.relation, planner.snapshot, constants)
    found = narrowings(conjuncts_of(fragment.where), resolver.scope).get(("t0", column), ANY)
    finite = f"isfinite({column})" if column[0] in "dt" else f"{column}::text NOT IN ('NaN', 'Infinity', '-Infinity')"
    number = _AS_NUMBER.get(column[:-1], "{0}::numeric").format(column)
    query = (
        f"SELECT min({number})::text, max({number})::text FROM (SELECT * FROM wild UNION ALL SELECT * FROM tame) t "
        f"WHERE {where} AND {finite}"
    )
    low, high = planner.connection.execute(query).fetchone() or (None, None)
    # Decimal texts of floats have 17 digits at most: a relative slack of 1e-14 is theirs.
    for edge, shown, sign in ((found.lo, low, -1), (found.hi, high, 1)):
        if edge is not None and shown is not None:
            slack = abs(edge) * Fraction(1, 10**14) if column[0] == "f" else Fraction(0)
            assert sign * (Fraction(Decimal(shown)) - edge) <= slack


@pytest.mark.parametrize(
    ("where", "sensitivity"),
    [
        ("i41 BETWEEN 2 AND 9", 9), ("i41 IN (3, 4)", 4), ("i41 = 7", 7), ("i41 > 2", 1000), ("NOT (i41 > 3)", 1000),
        ("i41 BETWEEN 2 AND 9 OR i41 = 500", 1000), ("i41 > 5000", 1000), ("i41::numeric <= 8.5", 9),
        ("n1 < 2", 1000), ("2 >= i41 AND i41 >= 0", 2),
    ],
)  # fmt: skip
def test_the_clause_chooses_the_sensitivity_and_the_sql_enforces_it(
    planner: Planner, where: str, sensitivity: int
) -> None:
    plan = planner.plan(f"SELECT sum(i41) FROM wild WHERE {where}").only
    assert plan.measurements[0].per_group == sensitivity
    assert f", {sensitivity})" in plan.sql and "GREATEST(LEAST(" in plan.sql


def test_a_filter_narrows_its_own_aggregate_only(planner: Planner) -> None:
    plan = planner.plan("SELECT sum(i41) FILTER (WHERE i41 BETWEEN 0 AND 3), sum(i41) FROM wild").only
    assert [m.per_group for m in plan.measurements] == [3, 1000]
