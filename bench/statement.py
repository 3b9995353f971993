"""What the gate adds: to a relayed `SELECT 1`, and to a private statement beside its own query on the data server.

A private statement's added time is the client's latency through the gate minus the median latency of the plan's own
SQL, prepared anew each time, on a connection to the data server. Cold: a text that the gate has never seen; seen: the
same text again. The demo's data, small, so that the engine's work does not hide the gate's.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence

import psycopg

from events import Planner, engine_settings, engine_sql
from running import ROOT, SOCKET_PORT, RunningGate, demo_gate, pgbench

now = time.perf_counter
WARM = 5

# {n} makes a text new without making it another question
QUESTIONS = {
    "count": "SELECT count(*) FROM users WHERE age < 1{n}",
    "groups": "SELECT plan, count(*), avg(age) FROM users WHERE age < 1{n} GROUP BY plan ORDER BY 2 DESC",
    "keys from data": "SELECT feature, count(DISTINCT user_id), count(*) FROM events "
    "WHERE session_id > -{n} AND kind = 'feature_use' GROUP BY feature HAVING count(*) > 10 ORDER BY 2 DESC LIMIT 5",
}


def relayed(gate: RunningGate, seconds: int, rounds: int) -> None:
    print("SELECT 1, latency            direct      gate        ratio, least   gate's processor, least   (target: 3)")
    for mode, clients in itertools.product(("simple", "extended", "prepared"), (1, 8)):
        pairs, used = [], []
        for _ in range(rounds):
            direct = pgbench(gate.data.socket_dir, gate.data.port, "postgres", "SELECT 1;\n", mode, clients, seconds)
            before = gate.processor_s()
            through = pgbench(gate.folder, SOCKET_PORT, "alice", "SELECT 1;\n", mode, clients, seconds)
            statements = clients * seconds * 1e3 / through
            used.append((gate.processor_s() - before) / statements * 1e6)
            pairs.append((direct, through))
        direct, through = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratios = sorted(b / a for a, b in pairs)
        figures = f"{direct:10.3f} {through:9.3f} ms {statistics.median(ratios):8.2f} {ratios[0]:7.2f}"
        processor = f"{statistics.median(used):15.0f} {min(used):6.0f} us"
        print(f"  {mode:9} {clients:2} clients {figures} {processor}", flush=True)


def timed(connection: psycopg.Connection, sql: str) -> float:
    started = now()
    connection.execute(sql.encode()).fetchall()
    return now() - started


def private(gate: RunningGate, repeats: int, planner: Planner) -> None:
    print("private statements, ms: median (10th percentile)                         (targets: cold 10, seen 5)")
    print(f"  {'':16}{'cold':>16}{'seen':>16}{'engine SQL':>16}{'added cold':>16}{'added seen':>16}")
    steps: dict[str, dict[str, list[float]]] = {"cold": {}, "seen": {}}
    with (
        psycopg.connect(gate.direct(), autocommit=True, prepare_threshold=None) as direct,
        psycopg.connect(gate.dsn("alice"), autocommit=True, prepare_threshold=None) as client,
    ):
        direct.execute(engine_settings().encode())
        for name, question in QUESTIONS.items():
            plan = asyncio.run(planner.plan(question.format(n=999)))
            rows = []
            for i in range(WARM + repeats):
                text = question.format(n=1000 + i)
                cold, cold_steps = timed(client, text), gate.laps()
                seen, seen_steps = timed(client, text), gate.laps()
                engine = timed(direct, engine_sql(plan))
                if i >= WARM:
                    rows.append((cold, seen, engine, cold - engine, seen - engine))
                    _add(steps["cold"], cold_steps)
                    _add(steps["seen"], seen_steps)
            print(f"  {name:16}" + "".join(f"{_figures(column):>16}" for column in zip(*rows, strict=True)))
    print(f"steps of these, ms of a statement{'cold':>20}{'seen':>16}")
    for step in sorted(steps["cold"], key=lambda s: -statistics.median(steps["cold"][s])):
        print(f"  {step:35}" + "".join(f"{_figures(steps[how].get(step, [0.0])):>16}" for how in ("cold", "seen")))


def _add(steps: dict[str, list[float]], laps: list[tuple[str, float]]) -> None:
    total: dict[str, float] = defaultdict(float)
    for step, seconds in laps:
        total[step] += seconds
    for step, seconds in total.items():
        steps.setdefault(step, []).append(seconds)


def _figures(seconds: Sequence[float]) -> str:
    tenth = sorted(seconds)[len(seconds) // 10]
    return f"{statistics.median(seconds) * 1e3:.2f} ({tenth * 1e3:.2f})"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=3, help="of one run of pgbench")
    arguments.add_argument("--rounds", type=int, default=5, help="pairs of runs; the median counts")
    arguments.add_argument("--repeats", type=int, default=40, help="private statements of each kind")
    arguments.add_argument("--only", choices=["relayed", "private"])
    chosen = arguments.parse_args()
    with demo_gate(["alice"], users=2000, events=20_000, timed=True) as gate:
        policy = (ROOT / "policies" / "demo.yaml").read_text().replace("${NOISEGATE_DEMO_DSN}", "${DSN}")
        if chosen.only != "private":
            relayed(gate, chosen.seconds, chosen.rounds)
        if chosen.only != "relayed":
            private(gate, chosen.repeats, Planner(policy, gate.direct()))


if __name__ == "__main__":
    main()
