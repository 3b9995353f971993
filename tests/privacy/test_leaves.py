"""Histograms of rows: how many rows of a unit are in them and which, and which groups leave the data server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest

from noisegate.room.embedded import EmbeddedServer
from support.planner import Planner, with_secret
from support.servers import new_database

# Unit 1 has 40 rows in `many`, each with a value of its own. `three` has three units, of which one has a value; `two`
# has two. A unit keeps both of its groups.
SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY);
CREATE TABLE visits (person int, place text, x int);
INSERT INTO people SELECT generate_series(1, 9);
INSERT INTO visits SELECT 1, 'many', i FROM generate_series(1, 40) i;
INSERT INTO visits SELECT i, 'many', 50 FROM generate_series(2, 5) i;
INSERT INTO visits VALUES (1, 'three', 7), (2, 'three', NULL), (3, 'three', NULL), (3, 'three', NULL);
INSERT INTO visits VALUES (6, 'two', 1), (6, 'two', 2), (7, 'two', 3);
"""
POLICY = """
database: leaves
dsn: ${DSN}
unit: {table: people, key: id}
tables:
  people: {unit: id}
  visits: {unit: person, columns: {place: , x: {bounds: [0, 50]}}}
limits: {groups_per_unit_max: 2, rows_per_group_max: 50, sampled_rows_max: 8, group_size_min: 3}
price: {epsilon: 1, epsilon_max: 10, delta: 1e-6}
budgets: {dataset: {epsilon: 1, delta: 1e-3}, analyst: {epsilon: 1, delta: 1e-3}}
"""
PERCENTILES = "percentile_disc(ARRAY[0.2, 0.5, 0.7]) WITHIN GROUP (ORDER BY x)"
Found = dict[tuple[str, int], int]


@pytest.fixture(scope="module")
def planner(data_server: EmbeddedServer) -> Iterator[Planner]:
    with Planner(new_database(data_server, SCHEMA), POLICY) as planner:
        yield planner


def leaves(planner: Planner, aggregate: str, secrets: range = range(1)) -> list[Found]:
    (query,) = planner.plan(f"SELECT place, {aggregate} FROM visits GROUP BY place").only.more
    texts = [with_secret(query.sql, secret) for secret in secrets]
    return [{(k, leaf): int(n) for k, leaf, n in planner.connection.execute(text)} for text in texts]


@pytest.mark.parametrize("aggregate", [PERCENTILES, "max(x)"])
def test_groups_leave_the_data_server_that_the_gate_may_show(planner: Planner, aggregate: str) -> None:
    (found,) = leaves(planner, aggregate)
    assert {k for k, _ in found} == {"many", "three"}
    assert found["three", 7] == 1  # its units without a value count for the minimum


def test_of_many_rows_of_a_unit_m_stay_evenly_spaced_and_each_as_often(planner: Planner) -> None:
    kept: Counter[int] = Counter()
    for found in leaves(planner, PERCENTILES, range(300)):
        of_one = sorted(leaf for k, leaf in found if k == "many" and leaf < 50)
        assert len(of_one) == 8 and {b - a for a, b in pairwise(of_one)} == {5}
        kept.update(of_one)
    assert set(kept) == set(range(1, 41))
    assert all(30 <= n <= 95 for n in kept.values())  # 60 of 300, give or take 5 standard deviations
