"""Hostile joins and nested queries: refused with a hint, beside the like of them that is answered; and the neighbour
oracle fails as soon as one of the rules that they meet is broken.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest

from noisegate.errors import NoisegateError
from noisegate.privacy import derived, predicates, relation, rules, unions, within
from noisegate.privacy.relation import Resolver
from noisegate.privacy.ties import Ties
from noisegate.privacy.within import Within
from noisegate.query.values import Value
from noisegate.room.embedded import EmbeddedServer
from privacy.test_neighbours_joins import LOOP, NUMBERED, POLICY, SCHEMA, Data, Oracle
from support.gates import policy_from
from support.planner import Planner, with_secret
from support.servers import new_database

TWICE = (
    "(SELECT user_id AS x, kind AS x FROM events) e(a, b) JOIN (SELECT user_id AS x, status AS x FROM orders) o(a, b)"
)
FILLED = (
    "SELECT b.status, count(*) FROM (SELECT d.id, d.status FROM orders d LEFT JOIN (SELECT user_id, max(id) AS m "
    "FROM orders GROUP BY user_id) o ON o.m = d.id AND o.user_id = d.user_id) b GROUP BY 1"
)

HOSTILE = {
    # equalities that do not have to hold, or not of the columns that name the unit
    "SELECT count(*) FROM events e, orders o WHERE o.status = e.kind": "not tied",
    "SELECT count(*) FROM users u JOIN orders o ON o.user_id = u.id OR o.status = 'a'": "not tied",
    "SELECT count(*) FROM users u JOIN orders o ON NOT (o.user_id <> u.id)": "not tied",
    "SELECT count(*) FROM users u JOIN orders o ON o.user_id + 0 = u.id": "not tied",
    "SELECT count(*) FROM users u JOIN orders o ON o.user_id::float8 = u.id": "not tied",
    "SELECT count(*) FROM users u JOIN orders o ON o.user_id IS NOT DISTINCT FROM u.id": "not tied",
    "SELECT count(*) FROM users u JOIN orders o ON CASE WHEN u.age > 1 THEN o.user_id = u.id ELSE true END": "not tied",
    "SELECT count(*) FROM users u JOIN orders o ON o.id = u.id": "not tied",
    "SELECT count(*) FROM items i JOIN orders o ON i.line = o.id": "not tied",
    "SELECT count(*) FROM orders a JOIN orders b ON a.status = b.status": "not tied",
    f"SELECT count(*) FROM {TWICE} ON e.b = o.b": "not tied",
    "SELECT count(*) FROM (SELECT user_id, id FROM orders) t(a, b) JOIN (SELECT id, user_id FROM orders) s(a, b) "
    "ON t.a = s.a": "not tied",
    "SELECT count(*) FROM (SELECT user_id AS a, id AS b FROM orders UNION ALL SELECT id, user_id FROM orders) t "
    "JOIN orders o ON o.user_id = t.a": "not tied",
    "SELECT count(*) FROM users u FULL JOIN orders o ON o.user_id = u.id FULL JOIN events e ON e.user_id = u.id":
    "tied",
    "SELECT count(*) FROM (users u FULL JOIN (SELECT user_id AS id, level FROM profiles) p USING (id)) "
    "JOIN (SELECT user_id AS id, kind FROM events) e USING (id)": "not one column of each side",
    "SELECT count(*) FROM (SELECT user_id, score AS x FROM events) e JOIN parts p ON true "
    "JOIN (SELECT id AS x, user_id FROM orders) o USING (x)": "different types",
    # subqueries about others
    "SELECT count(*) FROM users u WHERE EXISTS (SELECT 1 FROM orders o WHERE o.amount > 2 AND o.id = u.id)":
    "same person",
    "SELECT count(*) FROM users u WHERE EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.id OR u.age > 1)":
    "same person",
    "SELECT count(*) FROM users u WHERE EXISTS (SELECT 1 FROM orders o WHERE EXISTS "
    "(SELECT 1 FROM events e WHERE e.user_id = u.id AND e.kind = o.status))": "same person",
    "SELECT count(*) FROM users u WHERE u.age IN (SELECT e.user_id FROM events e)": "same person",
    "SELECT count(*) FROM users u WHERE u.id IN (SELECT o.user_id FROM events e LEFT JOIN orders o "
    "ON o.user_id = e.user_id)": "same person",
    "SELECT count(*) FROM users u WHERE u.id NOT IN (SELECT o.user_id FROM users x LEFT JOIN orders o "
    "ON o.user_id = x.id)": "same person|NULL",
    "SELECT count(*) FROM users u WHERE (SELECT o.amount FROM orders o WHERE o.user_id = u.id) > 1": "one row",
    # rows of several people in one row, or an order of them
    "SELECT count(*) FROM (SELECT user_id, lag(user_id) OVER (ORDER BY at) AS l FROM events) t WHERE l > 1":
    "OVER would mix",
    "SELECT count(*) FROM (SELECT user_id, row_number() OVER (PARTITION BY kind ORDER BY at) AS n FROM events) t "
    "WHERE n = 1": "OVER would mix",
    "SELECT count(*) FROM (SELECT user_id, max(score) OVER () AS m, score FROM events) t WHERE score = m":
    "OVER would mix",
    "SELECT count(*) FROM (SELECT user_id FROM events ORDER BY at LIMIT 1) t": "LIMIT",
    "SELECT count(*) FROM users u, LATERAL (SELECT o.id FROM orders o WHERE o.amount > u.age ORDER BY o.at LIMIT 1) x":
    "LIMIT",
    "SELECT count(*) FROM (SELECT id FROM orders UNION SELECT id FROM orders) t": "privacy unit",
    "SELECT count(*) FROM (SELECT user_id AS a, id AS b FROM orders UNION SELECT id, user_id FROM orders) t":
    "privacy unit",
    "SELECT count(*) FROM (SELECT user_id FROM orders UNION ALL SELECT id FROM parts) t": "others|belongs to nobody",
    # rows of nobody
    "SELECT count(*) FROM parts p LEFT JOIN items i ON i.part = p.id": "no person matches",
    "SELECT count(*) FROM (SELECT p.kind FROM parts p LEFT JOIN items i ON i.part = p.id) t": "keeps public rows",
    # what the data server would refuse
    "SELECT count(*) FROM (SELECT user_id, amount, (SELECT count(*) FROM events e WHERE e.user_id = o.user_id "
    "AND e.score > o.amount) AS n FROM orders o GROUP BY user_id, amount) t WHERE n > 1": "GROUP BY",
}  # fmt: skip

ANSWERED = (
    "SELECT count(*) FROM events e, orders o WHERE o.status = e.kind AND o.user_id = e.user_id",
    "SELECT count(*) FROM users u JOIN orders o ON o.user_id::text = u.id::text",
    "SELECT count(*) FROM orders a JOIN orders b ON a.id = b.id",
    f"SELECT count(*) FROM {TWICE} ON e.a = o.a",
    "SELECT count(*) FROM (SELECT user_id, id FROM orders) t(a, b) JOIN (SELECT id, user_id FROM orders) s(a, b) "
    "ON t.a = s.b",
    "SELECT count(*) FROM users u FULL JOIN orders o ON o.user_id = u.id",
    "SELECT count(*) FROM (users u RIGHT JOIN (SELECT user_id AS id, level FROM profiles) p USING (id)) "
    "JOIN (SELECT user_id AS id, kind FROM events) e USING (id)",
    "SELECT count(*) FROM users u WHERE EXISTS (SELECT 1 FROM orders o WHERE o.amount > 2 AND o.user_id = u.id)",
    "SELECT count(*) FROM users u WHERE u.id NOT IN (SELECT p.user_id FROM profiles p)",
    "SELECT count(*) FROM users u WHERE (SELECT max(o.amount) FROM orders o WHERE o.user_id = u.id LIMIT 1) > 1",
    "SELECT count(*) FROM (SELECT user_id, amount * 2 AS x, max(amount) - amount AS y FROM orders "
    "GROUP BY user_id, amount HAVING amount + 1 > 0) t WHERE x > y",
    "SELECT count(*) FROM (SELECT id, status, amount FROM orders GROUP BY id) t WHERE amount > 1",
    "SELECT count(*) FROM users u WHERE (SELECT p.level FROM profiles p WHERE p.user_id = u.id) > 1",
    "SELECT x.kind, count(*) FROM items i LEFT JOIN LATERAL (SELECT p.kind FROM parts p WHERE p.id = i.part) x ON true "
    "GROUP BY 1",
)


@pytest.fixture(scope="module")
def planner(data_server: EmbeddedServer) -> Iterator[Planner]:
    with Planner(new_database(data_server, SCHEMA), POLICY) as planner:
        yield planner


@pytest.mark.parametrize("sql", HOSTILE)
def test_hostile_statements_are_refused_with_a_hint(planner: Planner, sql: str) -> None:
    with pytest.raises(NoisegateError, match=HOSTILE[sql]) as caught:
        planner.plan(sql)
    assert caught.value.hint


@pytest.mark.parametrize("sql", ANSWERED)
def test_the_like_of_them_within_one_unit_is_answered(planner: Planner, sql: str) -> None:
    plan = planner.plan(sql).only
    planner.connection.execute(f"EXPLAIN {plan.sql}".replace("{secret:0}", "1").encode())


def test_the_strictest_minimum_of_several_tables_holds(planner: Planner) -> None:
    text = POLICY.replace("events: {unit: user_id,", "events: {unit: user_id, limits: {group_size_min: 50},")
    with Planner(planner.connection.info.dsn, policy_from(text, planner.connection.info.dsn)) as strict:
        (alone,) = strict.plan("SELECT status, count(*) FROM orders GROUP BY 1").analyses
        (joined,) = strict.plan("SELECT status, count(*) FROM orders JOIN events USING (user_id) GROUP BY 1").analyses
    assert (alone.group_size_min, joined.group_size_min) == (1, 50)


def test_all_tables_are_locked_and_checked_those_of_filters_too(planner: Planner) -> None:
    plan = planner.plan(
        "SELECT count(*) FILTER (WHERE EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.id)) FROM users u"
    ).only
    assert {name for _, name, _ in plan.tables} == {"users", "orders"}


@pytest.mark.parametrize(
    "condition",
    [
        "EXISTS (SELECT 1 FROM events o WHERE o.user_id = e.user_id AND o.kind <> e.kind)",
        "NOT EXISTS (SELECT 1 FROM events o WHERE o.user_id = e.user_id AND o.kind <> e.kind)",
        "e.user_id IN (SELECT o.user_id FROM events o WHERE o.kind <> e.kind)",
        "e.kind IN (SELECT DISTINCT o.status FROM orders o WHERE o.user_id = e.user_id)",
    ],
)
def test_rows_of_a_condition_are_joined_and_not_searched_for_each_row(planner: Planner, condition: str) -> None:
    sql = planner.plan(f"SELECT count(*) FROM events e WHERE {condition}").only.sql
    steps = "\n".join(line for (line,) in planner.connection.execute(f"EXPLAIN {with_secret(sql, 1)}"))
    assert "Join" in steps and "SubPlan" not in steps, steps


def some_data(seed: int) -> Data:
    """A few units with many rows each, and many equal values."""
    r = random.Random(seed)
    units, words = (1, 2, 3, None), ("a", "b", "c", None)
    times = ("2001-01-01", "2001-01-01", "2002-02-02", None)
    amounts = ("1", "1.0", "1.00", "5", "0", "0.00", None)
    scores = (0.1, 0.2, 0.3, 1e16, -1e16, 1.0, -0.0, 0.0, None)
    choice = r.choice
    return Data(
        tuple((i, choice(("Oslo", "Rome", None)), choice((1, 50, None))) for i in (1, 2, 3)),
        tuple((i, choice(units), choice(words), choice(amounts), choice(times)) for i in range(9)),
        tuple((i, j, r.randrange(4), choice((0, 1, 5))) for i in range(9) for j in range(r.randrange(3))),
        tuple((choice(units), choice(words), choice(times), choice(scores)) for _ in range(16)),
        tuple((i, r.randrange(5), choice(("a", "a ", None))) for i in (1, 2, 3)),
    )


def _break(target: object, name: str, value: object) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(target, name, value)


def _everything(self: Ties, *_: object, **__: object) -> set[str]:
    return {s.sql_alias for s in self.sources.values()} | {s.sql_alias for s in self.outer}


def _float_sum(self: Within, call: object, arg: Value, word: str, tail: str) -> Value:
    return Value(f"pg_catalog.sum({arg.sql}){tail}", "float8", bound=arg.bound)


def _alone(*args: object) -> object:
    return replace(derived.derive(*args), beside=frozenset())  # type: ignore[arg-type]


def _same(value: Value) -> Value:
    return value


BROKEN = {
    "windows without tie-breaks": (
        _break(within, "tie_break", lambda _: []),
        f"SELECT kind, count(*) FROM ({NUMBERED}) w WHERE n = 1 GROUP BY kind",
    ),
    "sources that are not tied": (
        _break(Ties, "same_unit", lambda *_: True),
        "SELECT count(*) FROM events e, orders o WHERE o.status = e.kind",
    ),
    "predicates that are not tied": (
        _break(predicates, "_must_be_tied", lambda *_: None),
        "SELECT count(*) FROM users u WHERE EXISTS (SELECT 1 FROM orders o WHERE o.amount > u.age)",
    ),
    "windows over several people": (
        _break(Within, "names_unit", lambda *_: True),
        "SELECT k, count(*) FROM (SELECT user_id, max(at) OVER (PARTITION BY kind) AS k FROM events) t GROUP BY k",
    ),
    "one row per unit": (_break(Ties, "single", _everything), "SELECT count(*), sum(score) FROM events"),
    "both sides of a FULL JOIN": (
        _break(relation, "holds_full", lambda _: False),
        "SELECT count(*) FROM users u FULL JOIN profiles p ON p.user_id = u.id AND u.age > 10",
    ),
    "keys of LATERAL queries": (
        _break(rules, "_RULES", replace(rules._RULES, subquery=_alone)),
        f"SELECT l.st, count(*) FROM {LOOP} GROUP BY l.st",
    ),
    "keys of what an outer join fills up": (_break(Resolver, "is_nullable", lambda *_: False), FILLED),
    "equal names": (_break(derived, "unambiguous", list), f"SELECT count(*) FROM {TWICE} ON e.b = o.b"),
    "forms in set operations": (
        _break(unions, "settled", _same),
        "SELECT amount::text, count(*) FROM (SELECT user_id, amount FROM orders UNION SELECT user_id, amount "
        "FROM orders) x GROUP BY 1",
    ),
    "forms in DISTINCT": (
        _break(derived, "settled", _same),
        "SELECT amount::text, count(*) FROM (SELECT DISTINCT user_id, amount FROM orders) x GROUP BY 1",
    ),
    "forms in aggregates over distinct values": (
        _break(within, "settled", _same),
        "SELECT s::text, count(*) FROM (SELECT user_id, sum(DISTINCT amount) AS s FROM orders GROUP BY user_id) t "
        "GROUP BY 1",
    ),
    "sums over floating point": (
        _break(Within, "_sum", _float_sum),
        "SELECT s::text, count(*) FROM (SELECT user_id, sum(score) AS s FROM events GROUP BY user_id) t GROUP BY 1",
    ),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_the_oracle_fails_where_a_rule_is_broken(
    planner: Planner, data_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    broken, sql = BROKEN[rule]

    def holds() -> bool:
        with psycopg.connect(
            planner.connection.info.dsn, autocommit=True, cursor_factory=psycopg.RawCursor
        ) as connection:
            oracle = Oracle(planner, connection, [sql])
            try:
                for seed in range(12):
                    oracle.check(some_data(seed), [sql], seed)
            except AssertionError:
                return False
        return True

    with contextlib.suppress(NoisegateError):  # or refused, as it should be
        assert holds()
    broken(monkeypatch)
    assert not holds()
