"""The neighbour oracle: drop each unit in turn from small, nasty databases, and compare the exact totals.

What one unit may change is what the plan claims (Measurement.per_group, .groups); the noise is made for that. Secrets
are fixed: no guarantee may rest on them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisegate.plan.measure import FragmentPlan, Measurement
from noisegate.room.embedded import EmbeddedServer
from support.planner import Planner, like_the_engine, totals, with_secret
from support.servers import new_database

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');
CREATE TABLE users (id int PRIMARY KEY, city text NOT NULL, vip bool, mood mood, age int, score float8,
                    balance numeric(10,2), wild numeric);
CREATE TABLE events (user_id int, origin text NOT NULL, kind text, region text, qty int, big bigint, amount float8,
                     price numeric(10,2), wild numeric, weight float8, at timestamp);
CREATE TABLE regions (code text PRIMARY KEY, continent text NOT NULL, factor int NOT NULL);
CREATE TABLE tags (region text NOT NULL, tag text NOT NULL, points int NOT NULL);
INSERT INTO regions VALUES ('north', 'one', 2), ('south', 'two', -3), ('east', 'one', 1);
INSERT INTO tags VALUES ('north', 'a', 1), ('north', 'b', 2), ('north', 'c', 3), ('south', 'a', 4), ('south', 'd', 5),
  ('nowhere', 'a', 6);
"""
POLICY = """
database: oracle
dsn: ${DSN}
unit: {table: users, key: id}
tables:
  users:
    unit: id
    columns:
      city: {domain: [Oslo, Rome, Lima]}
      vip:
      mood:
      age: {bounds: [0, 100]}
      score: {bounds: [-5, 5], grid: 0.01}
      balance: {bounds: [-1000, 1000]}
      wild: {bounds: [0, 10]}
  events:
    unit: user_id
    columns:
      origin: {domain: [web, app]}
      kind:
      region: {domain: [north, south]}
      qty: {bounds: [-10, 10]}
      big: {bounds: [1000000000000, 1000000000100]}
      amount: {bounds: [0, 1000], unit_total: 50}
      price: {bounds: [0, 99.99], unit_total: 200, typical: 5}
      wild: {bounds: [-0.5, 0.5]}
      weight: {bounds: [0.25, 0.75]}
      at: {bounds: [2000-01-01, 2030-01-01]}
  regions: {public: true, columns: {code: , continent: , factor: }}
  tags: {public: true, columns: {region: , tag: , points: }}
limits: {groups_per_unit_max: 2, rows_per_group_max: 3, group_size_min: 1}
price: {epsilon: 1, epsilon_max: 10, delta: 1e-6}
budgets: {dataset: {epsilon: 1, delta: 1e-3}, analyst: {epsilon: 1, delta: 1e-3}}
answers: {private_clip: false}
"""

FILTERS = ("", " FILTER (WHERE e.qty > 0 OR e.kind LIKE 'a%')")
AGGREGATES = (
    "count(*)", "count(e.qty)", "count(DISTINCT e.user_id)", "sum(e.qty)", "sum(e.big)", "sum(e.amount)",
    "sum(e.price)", "sum(e.wild)", "sum(2 * e.qty + 1)", "sum(e.price * e.qty)", "avg(e.qty)", "avg(e.amount)",
    "avg(e.price)", "avg(e.weight)", "avg(e.wild)", "avg(e.big)",
)  # fmt: skip
ALL = ", ".join(f"{a}{f}" for a in AGGREGATES for f in FILTERS)
FEW = "count(*), count(DISTINCT e.user_id) FILTER (WHERE e.qty > 0), sum(e.qty), avg(e.amount), avg(e.weight)"
USERS = (
    "count(*), count(u.age), count(*) FILTER (WHERE u.vip), count(DISTINCT u.id), sum(u.age), sum(u.score), "
    "sum(u.balance) FILTER (WHERE u.age > 3), sum(u.wild), avg(u.age), avg(u.score), avg(u.balance), avg(u.wild), "
    "sum(u.age * u.age)"
)

