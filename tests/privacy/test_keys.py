"""Group keys: equal values show equal bytes, different ones different bytes; domains come from the policy."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from noisegate.errors import NoisegateError
from noisegate.plan.measure import DeclaredGroups, Selection
from noisegate.privacy.keys import canonical
from noisegate.privacy.rules import resolver_of
from noisegate.query.tree import Name, TableRef
from noisegate.room.embedded import EmbeddedServer
from support.extremes import TAME, TYPES, WILD, create_sql, fill, policy_text
from support.planner import Planner, like_the_engine
from support.servers import new_database

KEYED = [t for t in TYPES if t not in ("iv", "jb", "js", "at", "ai")]


@pytest.fixture(scope="module")
def planner(data_server: EmbeddedServer) -> Iterator[Planner]:
    dsn = new_database(data_server, create_sql())
    with psycopg.connect(dsn) as connection:
        fill(connection, "wild", WILD, 60)
        fill(connection, "tame", TAME, 60)
    with Planner(dsn, policy_text()) as planner:
        yield planner


@pytest.fixture(scope="module")
def engine(planner: Planner) -> Iterator[psycopg.Connection]:
    with psycopg.connect(planner.policy.dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        like_the_engine(connection)
        yield connection


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize("name", KEYED)
def test_groups_and_shown_keys_are_one_to_one(
    planner: Planner, engine: psycopg.Connection, name: str, zone: str
) -> None:
    """PostgreSQL's own `=` on the raw column decides what one value is."""
    engine.execute("SELECT set_config('TimeZone', $1, false)", (zone,))
    resolver = resolver_of(TableRef("public", "wild", "t0", 0, 0), planner.snapshot, {})
    value = resolver.column(Name(("t0", f"{name}1"), 0, 0))
    key = canonical(value)
    rows = engine.execute(
        f'SELECT count(DISTINCT ({key})::text COLLATE "C"), count(DISTINCT ({key})), count(DISTINCT {value.sql}), '
        "count(*) FROM (SELECT * FROM public.wild UNION ALL SELECT * FROM public.tame) AS t0"
    ).fetchone()
    assert rows is not None and rows[0] == rows[1] == rows[2] > 1
    spellings = engine.execute(
        f'SELECT max(n) FROM (SELECT count(DISTINCT ({key})::text COLLATE "C") AS n FROM '
        f"(SELECT * FROM public.wild UNION ALL SELECT * FROM public.tame) AS t0 GROUP BY {value.sql}) s"
    ).fetchone()
    assert spellings == (1,), "one group could show two spellings"


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("1.0", "1.00", "numeric"),
        ("-0", "0", "float8"),
        ("-0", "0", "float4"),
        ("a", "a  ", "char(5)"),
        ("NaN", "nan", "float8"),
    ],
)
def test_spellings_of_one_value(engine: psycopg.Connection, planner: Planner, one: str, other: str, kind: str) -> None:
    column = {"numeric": "n1", "float8": "f81", "float4": "f41", "char(5)": "bp1"}[kind]
    sql = planner.plan(f"SELECT {column}, count(*) FROM wild GROUP BY 1").only.sql
    with engine.transaction(force_rollback=True):
        engine.execute("TRUNCATE public.wild")
        engine.execute(f"INSERT INTO public.wild (id, {column}) VALUES (1, '{one}'), (2, '{other}')")
        assert len(engine.execute(sql).fetchall()) == 1


def test_intervals_are_refused(planner: Planner) -> None:
    with pytest.raises(NoisegateError, match="grouping by"):
        planner.plan("SELECT iv1, count(*) FROM wild GROUP BY iv1")


