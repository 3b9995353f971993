"""The tables of extreme and of ordinary values, planned and asked."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from noisegate.room.embedded import EmbeddedServer
from support.extremes import TAME, WILD, create_sql, fill, policy_text
from support.planner import Planner, like_the_engine
from support.servers import new_database


@pytest.fixture(scope="module")
def planner(data_server: EmbeddedServer) -> Iterator[Planner]:
    dsn = new_database(data_server, create_sql())
    with psycopg.connect(dsn) as connection:
        fill(connection, "wild", WILD, 300)
        fill(connection, "tame", TAME, 300)
    with Planner(dsn, policy_text()) as planner:
        yield planner


@pytest.fixture(scope="module")
def engine(planner: Planner) -> Iterator[psycopg.Connection]:
    with psycopg.connect(planner.policy.dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        like_the_engine(connection)
        yield connection
