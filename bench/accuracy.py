"""How far answers are from the truth, through a whole gate: sums and counts along foreign keys, heavy-tailed groups.

TPC-H beside the published errors of R2T (Dong, Fang, Yi, Tao, Machanavajjhala: SIGMOD 2022), which takes Q3, Q5, Q12
and Q18 without their groups. Then a million events of 50,000 people whose activity is Pareto distributed (heavy.py).
Every answer is a fresh draw. A question that is not answered yet prints its SQLSTATE.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

from heavy import heavy_server
from tpch_data import WIDE, gate_over, refusal_of, tpch, tpch_server

UNITS_MIN = 500  # groups above it are to be shown


@dataclass(frozen=True)
class Joined:
    """A question along foreign keys. `published`: R2T's relative error in percent at epsilon 0.8 and scale 1."""

    name: str
    sql: str
    published: float
    unit_of_theirs: str


CHAIN = "customer, orders, lineitem WHERE c_custkey = o_custkey AND o_orderkey = l_orderkey"
JOINED = (
    Joined("Q3", f"SELECT count(*) FROM {CHAIN} AND o_orderdate < date '1995-03-15'", 0.25, "customer"),
    Joined(
        "Q5",
        "SELECT count(*) FROM supplier, lineitem, orders, customer, nation, region "
        "WHERE s_suppkey = l_suppkey AND l_orderkey = o_orderkey AND o_custkey = c_custkey "
        "AND c_nationkey = n_nationkey AND n_nationkey = s_nationkey AND r_regionkey = n_regionkey",
        1.63,
        "customer and supplier",
    ),
    Joined("Q12", "SELECT count(*) FROM orders, lineitem WHERE o_orderkey = l_orderkey", 0.02, "order"),
    Joined("Q18", f"SELECT sum(l_quantity) FROM {CHAIN}", 0.13, "customer"),
)
# R2T is told that nobody has more than a million rows; the second policy says no more than that.
LIMITS = {
    "cap of 200 rows": "limits: {groups_per_unit_max: 1, rows_per_group_max: 200, group_size_min: 10}",
    "cap of a million rows": "limits: {groups_per_unit_max: 1, rows_per_group_max: 1000000, group_size_min: 10}",
}
# The order as the unit, as R2T has it for Q12: lines carry their unit, customers are left out.
ORDERS = """
database: tpch
dsn: ${DSN}
unit: {table: orders, key: o_orderkey}
tables:
  orders: {unit: o_orderkey, columns: {o_orderkey: , o_orderdate: , o_orderpriority: }}
  lineitem: {unit: l_orderkey, columns: {l_orderkey: , l_linenumber: , l_quantity: {bounds: [1, 50]}}}
"""
ORDER_LIMITS = {
    "cap of 7 rows": "limits: {groups_per_unit_max: 1, rows_per_group_max: 7, group_size_min: 10}",
    "cap of a million rows": LIMITS["cap of a million rows"],
}
ORDER_QUESTIONS = (
    JOINED[2],
    Joined("Q12, lines only", "SELECT count(*) FROM lineitem", 0.02, "order"),
)


def draws_of(connection: psycopg.Connection, sql: str, epsilon: float, draws: int) -> list[list[Any]]:
    connection.execute(f"SET noisegate.epsilon = {epsilon}".encode())
    return [connection.execute(sql.encode()).fetchall() for _ in range(draws)]


def along_keys(dsn: str, scale: float, draws: int, epsilons: Sequence[float]) -> None:
    print(f"TPC-H, scale {scale:g}: relative error in percent, median (largest) of {draws} draws")
    print(f"  {'':18}{'unit':10}{'policy':24}" + "".join(f"{f'epsilon {e:g}':>22}" for e in epsilons) + "   R2T at 0.8")
    customers, orders = tpch.POLICY.read_text(), ORDERS
    for unit, tables, all_limits, questions in (
        ("customer", customers, LIMITS, JOINED),
        ("order", orders, ORDER_LIMITS, ORDER_QUESTIONS),
    ):
        for said, limits in all_limits.items():
            with gate_over(f"{tables}{limits}\n{WIDE}", dsn) as gate, gate.connect() as asked:
                for question in questions:
                    cells = [_error(asked, dsn, question.sql, epsilon, draws) for epsilon in epsilons]
                    print(
                        f"  {question.name:18}{unit:10}{said:24}" + "".join(f"{cell:>22}" for cell in cells)
                        + f"   {question.published} (unit: {question.unit_of_theirs})",
                        flush=True,
                    )  # fmt: skip


def _error(asked: psycopg.Connection, dsn: str, sql: str, epsilon: float, draws: int) -> str:
    try:
        answers = draws_of(asked, sql, epsilon, draws)
    except psycopg.Error as error:
        return refusal_of(error)
    with psycopg.connect(dsn) as direct:
        (truth,) = direct.execute(sql.encode()).fetchone() or (None,)
    errors = [_relative(rows[0][0], truth) * 100 for rows in answers]
    return f"{statistics.median(errors):.3f} ({max(errors):.3f})"


