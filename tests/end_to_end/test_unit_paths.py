"""Questions over tables that reach their unit by keys of several columns and over several hops, through a real gate."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from noisegate.room.embedded import EmbeddedServer
from support.gates import RunningGate, policy_from, running_gate
from support.servers import new_database

SCHEMA = """
CREATE TABLE users (id int PRIMARY KEY, plan text NOT NULL);
INSERT INTO users SELECT i, (ARRAY['free', 'pro'])[1 + i % 2] FROM generate_series(1, 400) i;
CREATE TABLE orders (no int, region text, user_id int NOT NULL REFERENCES users, PRIMARY KEY (no, region));
INSERT INTO orders SELECT i / 2, (ARRAY['N', 'S'])[1 + i % 2], 1 + i % 400 FROM generate_series(0, 1199) i;
CREATE TABLE lines (id int PRIMARY KEY, region text NOT NULL, order_no int NOT NULL, price int NOT NULL,
  FOREIGN KEY (region, order_no) REFERENCES orders (region, no));
INSERT INTO lines SELECT i, (ARRAY['N', 'S'])[1 + i % 2], (i / 2) % 600, i % 50 FROM generate_series(0, 2399) i;
CREATE TABLE returns (line_id int NOT NULL REFERENCES lines, kind text NOT NULL);
INSERT INTO returns SELECT i * 3, (ARRAY['late', 'broken', 'wrong'])[1 + i % 3] FROM generate_series(0, 799) i;
"""
POLICY = """
database: shop
dsn: ${DSN}
unit: {table: users, key: id}
tables:
  users: {unit: id, columns: {id: , plan: {domain: [free, pro]}}}
  orders: {unit: user_id, columns: {region: {domain: [N, S]}}}
  lines: {unit: "(order_no, region) -> orders.user_id", columns: {price: {bounds: [0, 50], unit_total: 5000}}}
  returns:
    unit: line_id -> lines.(order_no, region) -> orders.user_id
    columns: {kind: {domain: [late, broken, wrong]}}
price: {epsilon: 1, epsilon_max: 1000000000, delta: 1e-9}
budgets: {dataset: {epsilon: 1000000000000, delta: 1e-3}, analyst: {epsilon: 1000000000000, delta: 1e-3}}
"""


@pytest.fixture(scope="module")
def dsn(data_server: EmbeddedServer) -> str:
    return new_database(data_server, SCHEMA)


@pytest.fixture(scope="module")
def gate(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGate]:
    with running_gate(policy_from(POLICY, dsn), tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*), sum(price) FROM lines",
        "SELECT kind, count(*) FROM returns GROUP BY kind ORDER BY kind",
        "SELECT region, count(*), sum(price) FROM lines JOIN orders o USING (region) WHERE o.no = order_no "
        "GROUP BY region ORDER BY region",
        "SELECT u.plan, sum(l.price) FROM lines l JOIN orders o ON (o.no, o.region) = (l.order_no, l.region) "
        "JOIN users u ON u.id = o.user_id GROUP BY 1 ORDER BY 1",
        "SELECT r.kind, sum(l.price) FROM returns r JOIN lines l ON l.id = r.line_id GROUP BY 1 ORDER BY 1",
        "SELECT count(*) FROM returns r, lines l, orders o WHERE l.id = r.line_id AND o.no = l.order_no "
        "AND o.region = l.region AND o.region = 'N'",
    ],
)
def test_a_row_counts_for_its_unit(gate: RunningGate, dsn: str, query: str) -> None:
    with gate.connect() as alice, psycopg.connect(dsn) as owner:
        alice.execute("SET noisegate.epsilon = 1000000000")
        assert alice.execute(query.encode()).fetchall() == owner.execute(query.encode()).fetchall()


def test_a_part_of_a_key_does_not_tie_rows(gate: RunningGate) -> None:
    """Orders with one number in two regions belong to different users."""
    with gate.connect() as alice, pytest.raises(psycopg.errors.InsufficientPrivilege, match="to the same person"):
        alice.execute("SELECT count(*) FROM lines l JOIN orders o ON o.no = l.order_no")
