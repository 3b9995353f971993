"""Views of the data server: what the snapshot has of them, what of them is refused, and that the room's raise."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from noisegate.errors import PolicyError
from noisegate.plan.catalog import Snapshot
from noisegate.policy.model import Policy
from noisegate.room.checker import Checker
from noisegate.room.cluster import CleanRoom
from noisegate.room.embedded import EmbeddedServer
from noisegate.room.source import load_snapshot
from support.people import PEOPLE_SQL, people_policy
from support.servers import new_database

VIEWS_SQL = """
CREATE SCHEMA web;
CREATE VIEW web.free AS SELECT * FROM (SELECT id, country, mood FROM users WHERE plan = 'free') u;
CREATE VIEW moods (how, "of How many") AS
  SELECT f.mood, count(*) FROM web.free f JOIN countries c ON c.code = f.country GROUP BY f.mood;
CREATE VIEW names AS SELECT c.name, 'ok'::mood AS mood FROM countries c;
CREATE VIEW values_of (a, b) AS VALUES (1, 'x'), (2, 'y');
CREATE VIEW late AS SELECT 1 AS one;
CREATE VIEW early AS SELECT 2 AS two;
CREATE OR REPLACE VIEW late AS SELECT two AS one FROM early;
COMMENT ON VIEW moods IS 'how they''re doing';
COMMENT ON COLUMN moods.how IS 'as said';
CREATE VIEW secrets AS SELECT id FROM users WHERE secret = 'hush';
CREATE VIEW beyond AS SELECT id FROM unlisted;
CREATE VIEW above AS SELECT * FROM beyond;
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE VIEW doubled AS SELECT twice(id) FROM users;
CREATE TYPE other AS ENUM ('a');
CREATE VIEW typed AS SELECT 'a'::other AS a;
CREATE MATERIALIZED VIEW kept AS SELECT 1 AS one;
CREATE VIEW catalogs AS SELECT relname FROM pg_stat_user_tables;
CREATE VIEW narrow AS SELECT * FROM users NATURAL JOIN visits;
"""
GOOD = ("moods", "web.free", "names", "values_of", "late", "early")


@pytest.fixture(scope="module")
def dsn(data_server: EmbeddedServer) -> str:
    return new_database(data_server, PEOPLE_SQL + VIEWS_SQL)


def _policy(dsn: str, *views: str) -> Policy:
    return people_policy(dsn, database="viewed", views=views)


@pytest.fixture(scope="module")
def viewed(dsn: str) -> Snapshot:
    return load_snapshot(_policy(dsn, *GOOD), dsn)


@pytest.fixture(scope="module")
def room(viewed: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CleanRoom]:
    room = CleanRoom()
    room.start(tmp_path_factory.mktemp("room"), [viewed])
    yield room
    room.stop()


@pytest.fixture
def alice(room: CleanRoom) -> Iterator[psycopg.Connection]:
    room.ensure_role("alice")
    with psycopg.connect(room.server.dsn("viewed", "alice"), autocommit=True) as connection:
        yield connection


def test_each_view_comes_after_those_that_it_reads(viewed: Snapshot) -> None:
    order = list(viewed.views)
    assert sorted(name for _, name in order) == sorted(name.split(".")[-1] for name in GOOD)
    assert order.index(("web", "free")) < order.index(("public", "moods"))
    assert order.index(("public", "early")) < order.index(("public", "late"))
    moods = viewed.views["public", "moods"]
    assert moods.columns == (("how", "as said"), ("of How many", None))
    assert moods.reads == (("public", "countries"), ("web", "free"))
    assert moods.comment == "how they're doing"
    assert not moods.definition.endswith(";")


def test_which_views_are_private(viewed: Snapshot) -> None:
    assert {name for name in viewed.private_names() if name in ("moods", "free", "names", "values_of", "late")} == {
        "moods",
        "free",
    }


def test_the_version_changes_with_a_view(data_server: EmbeddedServer) -> None:
    dsn = new_database(data_server, PEOPLE_SQL + VIEWS_SQL)
    before = load_snapshot(_policy(dsn, "early"), dsn)
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("CREATE OR REPLACE VIEW early AS SELECT 3 AS two")
    assert load_snapshot(_policy(dsn, "early"), dsn).version != before.version


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM web.free",
        "SELECT * FROM web.free WHERE id = 7",
        "SELECT * FROM moods",
        "SELECT count(*) FROM moods WHERE how IS NULL",
        "SELECT 1 FROM names WHERE EXISTS (SELECT FROM web.free f WHERE f.mood = names.mood)",
        "CREATE TEMP VIEW mine AS SELECT * FROM web.free; SELECT * FROM mine",
    ],
)
def test_a_private_table_beneath_a_view_raises(alice: psycopg.Connection, query: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        alice.execute(query)
    assert caught.value.sqlstate == "NG001"


def test_views_over_public_rows_are_read(alice: psycopg.Connection) -> None:
    assert alice.execute("SELECT name, mood FROM names ORDER BY name LIMIT 1").fetchone() == ("France", "ok")
    assert alice.execute("SELECT b FROM values_of WHERE a = 2").fetchone() == ("y",)
    assert alice.execute("SELECT one FROM late").fetchone() == (2,)


def test_views_look_as_on_the_data_server(alice: psycopg.Connection, dsn: str) -> None:
    query = """
        SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod),
               obj_description(c.oid, 'pg_class'), col_description(c.oid, a.attnum)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relkind = 'v' AND c.relname = ANY (%s) AND n.nspname IN ('public', 'web')
        ORDER BY c.relname, a.attnum
    """
    names = [name.split(".")[-1] for name in GOOD]
    with psycopg.connect(dsn) as owner:
        assert alice.execute(query, (names,)).fetchall() == owner.execute(query, (names,)).fetchall()


def test_analysts_change_no_view(alice: psycopg.Connection) -> None:
    for change in (
        "DELETE FROM names",
        "DROP VIEW names",
        "CREATE OR REPLACE VIEW early AS SELECT 5",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            alice.execute(change.encode())


def test_the_checker_has_their_queries(room: CleanRoom, viewed: Snapshot) -> None:
    async def ask() -> dict[tuple[str, str], str]:
        checker = Checker(room.checker_dsn("viewed"))
        try:
            return await checker.views()
        finally:
            await checker.close()

    found = asyncio.run(ask())
    spaceless = {name: "".join(sql.split()) for name, sql in found.items()}
    assert spaceless == {name: "".join(view.definition.split()) for name, view in viewed.views.items()}


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        ("nowhere", "the data server has no such view"),
        ("kept", "it is no plain view"),
        ("unlisted", "it is a table; name it under 'tables'"),
        ("secrets", "it reads column secret of public.users, which the policy does not show"),
        ("beyond", "it reads public.unlisted, which the policy does not name; write that under 'tables' or 'views'"),
        ("above", "it reads public.beyond, which the policy does not name"),
        ("doubled", "it uses function public.twice"),
        ("typed", "it uses type public.other, which the clean room does not have"),
        ("catalogs", "it reads pg_catalog.pg_stat_user_tables, which the policy does not name"),
    ],
)
def test_a_view_that_the_room_cannot_have(dsn: str, view: str, reason: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load_snapshot(_policy(dsn, "early", view), dsn)
    assert any(problem.startswith(f"view {view}: {reason}") for problem in caught.value.problems), caught.value.problems


def test_a_view_that_postgresql_refuses_there(data_server: EmbeddedServer, tmp_path: Path) -> None:
    """Its text lists columns of the table that the policy does not name."""
    dsn = new_database(data_server, PEOPLE_SQL + VIEWS_SQL)
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("CREATE VIEW listed AS SELECT u.a AS id FROM users u(a, b, c, d, e, f, g, h, i, j, k, l, m)")
    room = CleanRoom()
    with pytest.raises(PolicyError, match='view listed: the clean room cannot make it: table "u" has 12 columns'):
        room.start(tmp_path, [load_snapshot(_policy(dsn, "listed"), dsn)])
