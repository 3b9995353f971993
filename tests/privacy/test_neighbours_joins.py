"""The neighbour oracle over several tables: joins, foreign-key chains, nested queries, windows and predicates within a
unit. Each unit is dropped in turn from all tables, and rows are stored in another order: neither may change the exact
totals by more than the plan claims (the order: not at all).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisegate.plan.measure import FragmentPlan
from noisegate.plan.trust import Confidential
from noisegate.room.embedded import EmbeddedServer
from privacy.test_neighbours_parts import Texts, assert_close, texts
from support.planner import Planner, like_the_engine
from support.servers import new_database

SCHEMA = """
CREATE TABLE users (id int PRIMARY KEY, city text, age int);
CREATE TABLE profiles (user_id int PRIMARY KEY, level int NOT NULL, nick bpchar);
CREATE TABLE orders (id int PRIMARY KEY, user_id int, status text, amount numeric, at timestamp);
CREATE TABLE items (order_id int, line int, part int, qty int, PRIMARY KEY (order_id, line));
CREATE TABLE events (user_id int, kind text, at timestamp, score float8);
CREATE TABLE parts (id int PRIMARY KEY, kind text NOT NULL, weight int NOT NULL);
INSERT INTO parts VALUES (1, 'bolt', 1), (2, 'nut', 2), (3, 'nut', 3);
"""
POLICY = """
database: chains
dsn: ${DSN}
unit: {table: users, key: id}
tables:
  users: {unit: id, columns: {id: , city: {domain: [Oslo, Rome]}, age: {bounds: [0, 100]}}}
  profiles: {unit: user_id, columns: {user_id: , level: {bounds: [0, 9]}, nick: }}
  orders:
    unit: user_id
    columns: {id: , user_id: , status: , amount: {bounds: [0, 10]}, at: {bounds: [2000-01-01, 2030-01-01]}}
  items:
    unit: order_id -> orders.user_id
    columns: {order_id: , line: {bounds: [0, 9]}, part: , qty: {bounds: [0, 5]}}
  events: {unit: user_id, columns: {user_id: , kind: , at: {bounds: [2000-01-01, 2030-01-01]}, score: {bounds: [0, 2]}}}
  parts: {public: true, columns: {id: , kind: , weight: }}