STATEMENTS = (
    # one row per unit
    f"SELECT {USERS} FROM users u",
    f"SELECT city, {USERS} FROM users u GROUP BY city",
    f"SELECT vip, mood, {USERS} FROM users u GROUP BY 1, 2",
    f"SELECT age / 10, {USERS} FROM users u GROUP BY 1",
    f"SELECT r.continent, {USERS} FROM users u LEFT JOIN regions r ON r.code = u.city GROUP BY 1",
    "SELECT DISTINCT city FROM users",
    # a unit's row repeated by a join
    f"SELECT t.tag, {USERS} FROM users u JOIN tags t ON t.region = u.city OR u.vip GROUP BY t.tag",
    f"SELECT {USERS} FROM users u CROSS JOIN tags t",
    f"SELECT t.code, {USERS} FROM users u LEFT JOIN regions t ON true LEFT JOIN regions r "
    "ON t.code = u.city AND r.code = u.city GROUP BY t.code",
    # one group
    f"SELECT {ALL} FROM events e",
    f"SELECT {FEW} FROM events e WHERE e.amount BETWEEN 1 AND 20 AND e.region IS NOT NULL",
    f"SELECT {FEW}, sum(t.points), avg(t.points + e.qty) FROM events e JOIN tags t ON t.region = e.region "
    "WHERE t.points BETWEEN 0 AND 6",
    # as many declared groups as a unit may touch, or fewer
    f"SELECT origin, {ALL} FROM events e GROUP BY origin",
    # more groups than a unit may touch: declared, and read from data
    f"SELECT region, {ALL} FROM events e GROUP BY region",
    f"SELECT kind, {ALL} FROM events e GROUP BY kind",
    f"SELECT region, origin, {FEW} FROM events e GROUP BY 1, 2",
    f"SELECT e.qty > 0, {FEW} FROM events e WHERE e.qty IS NOT NULL GROUP BY 1",
    f"SELECT kind, region, {FEW} FROM events e GROUP BY 1, 2",
    f"SELECT date_trunc('year', at), extract(month FROM at), {FEW} FROM events e GROUP BY 1, 2",
    f"SELECT wild, {FEW} FROM events e GROUP BY wild",
    f"SELECT amount, {FEW} FROM events e GROUP BY amount",
    f"SELECT t.tag, {FEW} FROM events e JOIN tags t ON t.region = e.region GROUP BY t.tag",
    f"SELECT r.continent, {FEW} FROM events e LEFT JOIN regions r ON r.code = e.region GROUP BY 1",
    "SELECT DISTINCT kind, qty % 3 FROM events",
    "SELECT CASE WHEN qty < 0 THEN 'less' ELSE kind END, sum(CASE WHEN qty > 5 THEN 5 ELSE qty END) FROM events "
    "GROUP BY 1",
)
NARROW = POLICY.replace("groups_per_unit_max: 2", "groups_per_unit_max: 3").replace(
    "domain: [north, south]", "domain: [north]"
)

