"""Fixtures that every room's tests share: one real PostgreSQL for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from noisegate.room.embedded import EmbeddedServer


@pytest.fixture(scope="session")
def data_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The data owner's server; `support.servers.new_database(data_server, 'CREATE TABLE ...')` gives a test its own
    database there."""
    settings = {"fsync": "off", "max_connections": "200", "shared_buffers": "128MB"}
    server = EmbeddedServer(tmp_path_factory.mktemp("data-server") / "data", name="data", settings=settings)
    server.start()
    yield server
    server.stop()