def test_booleans_and_enums_are_declared_with_null_others_are_read_from_data(planner: Planner) -> None:
    groups = planner.plan("SELECT b1, count(*) FROM wild GROUP BY b1").only.groups
    assert isinstance(groups, DeclaredGroups) and groups.rows == (("false",), ("true",), (None,))
    groups = planner.plan("SELECT e1, b2, count(*) FROM wild GROUP BY e1, b2").only.groups
    assert isinstance(groups, DeclaredGroups) and len(groups.rows) == 4 * 3
    assert isinstance(planner.plan("SELECT i41, b1, count(*) FROM wild GROUP BY 1, 2").only.groups, Selection)
    groups = planner.plan("SELECT NOT b1, count(*) FROM wild GROUP BY 1").only.groups
    assert isinstance(groups, DeclaredGroups) and groups.rows == (("false",), ("true",), (None,))


DOMAINS = """
database: domains
dsn: ${DSN}
unit: {table: people, key: id}
tables:
  people:
    unit: id
    columns:
      city: {domain: [Oslo, 'Ro''me', 'a\\b', '{secret:0}']}
      letter: {domain: [a, 'b ']}
      size: {domain: ['1.0', '2.50', NaN]}
      cost: {domain: ['1', '2.5']}
      ratio: {domain: ['-0', '1e3']}
      day: {domain: ['2000-01-01']}
      at: {domain: ['2000-01-01 00:00:00+00']}
      code: {domain: codes.code}
  codes: {public: true, columns: {code: }}
price: {epsilon: 1, epsilon_max: 10, delta: 1e-6}
budgets: {dataset: {epsilon: 1, delta: 1e-3}, analyst: {epsilon: 1, delta: 1e-3}}
"""


PEOPLE = """
CREATE TABLE people (id int PRIMARY KEY, city text NOT NULL, letter char(3), size numeric, cost numeric(5,2),
  ratio float8, day date, at timestamptz, code varchar(4));
CREATE TABLE codes (code varchar(4));
INSERT INTO codes VALUES ('x'), ('y'), (NULL);
INSERT INTO people VALUES
  (1, 'Oslo', 'a', 1.00, 1, 0, '2000-01-01', '2000-01-01 00:00+00', 'x'),
  (2, 'Ro''me', 'b', 2.5, 2.5, -0.0, '2000-01-02', '2000-01-01 01:00+01', NULL),
  (3, 'a\\b', NULL, 'NaN', NULL, 1000, NULL, NULL, 'y'),
  (4, '{secret:0}', 'c', 3, 9, 7, NULL, NULL, 'z'),
  (5, 'Bonn', 'a', NULL, NULL, NULL, NULL, NULL, NULL);
"""


@pytest.fixture(scope="module")
def people(data_server: EmbeddedServer) -> Iterator[Planner]:
    with Planner(new_database(data_server, PEOPLE), DOMAINS) as planner:
        yield planner


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
@pytest.mark.parametrize("column", ["city", "letter", "size", "cost", "ratio", "day", "at", "code"])
def test_every_group_of_a_domain_is_a_declared_one(people: Planner, column: str, zone: str) -> None:
    """What the release gate would refuse after the charge must not come from the engine."""
    plan = people.plan(f"SELECT {column}, count(*) FROM people GROUP BY 1", time_zone=zone).only
    assert isinstance(plan.groups, DeclaredGroups)
    with psycopg.connect(people.policy.dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        like_the_engine(connection, plan.settings)
        found = {(row[0],) for row in connection.execute(plan.sql)}
    assert found <= set(plan.groups.rows) and len(found) > 1


def test_values_outside_a_domain_are_dropped_before_bounding(people: Planner) -> None:
    sql = people.plan("SELECT city, count(*) FROM people GROUP BY 1").only.sql
    found = {row[0] for row in people.connection.execute(sql)}
    assert found == {"Oslo", "Ro'me", "a\\b", "{secret:0}"}


def test_as_soon_as_one_key_is_read_from_data_all_are(people: Planner) -> None:
    plan = people.plan("SELECT city, id * 2, count(*) FROM people GROUP BY 1, 2").only
    assert isinstance(plan.groups, Selection) and plan.delta > 0
    assert {row[0] for row in people.connection.execute(plan.sql)} >= {"Oslo", "Bonn"}
