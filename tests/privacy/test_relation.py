"""Private relations: every row has one unit; what has no rule is refused; uniqueness comes from enforced keys only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from noisegate.errors import NoisegateError, Unsupported
from noisegate.planning.jobs import ReadJob, read_job
from noisegate.privacy.rules import resolver_of
from noisegate.room.embedded import EmbeddedServer
from support.planner import Planner
from support.servers import new_database

SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, city text NOT NULL, region text, boss int, day date, n numeric);
CREATE TABLE visits (person int, place text, at timestamp);
CREATE TABLE pets (person int, name text, UNIQUE (person));
CREATE TABLE cars (person int NOT NULL, plate text, UNIQUE (person) DEFERRABLE);
CREATE TABLE homes (person int NOT NULL, kind text NOT NULL, PRIMARY KEY (person, kind));
CREATE TABLE badges (person int NOT NULL); CREATE UNIQUE INDEX ON badges (person) WHERE person > 0;
CREATE TABLE parents (person int PRIMARY KEY); CREATE TABLE children () INHERITS (parents);
CREATE TABLE floats (person float8 PRIMARY KEY); CREATE TABLE numerics (person numeric PRIMARY KEY);
CREATE TABLE letters (person text COLLATE "C" PRIMARY KEY);
CREATE TABLE chained (visit int, x int);
CREATE TABLE cities (name text PRIMARY KEY, region text NOT NULL, area int NOT NULL, UNIQUE (region, area));
CREATE TABLE regions (code char(5) PRIMARY KEY, boss int NOT NULL UNIQUE);
CREATE TABLE loose (name text, code text UNIQUE);
CREATE TABLE unlisted (id int PRIMARY KEY);
"""
POLICY = """
database: relations
dsn: ${DSN}
unit: {table: people, key: id}
tables:
  people: {unit: id, columns: {city: , region: , boss: , day: , n: {bounds: [0, 10], unit_total: 10}}}
  visits: {unit: person, columns: {place: , at: }}
  pets: {unit: person, columns: {name: }}
  cars: {unit: person, columns: {plate: }}
  homes: {unit: person, columns: {kind: }}
  badges: {unit: person}
  parents: {unit: person}
  floats: {unit: person}
  numerics: {unit: person}
  letters: {unit: person}
  cities: {public: true, columns: {name: , region: , area: }}
  regions: {public: true, columns: {code: , boss: }}
  loose: {public: true, columns: {name: , code: }}
price: {epsilon: 1, epsilon_max: 10, delta: 1e-6}
budgets: {dataset: {epsilon: 1, delta: 1e-3}, analyst: {epsilon: 1, delta: 1e-3}}
"""


@pytest.fixture(scope="module")
def planner(data_server: EmbeddedServer) -> Iterator[Planner]:
    with Planner(new_database(data_server, SCHEMA), POLICY) as planner:
        yield planner


def one_row(planner: Planner, relation: str) -> bool:
    """Whether the plan takes each row as a unit of its own."""
    (analysis,) = planner.plan(f"SELECT count(*) FROM {relation}").analyses
    per_unit = "GROUP BY 1) AS p" in analysis.sql
    single = "one row per unit (by a unique key): each row is clamped" in analysis.explain
    assert per_unit != single
    return single


