"""Averages of heavy-tailed values: a unit total keeps the noise small, and what it cuts does not pull the mean."""

from __future__ import annotations

from pathlib import Path

from noisegate.room.embedded import EmbeddedServer
from support.gates import policy_from, running_gate
from support.servers import new_database

SCHEMA = """
CREATE TABLE buys (person int NOT NULL, amount numeric(10,2) NOT NULL);
INSERT INTO buys SELECT i % 200, 30 FROM generate_series(1, 2000) i;
INSERT INTO buys SELECT 500 + i % 20, 40 FROM generate_series(1, 4000) i;
"""
POLICY = """
database: buys
dsn: ${DSN}
unit: {table: people, key: id}
tables:
  buys:
    unit: person
    columns: {person: , amount: {bounds: [0, 10000], unit_total: 100}}
limits: {rows_per_group_max: 50}
price: {epsilon: 1, epsilon_max: 1000000000000, delta: 1e-9}
budgets: {dataset: {epsilon: 1000000000000000, delta: 1e-3}, analyst: {epsilon: 1000000000000000, delta: 1e-3}}
"""


def test_a_cut_unit_keeps_its_own_mean(data_server: EmbeddedServer, tmp_path: Path) -> None:
    """200 people buy ten times for 30, 20 people 200 times for 40; a total of 100 cuts all of their sums (300 and 2,000
    in 50 rows). Each weighs as many rows as 100 pays for: 3.33 and 2.5. Cut apart, sum and count would give 7.3."""
    dsn = new_database(data_server, SCHEMA)
    with running_gate(policy_from(POLICY, dsn), tmp_path) as gate, gate.connect() as connection:
        connection.execute("SET noisegate.epsilon = 1000000000000")
        row = connection.execute("SELECT avg(amount) FROM buys").fetchone()
    expected = (200 + 20) * 100 / (200 * 3.33 + 20 * 2.5)
    assert row is not None and abs(float(row[0]) - expected) < 0.05
