"""The clean room over time: made, kept, rebuilt, killed, refreshed; roles with any name."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from noisegate.errors import BadSetting, PolicyError, UnknownDatabase
from noisegate.plan.catalog import Snapshot
from noisegate.policy.model import Column, Table
from noisegate.room.build import _reserved
from noisegate.room.cluster import CleanRoom
from noisegate.room.embedded import EmbeddedServer
from noisegate.room.source import load_snapshot
from support.people import EVENTS, PEOPLE_SQL, people_policy
from support.servers import new_database


@pytest.fixture
def own_dsn(data_server: EmbeddedServer) -> str:
    return new_database(data_server, PEOPLE_SQL)


@pytest.fixture
def own_room(own_dsn: str, tmp_path: Path) -> Iterator[CleanRoom]:
    room = CleanRoom()
    room.start(tmp_path, [load_snapshot(people_policy(own_dsn), own_dsn)])
    yield room
    room.stop()


def _rows(room: CleanRoom, query: str, database: str = "people", user: str = "postgres") -> list[tuple]:
    with psycopg.connect(room.server.dsn(database, user), autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def _made_at(room: CleanRoom) -> object:
    return _rows(room, "SELECT oid FROM pg_database WHERE datname = 'people'")


def test_the_schema_is_mirrored(room: CleanRoom, snapshot: Snapshot) -> None:
    """Read back with the same reader: columns, types, NOT NULL, keys, foreign keys and comments are the source's."""
    tables = dict(snapshot.policy.tables)
    users = {name: column for name, column in tables["users"].columns.items() if not column.hidden}
    tables["users"] = Table(unit="id", columns=users)
    mirrored = load_snapshot(snapshot.policy.model_copy(update={"tables": tables}), room.server.dsn("people"))
    for name, table in snapshot.tables.items():
        again = mirrored.tables[name]
        assert [(c.name, c.type, c.not_null, c.collation, c.comment) for c in again.columns] == [
            (c.name, c.type, c.not_null, c.collation, c.comment) for c in table.columns
        ]
        assert (set(again.keys), again.foreign_keys, again.comment) == (
            set(table.keys),
            table.foreign_keys,
            table.comment,
        )
    assert {t.name for t in mirrored.types} == {"mood", "positive", "small"}


def test_only_public_rows_are_there(room: CleanRoom, people_dsn: str) -> None:
    query = "SELECT * FROM countries ORDER BY code"
    with psycopg.connect(people_dsn) as source:
        assert _rows(room, query) == source.execute(query.encode()).fetchall()
    for table in ("users", '"Web log"."Ev""ents"', "visits", "parents"):
        assert _rows(room, f"SELECT count(*) FROM {table}") == [(2,)]
    assert _rows(room, "SELECT count(*) FROM users WHERE mood IS NULL AND born IS NULL") == [(1,)]
    assert _rows(room, "SELECT to_regclass('unlisted') IS NULL") == [(True,)]
    assert _rows(room, "SELECT count(*) FROM users WHERE country IN (SELECT code FROM countries)") == [(0,)]