ONCE = (
    "people",
    "ONLY people",
    "letters",
    "people CROSS JOIN regions r WHERE r.code = 'north'",
    "people p JOIN cities c ON c.name = p.city",
    "people p JOIN cities c ON p.city = c.name AND c.area > 3",
    "people p LEFT JOIN cities c ON c.name = p.city",
    "people p LEFT JOIN cities c ON c.name = upper(p.city)",
    "cities c RIGHT JOIN people p ON c.name = p.city",
    "people p, cities c WHERE c.name = p.city",
    "people p JOIN cities c ON c.name = p.city LEFT JOIN regions r ON r.code::text = c.region",
    "people p LEFT JOIN (cities c JOIN regions r ON r.code::text = c.region) ON c.name = p.city",
    "people p JOIN (regions r JOIN cities c ON r.code::text = c.region) ON c.name = p.city",
    "people p JOIN cities c ON c.region = p.region AND c.area = 7",
    "people p JOIN regions r ON r.boss = p.boss JOIN cities c ON c.region = r.code::text AND c.area = p.id",
    "people p, LATERAL (SELECT p.city) l",
)
OFTEN = (
    "visits",
    "pets",  # a unique key of a nullable column: NULLs are nobody, but the catalog does not promise more
    "cars",  # deferrable: not enforced inside a transaction
    "homes",  # part of a key
    "badges",  # a partial index
    "parents",  # a child may hold the same key
    "people CROSS JOIN cities",
    "people p JOIN cities c ON true",
    "people p JOIN cities c ON c.name <> p.city",
    "people p JOIN cities c ON c.name = p.city OR c.area = 1",
    "people p JOIN cities c ON NOT (c.name = p.city)",
    "people p JOIN cities c ON c.name >= p.city AND c.name <= p.city",
    "people p JOIN cities c ON c.region = p.region",  # part of a key
    "people p JOIN cities c ON lower(c.name) = p.city",
    "people p JOIN cities c ON c.name = c.name",
    "people p JOIN loose l ON l.name = p.city",
    "people p JOIN loose l ON l.code = p.city",  # nullable: not in the catalog's keys
    "people p LEFT JOIN cities c ON true WHERE c.region = p.region",
    "people p LEFT JOIN cities c ON true LEFT JOIN cities d ON c.name = p.city AND d.name = p.city",
    "people p LEFT JOIN cities c ON c.area > 1 LEFT JOIN regions r ON r.code::text = c.region AND c.name = p.city",
    "people p JOIN cities c ON c.name = c.region",
    "people p CROSS JOIN cities c JOIN regions r ON r.code = c.region AND c.name = r.code",  # they determine each other
    "people p JOIN cities c ON c.name IN ('a', 'b')",
    "visits v JOIN cities c ON c.name = v.place",
)


@pytest.mark.parametrize("relation", ONCE)
def test_one_row_per_unit_by_enforced_keys(planner: Planner, relation: str) -> None:
    assert one_row(planner, relation)


@pytest.mark.parametrize("relation", OFTEN)
def test_several_rows_per_unit_wherever_nothing_forbids_them(planner: Planner, relation: str) -> None:
    assert not one_row(planner, relation)


REFUSED = {
    "cities c LEFT JOIN people p ON p.city = c.name": "no person matches",
    "people p RIGHT JOIN cities c ON p.city = c.name": "no person matches",
    "people p FULL JOIN cities c ON p.city = c.name": "no person matches",
    "cities c LEFT JOIN (regions r JOIN people p ON p.boss = r.boss) ON p.city = c.name": "no person matches",
    "(people p JOIN cities c ON p.city = c.name) RIGHT JOIN regions r ON r.boss = p.boss": "no person matches",
    "people p JOIN people q ON q.city = p.city": "not tied to the same person",
    "people p, visits v WHERE v.person = p.id OR v.place = p.city": "not tied to the same person",
    "people p JOIN unlisted u ON u.id = p.id": "not supported",
    "people p, LATERAL (SELECT p.city WHERE p.boss > 1) l": "not supported",
    "people p, people q, LATERAL (SELECT q.city) l WHERE p.city = q.city": "not tied to the same person",
    "cities c LEFT JOIN people p ON p.city = c.name CROSS JOIN LATERAL (SELECT p.boss) l": "not tied to the same",
    "people p WHERE p.boss < ALL (SELECT person FROM visits)": "about the same person",
    "people p WHERE p.id < ANY (SELECT person FROM pets)": "about the same person",
    "people TABLESAMPLE bernoulli (50)": "TABLESAMPLE",
    "people p WHERE p.ctid = '(0,1)'": "not",
    "people p WHERE p.tableoid > 0": "not",
    "people p WHERE p.xmin::text = '1'": "not",
    "people p WHERE p.id NOT IN (SELECT person FROM visits)": "may be NULL",
    "people p WHERE p.city IN (SELECT place FROM visits)": "about the same person",
    "people p WHERE EXISTS (SELECT FROM visits v WHERE v.person = p.id OR true)": "about the same person",
    "people p WHERE (p.id, p.city) < (1, 'a')": "not supported",
    "people p WHERE random() < 0.5": "not supported",
    "people p WHERE p.city ~ p.region": "constant|not supported",
    "people p WHERE p IS NOT NULL": "not supported",
    "floats": "unit column",
    "numerics": "unit column",
}


