"""The engine's SQL beside the query as written, on ten million events of half a million people, on one connection.

The SQL is what the planner makes; the query as written runs immediately before it, and a form written by hand with the
same bounds after it. Ratios are medians over rounds: of time, and of processor time of all processes of a query, which
other work on the machine moves less. The query as written is parallel (two workers), and so is the engine's where
PostgreSQL plans it so. Data is made in a minute or two; --data FOLDER keeps it for the next run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from events import PEOPLE, ROWS, Planner, data_server, engine_settings, engine_sql

now = time.perf_counter


def by_hand(key: str, inner: str, outer: str) -> str:
    """Least SQL that bounds: K of 3, C of 50, declared unit totals, no private clip. `key` may be empty."""
    columns = "SELECT {} FROM (SELECT user_id AS u{}, count(*) AS c, {} FROM public.events WHERE user_id IS NOT NULL "
    if not key:
        return columns.format(f"count(*), {outer}", "", inner) + "GROUP BY 1) p"
    rows = columns.format(
        "*, row_number() OVER (PARTITION BY u ORDER BY {}, g) AS n", f', {key} COLLATE "C" AS g', inner
    )
    spread = "coalesce(hashtextextended(g, hashint8extended(u, 12345)), hashint8extended(u, 12345))"
    return f"SELECT g, count(*), {outer} FROM ({rows.format(spread)}GROUP BY 1, 2) p) q WHERE n <= 3 GROUP BY g"


COUNT, TOTAL = "sum(least(c, 50)::int)", "sum(least(greatest(coalesce({}, 0), 0), {})::int)"
ONE = ("sum(CASE WHEN x IS NOT NULL THEN least(greatest(x, 0), 1000) END) AS s", f"{COUNT}, {TOTAL.format('s', 50000)}")
SEVERAL = (
    f"{ONE[0]}, count(amount) AS d, sum(CASE WHEN x IS NOT NULL THEN least(greatest(x + 1, 0), 1001) END) AS t, "
    "sum(CASE WHEN amount IS NOT NULL THEN (least(greatest(amount, 0), 100) * 100)::int END) AS v",
    f"{ONE[1]}, {COUNT.replace('c,', 'd,')}, {TOTAL.format('t', 50050)}, {TOTAL.format('v', 500000)}",
)


@dataclass(frozen=True, slots=True)
class Form:
    """target: the ratio of the hand-written form on PostgreSQL 15; None: not measured."""

    name: str
    policy: str
    sql: str
    target: float | None
    hand: str = ""


FORMS = (
    Form("P1 unit is the key, grouped", ROWS, "SELECT country, count(*), sum(x) FROM events GROUP BY country", 1.22),
    Form("P1 unit is the key, ungrouped", ROWS, "SELECT count(*), sum(x) FROM events", 1.33),
    Form("P2 ungrouped", PEOPLE, "SELECT count(*), sum(x) FROM events", 6.06, by_hand("", *ONE)),
    Form(
        "P3 grouped",
        PEOPLE,
        "SELECT country, count(*), sum(x) FROM events GROUP BY country",
        5.3,
        by_hand("country", *ONE),
    ),
    Form("P3 grouped, count only", PEOPLE, "SELECT country, count(*) FROM events GROUP BY country", None),
    Form(
        "P3 few groups",
        PEOPLE,
        "SELECT device, count(*), sum(x) FROM events GROUP BY device",
        4.48,
        by_hand("device", *ONE),
    ),
    Form(
        "P3 three sums, two counts",
        PEOPLE,
        "SELECT country, count(*), count(amount), sum(x), sum(x + 1), sum(amount) FROM events GROUP BY country",
        4.8,
        by_hand("country", *SEVERAL),
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


@dataclass(frozen=True, slots=True)
class Taken:
    seconds: float
    processor: float


def run(connection: psycopg.Connection, sql: str) -> Taken:
    spent, started = processor_seconds(connection), now()
    connection.execute(sql.encode()).fetchall()
    seconds = now() - started
    time.sleep(0.1)  # for the server to have collected its workers
    return Taken(seconds, processor_seconds(connection) - spent)


def processor_seconds(connection: psycopg.Connection) -> float:
    """Of the connection's process, and of all workers that have ended."""
    own = _stat(connection.info.backend_pid)
    return (sum(own[11:13]) + sum(_stat(own[1])[13:15])) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[int]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [0, *map(int, fields[1:])]


def measure(dsn: str, forms: list[Form], pairs: int, explain: bool) -> None:
    planners = {text: Planner(text, dsn) for text in (PEOPLE, ROWS)}
    print(
        f"{'':30}{'raw s':>8}{'engine s':>10}{'ratio':>8}{'least':>8}{'greatest':>10}{'by hand':>9}{'target':>8}",
        end="",
    )
    print(f"   processor time: {'ratio':>8}{'by hand':>9}")
    with psycopg.connect(dsn, autocommit=True) as raw, psycopg.connect(dsn, autocommit=True) as engine:
        engine.execute(engine_settings().encode())
        for form in forms:
            plan = asyncio.run(planners[form.policy].plan(form.sql))
            run(raw, form.sql)
            taken = [
                (run(raw, form.sql), run(engine, engine_sql(plan)), run(engine, form.hand) if form.hand else None)
                for _ in range(pairs)
            ]
            show(form, taken)
            if explain:
                print(engine_sql(plan))
                for (line,) in engine.execute(b"EXPLAIN (ANALYZE, VERBOSE, BUFFERS OFF) " + engine_sql(plan).encode()):
                    print("   ", line)


def show(form: Form, taken: list[tuple[Taken, Taken, Taken | None]]) -> None:
    median = statistics.median
    ratios = sorted(b.seconds / a.seconds for a, b, _ in taken)
    hand = [(h.seconds / a.seconds, h.processor / a.processor) for a, _, h in taken if h is not None]
    of_hand = [f"{median(column):9.2f}" for column in zip(*hand, strict=True)] or [f"{'-':>9}"] * 2
    target = f"{form.target:8.2f}" if form.target else f"{'-':>8}"
    print(
        f"{form.name:30}{median(a.seconds for a, _, _ in taken):8.2f}{median(b.seconds for _, b, _ in taken):10.2f}"
        f"{median(ratios):8.2f}{ratios[0]:8.2f}{ratios[-1]:10.2f}{of_hand[0]}{target}"
        f"{'':19}{median(b.processor / a.processor for a, b, _ in taken):8.2f}{of_hand[1]}",
        flush=True,
    )


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
