"""A planning worker holds nothing that could look at people, spend a budget or make noise."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from noisegate.plan.catalog import Snapshot
from noisegate.planning.pool import PlanningPool
from support.gates import policy_from

POLICY = """
database: people
dsn: ${DSN}
unit: {table: people, key: id}
tables: {people: {unit: id, columns: {id: }}}
budgets: {dataset: {epsilon: 1, delta: 1e-6}, analyst: {epsilon: 1, delta: 1e-6}}
"""
FORBIDDEN = (
    "asyncpg",
    "noisegate.cli",
    "noisegate.engine",
    "noisegate.gateway",
    "noisegate.ledger",
    "noisegate.mechanisms.gate",
    "noisegate.mechanisms.laplace",
    "noisegate.room",
    "noisegate.wire",
    "opendp",
    "scramp",
    "sqlite3",
    "typer",
)


def commands_of_children() -> list[list[str]]:
    """The command lines of the processes whose parent is this one."""
    return [(Path("/proc") / str(pid) / "cmdline").read_text().split("\0")[:-1] for pid in children()]


def children() -> set[int]:
    """Processes whose parent is this one."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


async def workers() -> list[list[str]]:
    """The command lines of a pool's workers."""
    before = commands_of_children()
    pool = PlanningPool(Snapshot(policy_from(POLICY, "postgresql:///none"), {}, {}, "1"), size=1)
    try:
        await pool.start()
        return [command for command in commands_of_children() if command not in before]
    finally:
        pool.close()


def test_what_a_worker_has_loaded() -> None:
    """The worker's own command, made to say what it has loaded where it would begin to wait for jobs."""
    (command,) = asyncio.run(workers())
    loads, separator, begins = command[3].partition("; ")
    assert command[1:3] == ["-P", "-c"] and separator and begins == "main()"
    told = [*command[:3], f"{loads}; import sys; print(*sorted(sys.modules))"]
    loaded = subprocess.run(told, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert {"noisegate.privacy.planner", "noisegate.query.split", "noisegate.plan.catalog"} <= set(loaded)
    assert [name for name in loaded if any(name == f or name.startswith(f"{f}.") for f in FORBIDDEN)] == []