Columns = Mapping[tuple[str | None, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Data:
    users: tuple[tuple[object, ...], ...]
    events: tuple[tuple[object, ...], ...]

    @property
    def units(self) -> list[int | None]:
        """Every unit, and None: the rows of nobody."""
        return [*sorted({int(str(r[0])) for r in (*self.users, *self.events) if r[0] is not None}), None]


INT = st.one_of(st.none(), st.integers(-12, 12), st.sampled_from([-(2**31), 2**31 - 1, 0, 1]))
BIG = st.one_of(st.none(), st.integers(10**12 - 5, 10**12 + 105), st.sampled_from([-(2**63), 2**63 - 1, 0]))
FLOAT = st.one_of(
    st.none(),
    st.floats(-10, 60),
    st.sampled_from([0.0, -0.0, float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 5e-324, 0.5, 0.25, 1e15]),
)
CENTS = st.one_of(
    st.none(), st.sampled_from(["NaN", "0.00", "99999999.99", "-99999999.99", "5.00", "0.01", "50.5", "99.99"])
)
NUMERIC = st.one_of(
    st.none(),
    st.sampled_from(
        ["NaN", "Infinity", "-Infinity", "1e130000", "-1e900", "1e-16000", "0", "0.00", "1.0", "1.00", "0.3"]
    ),
)
TEXT = st.one_of(st.none(), st.sampled_from(["a", "A", "ab", "", " ", "b", "north", "é", "'"]))
REGION = st.one_of(st.none(), st.sampled_from(["north", "south", "east", "west", "North"]))
CITY = st.sampled_from(["Oslo", "Rome", "Lima", "Bonn", "north", ""])
AT = st.one_of(
    st.none(),
    st.sampled_from(["2001-02-03 04:05:06", "infinity", "-infinity", "4713-01-01 BC", "294276-12-31", "2030-01-01"]),
)
USER = st.tuples(
    CITY, st.none() | st.booleans(), st.sampled_from([None, "sad", "ok", "glad"]), INT, FLOAT, CENTS, NUMERIC
)
UNIT = st.one_of(st.none(), st.integers(1, 4))
ORIGIN = st.sampled_from(["web", "app", "WEB", "post"])
EVENT = st.tuples(UNIT, ORIGIN, TEXT, REGION, INT, BIG, FLOAT, CENTS, NUMERIC, FLOAT, AT)


@st.composite
def databases(draw: st.DrawFn) -> Data:
    ids = draw(st.sets(st.integers(1, 4), max_size=3))
    users = tuple((i, *draw(USER)) for i in sorted(ids))
    events = draw(st.lists(EVENT, max_size=14))
    copies = draw(st.integers(1, 4))  # duplicates, which only a count tells apart
    return Data(users, tuple(events) + tuple(events[:3]) * copies)


class Oracle:
    """Plans and a database whose content changes; all in one transaction that never commits."""

    def __init__(
        self, planner: Planner, connection: psycopg.Connection, statements: Sequence[str] | None = None
    ) -> None:
        self.planner = planner
        self.planned = {sql: planner.plan(sql) for sql in statements or STATEMENTS}
        self.plans = {sql: p.only for sql, p in self.planned.items()}
        self.connection = connection
        like_the_engine(connection, (("TimeZone", "UTC"),))

    def differences(self, data: Data, plan: FragmentPlan, sql: str) -> None:
        """Raises AssertionError where a unit changes more than the plan claims, psycopg.Error where a row raises."""
        self.fill(data)
        before = totals(self.connection, plan, sql)
        for unit in data.units:
            with self.connection.transaction(force_rollback=True):
                self.drop(unit)
                assert_close(plan, before, totals(self.connection, plan, sql), unit)

    def check_all(self, data: Data, statements: Sequence[str], secret: int) -> None:
        """Each statement, with each unit dropped."""
        with self.connection.transaction(force_rollback=True):
            self.fill(data)
            queries = [(plan, with_secret(plan.sql, secret)) for plan in map(self.plans.__getitem__, statements)]
            before = [totals(self.connection, plan, sql) for plan, sql in queries]
            for unit in data.units:
                with self.connection.transaction(force_rollback=True):
                    self.drop(unit)
                    for (plan, sql), whole in zip(queries, before, strict=True):
                        assert_close(plan, whole, totals(self.connection, plan, sql), unit)

    def fill(self, data: Data) -> None:
        self.connection.execute("TRUNCATE public.users, public.events")
        for table, rows in (("users", data.users), ("events", data.events)):
            with self.connection.cursor() as cursor, cursor.copy(f"COPY public.{table} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)

    def drop(self, unit: int | None) -> None:
        self.connection.execute("DELETE FROM public.users WHERE id = $1", (unit,))
        self.connection.execute("DELETE FROM public.events WHERE user_id IS NOT DISTINCT FROM $1", (unit,))


def assert_close(plan: FragmentPlan, before: Columns, after: Columns, unit: int | None) -> None:
    """Claims of the plan: the L1 bound of each measurement, per group and over groups; one choice of at most `groups`
    groups for all measurements; rows of nobody (unit None) count for nothing. What is only tested moves by 1."""
    nothing = (0,) * len(plan.columns)
    touched = set()
    tested = [Measurement((plan.tested,), "tested", 1, plan.measurements[0].groups, Fraction(1))] if plan.tested else []
    for m in [*plan.measurements, *tested]:
        positions = [plan.columns.index(c) for c in m.columns]
        sizes = {}
        for key in before.keys() | after.keys():
            old, new = before.get(key, nothing), after.get(key, nothing)
            sizes[key] = sum(abs(old[p] - new[p]) for p in positions)
            if sizes[key] or (key in before) != (key in after):
                touched.add(key)
        assert max(sizes.values(), default=0) <= m.per_group, f"unit {unit}: {m.what} changes too much in a group"
        assert sum(sizes.values()) <= m.sensitivity, f"unit {unit}: {m.what} changes too much"
        assert sum(map(bool, sizes.values())) <= m.groups, f"unit {unit}: {m.what} changes too many groups"
        if unit is None:
            assert not any(sizes.values()), f"rows of nobody change {m.what}"
    assert len(touched) <= max(m.groups for m in plan.measurements), f"unit {unit} touches too many groups"


@pytest.fixture(scope="module", params=[POLICY, NARROW], ids=["few", "narrow"])
def oracle(data_server: EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[Oracle]:
    dsn = new_database(data_server, SCHEMA)
    with (
        Planner(dsn, request.param) as planner,
        psycopg.connect(dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection,
    ):
        yield Oracle(planner, connection)


def test_the_statements_cover_every_bounding_rule(oracle: Oracle) -> None:
    forms = {
        (a.bounds.choose, a.bounds.groups, a.declared is None, "GROUP BY" in a.sql)
        for a in (p.analyses[0] for p in oracle.planned.values())
    }
    assert (False, 1, False, False) in forms and (False, 1, False, True) in forms  # one group; one row per unit
    assert any(f[0] and f[2] for f in forms) and any(f[0] and not f[2] for f in forms)
    assert any(not f[0] and f[1] > 1 for f in forms)
    wheres = " ".join(m.what for p in oracle.plans.values() for m in p.measurements)
    assert "sums above" in wheres and "sum about" in wheres


SOME = st.lists(st.sampled_from(STATEMENTS), min_size=6, max_size=6, unique=True)
SECRETS = st.integers(-(2**63), 2**63 - 1)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=databases(), statements=SOME, secret=SECRETS)
def test_one_unit_changes_no_more_than_the_plan_claims(
    oracle: Oracle, data: Data, statements: list[str], secret: int
) -> None:
    oracle.check_all(data, statements, secret)


# -- the oracle has power: without any one of the steps that bound or guard, it fails ---------------------------------
NOBODY: tuple[object, ...] = (None, "web", "a", "north", 1, 10**12, 1.0, "1.00", "0.1", 0.5, None)


def event(unit: int | None, **values: object) -> tuple[object, ...]:
    names = ("user_id", "origin", "kind", "region", "qty", "big", "amount", "price", "wild", "weight", "at")
    row = dict(zip(names, NOBODY, strict=True)) | {"user_id": unit} | values
    return tuple(row.values())


def user(unit: int, **values: object) -> tuple[object, ...]:
    row = {"city": "Oslo", "vip": True, "mood": "ok", "age": 5, "score": 1.0, "balance": "1.00", "wild": "1"} | values
    return (unit, *row.values())


def many(n: int, **values: object) -> Data:
    return Data((), tuple([event(1, **values)] * n + [event(2), event(None)]))


def spread(column: str, *values: object) -> Data:
    return Data((), tuple([event(1, **{column: v}) for v in values] + [event(2), event(None)]))


# What a unit with more than C rows adds to a mean's first sum, up to its clamp.
SCALED = r"LEAST\(GREATEST\(\(LEAST\(GREATEST\(p\.c0, 0\), [^/]*/ \(2 \* LEAST\(p\.c1, \d+\)\), 0\), "
STEPS = {
    "rows per group": ("SELECT count(*) FROM events", r"LEAST\(p\.c0, 3\)", "p.c0", many(9)),
    "rows per group, chosen groups": (
        "SELECT kind, count(*) FROM events GROUP BY kind", r"LEAST\(w\.c0, 3\)", "w.c0", many(9),
    ),
    "a unit counts once": (
        "SELECT count(DISTINCT user_id) FILTER (WHERE qty > 0) FROM events",
        r"\(CASE WHEN p\.c0 > 0 THEN 1 ELSE 0 END\)", "p.c0", many(9),
    ),
    "unit total above": (
        "SELECT sum(amount) FROM events",
        r"GREATEST\(LEAST\(COALESCE\(p\.c0, 0\), \d+\), 0\)", "COALESCE(p.c0, 0)", many(3, amount=40.0),
    ),
    "unit total below": (
        "SELECT sum(qty) FROM events",
        r"GREATEST\((LEAST\(COALESCE\(p\.c0, 0\), \d+\)), -\d+\)", r"\1", many(9, qty=-9),
    ),
    "row clamp, above": (
        "SELECT sum(amount) FROM events", r" WHEN t0\.\"amount\" >= '[^']*'::\S+ THEN \d+", "", many(1, amount=1e300),
    ),
    "row clamp, below": (
        "SELECT sum(price) FROM events", r"CASE WHEN t0\.\"price\" <= '[^']*'::\S+ THEN \d+ WHEN", "CASE WHEN",
        many(1, price="-99999999.99"),
    ),
    "row clamp of a mean": (
        "SELECT avg(weight) FROM events",
        r"CASE WHEN t0\.\"weight\" <= \S+ THEN \d+ WHEN t0\.\"weight\" >= \S+ THEN \d+ "
        r"ELSE \((.*?)\)::pg_catalog.int4 END",
        r"\1::pg_catalog.int8", Data((), (event(1, weight=7e9), event(1, weight=float("-inf")))),
    ),
    "NaN": (
        "SELECT sum(amount) FROM events", r" WHEN t0\.\"amount\" >= '[^']*'::\S+ THEN \d+", "",
        many(1, amount=float("nan")),
    ),
    "one row's own value, an integer": (
        "SELECT sum(age) FROM users",
        r'COALESCE\(GREATEST\(LEAST\(\(CASE WHEN .*? END\), 100\), 0\), 0\)|GREATEST\(LEAST\(t0\."age", 100\), 0\)',
        't0."age"', Data((user(1, age=2**31 - 1), user(2)), ()),
    ),
    "one row's own value": (
        "SELECT sum(balance) FROM users", r"COALESCE\(GREATEST\(LEAST\(\(CASE WHEN .*? END\), \d+\), -\d+\), 0\)",
        't0."balance" * 100', Data((user(1, balance="99999.99"), user(2)), ()),
    ),
    "one row counts once": (
        "SELECT count(*) FILTER (WHERE vip) FROM users", r"THEN 1 ELSE 0", "THEN 2 ELSE 0", Data((user(1),), ()),
    ),
    "at most K groups": (
        "SELECT kind, count(*) FROM events GROUP BY kind", r" WHERE q\.rn <= 2", "", spread("kind", "a", "b", "c"),
    ),
    "K groups of each unit": (
        "SELECT kind, count(*) FROM events GROUP BY kind", r"PARTITION BY p\.u ", "",
        Data((), (*(event(1, kind=k) for k in "abcdef"), event(2, kind="g"), event(2, kind="h"))),
    ),
    "a unit's weight, over its groups": (
        "SELECT kind, count(*) FROM events GROUP BY kind", r"720720 / w\.groups", "720720", spread("kind", "a", "b"),
    ),
    "the weights of each unit": (
        "SELECT kind, count(*) FROM events GROUP BY kind", r"720720 / w\.groups", "720720 * w.groups",
        spread("kind", "a", "b"),
    ),
    "rows of the declared domain": (
        "SELECT origin, count(*) FROM events GROUP BY origin",
        r" AND \(\(t0\.\"origin\"\)::pg_catalog\.text COLLATE .*?\]\)\)", "",
        spread("origin", "web", "app", "WEB", "post"),
    ),
    "rows of nobody": (
        "SELECT count(*) FROM events", r't0\."user_id" IS NOT NULL', "true", many(1),
    ),
    "rows of nobody, chosen groups": (
        "SELECT kind, sum(amount) FROM events GROUP BY kind", r't0\."user_id" IS NOT NULL', "true", many(1),
    ),
    "the scale of a mean's rows": (
        "SELECT avg(qty) FROM events", SCALED + r"60\)", "p.c0", many(9, qty=10),
    ),
    "the rows of a mean": (
        "SELECT avg(qty) FROM events", r"LEAST\(p\.c1, 3\)", "p.c1", many(9, qty=-10),
    ),
    "the total of a centred mean": (
        "SELECT avg(amount) FROM events",
        r"GREATEST\(LEAST\((CASE WHEN .*? END), \d+\), 0\)", r"\1", many(3, amount=900.0),
    ),
    "the weight of a centred mean": (
        "SELECT avg(amount) FROM events",
        r"GREATEST\(LEAST\(CASE WHEN p\.c0::pg_catalog.*? END, 300\), 0\)", "p.c1 * 100", many(9, amount=1.0),
    ),
    "one choice of groups for all totals": (
        "SELECT kind, count(*), sum(amount) FROM events GROUP BY kind",
        r" WHERE q\.rn <= 2 ", " WHERE q.rn <= 2 OR q.c1 > 0 ",
        Data((), tuple(event(1, kind=k, amount=1.0) for k in "abc")),
    ),
    "numbers beyond int8": (
        "SELECT sum(qty) FROM events WHERE big * big * 4 > 0", r"\(t0\.\"big\"\)::pg_catalog\.numeric",
        't0."big"', many(1, big=2**63 - 1),
    ),
    "numerics that are not numbers": (
        "SELECT count(*) FROM events WHERE wild::int > 0", r"\(NULLIF\(NULLIF.*\)::pg_catalog\.int4 ",
        '(t0."wild")::pg_catalog.int4 ', many(1, wild="NaN"),
    ),
    "a declared scale's NaN": (
        "SELECT count(*) FROM events WHERE price::int > 0", r"\(NULLIF\(NULLIF.*\)::pg_catalog\.int4 ",
        '(t0."price")::pg_catalog.int4 ', many(1, price="NaN"),
    ),
    "a mean far from 0": (
        "SELECT avg(amount + 1e15) FROM events WHERE amount BETWEEN 1 AND 2", r"::pg_catalog\.numeric END\)",
        "::pg_catalog.int8 END)", many(1, amount=1.5),
    ),
    "division by zero": (
        "SELECT count(*) FROM events WHERE qty / qty > 0", r"NULLIF\((t0\.\"qty\"), 0\)", r"\1", many(1, qty=0),
    ),
    "the calendar's end": (
        "SELECT count(*) FROM events WHERE at + interval '1 year' > '2000-01-01'",
        r"\(CASE WHEN t0\.\"at\" BETWEEN .*? THEN t0\.\"at\" END\)", 't0."at"', many(1, at="294276-12-31"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("oracle", [POLICY], ids=["few"], indirect=True)
@pytest.mark.parametrize("step", STEPS)
def test_without_a_step_the_oracle_fails(oracle: Oracle, step: str) -> None:
    statement, old, new, data = STEPS[step]
    plan = oracle.planner.plan(statement).only
    broken, count = re.subn(old, new, plan.sql)
    assert count and broken != plan.sql, "the step is not in the generated SQL any more"
    with oracle.connection.transaction(force_rollback=True):
        for secret in range(8):
            oracle.differences(data, plan, with_secret(plan.sql, secret))
        with (
            pytest.raises((AssertionError, psycopg.DataError, psycopg.errors.FeatureNotSupported)),
            oracle.connection.transaction(force_rollback=True),
        ):
            for secret in range(8):
                oracle.differences(data, plan, with_secret(broken, secret))


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=databases(), secret=SECRETS)
def test_one_unit_changes_no_more_than_the_plan_claims_long(oracle: Oracle, data: Data, secret: int) -> None:
    oracle.check_all(data, STATEMENTS, secret)
