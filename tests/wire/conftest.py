"""A real PostgreSQL as clean room, and the gate in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from wirekit import ROLE, ROOM_SCRIPT, GateThread, Raw, WordGate

from noisegate.room.embedded import EmbeddedServer
from noisegate.wire import ServerConfig
from noisegate.wire.gate import RoomAddress


@pytest.fixture(scope="session")
def room_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    settings = {"fsync": "off", "max_connections": "300", "shared_buffers": "32MB"}
    server = EmbeddedServer(tmp_path_factory.mktemp("room") / "data", name="wireroom", settings=settings)
    server.start()
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE room")
        connection.execute(f"CREATE ROLE {ROLE} LOGIN")
    with psycopg.connect(server.dsn("room"), autocommit=True) as connection:
        connection.execute(ROOM_SCRIPT.encode())
    yield server
    server.stop()


@pytest.fixture(scope="session")
def room_address(room_server: EmbeddedServer) -> RoomAddress:
    return RoomAddress(str(room_server.socket), "room", ROLE)


@pytest.fixture
def start_gate(room_address: RoomAddress) -> Iterator[Callable[..., GateThread]]:
    started: list[GateThread] = []

    def start(**config: Any) -> GateThread:
        started.append(GateThread(WordGate(room_address), ServerConfig(port=0, **config)))
        return started[-1]

    yield start
    for thread in started:
        thread.stop()


@pytest.fixture
def gate(start_gate: Callable[..., GateThread]) -> GateThread:
    return start_gate()


@pytest.fixture
def raw(gate: GateThread) -> Iterator[Raw]:
    with Raw(gate.port) as connection:
        yield connection


@pytest.fixture(scope="session")
def direct(room_server: EmbeddedServer) -> Iterator[psycopg.Connection[Any]]:
    """The room itself, without the gate."""
    with psycopg.connect(room_server.dsn("room", ROLE), autocommit=True) as connection:
        yield connection