def test_sessions_start_with_the_data_servers_settings(data_server: EmbeddedServer, tmp_path: Path) -> None:
    dsn = new_database(data_server, PEOPLE_SQL)
    with psycopg.connect(dsn, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET TimeZone = 'Asia/Tokyo'".encode())
        connection.execute(f"ALTER DATABASE {name} SET DateStyle = 'German'".encode())
    room = CleanRoom()
    room.start(tmp_path, [load_snapshot(people_policy(dsn), dsn)])
    room.ensure_role("alice")
    assert _rows(room, "SHOW TimeZone", user="alice") == [("Asia/Tokyo",)]
    assert _rows(room, "SHOW DateStyle", user="alice") == [("German, DMY",)]
    room.stop()


def test_the_same_snapshot_keeps_the_database_and_copies_public_rows(
    own_room: CleanRoom, own_dsn: str, tmp_path: Path
) -> None:
    before = _made_at(own_room)
    own_room.stop()
    with psycopg.connect(own_dsn, autocommit=True) as source:
        source.execute("UPDATE countries SET name = 'Gaul' WHERE code = 'FR'")
    again = CleanRoom()
    again.start(tmp_path, [load_snapshot(people_policy(own_dsn), own_dsn)])
    assert _made_at(again) == before
    assert _rows(again, "SELECT name FROM countries WHERE code = 'FR'") == [("Gaul",)]
    with psycopg.connect(own_dsn, autocommit=True) as source:
        source.execute("DELETE FROM countries WHERE code = 'DE'")
    before_refresh = again.copied_at("people")
    again.refresh("people")
    assert again.copied_at("people") > before_refresh
    assert _rows(again, "SELECT code FROM countries") == [("FR",)]
    again.stop()


def test_a_changed_policy_rebuilds_and_ends_the_sessions(own_room: CleanRoom, own_dsn: str) -> None:
    own_room.ensure_role("alice")
    before = _made_at(own_room)
    policy = people_policy(own_dsn)
    fewer = {**policy.tables, "parents": Table(unit="user_id", columns={"id": Column(), "user_id": Column()})}
    del fewer["visits"]
    with psycopg.connect(own_room.server.dsn("people", "alice"), autocommit=True) as session:
        assert own_room.update(load_snapshot(policy.model_copy(update={"tables": fewer}), own_dsn)) is True
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert _made_at(own_room) != before
    assert _rows(own_room, "SELECT to_regclass('visits') IS NULL", user="alice") == [(True,)]
    names = [row[0] for row in _rows(own_room, "SELECT datname FROM pg_database ORDER BY 1")]
    assert names == ["people", "postgres", "template0", "template1"]


def test_a_changed_source_rebuilds(own_room: CleanRoom, own_dsn: str) -> None:
    with psycopg.connect(own_dsn, autocommit=True) as source:
        source.execute("ALTER TABLE users ALTER plan TYPE varchar(30)")
    assert own_room.update(load_snapshot(people_policy(own_dsn), own_dsn)) is True
    column = "SELECT atttypmod FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'plan'"
    assert _rows(own_room, column) == [(34,)]


def test_a_killed_postmaster_needs_no_repair(own_room: CleanRoom, own_dsn: str, tmp_path: Path) -> None:
    own_room.ensure_role("alice")
    os.kill(own_room.server.pid, signal.SIGKILL)
    own_room.stop()
    again = CleanRoom()
    again.start(tmp_path, [load_snapshot(people_policy(own_dsn), own_dsn)])
    again.ensure_role("alice")
    with pytest.raises(psycopg.Error) as caught:
        _rows(again, "SELECT count(*) FROM users", user="alice")
    assert caught.value.sqlstate == "NG001"
    again.stop()


def test_a_build_that_was_cut_off_leaves_nothing_in_the_way(own_room: CleanRoom, own_dsn: str) -> None:
    snapshot = load_snapshot(people_policy(own_dsn), own_dsn)
    with psycopg.connect(own_room.server.dsn("template1"), autocommit=True) as admin:
        for suffix in ("new", "old"):
            admin.execute(f'CREATE DATABASE "{_reserved("people", suffix)}" TEMPLATE template0'.encode())
        admin.execute("ALTER DATABASE people CONNECTION LIMIT 0")
    assert own_room.update(snapshot) is False
    own_room.ensure_role("alice")
    assert _rows(own_room, "SELECT 1", user="alice") == [(1,)]
    assert _rows(own_room, "SELECT count(*) FROM pg_database WHERE datname LIKE '\\_ng%'") == [(0,)]


def test_a_cluster_that_does_not_start_is_made_anew(own_room: CleanRoom, own_dsn: str, tmp_path: Path) -> None:
    own_room.stop()
    (tmp_path / "room" / "data" / "global" / "pg_control").write_bytes(b"nonsense")
    again = CleanRoom()
    again.start(tmp_path, [load_snapshot(people_policy(own_dsn), own_dsn)])
    assert _rows(again, "SELECT count(*) FROM countries") == [(2,)]
    again.stop()


ODD_NAMES = ["bob", "Zoë", 'a "quoted" one', "semi;colon--", "back\\slash", "per%cent $user", "x" * 63, "sélect*"]


@pytest.mark.parametrize("analyst", ODD_NAMES)
def test_an_analyst_may_have_any_name(room: CleanRoom, analyst: str) -> None:
    address = room.address("people", analyst)
    assert (address.database, address.role) == ("people", analyst) and os.path.exists(address.socket)
    rights = "SELECT current_user, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, rolconnlimit > 0 FROM pg_roles"
    found = _rows(room, f"{rights} WHERE rolname = current_user", user=analyst)
    assert found == [(analyst, False, False, False, False, True)]
    room.drop_role(analyst)
    with pytest.raises(psycopg.OperationalError):
        _rows(room, "SELECT 1", user=analyst)
    room.drop_role(analyst)


@pytest.mark.parametrize("analyst", ["", "postgres", "pg_read_all_data", "PG_x", "noisegate_checker", "x" * 64, "a\0b"])
def test_a_reserved_name_is_no_analysts(room: CleanRoom, analyst: str) -> None:
    with pytest.raises(BadSetting):
        room.address("people", analyst)
    with pytest.raises(BadSetting):
        room.drop_role(analyst)


def test_settings_that_a_role_kept_are_forgotten(own_room: CleanRoom, own_dsn: str, tmp_path: Path) -> None:
    own_room.ensure_role("alice")
    with psycopg.connect(own_room.server.dsn("people", "alice"), autocommit=True) as session:
        session.execute("ALTER ROLE alice SET standard_conforming_strings = off")
    own_room.stop()
    again = CleanRoom()
    again.start(tmp_path, [load_snapshot(people_policy(own_dsn), own_dsn)])
    again.ensure_role("alice")
    assert _rows(again, "SHOW standard_conforming_strings", user="alice") == [("on",)]
    again.stop()


def test_unknown_and_reserved_databases(room: CleanRoom, people_dsn: str, snapshot: Snapshot) -> None:
    with pytest.raises(UnknownDatabase):
        room.address("nowhere", "alice")
    for name in ("template1", "_ng_x"):
        with pytest.raises(PolicyError):
            room.update(load_snapshot(people_policy(people_dsn, database=name), people_dsn))
    assert EVENTS in snapshot.tables


def test_an_analyst_enters_no_other_database(room: CleanRoom) -> None:
    room.ensure_role("alice")
    for database in ("postgres", "template1"):
        with pytest.raises(psycopg.OperationalError):
            _rows(room, "SELECT 1", database=database, user="alice")


def test_another_version_as_data_server(system_data_server: EmbeddedServer, tmp_path: Path) -> None:
    dsn = new_database(system_data_server, PEOPLE_SQL)
    snapshot = load_snapshot(people_policy(dsn), dsn)
    assert snapshot.tables["public", "visits"].keys and snapshot.domains["public", "users", "country"] == ("DE", "FR")
    room = CleanRoom()
    room.start(tmp_path, [snapshot])
    room.ensure_role("alice")
    assert _rows(room, "SELECT count(*) FROM countries", user="alice") == [(2,)]
    with pytest.raises(psycopg.Error) as caught:
        _rows(room, "SELECT max(id) FROM users", user="alice")
    assert caught.value.sqlstate == "NG001"
    room.stop()


KEY_TYPES = [
    "smallint", "bigint", "real", "numeric(2,2)", "numeric(2,-3)", "numeric(3,5)", "money", "boolean", "varchar(1)",
    "char(1)", '"char"', "name", "uuid", "date", "time", "timetz", "timestamp(0)", "interval day", "bytea", "inet",
    "cidr", "macaddr", "macaddr8", "bit(7)", "varbit(2)", "jsonb", "oid", "tsvector", "int4range", "int4multirange",
    "daterange", "pg_lsn", "only_one", "only_one[]", "text[]", "timestamptz[]",
]  # fmt: skip
OTHER_TYPES = [
    "json", "point", "box", "polygon", "circle", "line", "lseg", "path", "tsquery", "regclass", "tid", "jsonpath",
    "numeric(4,1)[][]",
]  # fmt: skip


def test_every_type_has_a_tripwire(data_server: EmbeddedServer, tmp_path: Path) -> None:
    """Also where a key allows two equal rows no place (an enum with one label)."""
    types = [*KEY_TYPES, *OTHER_TYPES]
    script = ["CREATE TYPE only_one AS ENUM ('x')"]
    for i, name in enumerate(types):
        key = ", PRIMARY KEY (v)" if name in KEY_TYPES else ""
        script.append(f"CREATE TABLE t{i} (v {name} NOT NULL, user_id int, n {name}{key})")
    dsn = new_database(data_server, ";".join(script))
    columns = {"v": Column(), "n": Column()}
    tables = {f"t{i}": Table(unit="user_id", columns=columns) for i in range(len(types))}
    room = CleanRoom()
    room.start(tmp_path, [load_snapshot(people_policy(dsn, tables=tables), dsn)])
    room.ensure_role("alice")
    for i, name in enumerate(types):
        assert _rows(room, f"SELECT count(n) FROM t{i}") == [(1,)], name
        with pytest.raises(psycopg.Error) as caught:
            _rows(room, f"SELECT count(n) FROM t{i} WHERE n IS NOT NULL", user="alice")
        assert caught.value.sqlstate == "NG001", name
    room.stop()
