"""A whole gate on the demo's data, as a process of its own, and the clients that measure it."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import uvloop

from noisegate.cli.house import House, server_config
from noisegate.cli.running import leave_out_of_collections
from noisegate.demo import product
from noisegate.policy.load import load_policies
from noisegate.policy.model import Access, Budget, Budgets, Policy
from noisegate.room.embedded import EmbeddedServer, binaries
from stopwatch import Stopwatch

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "bench"
DATABASE = "demo"
SOCKET_PORT = 6432  # of the name of the gate's unix socket
DATA_SETTINGS = {"shared_buffers": "512MB", "fsync": "off", "max_connections": "100"}


@dataclass(frozen=True, slots=True)
class RunningGate:
    """folder: of the gate's unix socket. data: the data owner's server, without a gate."""

    pid: int
    folder: Path
    state: Path
    data: EmbeddedServer
    _pipe: Connection
    _process: SpawnProcess

    def dsn(self, analyst: str) -> str:
        return f"host={self.folder} port={SOCKET_PORT} user={analyst} password={PASSWORD} dbname={DATABASE}"

    def direct(self) -> str:
        return self.data.dsn(DATABASE)

    def laps(self) -> list[tuple[str, float]]:
        """What the stopwatch has seen since the last call: (step, seconds)."""
        self._pipe.send("laps")
        found: list[tuple[str, float]] = self._pipe.recv()
        return found

    def stop(self) -> None:
        """End the gate in order. Its state stays."""
        if self._process.is_alive():
            self._pipe.send("stop")
        self._process.join(60)
        self._process.kill()

    def processor_s(self) -> float:
        """What the gate's threads have used, without those that have ended."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")  # in ns; /proc/.../stat counts in steps of 10 ms
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def demo_policy(dsn: str) -> Policy:
    """policies/demo.yaml with budgets that no measurement exhausts."""
    (policy,) = load_policies(ROOT / "policies" / "demo.yaml", {"NOISEGATE_DEMO_DSN": dsn})
    wide = Budget(epsilon=Decimal(10**9), delta=Decimal("0.5"))
    access = Access(sessions_per_analyst_max=1000)
    return policy.model_copy(update={"budgets": Budgets(dataset=wide, analyst=wide), "access": access})


@contextmanager
def demo_gate(analysts: Sequence[str], users: int, events: int, timed: bool = False) -> Iterator[RunningGate]:
    """`timed`: the stopwatch is put around the gate's rooms."""
    with tempfile.TemporaryDirectory(prefix="ng-bench-") as name:
        scratch, folder, state = Path(name), Path(name) / "socket", Path(name) / "state"
        folder.mkdir()
        state.mkdir()
        data = EmbeddedServer(scratch / "data-server" / "data", name="bench", settings=DATA_SETTINGS)
        data.start()
        ours, theirs = multiprocessing.Pipe()
        gate = None
        try:
            subprocess.run([binaries() / "createdb", "-h", data.socket_dir, "-U", "postgres", DATABASE], check=True)
            product.load(data.dsn(DATABASE), users, events)
            arguments = (demo_policy(data.dsn(DATABASE)), state, folder, tuple(analysts), timed, theirs)
            child = multiprocessing.get_context("spawn").Process(target=_gate_process, args=arguments)
            child.start()
            theirs.close()
            gate = RunningGate(ours.recv(), folder, state, data, ours, child)
            yield gate
        finally:
            if gate is not None:
                gate.stop()
            data.stop()


def _gate_process(
    policy: Policy, state: Path, folder: Path, analysts: Sequence[str], timed: bool, pipe: Connection
) -> None:
    async def live() -> None:
        config = server_config([policy], "127.0.0.1", 0, None, None)
        config = replace(config, unix_socket=folder / f".s.PGSQL.{SOCKET_PORT}")
        async with House([policy], state, config) as house:
            for analyst in analysts:
                house.users.add(analyst, PASSWORD)
            watch = Stopwatch()
            if timed:
                watch.around(house.gateways[policy.database])
            leave_out_of_collections()  # as `noisegate serve` does
            pipe.send(os.getpid())
            await asyncio.to_thread(_serve_pipe, pipe, watch)

    uvloop.run(live())


def _serve_pipe(pipe: Connection, watch: Stopwatch) -> None:
    while pipe.recv() == "laps":
        pipe.send(watch.take())


def pgbench(host: Path, port: int, user: str, script: str, mode: str, clients: int, seconds: int) -> float:
    """Mean latency in ms."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command: list[Any] = [binaries() / "pgbench", "-n", "-M", mode, "-c", str(clients), "-T", str(seconds)]
        command += ["-f", file.name, "-h", host, "-p", str(port), "-U", user, DATABASE]
        environment = {"PATH": os.defpath, "PGPASSWORD": PASSWORD}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    found = re.search(r"latency average = ([\d.]+) ms", done.stdout)
    assert found is not None, done.stdout + done.stderr
    return float(found[1])
