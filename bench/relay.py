"""What the gate adds to a relayed statement, and what an idle session costs: ratios of one run.

pgbench against the clean room directly and through the gate, both over unix sockets, in turn (so that a slow moment
of the machine meets both). The gate is a process of its own. Usage: python bench/relay.py [--seconds 3] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg
import uvloop

from noisegate.room.embedded import EmbeddedServer, binaries
from noisegate.wire import ServerConfig, make_self_signed, serve
from noisegate.wire.gate import Answer, Hidden, Identity, Question, RoomAddress, Statement, Verdict
from noisegate.wire.scram import Verifier, make_verifier

PASSWORD = "bench"
ROLE = "ana"
IDLE_SESSIONS = 150
_PRIVATE = re.compile(r"\bsecret\b")


class RegexGate:
    """The smallest gate: a pattern decides, cached by text; `secret` is answered from `noisy`."""

    def __init__(self, room: RoomAddress) -> None:
        self._room = room

    @staticmethod
    @lru_cache(4096)
    def classify(text: str) -> Sequence[Statement]:
        verdict = Verdict.PRIVATE if _PRIVATE.search(text) else Verdict.RELAY
        return (Statement(text.rstrip("; \n"), 0, verdict),)

    async def admit(self, identity: Identity) -> RoomAddress:
        return self._room

    async def answer(self, question: Question, hidden: Hidden) -> Answer:
        return Answer(_PRIVATE.sub("noisy", question.text))

    def finished(self, question: Question, answer: Answer | None, outcome: str, seconds: float) -> None:
        return None

    def relayed(self, identity: Identity, text: str, outcome: str, seconds: float) -> None:
        return None

    def left(self, identity: Identity) -> None:
        return None


class OneAnalyst:
    def __init__(self) -> None:
        self._verifier = make_verifier(PASSWORD)

    def verifier(self, analyst: str) -> Verifier | None:
        return self._verifier if analyst == ROLE else None


def run_gate(room: RoomAddress, folder: str, ready: Connection) -> None:
    async def main() -> None:
        crt, key = make_self_signed(Path(folder) / "tls")
        config = ServerConfig(port=0, unix_socket=Path(folder) / ".s.PGSQL.6432", certificate=crt, key=key)
        server = await serve(config, {"room": RegexGate(room)}, OneAnalyst())
        ready.send((os.getpid(), server.port))
        await asyncio.Event().wait()

    uvloop.run(main())


def pgbench(folder: str, port: int, script: Path, mode: str, clients: int, seconds: int) -> float:
    """Mean latency in ms."""
    command = [str(binaries() / "pgbench"), "-n", "-M", mode, "-c", str(clients), "-T", str(seconds)]
    command += ["-f", str(script), "-h", folder, "-p", str(port), "-U", ROLE, "room"]
    environment = {"PATH": os.defpath, "PGPASSWORD": PASSWORD}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    found = re.search(r"latency average = ([\d.]+) ms", done.stdout)
    if found is None:
        sys.exit(f"pgbench said: {done.stdout}{done.stderr}")
    return float(found[1])


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def idle_session_bytes(pid: int, where: str) -> float:
    """Growth of the gate's resident memory per idle session that has run a few statements."""
    dsn = f"{where} user={ROLE} password={PASSWORD} dbname=room"
    with psycopg.connect(dsn) as warm:
        warm.execute("SELECT 1")
    before = rss_bytes(pid)
    sessions = [psycopg.connect(dsn, autocommit=True) for _ in range(IDLE_SESSIONS)]
    for session in sessions:
        session.execute("SELECT relname FROM pg_class")
        session.execute("SELECT id FROM secret")
    time.sleep(0.2)
    grown = rss_bytes(pid) - before
    for session in sessions:
        session.close()
    return grown / IDLE_SESSIONS


def measure(room: EmbeddedServer, folder: str, seconds: int, rounds: int) -> dict[str, dict[str, float]]:
    relayed, private, noisy = (Path(folder) / f"{name}.sql" for name in ("relayed", "private", "noisy"))
    relayed.write_text("SELECT 1;\n")
    private.write_text("SELECT id FROM secret;\n")
    noisy.write_text("SELECT id FROM noisy;\n")
    cases = [(mode, clients) for mode in ("simple", "prepared") for clients in (1, 16)]
    results: dict[str, dict[str, float]] = {}
    for name, direct_script, gate_script in (("SELECT 1", relayed, relayed), ("private, stubbed", noisy, private)):
        for mode, clients in cases:
            pairs = [
                (
                    pgbench(str(room.socket_dir), room.port, direct_script, mode, clients, seconds),
                    pgbench(folder, 6432, gate_script, mode, clients, seconds),
                )
                for _ in range(rounds)
            ]
            direct, gate = (statistics.median(column) for column in zip(*pairs, strict=True))
            results[f"{name}, {mode}, {clients}"] = {"direct_ms": direct, "gate_ms": gate, "ratio": gate / direct}
            print(f"{name:17} {mode:9} {clients:3} clients {direct:8.3f} {gate:8.3f} ms  x{gate / direct:.2f}")
    return results


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=3, help="per measurement")
    arguments.add_argument("--rounds", type=int, default=3, help="measurements of each, alternating; the median counts")
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory() as folder:
        room = EmbeddedServer(Path(scratch) / "data", name="bench", settings={"max_connections": "300"})
        room.start()
        child = None
        try:
            prepare(room)
            socket_path = str(room.socket)
            ours, theirs = multiprocessing.Pipe()
            context = multiprocessing.get_context("spawn")
            child = context.Process(target=run_gate, args=(RoomAddress(socket_path, "room", ROLE), folder, theirs))
            child.start()
            pid, port = ours.recv()
            idle = {
                "plain": idle_session_bytes(pid, f"host={folder} port=6432"),
                "tls": idle_session_bytes(pid, f"host=127.0.0.1 port={port} sslmode=require"),
            }
            for kind, size in idle.items():
                print(f"idle session, {kind}: {size / 1024:.0f} KiB of the gate's resident memory")
            results = measure(room, folder, chosen.seconds, chosen.rounds)
        finally:
            if child is not None:
                child.terminate()
                child.join()
            room.stop()
    if chosen.json:
        print(json.dumps({"idle_bytes": idle, "pgbench": results}, indent=1))


def prepare(room: EmbeddedServer) -> None:
    with psycopg.connect(room.dsn("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE room")
        connection.execute(f"CREATE ROLE {ROLE} LOGIN")
    with psycopg.connect(room.dsn("room"), autocommit=True) as connection:
        for name in ("secret", "noisy"):
            connection.execute(f"CREATE TABLE {name} AS SELECT i AS id FROM generate_series(1, 10) i".encode())
            connection.execute(f"GRANT SELECT ON {name} TO PUBLIC".encode())


if __name__ == "__main__":
    main()