def _relative(answer: Any, truth: Any) -> float:
    """1 where there is no answer."""
    return 1.0 if answer is None else float(abs(Decimal(answer) - Decimal(truth)) / abs(Decimal(truth)))


EVENTS = """
database: bench
dsn: ${DSN}
unit: {table: users, key: id}
tables:
  users: {unit: id, columns: {id: }}
  events:
    unit: user_id
    columns:
      id:
      user_id:
      home:
      place:
      device: {domain: [D0, D1, D2, D3, D4]}
"""
# Totals: what 99.9 of 100 people stay below in one group. Nothing declared: only what one row can be.
# Ten groups of a person, or all sixty: where caps are on all groups together, sums are not noisier for it.
EVENT_POLICIES = {
    "declared totals": """
      x: {bounds: [0, 1000], unit_total: 100000}
      amount: {bounds: [0, 100], grid: 0.01, unit_total: 10000}
limits: {groups_per_unit_max: 1, rows_per_group_max: 500, group_size_min: 20}""",
    "nothing declared": """
      x: {bounds: [0, 1000]}
      amount: {bounds: [0, 100], grid: 0.01}
limits: {groups_per_unit_max: 10, rows_per_group_max: 50000, group_size_min: 20}""",
    "nothing declared, 60": """
      x: {bounds: [0, 1000]}
      amount: {bounds: [0, 100], grid: 0.01}
limits: {groups_per_unit_max: 60, rows_per_group_max: 50000, group_size_min: 20}""",
    "rows clamped at 5": """
      x: {bounds: [0, 1000]}
      amount: {bounds: [0, 100], grid: 0.01}
limits: {groups_per_unit_max: 1, rows_per_group_max: 5, group_size_min: 20}""",
}
GROUPED = ("sum(x)", "avg(x)", "sum(amount)", "count(*)", "count(DISTINCT user_id)")


def heavy_tailed(dsn: str, epsilon: float, draws: int) -> None:
    print(f"events at epsilon {epsilon:g}: median relative error in percent over groups above {UNITS_MIN} people, "
          f"and how many of these are shown, {draws} draws   (target: within 5, all)")  # fmt: skip
    print(f"  {'policy':22}{'key':10}" + "".join(f"{g:>26}" for g in GROUPED))
    for said, columns in EVENT_POLICIES.items():
        with gate_over(EVENTS.rstrip("\n") + columns + WIDE, dsn) as gate, gate.connect() as asked:
            for key in ("device", "home", "place"):
                cells = [_grouped(asked, dsn, key, aggregate, epsilon, draws) for aggregate in GROUPED]
                print(f"  {said:22}{key:10}" + "".join(f"{cell:>26}" for cell in cells), flush=True)


def _grouped(asked: psycopg.Connection, dsn: str, key: str, aggregate: str, epsilon: float, draws: int) -> str:
    sql = f"SELECT {key}, {aggregate} FROM events GROUP BY {key}"
    try:
        answers = draws_of(asked, sql, epsilon, draws)
    except psycopg.Error as error:
        return refusal_of(error)
    with psycopg.connect(dsn) as direct:
        large = f"{sql} HAVING count(DISTINCT user_id) > {UNITS_MIN}"
        truth: dict[str, Any] = dict(direct.execute(large.encode()).fetchall())
    shown = [[row for row in rows if row[0] in truth] for rows in answers]
    errors = [_relative(value, truth[name]) * 100 for rows in shown for name, value in rows]
    if not errors:
        return f"- (0 of {len(truth)})"
    count = statistics.median(len(rows) for rows in shown)
    return f"{statistics.median(errors):.2f} ({count:g} of {len(truth)})"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--scale", type=float, default=1, help="of TPC-H")
    arguments.add_argument("--users", type=int, default=50_000, help="of the events; about 20 rows each")
    arguments.add_argument("--shape", type=float, default=1.5, help="of the Pareto distribution of the events")
    arguments.add_argument("--draws", type=int, default=3)
    arguments.add_argument("--epsilon", type=float, nargs="+", default=[0.8, 1.0])
    arguments.add_argument("--data", type=Path, help="keeps the data here for the next run")
    arguments.add_argument("--only", choices=["tpch", "events"])
    chosen = arguments.parse_args()
    if chosen.only != "events":
        with tpch_server(chosen.data, chosen.scale) as dsn:
            along_keys(dsn, chosen.scale, chosen.draws, chosen.epsilon)
    if chosen.only != "tpch":
        with heavy_server(chosen.data, chosen.users, chosen.shape) as dsn:
            heavy_tailed(dsn, 1.0, chosen.draws)


if __name__ == "__main__":
    main()