@pytest.mark.parametrize("relation", REFUSED)
def test_relations_without_a_unit_are_refused(planner: Planner, relation: str) -> None:
    with pytest.raises(NoisegateError, match=REFUSED[relation]):
        planner.plan(f"SELECT count(*) FROM {relation}")


STATEMENTS = {
    "SELECT city FROM people": "private",
    "SELECT * FROM people": "private",
    "SELECT p FROM people p": "not recognise|private",
    "SELECT count(*), city FROM people GROUP BY id": "GROUP BY|private",
    "SELECT count(*) OVER () FROM people": "private",
    "SELECT array_agg(city) FROM people": "rows of people",
    "SELECT max(id) FROM people": "bounds",
    "SELECT count(*), (SELECT count(*) FROM visits v WHERE v.person = p.id) FROM people p GROUP BY p.id": "not|private",
    "SELECT count(*) FROM people FOR UPDATE": "lock|not allowed",
    "SELECT sum(id) FROM people": "bounds",
    "SELECT avg(n::float8 * boss) FROM people": "bounds",
    "SELECT string_agg(city, ',') FROM people": "rows of people",
    "SELECT DISTINCT ON (city) city FROM people": "DISTINCT ON|private",
    "SELECT count(*) FROM cities c WHERE EXISTS (SELECT FROM people p WHERE p.city = c.name)": "private|not",
    "SELECT name FROM cities c UNION ALL SELECT city FROM people": "private",
    "SELECT '(1,a,b,2,2000-01-01,1)'::people": "not recogni",
    "SELECT count(*) FROM people WHERE city COLLATE \"POSIX\" = 'a'": "COLLATE",
}


@pytest.mark.parametrize("sql", STATEMENTS)
def test_statements_that_show_people_are_refused(planner: Planner, sql: str) -> None:
    try:
        text = planner.deparse(sql)
    except Exception:  # a view cannot hold it: the gate refuses it there
        return
    with pytest.raises(NoisegateError, match=STATEMENTS[sql]):
        planner.plan(text, deparsed=True)


def test_units_whose_equality_is_not_that_of_bytes_are_refused(planner: Planner) -> None:
    name = ("public", "letters")
    table = planner.snapshot.tables[name]
    blind = replace(table, columns=tuple(replace(c, deterministic=False) for c in table.columns))
    snapshot = replace(planner.snapshot, tables={**planner.snapshot.tables, name: blind})
    split = read_job(ReadJob(planner.deparse("SELECT count(*) FROM letters")), snapshot)
    with pytest.raises(Unsupported, match="not supported on private rows"):
        resolver_of(split.fragments[0].relation, snapshot, {}).resolve(None)


def test_conditions_of_the_far_side_do_not_filter_people(planner: Planner) -> None:
    sql = planner.plan(
        "SELECT count(*) FROM people p LEFT JOIN (cities c JOIN regions r ON r.code = c.region) ON c.name = p.city"
    ).only.sql
    assert sql.count('"code"') == 1


def test_a_declared_total_does_not_outlive_a_join_that_repeats_rows(planner: Planner) -> None:
    once = planner.plan("SELECT sum(n) FROM people p").only.measurements[0].what
    often = planner.plan("SELECT sum(n) FROM people p CROSS JOIN cities c").only
    assert "within [0, 10]" in once
    assert not often.measurements and "[0, 500]" in often.clips[0].what  # 50 rows of at most 10, clipped privately
