"""TPC-H's data on a server of its own, and gates over any data: what the figures share with the tests."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from noisegate.room.embedded import EmbeddedServer
from support import tpch
from support.gates import RunningGate, policy_from, running_gate
from support.tpch_queries import Outcome, queries

__all__ = ["WIDE", "Outcome", "RunningGate", "gate_over", "kept_server", "queries", "refusal_of", "tpch", "tpch_server"]

SETTINGS = {
    "shared_buffers": "2GB",
    "work_mem": "256MB",
    "fsync": "off",
    "max_wal_size": "8GB",
    "max_connections": "50",
}
# A price that may be anything, and accounts that no measurement empties.
WIDE = """
price: {epsilon: 1, epsilon_max: 1000000, delta: 1e-9}
budgets: {dataset: {epsilon: 1e12, delta: 1e-2}, analyst: {epsilon: 1e12, delta: 1e-2}}
"""


@contextmanager
def kept_server(folder: Path | None, name: str, load: Callable[[str], None]) -> Iterator[str]:
    """The DSN of a database that `load` filled, on a server of its own; kept in `folder` if there is one."""
    made = None if folder is not None else Path(tempfile.mkdtemp(prefix="ng-bench-"))
    place = folder or made
    assert place is not None
    server = EmbeddedServer(place / name / "data", name="bench", settings=SETTINGS)
    server.start()
    try:
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'made'").fetchone():
                print(f"making {name}", flush=True)
                connection.execute("DROP DATABASE IF EXISTS making")
                connection.execute("CREATE DATABASE making")
                load(server.dsn("making"))
                connection.execute("ALTER DATABASE making RENAME TO made")
        yield server.dsn("made")
    finally:
        server.stop()
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


@contextmanager
def tpch_server(folder: Path | None, scale: float) -> Iterator[str]:
    with kept_server(folder, f"tpch-{scale:g}", lambda dsn: tpch.load(dsn, scale)) as dsn:
        yield dsn


@contextmanager
def gate_over(policy_text: str, dsn: str) -> Iterator[RunningGate]:
    """A gate with a fresh state, in this process."""
    with (
        tempfile.TemporaryDirectory(prefix="ng-bench-") as state,
        running_gate(policy_from(policy_text, dsn), Path(state)) as gate,
    ):
        yield gate


def refusal_of(error: psycopg.Error) -> str:
    return f"refused: {error.sqlstate}"
