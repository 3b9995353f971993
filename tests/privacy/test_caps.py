"""Caps on the rows of one unit that enter a join: they hold, they depend on the unit's rows alone, and they stand only
where rows multiply."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisegate.privacy.caps import rows_for
from noisegate.room.embedded import EmbeddedServer
from privacy.test_neighbours_joins import LAST, POLICY, SCHEMA, SECRETS, Data, Oracle, databases
from support.planner import Planner, totals, with_secret
from support.servers import new_database

CAPPED = POLICY.replace("group_size_min: 1}", "group_size_min: 1, join_rows_per_unit_max: 2}")
PAIRS = "SELECT count(*) FROM events a JOIN events b ON a.user_id = b.user_id"
LINES = "SELECT count(*) FROM items a JOIN items b ON a.order_id = b.order_id WHERE a.line < b.line"
BY_KIND = "SELECT a.kind, count(*) FROM events a JOIN events b ON a.user_id = b.user_id GROUP BY 1"
CROSSING = (
    PAIRS,
    BY_KIND,
    LINES,
    "SELECT a.kind, b.kind, count(*) FROM events a, events b WHERE a.user_id = b.user_id AND a.at < b.at GROUP BY 1, 2",
    "SELECT a.kind, count(*), sum(a.score) FROM events a JOIN events b USING (user_id) JOIN orders c USING (user_id) "
    "WHERE b.kind <> 'a' GROUP BY 1",
    "SELECT o.status, count(e.kind), count(*) FROM events e RIGHT JOIN orders o ON o.user_id = e.user_id GROUP BY 1",
    "SELECT count(*), sum(o.amount), count(e.kind) FROM events e FULL JOIN orders o ON o.user_id = e.user_id",
    "SELECT count(*), sum(i.qty) FROM items i JOIN orders o ON o.id = i.order_id "
    "JOIN events e ON e.user_id = o.user_id",
    "SELECT p.kind, count(*) FROM items i JOIN orders o ON o.id = i.order_id JOIN events e ON e.user_id = o.user_id "
    "JOIN parts p ON p.id = i.part GROUP BY 1",
    "WITH o AS (SELECT user_id AS who, amount * 2 AS twice FROM orders) SELECT count(*), sum(a.twice) "
    "FROM o a JOIN o b ON a.who = b.who",
    "SELECT k, n, count(*) FROM (SELECT user_id, kind AS k, count(*) AS n FROM events GROUP BY 1, 2) a "
    "JOIN (SELECT user_id, status FROM orders UNION ALL SELECT user_id, kind FROM events) b USING (user_id) "
    "GROUP BY 1, 2",
    "SELECT count(*) FROM (SELECT o.id, o.amount, count(*) AS n FROM orders o JOIN events e ON e.user_id = o.user_id "
    "GROUP BY o.id) t WHERE amount > n",
    "SELECT count(*) FROM events e WHERE EXISTS (SELECT 1 FROM orders o WHERE o.user_id = e.user_id AND o.at > e.at)",
    "SELECT kind, count(*) FROM events WHERE user_id IN (SELECT user_id FROM orders WHERE amount > 1) GROUP BY kind",
    "SELECT count(*) FROM items a WHERE EXISTS (SELECT 1 FROM items b WHERE b.order_id = a.order_id "
    "AND b.part <> a.part)",
    "SELECT n, count(*) FROM orders u, LATERAL (SELECT count(*) AS n FROM events e WHERE e.user_id = u.user_id) x "
    "GROUP BY n",
    "SELECT count(*) FROM LATERAL (SELECT user_id, kind FROM events) e JOIN orders o ON o.user_id = e.user_id",
    f"SELECT x.status, count(*) FROM events u CROSS JOIN LATERAL ({LAST.replace('u.id', 'u.user_id')}) x GROUP BY 1",
)  # fmt: skip
ALONE = (
    "SELECT count(*) FROM events",
    "SELECT count(*) FROM users u JOIN events e ON e.user_id = u.id JOIN profiles p ON p.user_id = u.id",
    "SELECT count(*) FROM users u FULL JOIN events e ON e.user_id = u.id",
    "SELECT count(*) FROM users u JOIN orders o ON o.user_id = u.id LEFT JOIN items i ON i.order_id = o.id",
    "SELECT count(*) FROM orders a JOIN orders b ON a.id = b.id",
    "SELECT count(*) FROM events e JOIN (SELECT user_id, count(*) AS n FROM orders GROUP BY user_id) o USING (user_id)",
    "SELECT count(*) FROM events e CROSS JOIN parts p",
    "SELECT count(*) FROM users u WHERE EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.id AND o.amount > 2)",
    "SELECT count(*) FROM orders o WHERE EXISTS (SELECT 1 FROM items i WHERE i.order_id = o.id AND i.qty > 1)",
    "SELECT count(*) FROM users u, LATERAL (SELECT count(*) AS n FROM orders o WHERE o.user_id = u.id) x WHERE n > 1",
)
MANY = Data(
    ((1, "Oslo", 5), (2, "Rome", 5)),
    tuple((i, 1 + i // 6, "a", "1", f"2001-01-0{i % 6 + 1}") for i in range(9)),
    tuple((i, j, 1, 1) for i in range(9) for j in range(5)),
    tuple((1 + i // 7, "abc"[i % 3], f"2001-01-0{i % 7 + 1}", i / 8) for i in range(11)),
)

THREE = tuple((1 + i % 3, "abc"[i % 3], f"2001-01-0{1 + i % 7}", 1.0) for i in range(15))  # units of one kind each


@pytest.fixture(scope="module")
def oracle(data_server: EmbeddedServer) -> Iterator[Oracle]:
    dsn = new_database(data_server, SCHEMA)
    with (
        Planner(dsn, CAPPED) as planner,
        psycopg.connect(dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection,
    ):
        yield Oracle(planner, connection, (*CROSSING, *ALONE))


def line(oracle: Oracle, sql: str) -> str:
    """What EXPLAIN says of the cap."""
    return " ".join(text for text in oracle.plans[sql].explain if " enter " in text)


@pytest.mark.parametrize("sql", CROSSING)
def test_rows_that_multiply_are_capped(oracle: Oracle, sql: str) -> None:
    assert re.search(r"at most [12] rows of a unit enter a join or subquery from \w", line(oracle, sql))


@pytest.mark.parametrize("sql", ALONE)
def test_rows_that_do_not_multiply_are_not(oracle: Oracle, sql: str) -> None:
    assert not line(oracle, sql)


def test_both_sides_are_named(oracle: Oracle) -> None:
    assert line(oracle, PAIRS) == "at most 2 rows of a unit enter a join or subquery from a, b, chosen by a keyed hash"


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=databases(), statements=st.permutations(CROSSING), secret=SECRETS)
def test_one_unit_changes_no_more_than_the_plan_claims(
    oracle: Oracle, data: Data, statements: list[str], secret: int
) -> None:
    oracle.check(data, statements[:8], secret)


EXACT = {  # of MANY, with 2 rows of each unit on each side: 7 and 4 events
    PAIRS: (2 * 2 + 2 * 2, 7 * 7 + 4 * 4),
    LINES: (9, 9 * 10),
    f"{PAIRS} WHERE a.kind = 'a' AND a.at = b.at": (0, 3 + 1),
}


@pytest.mark.parametrize("sql", EXACT)
def test_the_cap_is_kept_and_without_it_the_rows_multiply(oracle: Oracle, sql: str) -> None:
    """In the limits of a larger policy, where only the cap cuts."""
    text = CAPPED.replace("rows_per_group_max: 3", "rows_per_group_max: 1000") + "answers: {private_clip: false}\n"
    with Planner(oracle.connection.info.dsn, text) as planner:
        plan = planner.plan(sql).only
    with oracle.connection.transaction(force_rollback=True):
        oracle.fill(MANY, None)
        most, whole = EXACT[sql]
        uncapped = re.sub(r"HAVING pg_catalog\.count\(\*\) > 2\b", "HAVING false", plan.sql)
        assert uncapped != plan.sql
        assert totals(oracle.connection, plan, with_secret(uncapped, 7))[()][0] == whole
        for secret in range(5):
            found = totals(oracle.connection, plan, with_secret(plan.sql, secret))[()][0]
            assert found == most if most else found <= 2


def test_a_side_s_own_conditions_come_first(oracle: Oracle) -> None:
    with Planner(oracle.connection.info.dsn, CAPPED) as planner:
        sql = planner.plan(f"{PAIRS} WHERE a.kind = 'a' AND b.score > a.score").only.sql
    listed = re.findall(r"AS MATERIALIZED \((.*?HAVING)", sql)
    assert [("kind" in text, "score" in text) for text in listed] == [(True, False), (False, False)]


BROKEN = {
    "the order within a unit": (r"(PARTITION BY t\d+\.\"user_id\" ORDER BY) .*?\) AS rn ", r"\1 1) AS rn "),
    "rows of one unit": (r"PARTITION BY t\d+\.\"user_id\" ", ""),
    "units with many rows": (r"NOT EXISTS \(SELECT 1 FROM h WHERE h\.u0 = t(\d+)\.\"user_id\"\)",
                             r'NOT EXISTS (SELECT 1 FROM h WHERE h.u0 <> t\1."user_id")'),
}  # fmt: skip


@pytest.mark.parametrize("step", BROKEN)
def test_without_a_step_the_oracle_fails(oracle: Oracle, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    old, new = BROKEN[step]
    sql = BY_KIND
    data = replace(MANY, events=THREE if step == "rows of one unit" else MANY.events)
    whole = oracle.plans[sql]
    broken, count = re.subn(old, new, whole.sql)
    assert count == 2

    def holds() -> bool:
        try:
            for secret in range(12):
                oracle.check(data, [sql], secret)
        except AssertionError:
            return False
        return True

    assert holds()
    monkeypatch.setitem(oracle.plans, sql, replace(whole, sql=broken))
    assert not holds()


@given(most=st.integers(1, 2**31 - 1), sides=st.integers(2, 12))
def test_the_product_of_all_sides_is_bounded(most: int, sides: int) -> None:
    rows = rows_for(most, sides)
    assert 1 <= rows <= most and (rows**sides <= most * most)
    assert rows == most or (rows + 1) ** sides > most * most
