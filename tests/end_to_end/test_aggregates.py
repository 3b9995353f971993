"""Every aggregate at a price so high that the noise vanishes, and with limits that cut nothing, is PostgreSQL's own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from noisegate.room.embedded import EmbeddedServer
from support.gates import policy_from, running_gate
from support.servers import new_database

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');
CREATE TABLE people (id int PRIMARY KEY, city text NOT NULL, age int, height numeric(5,2), born date, vip bool,
                     mood mood, likes text[], marks numeric(4,1)[]);
CREATE TABLE visits (person int NOT NULL, kind text, spent numeric(8,2), seconds float8, stars int, at timestamp,
                     seen timestamptz, day date, paid bool);
INSERT INTO people SELECT i, (ARRAY['Oslo', 'Rome', 'Lima'])[1 + i % 3], nullif(10 + i * 7 % 80, 17),
  150 + (i * 37 % 400) / 10.0, date '1950-01-01' + i * 13 % 1000, nullif(i % 3, 2) = 1,
  (ARRAY['sad', 'ok', 'glad'])[1 + i * i % 3]::mood, (ARRAY['tea', NULL, 'rain', 'tea', 'sun'])[i % 3:1 + i % 5],
  nullif(ARRAY[ARRAY[i % 10, 0.5], ARRAY[i % 3, 7]], ARRAY[ARRAY[1, 0.5], ARRAY[1, 7]]) FROM generate_series(1, 120) i;
INSERT INTO visits SELECT 1 + i * 31 % 100, (ARRAY['a', 'b', 'c', NULL])[1 + i * i % 4], (i * 7919 % 10000) / 100.0,
  nullif(i % 10, 3) / 4.0, nullif(i * 3 % 7, 5), timestamp '2020-01-01' + i * interval '37 minutes',
  timestamptz '2020-01-01 00:00+00' + i % 50 * interval '1 second', date '2020-01-01' + i % 60, nullif(i % 5, 1) > 0
  FROM generate_series(1, 900) i;
"""
POLICY = """
database: all
dsn: ${DSN}
unit: {table: people, key: id}
tables:
  people:
    unit: id
    columns:
      {id: , city: {domain: [Oslo, Rome, Lima]}, age: {bounds: [0, 100]}, height: {bounds: [150, 190]},
       born: {bounds: [1950-01-01, 1955-12-31]}, vip: , mood: ,
       likes: {length_max: 5}, marks: {length_max: 4, bounds: [0, 10]}}
  visits:
    unit: person
    columns:
      {person: , kind: {domain: [a, b, c]}, spent: {bounds: [0, 100]}, seconds: {bounds: [0, 2.5], grid: 0.25},
       stars: {bounds: [0, 6]}, at: {bounds: [2020-01-01, 2020-02-01]}, paid: , day: {bounds: [2020-01-01, 2020-03-31]},
       seen: {bounds: [2020-01-01 00:00:00+00, 2020-01-01 00:01:00+00]}}
limits: {groups_per_unit_max: 50, rows_per_group_max: 500, sampled_rows_max: 500, group_size_min: 1}
price: {epsilon: 1, epsilon_max: 1000000000000000, delta: 1e-9}
budgets: {dataset: {epsilon: 1e18, delta: 1e-1}, analyst: {epsilon: 1e18, delta: 1e-1}}
"""

