"""A small database of people, its policy, and a clean room made of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from noisegate.plan.catalog import Snapshot
from noisegate.room.cluster import CleanRoom
from noisegate.room.embedded import EmbeddedServer
from noisegate.room.source import load_snapshot
from support.people import PEOPLE_SQL, people_policy
from support.servers import new_database

Connect = Callable[..., psycopg.Connection]


@pytest.fixture(scope="session")
def people_dsn(data_server: EmbeddedServer) -> str:
    return new_database(data_server, PEOPLE_SQL)


@pytest.fixture(scope="session")
def snapshot(people_dsn: str) -> Snapshot:
    return load_snapshot(people_policy(people_dsn), people_dsn)


@pytest.fixture(scope="session")
def room(snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CleanRoom]:
    room = CleanRoom()
    room.start(tmp_path_factory.mktemp("room"), [snapshot])
    yield room
    room.stop()


@pytest.fixture
def as_analyst(room: CleanRoom) -> Iterator[psycopg.Connection]:
    room.ensure_role("alice")
    with psycopg.connect(room.server.dsn("people", "alice"), autocommit=True) as connection:
        yield connection
