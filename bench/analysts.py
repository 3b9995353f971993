"""Fifty analysts at once, each with several private questions: no error, and exact sums in the ledger afterwards."""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import psycopg

from noisegate.cli.state import LEDGER_FILE
from noisegate.ledger.accounts import analyst_account, dataset_account
from noisegate.ledger.sqlite import SqliteLedger
from running import DATABASE, RunningGate, demo_gate

QUESTIONS = (
    ("SELECT count(*) FROM users WHERE age > {n}", False),
    ("SELECT plan, count(*), avg(age) FROM users WHERE age > {n} GROUP BY plan", False),
    ("SELECT kind, count(DISTINCT user_id), count(*) FROM events WHERE id > {n} GROUP BY kind ORDER BY 2", False),
    ("SELECT feature, count(*) FROM events WHERE kind = 'feature_use' AND id > {n} GROUP BY feature", True),
    ("SELECT kind, sum(amount) FROM events WHERE id > {n} GROUP BY kind HAVING count(*) > 100", False),
)
PRICES = ("0.1", "0.25", "0.3", "0.007")
DELTA = Decimal("1e-9")  # of policies/demo.yaml, where groups are read from data


def ask(gate: RunningGate, number: int, count: int, start: threading.Barrier) -> tuple[Decimal, Decimal, list[float]]:
    """One analyst's session: (epsilon, delta) of what it asked, and the seconds that each answer took."""
    epsilon = delta = Decimal(0)
    latencies = []
    with psycopg.connect(gate.dsn(f"analyst{number}"), autocommit=True) as connection:
        start.wait(120)
        for i in range(count):
            question, selects = QUESTIONS[(number + i) % len(QUESTIONS)]
            price = PRICES[(number + i) % len(PRICES)]
            connection.execute(f"SET noisegate.epsilon = {price}".encode())
            began = time.perf_counter()
            connection.execute(
                question.format(n=(number * i) % 17).encode()
            ).fetchall()  # a small price may well show no group
            latencies.append(time.perf_counter() - began)
            epsilon += Decimal(price)
            delta += DELTA if selects else 0
    return epsilon, delta, latencies


def check_ledger(state: Path, spent: dict[str, tuple[Decimal, Decimal]], asked: int) -> int:
    """Compare every account with what was asked, to the last unit; verify the audit. The number of its records."""
    ledger = SqliteLedger(state / LEDGER_FILE)
    for analyst, expected in spent.items():
        found = ledger.balance(analyst_account(analyst, DATABASE))
        assert (found.epsilon, found.delta) == expected, (analyst, found, expected)
    total = ledger.balance(dataset_account(DATABASE))
    assert total.epsilon == sum(e for e, _ in spent.values()) and total.delta == sum(d for _, d in spent.values())
    assert ledger.verify() == []
    records = ledger.head().count
    assert records >= 2 * asked, "every question has two records"
    ledger.close()
    return records


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--analysts", type=int, default=50)
    arguments.add_argument("--questions", type=int, default=10, help="of each analyst")
    arguments.add_argument("--users", type=int, default=5000)
    arguments.add_argument("--events", type=int, default=100_000)
    chosen = arguments.parse_args()
    names = [f"analyst{n}" for n in range(chosen.analysts)]
    start = threading.Barrier(chosen.analysts + 1)
    with demo_gate(names, chosen.users, chosen.events) as gate:
        with ThreadPoolExecutor(chosen.analysts) as pool:
            sessions = [pool.submit(ask, gate, n, chosen.questions, start) for n in range(chosen.analysts)]
            start.wait(120)
            began = time.perf_counter()
            done = [session.result() for session in sessions]
            elapsed = time.perf_counter() - began
        gate.stop()
        asked = chosen.analysts * chosen.questions
        spent = {name: (epsilon, delta) for name, (epsilon, delta, _) in zip(names, done, strict=True)}
        records = check_ledger(gate.state, spent, asked)
    latencies = sorted(seconds for _, _, each in done for seconds in each)
    print(f"{chosen.analysts} analysts, {asked} private questions, no error")
    print(f"answers per second               {asked / elapsed:8.1f}")
    print(f"latency, median                  {statistics.median(latencies) * 1e3:8.1f} ms")
    print(f"latency, 99th percentile         {latencies[len(latencies) * 99 // 100] * 1e3:8.1f} ms")
    print(f"accounts exact, {records} audit records verified")


if __name__ == "__main__":
    main()