limits: {groups_per_unit_max: 2, rows_per_group_max: 3, group_size_min: 1}
price: {epsilon: 1, epsilon_max: 10, delta: 1e-6}
budgets: {dataset: {epsilon: 1, delta: 1e-3}, analyst: {epsilon: 1, delta: 1e-3}}
"""

LAST = "SELECT o.status, o.amount FROM orders o WHERE o.user_id = u.id ORDER BY o.at DESC LIMIT 1"
NUMBERED = "SELECT user_id, kind, at, row_number() OVER (PARTITION BY user_id ORDER BY at) AS n FROM events"
LOOP = (
    "users u JOIN orders o ON o.user_id = u.id "
    "CROSS JOIN LATERAL (SELECT o.id AS oid, o.status AS st FROM users w WHERE w.id = u.id) l"
)
SPELLED = "SELECT user_id, CASE WHEN status = 'a' THEN 1.50 WHEN status = 'b' THEN 1.5 ELSE 0 END AS x FROM orders"
STATEMENTS = (
    # foreign-key chains
    "SELECT count(*), sum(qty) FROM items",
    "SELECT part, count(*), count(DISTINCT order_id) FROM items GROUP BY part",
    "SELECT o.status, sum(i.qty) FROM items i JOIN orders o ON o.id = i.order_id GROUP BY o.status",
    "SELECT p.kind, sum(i.qty * p.weight), avg(i.qty) FROM items i JOIN parts p ON p.id = i.part "
    "WHERE p.weight BETWEEN 0 AND 3 GROUP BY p.kind",
    "SELECT u.city, count(*), sum(i.qty) FROM users u JOIN orders o ON o.user_id = u.id "
    "JOIN items i ON i.order_id = o.id GROUP BY u.city",
    "SELECT count(*) FROM items a JOIN items b ON a.order_id = b.order_id WHERE a.line < b.line",
    # joins on the unit
    "SELECT count(*), sum(e.score) FROM events e JOIN orders o ON o.user_id = e.user_id AND o.at > e.at",
    "SELECT a.kind, b.kind, count(*) FROM events a, events b WHERE a.user_id = b.user_id AND a.at < b.at GROUP BY 1, 2",
    "SELECT u.city, count(o.id), count(*) FROM users u LEFT JOIN orders o ON o.user_id = u.id GROUP BY u.city",
    "SELECT count(*), sum(o.amount) FROM users u FULL JOIN orders o ON o.user_id = u.id",
    "SELECT n, count(*) FROM (SELECT user_id, count(*) AS n FROM events FULL JOIN orders USING (user_id) "
    "GROUP BY user_id) x GROUP BY n",
    "SELECT u.city, x.status, count(*) FROM (SELECT user_id AS who, status FROM events FULL JOIN orders "
    "USING (user_id)) x JOIN users u ON u.id = x.who GROUP BY 1, 2",
    "SELECT o.status, count(e.kind) FROM events e RIGHT JOIN orders o ON o.user_id = e.user_id GROUP BY o.status",
    "SELECT p.kind, count(i.qty) FROM parts p LEFT JOIN items i ON i.part = p.id GROUP BY p.kind",
    "SELECT p.kind, count(i.qty) FROM parts p LEFT JOIN items i ON i.part = p.id WHERE p.kind <> 'bolt' GROUP BY 1",
    # nested queries of rows
    "SELECT status, count(*) FROM (SELECT status, amount FROM orders WHERE amount > 1) s GROUP BY status",
    "SELECT s, count(*) FROM (SELECT status AS s, user_id FROM orders WHERE status IN ('a', 'c') UNION ALL "
    "SELECT kind, user_id FROM events WHERE kind = 'b') x GROUP BY s",
    "WITH o AS (SELECT user_id AS who, amount * 2 AS twice FROM orders) SELECT count(*), sum(a.twice) "
    "FROM o a JOIN o b ON a.who = b.who",
    "SELECT count(*) FROM (SELECT DISTINCT user_id, kind FROM events) d",
    "SELECT count(*), sum(amount) FROM (SELECT DISTINCT ON (user_id) user_id, status, amount FROM orders "
    "ORDER BY user_id, at) f",
    "SELECT k, count(*) FROM (SELECT user_id, kind AS k FROM events UNION ALL SELECT user_id, status FROM orders) x "
    "GROUP BY k",
    "SELECT count(*) FROM (SELECT user_id, kind FROM events EXCEPT SELECT user_id, status FROM orders) x",
    "SELECT count(*) FROM (SELECT user_id, kind FROM events INTERSECT SELECT user_id, status FROM orders) x",
    # aggregation within units
    "SELECT n, count(*) FROM (SELECT user_id, count(*) AS n FROM events GROUP BY user_id) c GROUP BY n",
    "SELECT avg(s), sum(s) FROM (SELECT user_id, sum(amount) AS s FROM orders GROUP BY user_id) t",
    "SELECT sum(n), sum(m) FROM (SELECT order_id, count(*) AS n, max(qty) AS m FROM items GROUP BY order_id) t",
    "SELECT count(*) FROM (SELECT user_id FROM events GROUP BY user_id HAVING count(*) > 1) t",
    "SELECT count(*), sum(m) FROM (SELECT user_id, avg(score) AS m, stddev(score) AS s, min(kind) AS k, "
    "bool_or(kind = 'a') AS b, percentile_disc(0.5) WITHIN GROUP (ORDER BY score) AS p, "
    "mode() WITHIN GROUP (ORDER BY kind) AS o FROM events GROUP BY user_id) t WHERE b OR p > 1 OR o = 'b' OR s > 0.5",
    "SELECT count(*), sum(c) FROM (SELECT user_id, count(DISTINCT kind) AS c FROM events GROUP BY user_id) t",
    "SELECT c, count(*) FROM (SELECT u.id, count(o.id) AS c FROM users u LEFT JOIN orders o ON o.user_id = u.id "
    "GROUP BY u.id) t GROUP BY c",
    # windows
    f"SELECT kind, count(*) FROM ({NUMBERED}) w WHERE n = 1 GROUP BY kind",
    "SELECT before, kind, count(*) FROM (SELECT user_id, kind, lag(kind) OVER (PARTITION BY user_id ORDER BY at) "
    "AS before FROM events) w GROUP BY 1, 2",
    "SELECT count(*), sum(s) FROM (SELECT order_id, sum(qty) OVER (PARTITION BY order_id ORDER BY line "
    "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM items) w",
    "SELECT f, count(*) FROM (SELECT user_id, first_value(kind) OVER (PARTITION BY user_id ORDER BY at) AS f, "
    "ntile(2) OVER (PARTITION BY user_id ORDER BY kind) AS h FROM events) w WHERE h = 1 GROUP BY f",
    # correlated and lateral
    f"SELECT x.status, count(*), sum(x.amount) FROM users u CROSS JOIN LATERAL ({LAST}) x GROUP BY x.status",
    f"SELECT count(x.status), count(*) FROM users u LEFT JOIN LATERAL ({LAST}) x ON true",
    "SELECT count(*), sum(n) FROM users u, LATERAL (SELECT count(*) AS n FROM orders o WHERE o.user_id = u.id) x",
    "SELECT count(*) FROM users u WHERE EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.id AND o.amount > 2)",
    "SELECT count(*) FROM users u WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.user_id = u.id AND e.kind = 'a')",
    "SELECT kind, count(*) FROM events WHERE user_id IN (SELECT user_id FROM orders WHERE status = 'a') GROUP BY kind",
    "SELECT count(*) FROM users WHERE id IN (SELECT user_id FROM events GROUP BY user_id HAVING count(*) > 1)",
    "SELECT count(*) FROM orders o WHERE o.id NOT IN (SELECT i.order_id FROM items i WHERE i.qty > 1)",
    "SELECT status, count(*) FROM orders o WHERE EXISTS (SELECT 1 FROM items i WHERE i.order_id = o.id AND i.qty > 1) "
    "GROUP BY status",
    "SELECT count(*) FROM items a WHERE EXISTS (SELECT 1 FROM items b WHERE b.order_id = a.order_id "
    "AND b.part <> a.part)",
    "SELECT count(*) FROM users u WHERE (SELECT count(*) FROM orders o WHERE o.user_id = u.id) > 1",
    "SELECT sum(s) FROM (SELECT (SELECT max(o.amount) FROM orders o WHERE o.user_id = u.id) AS s FROM users u) t "
    "WHERE s BETWEEN 0 AND 10",
    "SELECT count(*) FROM users u WHERE u.age > ALL (SELECT o.amount FROM orders o WHERE o.user_id = u.id)",
    "SELECT count(*) FROM orders o WHERE NOT o.amount < ALL (SELECT p.amount FROM orders p "
    "WHERE p.user_id = o.user_id AND p.status = 'a')",
    "SELECT count(*) FROM orders o WHERE o.status NOT IN (SELECT e.kind FROM events e WHERE e.user_id = o.user_id)",
    "SELECT count(*) FROM orders o WHERE (o.status = ANY (SELECT e.kind FROM events e WHERE e.user_id = o.user_id)) "
    "IS NULL",
    "SELECT count(*) FROM orders o WHERE o.user_id NOT IN (SELECT p.user_id FROM profiles p)",
    "SELECT EXISTS (SELECT FROM events e WHERE e.user_id = u.id AND e.kind = 'a'), count(*) FROM users u GROUP BY 1",
    "SELECT (SELECT max(e.kind) FROM events e WHERE e.user_id = o.user_id) AS k, o.status IN (SELECT e.kind "
    "FROM events e WHERE e.user_id = o.user_id) AS h, count(*), sum(o.amount) FROM orders o GROUP BY 1, 2",
    "SELECT l.y, count(*), sum(l.z) FROM orders o LEFT JOIN users u ON u.id = o.user_id "
    "CROSS JOIN LATERAL (SELECT u.city AS y, o.amount * 2 AS z) l GROUP BY l.y",
    "SELECT h, count(*) FROM (SELECT row_number() OVER (PARTITION BY user_id ORDER BY at) AS n, "
    "EXISTS (SELECT FROM events e WHERE e.user_id = o.user_id AND e.kind = o.status) AS h FROM orders o) x "
    "WHERE n = 1 GROUP BY h",
    # one row per unit, and what only looks like it
    "SELECT u.city, count(*) FROM users u FULL JOIN profiles p ON p.user_id = u.id AND u.age > 10 GROUP BY 1",
    "SELECT count(*) FROM users u FULL JOIN profiles p ON p.user_id = u.id AND u.age > 10",
    f"SELECT count(*) FROM {LOOP} WHERE l.oid = o.id",
    f"SELECT l.st, count(*) FROM {LOOP} GROUP BY l.st",
    "SELECT count(*) FROM (SELECT user_id, max(id) AS m FROM orders GROUP BY user_id) x JOIN "
    "(SELECT u.id AS uid, l.oid FROM users u JOIN orders e ON e.user_id = u.id CROSS JOIN LATERAL "
    "(SELECT o.id AS oid, e.id AS eid FROM orders o WHERE o.user_id = u.id) l WHERE l.eid = e.id) b "
    "ON b.uid = x.user_id AND b.oid = x.m",
    "SELECT b.status, count(*) FROM (SELECT d.id, d.status FROM orders d LEFT JOIN (SELECT user_id, max(id) AS m "
    "FROM orders GROUP BY user_id) o ON o.m = d.id AND o.user_id = d.user_id) b GROUP BY 1",
    "SELECT n, count(*) FROM users u, LATERAL (SELECT count(*) AS n FROM orders o WHERE o.user_id = u.id) x GROUP BY n",
    "SELECT n, count(*) FROM orders u, LATERAL (SELECT count(*) AS n FROM events e WHERE e.user_id = u.user_id) x "
    "GROUP BY n",
    "SELECT m, count(*) FROM (SELECT u.id, (SELECT p.level FROM profiles p WHERE p.user_id = u.id) AS m "
    "FROM users u) t GROUP BY m",
    # equal values that are spelled differently
    *(
        f"SELECT amount::text, count(*) FROM (SELECT user_id, amount FROM orders {op} "
        "SELECT user_id, amount FROM orders WHERE status = 'a') x GROUP BY 1"
        for op in ("UNION", "INTERSECT ALL", "EXCEPT ALL")
    ),
    "SELECT score::text, count(*) FROM (SELECT user_id, score FROM events UNION SELECT user_id, score FROM events) x "
    "GROUP BY 1",
    f"SELECT x, count(*) FROM ({SPELLED}) t GROUP BY x",
    f"SELECT x::text, count(*) FROM (SELECT user_id, x, row_number() OVER (PARTITION BY user_id ORDER BY x) AS n "
    f"FROM ({SPELLED}) t) z WHERE n = 1 GROUP BY 1",
    f"SELECT x::text, count(*) FROM (SELECT DISTINCT user_id, x FROM ({SPELLED}) t) z GROUP BY 1",
    "SELECT s::text, count(*) FROM (SELECT user_id, sum(DISTINCT amount) AS s, avg(DISTINCT amount) AS a "
    "FROM orders GROUP BY user_id) t GROUP BY 1",
    "SELECT octet_length(n), count(*) FROM (SELECT user_id, first_value(n) OVER (PARTITION BY user_id ORDER BY n) AS n "
    "FROM (SELECT user_id, nick AS n FROM profiles UNION ALL SELECT user_id, 'a  '::bpchar FROM profiles) q) t "
    "GROUP BY 1",
    "SELECT s::text, count(*) FROM (SELECT user_id, sum(score) OVER (PARTITION BY user_id) AS s FROM events) t "
    "GROUP BY 1",
    "SELECT n, k, count(*) FROM (SELECT user_id, amount AS k, amount * 2 AS n FROM orders GROUP BY user_id, amount "
    "HAVING amount > 0) t GROUP BY 1, 2",
    # subqueries of subqueries, outer joins with conditions over rows
    "SELECT count(*) FROM users u WHERE EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.id AND EXISTS "
    "(SELECT 1 FROM events e WHERE e.user_id = u.id AND e.kind = o.status))",
    "SELECT count(*), count(o.id), count(DISTINCT o.user_id) FROM users u LEFT JOIN orders o ON o.user_id = u.id "
    "AND EXISTS (SELECT 1 FROM items i WHERE i.order_id = o.id)",
    "SELECT sum(c) FROM users u, LATERAL (SELECT p.kind, count(i.qty) AS c FROM parts p LEFT JOIN (items i "
    "JOIN orders o ON o.id = i.order_id) ON i.part = p.id AND o.user_id = u.id GROUP BY p.kind) t WHERE c < 3",
    "SELECT status, count(*) FROM (SELECT user_id, kind, status, sum(count(*)) OVER (PARTITION BY user_id "
    "ORDER BY kind ROWS 1 PRECEDING) AS g FROM events JOIN orders USING (user_id) GROUP BY user_id, kind, status) t "
    "WHERE g > 1 GROUP BY status",
)
SOMETIMES = frozenset({"SELECT p.kind, count(i.qty) FROM parts p LEFT JOIN items i ON i.part = p.id GROUP BY p.kind"})


@dataclass(frozen=True)
class Data:
    users: tuple[tuple[object, ...], ...]
    orders: tuple[tuple[object, ...], ...]
    items: tuple[tuple[object, ...], ...]
    events: tuple[tuple[object, ...], ...]
    profiles: tuple[tuple[object, ...], ...] = ()


UNIT = st.sampled_from([1, 2, 3, None])
TIME = st.sampled_from(["2001-01-01", "2001-01-01", "2002-02-02", "infinity", None])
WORD = st.sampled_from(["a", "b", "c", None])
AMOUNT = st.sampled_from(["1", "1.0", "1.00", "5", "9.99", "1e300", "NaN", "-7", None])
SCORE = st.sampled_from([0.1, 0.2, 0.3, 1e16, -1e16, 1.0, float("nan"), float("inf"), -0.0, 0.0, None])


@st.composite
def databases(draw: st.DrawFn) -> Data:
    users = [(i, draw(st.sampled_from(["Oslo", "Rome", "Bonn", None])), draw(st.sampled_from([1, 50, 10**6, None])))
             for i in draw(st.sets(st.integers(1, 3)))]  # fmt: skip
    orders = [(i, draw(UNIT), draw(WORD), draw(AMOUNT), draw(TIME)) for i in range(draw(st.integers(0, 6)))]
    items = [
        (order, line, draw(st.integers(0, 4)), draw(st.sampled_from([0, 1, 5, 99, None])))
        for order in range(draw(st.integers(0, 7)))
        for line in range(draw(st.integers(0, 3)))
    ]
    events = draw(st.lists(st.tuples(UNIT, WORD, TIME, SCORE), max_size=10))
    nicks = st.sampled_from(["a", "a ", "b", None])
    profiles = [(i, draw(st.integers(0, 9)), draw(nicks)) for i in draw(st.sets(st.integers(1, 3)))]
    return Data(tuple(users), tuple(orders), tuple(items), tuple(events), tuple(profiles))


class Oracle:
    """Plans, and a database whose content changes in a transaction that never commits."""

    def __init__(self, planner: Planner, connection: psycopg.Connection, statements: Sequence[str]) -> None:
        self.plans: dict[str, FragmentPlan] = {sql: planner.plan(sql).only for sql in statements}
        self.connection = connection
        like_the_engine(connection, (("TimeZone", "UTC"),))

    def check(self, data: Data, statements: Sequence[str], secret: int) -> None:
        with self.connection.transaction(force_rollback=True):
            queries = [texts(self.plans[s], secret) for s in statements]
            self.fill(data, random.Random(secret))
            other = [self.exact(q) for q in queries]
            self.fill(data, None)
            before = [self.exact(q) for q in queries]
            for statement, a, b in zip(statements, before, other, strict=True):
                assert a == b, f"the order of rows shows in {statement}"
            for unit in (1, 2, 3, None):
                with self.connection.transaction(force_rollback=True):
                    self.drop(unit)
                    for statement, one, whole in zip(statements, queries, before, strict=True):
                        try:
                            assert_close(one.plan, whole, self.exact(one), unit)
                        except AssertionError as error:
                            raise AssertionError(f"{statement}: {error}") from None

    def exact(self, queries: Texts) -> Confidential:
        """In an order that says nothing of the rows'."""
        found = queries.exact(self.connection)
        leaves = tuple(tuple(sorted(part, key=repr)) for part in found.leaves)
        return replace(found, rows=tuple(sorted(found.rows, key=repr)), leaves=leaves)

    def fill(self, data: Data, shuffled: random.Random | None) -> None:
        tables = {f.name: getattr(data, f.name) for f in fields(data)}
        self.connection.execute(f"TRUNCATE {', '.join(f'public.{t}' for t in tables)}")
        for table, rows in tables.items():
            stored = shuffled.sample(rows, len(rows)) if shuffled is not None else rows
            with self.connection.cursor() as cursor, cursor.copy(f"COPY public.{table} FROM STDIN") as copy:
                for row in stored:
                    copy.write_row(row)

    def drop(self, unit: int | None) -> None:
        self.connection.execute(
            "DELETE FROM public.items i WHERE (SELECT o.user_id FROM public.orders o WHERE o.id = i.order_id) "
            "IS NOT DISTINCT FROM $1", (unit,),
        )  # fmt: skip
        for table, column in (("orders", "user_id"), ("events", "user_id"), ("profiles", "user_id"), ("users", "id")):
            self.connection.execute(f"DELETE FROM public.{table} WHERE {column} IS NOT DISTINCT FROM $1", (unit,))


@pytest.fixture(scope="module")
def oracle(data_server: EmbeddedServer) -> Iterator[Oracle]:
    dsn = new_database(data_server, SCHEMA)
    with (
        Planner(dsn, POLICY) as planner,
        psycopg.connect(dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection,
    ):
        yield Oracle(planner, connection, PLANNED)


PLANNED = [s for s in STATEMENTS if s not in SOMETIMES]
SOME = st.lists(st.sampled_from(PLANNED), min_size=12, max_size=12, unique=True)
SECRETS = st.integers(-(2**63), 2**63 - 1)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=databases(), statements=SOME, secret=SECRETS)
def test_one_unit_changes_no_more_than_the_plan_claims(
    oracle: Oracle, data: Data, statements: list[str], secret: int
) -> None:
    oracle.check(data, statements, secret)
