"""What the snapshot says of a data server's catalog, and that it says it again in the same words."""

from __future__ import annotations

import asyncio
import pickle

import asyncpg
import psycopg
import pytest

from noisegate.errors import PolicyError, Unavailable
from noisegate.plan.catalog import CatalogTable, ForeignKey, Key, Snapshot
from noisegate.policy.model import Budget, Budgets, Column, Policy, Table, Unit
from noisegate.room.catalog_sql import FINGERPRINT_SQL, FINGERPRINTS_SQL
from noisegate.room.embedded import EmbeddedServer
from noisegate.room.source import load_snapshot
from support.people import EVENTS, people_policy
from support.servers import new_database

USERS = ("public", "users")


def _table(server: EmbeddedServer, script: str, name: str = "t") -> CatalogTable:
    """Table `name` of a database that `script` makes; columns id and user_id are named."""
    dsn = new_database(server, script)
    budgets = Budgets(dataset=Budget(epsilon=1), analyst=Budget(epsilon=1))
    tables = {name: Table(unit="user_id", columns={"id": Column()})}
    policy = Policy(database="d", dsn=dsn, unit=Unit(table="absent", key="id"), tables=tables, budgets=budgets)
    return load_snapshot(policy, dsn).tables["public", name]


def test_only_named_columns_exist(snapshot: Snapshot) -> None:
    names = [column.name for column in snapshot.tables[USERS].columns]
    assert names == "id country plan mood size score ratio nick born seen flags rate".split()
    assert [column.name for column in snapshot.tables[EVENTS].columns] == ["user_id", "at", "page"]
    assert ("public", "unlisted") not in snapshot.tables
    assert len(snapshot.tables["public", "countries"].columns) == 4  # public, no column named: all


def test_types_are_as_written_and_as_they_are_beneath(snapshot: Snapshot) -> None:
    described = {column.name: column for column in snapshot.tables[USERS].columns}
    assert (described["country"].type.sql, described["country"].type.base) == ("character(2)", "bpchar")
    assert (described["mood"].type.base, described["mood"].type.labels) == ("enum", ("sad", "ok", "glad"))
    assert (described["size"].type.sql, described["size"].type.base) == ("public.small", "int4")
    assert described["size"].type.domain and not described["plan"].type.domain
    assert described["rate"].type.typmod == (2 << 16 | 2) + 4
    assert described["nick"].collation == '"pg_catalog"."C"' and described["plan"].collation is None
    assert described["plan"].not_null and not described["mood"].not_null
    assert described["plan"].comment == "what they've paid for"
    assert snapshot.tables[USERS].comment == "one row per person"
    moods = snapshot.tables["public", "countries"].column("moods")
    assert moods is not None and (moods.type.sql, moods.type.base) == ("public.mood[]", "other")


def test_keys_and_foreign_keys(snapshot: Snapshot) -> None:
    assert snapshot.tables[USERS].keys == (Key(("id",), primary=True),)
    assert snapshot.tables[EVENTS].keys == (Key(("user_id", "at")),)  # the primary key's column is not named
    assert snapshot.tables[EVENTS].foreign_keys == (ForeignKey(("user_id",), USERS, ("id",)),)
    assert snapshot.tables["public", "visits"].keys == (Key(("id", "day"), primary=True),)
    assert snapshot.tables["public", "visits"].kind == "p"
    assert snapshot.tables["public", "parents"].keys == ()  # a child may hold the same id
    assert snapshot.tables["public", "parents"].has_children


@pytest.mark.parametrize(
    "promise",
    [
        "id int, user_id int, UNIQUE (id)",  # NULLs repeat
        "id int NOT NULL, user_id int, UNIQUE (id) DEFERRABLE",
        "id int NOT NULL, user_id int); CREATE UNIQUE INDEX ON t (id) WHERE user_id > 5; SELECT (1",
        "id int NOT NULL, user_id int); CREATE UNIQUE INDEX ON t ((id + 1)); SELECT (1",
        'id text NOT NULL, user_id int); CREATE UNIQUE INDEX ON t (id COLLATE "C"); SELECT (1',
        "id text NOT NULL, user_id int); CREATE UNIQUE INDEX ON t (id text_pattern_ops); SELECT (1",
        "id int, user_id int, UNIQUE (id)); ALTER TABLE t ADD CONSTRAINT n NOT NULL id NOT VALID; SELECT (1",
        "id int4range NOT NULL, user_id daterange, PRIMARY KEY (id, user_id WITHOUT OVERLAPS)",
    ],
)
def test_a_weaker_promise_is_no_key(data_server: EmbeddedServer, promise: str) -> None:
    table = _table(data_server, f"CREATE TABLE t ({promise})")
    assert table.keys == ()


def test_a_key_with_more_columns_in_its_index_is_a_key(data_server: EmbeddedServer) -> None:
    table = _table(data_server, "CREATE TABLE t (id int NOT NULL, user_id int, UNIQUE (id) INCLUDE (user_id))")
    assert table.keys == (Key(("id",)),)


def test_a_foreign_key_that_is_not_kept_is_not_valid(data_server: EmbeddedServer) -> None:
    people = "CREATE TABLE t (id int PRIMARY KEY, user_id int);"
    one = _table(data_server, people + "ALTER TABLE t ADD FOREIGN KEY (user_id) REFERENCES t NOT VALID")
    two = _table(data_server, people + "ALTER TABLE t ADD FOREIGN KEY (user_id) REFERENCES t NOT ENFORCED")
    three = _table(
        data_server, people + "ALTER TABLE t ADD FOREIGN KEY (user_id) REFERENCES t; ALTER TABLE t DISABLE TRIGGER ALL"
    )
    assert [[key.validated for key in table.foreign_keys] for table in (one, two, three)] == [[False]] * 3