MOMENTS = "var_pop({0}), var_samp({0}), variance({0}), stddev({0}), stddev_pop({0}), stddev_samp({0})"
PAIRS = (
    "covar_pop({0}, {1}), covar_samp({0}, {1}), corr({0}, {1}), regr_count({0}, {1}), regr_avgx({0}, {1}), "
    "regr_avgy({0}, {1}), regr_sxx({0}, {1}), regr_syy({0}, {1}), regr_sxy({0}, {1}), regr_slope({0}, {1}), "
    "regr_intercept({0}, {1}), regr_r2({0}, {1})"
)
QUARTILES = "percentile_disc(ARRAY[0, 0.25, 0.5, 0.75, 0.9, 1]) WITHIN GROUP (ORDER BY {0})"
STATEMENTS = (
    "SELECT count(DISTINCT age), count(DISTINCT height), count(DISTINCT born), count(DISTINCT mood) FROM people",
    "SELECT city, count(DISTINCT age / 10), sum(DISTINCT age), avg(DISTINCT height) FROM people GROUP BY city",
    "SELECT count(DISTINCT kind), count(DISTINCT stars) FILTER (WHERE spent > 50), count(DISTINCT at) FROM visits",
    "SELECT kind, count(DISTINCT stars), sum(DISTINCT stars), avg(DISTINCT spent), count(*) FROM visits GROUP BY kind",
    "SELECT stars, count(DISTINCT spent), sum(DISTINCT seconds) FROM visits GROUP BY stars",
    "SELECT count(DISTINCT kind), count(DISTINCT paid), count(DISTINCT kind) FILTER (WHERE stars > 5) FROM visits "
    "WHERE kind <> 'b'",
    "SELECT stars, count(DISTINCT kind), count(DISTINCT paid), count(*) FROM visits WHERE kind IN ('a', 'c') "
    "GROUP BY stars",
    "SELECT count(DISTINCT lower(kind) || stars::text) FROM visits",
    f"SELECT {MOMENTS.format('age')} FROM people",
    f"SELECT city, {MOMENTS.format('height')}, avg(height), sum(height), count(height) FROM people GROUP BY city",
    f"SELECT {MOMENTS.format('spent')}, avg(spent), count(spent), sum(spent) FROM visits",
    f"SELECT kind, {MOMENTS.format('seconds')}, avg(stars) FROM visits GROUP BY kind",
    "SELECT var_pop(age) FILTER (WHERE age > 50), stddev(age + 1) FROM people WHERE age < 90",
    f"SELECT {PAIRS.format('height', 'age')} FROM people",
    f"SELECT {PAIRS.format('spent', 'seconds')} FROM visits",
    f"SELECT kind, {PAIRS.format('stars', 'seconds')} FROM visits GROUP BY kind",
    "SELECT corr(age, age), corr(age, -age), regr_r2(height, age) FILTER (WHERE vip) FROM people",
    "SELECT min(age), max(age), min(height), max(height), min(born), max(born) FROM people",
    "SELECT kind, min(stars), max(stars), min(seconds), max(seconds), min(day), max(day) FROM visits GROUP BY kind",
    "SELECT min(seen), max(seen), max(stars) FILTER (WHERE spent < 10), min(DISTINCT stars) FROM visits",
    f"SELECT {QUARTILES.format('age')}, {QUARTILES.format('born')} FROM people",
    f"SELECT city, {QUARTILES.format('age')} FROM people GROUP BY city",
    f"SELECT {QUARTILES.format('seconds')}, {QUARTILES.format('stars')}, {QUARTILES.format('day')} FROM visits",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY age), percentile_cont(0.1) WITHIN GROUP (ORDER BY height) "
    "FROM people",
    "SELECT kind, percentile_cont(ARRAY[0.1, NULL, 0.37, 1]) WITHIN GROUP (ORDER BY stars), "
    "percentile_disc(0.3) WITHIN GROUP (ORDER BY stars DESC), "
    "percentile_cont(0.3) WITHIN GROUP (ORDER BY seconds DESC) "
    "FROM visits GROUP BY kind",
    "SELECT percentile_disc(0.9) WITHIN GROUP (ORDER BY stars) FILTER (WHERE kind = 'a') FROM visits",
    "SELECT percentile_cont(0.25) WITHIN GROUP (ORDER BY age), percentile_disc(0.9) WITHIN GROUP (ORDER BY born), "
    "percentile_disc(0.1) WITHIN GROUP (ORDER BY age) FILTER (WHERE vip) FROM people",
    "SELECT city, percentile_cont(0.5) WITHIN GROUP (ORDER BY age), "
    "percentile_disc(0) WITHIN GROUP (ORDER BY born DESC), "
    "percentile_cont(ARRAY[0.5, NULL]) WITHIN GROUP (ORDER BY height) FROM people GROUP BY city",
    "SELECT stars, percentile_cont(1) WITHIN GROUP (ORDER BY seconds), percentile_disc(1) WITHIN GROUP (ORDER BY day) "
    "FROM visits GROUP BY stars",
    "SELECT percentile_cont(0.3) WITHIN GROUP (ORDER BY age), percentile_disc(0.3) WITHIN GROUP (ORDER BY height) "
    "FROM people WHERE id < 0",
    "SELECT mode() WITHIN GROUP (ORDER BY mood), mode() WITHIN GROUP (ORDER BY city), "
    "mode() WITHIN GROUP (ORDER BY vip) "
    "FROM people",
    "SELECT kind, mode() WITHIN GROUP (ORDER BY paid) FROM visits GROUP BY kind",
    "SELECT mode() WITHIN GROUP (ORDER BY kind) FILTER (WHERE stars > 2) FROM visits",
    "SELECT mode() WITHIN GROUP (ORDER BY stars), mode() WITHIN GROUP (ORDER BY day DESC), "
    "mode() WITHIN GROUP (ORDER BY (spent / 10)::int), mode() WITHIN GROUP (ORDER BY seen), "
    "mode() WITHIN GROUP (ORDER BY kind || ' \"' || stars::text) FROM visits",
    "SELECT kind, count(*), mode() WITHIN GROUP (ORDER BY stars) FILTER (WHERE paid), "
    "mode() WITHIN GROUP (ORDER BY seconds DESC), mode() WITHIN GROUP (ORDER BY kind) FROM visits GROUP BY kind",
    "SELECT stars, mode() WITHIN GROUP (ORDER BY day - 7), mode() WITHIN GROUP (ORDER BY stars) FROM visits "
    "GROUP BY stars HAVING mode() WITHIN GROUP (ORDER BY day - 7) IS NOT NULL",
    "SELECT kind, paid, mode() WITHIN GROUP (ORDER BY stars DESC) FROM visits GROUP BY ROLLUP (kind, paid)",
    "SELECT mode() WITHIN GROUP (ORDER BY stars) FROM visits WHERE stars > 6",
    "SELECT t, count(*), count(DISTINCT id), avg(age) FROM people, unnest(likes) AS t GROUP BY t",
    "SELECT count(*), sum(m), avg(m), max(m), count(DISTINCT m), sum(place) FROM people "
    "CROSS JOIN LATERAL unnest(marks) WITH ORDINALITY AS u(m, place) WHERE age > 20",
    "SELECT city, count(*), count(t) FROM people LEFT JOIN unnest(likes) AS t ON t <> 'tea' GROUP BY city",
    "SELECT count(*), sum(n) FROM (SELECT id, (SELECT count(*) FROM unnest(likes) AS t WHERE t = 'tea') AS n "
    "FROM people WHERE EXISTS (SELECT 1 FROM unnest(marks) AS m WHERE m > 8)) AS s WHERE n BETWEEN 0 AND 5",
    "SELECT bool_and(vip), bool_or(vip), every(age > 0), bool_or(age > 200), bool_and(age < 50) FROM people",
    "SELECT kind, bool_and(paid), bool_or(paid), every(stars >= 0), bool_or(stars > 5) FROM visits GROUP BY kind",
    "SELECT bool_or(vip), bool_and(vip), min(age), max(born), var_pop(age), corr(age, height), stddev(age), "
    "percentile_disc(0.5) WITHIN GROUP (ORDER BY age), count(DISTINCT age), avg(DISTINCT age) FROM people WHERE id < 0",
    "SELECT count(*), sum(spent), count(spent), sum(stars), sum(stars - 3), count(*) FILTER (WHERE paid) FROM visits",
    "SELECT kind, count(*), sum(spent), sum(seconds), sum(-stars), avg(spent) FROM visits GROUP BY kind",
    "SELECT stars, count(*), sum(spent), min(spent::int), max(stars) FROM visits GROUP BY stars",
    "SELECT kind, max(n) FROM (SELECT kind, count(*) AS n FROM visits GROUP BY kind) q GROUP BY kind",
)


