"""Fixtures that every room's tests share: one real PostgreSQL for the whole session."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from noisegate.room.embedded import EmbeddedServer
from support.ledgers import ledger_server

# "same": the same examples in every run, whoever runs it; "random": new ones, and those that failed are kept
_patient = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", _patient, derandomize=True)
settings.register_profile("random", _patient, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

_own_folder = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """A folder of this run's own for `tmp_path`. The usual one is shared, and each new run of pytest closes it to other
    users: an embedded server that runs as another user would lose its data directory in the middle of a test."""
    if not config.option.basetemp:
        folder = Path(tempfile.mkdtemp(prefix="ng-tests-"))
        config.stash[_own_folder] = folder
        config.option.basetemp = str(folder / "t")


def pytest_unconfigure(config: pytest.Config) -> None:
    folder = config.stash.get(_own_folder, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def data_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The data owner's server; `support.servers.new_database(data_server, 'CREATE TABLE ...')` gives a test its own
    database there."""
    settings = {"fsync": "off", "max_connections": "200", "shared_buffers": "128MB"}
    server = EmbeddedServer(tmp_path_factory.mktemp("data-server") / "data", name="data", settings=settings)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def ledger_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server for ledgers: fsync is on. Tests of the ledger kill it and start it again."""
    server = ledger_server(tmp_path_factory.mktemp("ledger-server"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def system_data_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A data server of the machine's own PostgreSQL: another version than the embedded one."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not programs:
        pytest.skip("this machine has no PostgreSQL of its own")
    folder = tmp_path_factory.mktemp("system-server")
    settings = {"fsync": "off", "max_connections": "50"}
    server = EmbeddedServer(folder / "data", name="system", settings=settings, programs=programs[-1].parent)
    server.start()
    yield server
    server.stop()