def test_domains_are_distinct_values_in_canonical_text(snapshot: Snapshot) -> None:
    assert snapshot.domains[(*USERS, "country")] == ("DE", "FR")
    assert snapshot.domains[(*USERS, "mood")] == ("glad", "sad")
    assert snapshot.domains[(*USERS, "score")] == ("1", "2.5")
    assert snapshot.domains[(*USERS, "ratio")] == ("0", "1000")


def test_a_snapshot_travels_and_repeats(snapshot: Snapshot, people_dsn: str) -> None:
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot
    again = load_snapshot(people_policy(people_dsn), people_dsn + "&options=-cDateStyle%3DGerman%20-csearch_path%3Dx")
    assert again.tables == snapshot.tables
    other = load_snapshot(people_policy(people_dsn, unit=Unit(table="users", key="id")), people_dsn)
    assert other.version == snapshot.version
    changed = load_snapshot(people_policy(people_dsn, database="other"), people_dsn)
    assert changed.version != snapshot.version


async def _fingerprints(dsn: str, names: list[tuple[str, str]]) -> list[str | None]:
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "pg_catalog", "DateStyle": "SQL, DMY"})
    try:
        one_by_one = [await connection.fetchval(FINGERPRINT_SQL, *name) for name in names]
        together = await connection.fetch(FINGERPRINTS_SQL, *map(list, zip(*names, strict=True)))
        assert [row[0] for row in together] == one_by_one
        return one_by_one
    finally:
        await connection.close()


def test_the_fingerprint_is_the_engines_too(snapshot: Snapshot, people_dsn: str) -> None:
    names = list(snapshot.tables)
    found = asyncio.run(_fingerprints(people_dsn, [*names, ("public", "gone")]))
    assert found == [*(snapshot.tables[name].fingerprint for name in names), None]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE t ADD extra int",
        "ALTER TABLE t ALTER user_id TYPE bigint",
        "ALTER TABLE t ALTER user_id SET NOT NULL",
        "ALTER TABLE t DROP CONSTRAINT t_pkey",
        "CREATE TABLE c () INHERITS (t)",
        "ALTER TYPE e ADD VALUE 'c'",
        "ALTER TABLE t ALTER short TYPE varchar(9)",
        "DROP DOMAIN deep CASCADE; CREATE DOMAIN deep AS varchar(5); ALTER TABLE t ADD steps deep",
        "ALTER TABLE t DROP CONSTRAINT one",
        "ALTER TABLE t DISABLE TRIGGER ALL",
        'ALTER TABLE t ALTER short TYPE varchar(4) COLLATE "C"',
        "ALTER TABLE t RENAME id TO id2",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    ],
)
def test_the_fingerprint_changes_with_what_planning_relies_on(data_server: EmbeddedServer, change: str) -> None:
    script = """
        CREATE TYPE e AS ENUM ('a');
        CREATE DOMAIN inner_one AS varchar(4);
        CREATE DOMAIN deep AS inner_one;
        CREATE TABLE other (id int PRIMARY KEY);
        CREATE TABLE t (id int PRIMARY KEY, user_id int CONSTRAINT one REFERENCES other, kind e, short varchar(4),
                        steps deep);
    """
    with psycopg.connect(new_database(data_server, script), autocommit=True) as connection:
        cursor = psycopg.RawCursor(connection)
        before = cursor.execute(FINGERPRINT_SQL, ("public", "t")).fetchone()
        connection.execute("COMMENT ON TABLE t IS 'no matter'")
        assert cursor.execute(FINGERPRINT_SQL, ("public", "t")).fetchone() == before
        connection.execute(change.encode())
        after = cursor.execute(FINGERPRINT_SQL, ("public", "t")).fetchone()
    assert before is not None and after is not None and before != after


def _refusal(dsn: str, **tables: Table) -> str:
    policy = people_policy(dsn)
    with pytest.raises(PolicyError) as caught:
        load_snapshot(policy.model_copy(update={"tables": {**policy.tables, **tables}}), dsn)
    return str(caught.value)


def test_a_policy_that_does_not_fit_is_refused(people_dsn: str) -> None:
    assert "no such table" in _refusal(people_dsn, nowhere=Table(public=True))
    assert "no column colour" in _refusal(people_dsn, countries=Table(public=True, columns={"colour": Column()}))
    hidden = Table(unit="id", columns={"id": Column(hidden=True)})
    assert "leads to the privacy unit" in _refusal(people_dsn, users=hidden)
    wrong = Table(unit="id", columns={"mood": Column(domain=("merry",))})
    assert "not of type public.mood" in _refusal(people_dsn, users=wrong)
    private = Table(unit="id", columns={"country": Column(domain="visits.id")})
    assert "declared public" in _refusal(people_dsn, users=private)
    assert "reserved" in _refusal(people_dsn, **{"pg_catalog.pg_class": Table(public=True)})


def test_a_type_that_cannot_be_mirrored_is_refused(data_server: EmbeddedServer) -> None:
    with pytest.raises(PolicyError, match="cannot be mirrored; mark it hidden"):
        _table(data_server, "CREATE TYPE pair AS (a int, b int); CREATE TABLE t (id pair, user_id int)")


def test_an_unreachable_server_says_nothing_of_its_dsn(people_dsn: str, data_server: EmbeddedServer) -> None:
    with pytest.raises(Unavailable) as caught:
        load_snapshot(people_policy(people_dsn), data_server.dsn("no_such_database"))
    assert str(caught.value) == "the data server cannot be reached"
