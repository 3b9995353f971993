"""TPC-H's data on a server of its own, and gates over any data: what the figures share with the tests."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from noisegate.room.embedded import EmbeddedServer
from support import tpch
from support.gates import RunningGate, policy_from, running_gate
from support.tpch_queries import Outcome, queries

__all__ = ["WIDE", "Outcome", "RunningGate", "gate_over", "queries", "refusal_of", "tpch", "tpch_server"]

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
def tpch_server(folder: Path | None, scale: float) -> Iterator[str]:
    """The DSN of a server that has the data at this scale; kept in `folder` if there is one."""
    made = None if folder is not None else Path(tempfile.mkdtemp(prefix="ng-bench-"))
    place = folder or made
    assert place is not None
    server = EmbeddedServer(place / f"tpch-{scale:g}" / "data", name="tpch", settings=SETTINGS)
    server.start()
    try:
        dsn = server.dsn("tpch")
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'tpch'").fetchone():
                print(f"loading TPC-H at scale {scale:g}", flush=True)
                connection.execute("CREATE DATABASE making")
                tpch.load(server.dsn("making"), scale)
                connection.execute("ALTER DATABASE making RENAME TO tpch")
        yield dsn
    finally:
        server.stop()
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


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
