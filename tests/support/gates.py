"""A whole running gate for tests: real data server, clean room, ledger, planning workers, sockets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import uvloop

from noisegate.cli.house import House, server_config
from noisegate.policy.load import load_text
from noisegate.policy.model import Policy

PASSWORD = "analyst's password"


def policy_from(text: str, dsn: str) -> Policy:
    """A policy from YAML; ${DSN} in it is the data server's."""
    loaded, problems = load_text("policy.yaml", text, {"DSN": dsn})
    assert loaded is not None and not problems, problems
    return loaded.policy


@dataclass
class RunningGate:
    """host, port, and what tests look into. `dsn` logs an analyst in, who exists."""

    port: int
    house: House
    policy: Policy
    state: Path

    def dsn(self, analyst: str = "alice", **options: str) -> str:
        database = options.pop("dbname", self.policy.database)
        return psycopg.conninfo.make_conninfo(
            host="127.0.0.1", port=self.port, user=analyst, password=PASSWORD, dbname=database, **options
        )

    def add(self, analyst: str) -> None:
        self.house.users.add(analyst, PASSWORD)

    def connect(self, analyst: str = "alice", **options: str) -> psycopg.Connection:
        return psycopg.connect(self.dsn(analyst, **options), autocommit=True)


@contextmanager
def running_gate(
    policy: Policy, state: Path, analysts: tuple[str, ...] = ("alice",), ledger: str | None = None
) -> Iterator[RunningGate]:
    """A gate in a thread of its own, on a free port of 127.0.0.1, until the block ends. `ledger`: a URL or path."""
    ready: threading.Event = threading.Event()
    box: dict[str, object] = {}

    async def live() -> None:
        stop = asyncio.Event()
        box["stop"], box["loop"] = stop, asyncio.get_running_loop()
        config = server_config([policy], "127.0.0.1", 0, None, None)
        async with House([policy], state, config, ledger) as house:
            for analyst in analysts:
                if house.users.verifier(analyst) is None:
                    house.users.add(analyst, PASSWORD)
            box["gate"] = RunningGate(house.server.port, house, policy, state)
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            uvloop.run(live())
        except BaseException as error:
            box["error"] = error
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="gate")
    thread.start()
    try:
        assert ready.wait(120), "the gate did not start"
        if "gate" not in box:
            raise RuntimeError("the gate did not start") from box.get("error")  # type: ignore[misc]
        yield box["gate"]  # type: ignore[misc]
    finally:
        loop, stop = box.get("loop"), box.get("stop")
        if loop is not None and thread.is_alive():
            loop.call_soon_threadsafe(stop.set)  # type: ignore[attr-defined]
        thread.join(60)
        assert not thread.is_alive(), "the gate did not stop"
    if "error" in box:
        raise box["error"]  # type: ignore[misc]
