"""The engine's SQL beside the query as written, on ten million events of half a million people, on one connection.

The SQL is what the planner makes; the query as written runs immediately before it. The ratio is the median over pairs.
The query as written is parallel (two workers), and so is the engine's where PostgreSQL plans it so. Data is made in a
minute or two; --data FOLDER keeps it for the next run.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from events import PEOPLE, ROWS, Planner, data_server, engine_settings, engine_sql

now = time.perf_counter


@dataclass(frozen=True, slots=True)
class Form:
    """target: the ratio of the hand-written form on PostgreSQL 15; None: not measured."""

    name: str
    policy: str
    sql: str
    target: float | None


FORMS = (
    Form("P1 unit is the key, grouped", ROWS, "SELECT country, count(*), sum(x) FROM events GROUP BY country", 1.22),
    Form("P1 unit is the key, ungrouped", ROWS, "SELECT count(*), sum(x) FROM events", 1.33),
    Form("P2 ungrouped", PEOPLE, "SELECT count(*), sum(x) FROM events", 6.06),
    Form("P3 grouped", PEOPLE, "SELECT country, count(*), sum(x) FROM events GROUP BY country", 5.3),
    Form("P3 grouped, count only", PEOPLE, "SELECT country, count(*) FROM events GROUP BY country", None),
    Form("P3 few groups", PEOPLE, "SELECT device, count(*), sum(x) FROM events GROUP BY device", 4.48),
    Form(
        "P3 three sums, two counts",
        PEOPLE,
        "SELECT country, count(*), count(amount), sum(x), sum(x + 1), sum(amount) FROM events GROUP BY country",
        4.8,
    ),
    Form("P3 average", PEOPLE, "SELECT country, avg(x) FROM events GROUP BY country", None),
    Form(
        "P3 selective WHERE",
        PEOPLE,
        "SELECT country, count(*), sum(x) FROM events WHERE device = 'D3' AND x < 500 AND country LIKE 'C1%' "
        "GROUP BY country",
        1.4,
    ),
    Form("P6 count of people", PEOPLE, "SELECT country, count(DISTINCT user_id) FROM events GROUP BY country", None),
)


def seconds(connection: psycopg.Connection, sql: str) -> float:
    started = now()
    connection.execute(sql.encode()).fetchall()
    return now() - started


def measure(dsn: str, forms: list[Form], pairs: int, explain: bool) -> None:
    planners = {text: Planner(text, dsn) for text in (PEOPLE, ROWS)}
    print(f"{'':30}{'raw s':>8}{'engine s':>10}{'ratio':>8}{'least':>8}{'greatest':>10}{'target':>8}")
    with psycopg.connect(dsn, autocommit=True) as raw, psycopg.connect(dsn, autocommit=True) as engine:
        engine.execute(engine_settings().encode())
        for form in forms:
            plan = asyncio.run(planners[form.policy].plan(form.sql))
            seconds(raw, form.sql)
            times = [(seconds(raw, form.sql), seconds(engine, engine_sql(plan))) for _ in range(pairs)]
            ratios = sorted(b / a for a, b in times)
            a, b = (statistics.median(column) for column in zip(*times, strict=True))
            target = f"{form.target:8.2f}" if form.target else f"{'-':>8}"
            print(
                f"{form.name:30}{a:8.2f}{b:10.2f}{statistics.median(ratios):8.2f}{ratios[0]:8.2f}{ratios[-1]:10.2f}"
                f"{target}",
                flush=True,
            )
            if explain:
                print(engine_sql(plan))
                for (line,) in engine.execute(b"EXPLAIN (ANALYZE, VERBOSE, BUFFERS OFF) " + engine_sql(plan).encode()):
                    print("   ", line)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, help="keep the data here (1.5 GB); default: a folder that is removed")
    arguments.add_argument("--users", type=int, default=500_000, help="20 events each")
    arguments.add_argument("--pairs", type=int, default=3)
    arguments.add_argument("--only", default="", help="forms whose name holds this")
    arguments.add_argument("--explain", action="store_true", help="show the SQL and how PostgreSQL ran it")
    chosen = arguments.parse_args()
    forms = [form for form in FORMS if chosen.only in form.name]
    with data_server(chosen.data, chosen.users) as dsn:
        measure(dsn, forms, chosen.pairs, chosen.explain)


if __name__ == "__main__":
    main()