@dataclass(frozen=True)
class Pair:
    gate: psycopg.Connection
    truth: psycopg.Connection


@pytest.fixture(scope="module", params=["true", "false"], ids=["private clip", "no private clip"])
def pair(
    request: pytest.FixtureRequest, data_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    dsn = new_database(data_server, SCHEMA)
    policy = policy_from(POLICY + f"answers: {{private_clip: {request.param}}}\n", dsn)
    with (
        running_gate(policy, tmp_path_factory.mktemp("state")) as gate,
        gate.connect() as asked,
        psycopg.connect(dsn, autocommit=True) as truth,
    ):
        asked.execute("SET noisegate.epsilon = 1000000000000")
        yield Pair(asked, truth)


@pytest.mark.parametrize("sql", STATEMENTS)
def test_without_noise_it_is_postgresqls(pair: Pair, sql: str) -> None:
    gate, truth = pair.gate.execute(sql.encode()), pair.truth.execute(sql.encode())
    names, wanted_names = ([(d.name, min(d.type_code, 16384)) for d in c.description or ()] for c in (gate, truth))
    assert names == wanted_names
    found, wanted = (sorted(c.fetchall(), key=str) for c in (gate, truth))
    assert len(found) == len(wanted)
    for row, other in zip(found, wanted, strict=True):
        for name, value, expected in zip(names, row, other, strict=True):
            assert same(value, expected), f"{name[0]}: {value!r} instead of {expected!r}"


def same(value: object, expected: object) -> bool:
    """Floating point to 12 digits: PostgreSQL adds in the order of the rows."""
    if isinstance(value, list) and isinstance(expected, list):
        return len(value) == len(expected) and all(map(same, value, expected))
    if isinstance(value, float) and isinstance(expected, float):
        return math.isclose(value, expected, rel_tol=1e-11, abs_tol=1e-11)
    return str(value) == str(expected)
