"""Memory of an idle session: growth of the gate's resident memory, and of the clean room's, per session.

Each session has asked a private question and listed the catalog before it idles, as a BI tool's connection does.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import psycopg

from running import RunningGate, demo_gate

MIB = 1 << 20


def private_bytes(pid: int) -> int:
    """Memory that only this process has: pages shared with its parent are counted once, there."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return sum(int(fields[name].split()[0]) * 1024 for name in ("Private_Clean", "Private_Dirty"))


def backends(gate: RunningGate) -> set[int]:
    """The clean room's backends of these sessions' analyst."""
    with psycopg.connect(gate.dsn("alice")) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE usename = 'alice' AND pid <> pg_backend_pid()"
        )
        return {int(row[0]) for row in rows}


def open_sessions(gate: RunningGate, number: int) -> list[psycopg.Connection]:
    sessions = []
    for _ in range(number):
        session = psycopg.connect(gate.dsn("alice"), autocommit=True)
        session.execute("SELECT relname, relkind FROM pg_class").fetchall()
        session.execute("SELECT plan, count(*) FROM users GROUP BY plan").fetchall()
        sessions.append(session)
    return sessions


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sessions", type=int, default=200)
    chosen = arguments.parse_args()
    with demo_gate(["alice"], users=2000, events=20_000) as gate:
        for session in open_sessions(gate, 5):
            session.close()
        time.sleep(1)
        before = gate.resident_bytes()
        sessions = open_sessions(gate, chosen.sessions)
        time.sleep(1)
        grown = gate.resident_bytes() - before
        room = sum(private_bytes(pid) for pid in backends(gate))
        for session in sessions:
            session.close()
        time.sleep(2)
        after = gate.resident_bytes() - before
    print(f"gate before                      {before / MIB:8.1f} MiB")
    print(f"gate, per idle session           {grown / chosen.sessions / MIB:8.3f} MiB   (target: 1)")
    print(f"clean room, per idle session     {room / chosen.sessions / MIB:8.3f} MiB")
    print(f"gate after they left, growth     {after / MIB:8.1f} MiB   ({chosen.sessions} sessions)")


if __name__ == "__main__":
    main()
