"""Planning time of TPC-H's queries: everything that EXPLAIN does in the gate before a charge, without the wire.

Cold: the gate's caches are empty. Seen: the same text again. Both hold PostgreSQL's reading of the text, split, types,
constants, analysis, price, explanation and a trial of the remainder; the third column is the planning workers' part of
the cold figure (split and analysis). A query that is refused shows how long the refusal took, and its SQLSTATE.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import psycopg

from noisegate.gateway import Gateway
from noisegate.planning.cache import Cache
from stopwatch import Stopwatch
from tpch_data import WIDE, Outcome, gate_over, queries, refusal_of, tpch, tpch_server

SCALE = 0.01  # planning looks at no row
COLD_MS, SEEN_MS = 50, 5  # targets, of the largest query
LIMITS = """
limits: {groups_per_unit_max: 3, rows_per_group_max: 200, group_size_min: 10}
answers: {joined_rows_max: 10000}"""


def forget(gateway: Gateway) -> None:
    for name in ("_shapes", "_values", "_priced"):
        setattr(gateway._preparing, name, Cache(1024))


def explained(connection: psycopg.Connection, sql: str, watch: Stopwatch) -> tuple[float, float, str]:
    """Milliseconds in the gateway, those in planning workers, and the SQLSTATE of a refusal, or ''."""
    watch.take()
    try:
        connection.execute(b"EXPLAIN " + sql.encode()).fetchall()
        refusal = ""
    except psycopg.Error as error:
        refusal = refusal_of(error)
    laps = watch.take()
    return (
        sum(seconds for step, seconds in laps if step == "gateway, all") * 1e3,
        sum(seconds for step, seconds in laps if step in ("split", "plan")) * 1e3,
        refusal,
    )


def figures(values: Sequence[float]) -> str:
    return f"{statistics.median(values):8.2f} ({sorted(values)[len(values) // 10]:.2f})"


def measure(gateway: Gateway, connection: psycopg.Connection, repeats: int) -> None:
    watch = Stopwatch()
    watch.around(gateway)
    print(f"planning, ms: median (10th percentile) of {repeats}")
    print(f"  {'':6}{'cold':>20}{'seen':>20}{'workers, cold':>20}")
    largest = [0.0, 0.0]
    for query in queries():
        if query.outcome is Outcome.PUBLIC:
            continue
        cold, seen, workers, refusal = [], [], [], ""
        for _ in range(repeats):
            forget(gateway)
            first, in_workers, refusal = explained(connection, query.sql, watch)
            cold.append(first)
            workers.append(in_workers)
            seen.append(explained(connection, query.sql, watch)[0])
        if not refusal:
            largest = [max(largest[0], statistics.median(cold)), max(largest[1], statistics.median(seen))]
        cells = "".join(f"{figures(column):>20}" for column in (cold, seen, workers))
        print(f"  Q{query.number:<5}{cells}   {refusal}", flush=True)
    print(
        f"largest that is answered: cold {largest[0]:.2f} (target {COLD_MS}), seen {largest[1]:.2f} (target {SEEN_MS})"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeats", type=int, default=20)
    arguments.add_argument("--data", type=Path, help="keeps the data here for the next run")
    chosen = arguments.parse_args()
    policy = f"{tpch.POLICY.read_text()}{LIMITS}\n{WIDE}"
    with tpch_server(chosen.data, SCALE) as dsn, gate_over(policy, dsn) as gate, gate.connect() as connection:
        connection.execute("EXPLAIN SELECT count(*) FROM customer").fetchall()
        measure(gate.house.gateways["tpch"], connection, chosen.repeats)


if __name__ == "__main__":
    main()
