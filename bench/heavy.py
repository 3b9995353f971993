"""A million events of 50,000 people with Pareto activity, for the figures of accuracy.

Each person has a home group; `home` is that group in every row, `place` is another one in a fifth of the rows. The
shape of the Pareto distribution decides what any clipping can reach: at 1.5 the busiest hundredth holds a fifth of all
rows, at 1.1 a half, and then no clip at epsilon 1 is within 5 % (bias and noise cannot both be small).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from events import UNIFORM
from tpch_data import kept_server

MEAN_ROWS = 20

# Rows of the person of rank q of n: the quantile of a Pareto distribution with this mean and shape.
SCHEMA = """
CREATE TABLE users (id bigint PRIMARY KEY, rows int NOT NULL);
INSERT INTO users
SELECT i, greatest(1, floor({mean} * ({shape} - 1) / {shape} * power((q + 0.5) / {users}, -1 / {shape}::float8)))::int
FROM (SELECT i, row_number() OVER (ORDER BY hashint8extended(i, 1)) - 1 AS q FROM generate_series(1, {users}) i) r;

CREATE TABLE events (id bigint, user_id bigint, home text, place text, device text, x int, amount numeric(12, 2));
INSERT INTO events
SELECT row_number() OVER (), user_id, 'G' || lpad(home::text, 2, '0'), 'G' || lpad(place::text, 2, '0'),
       'D' || floor(5 * d), x, x / 10.0
FROM (
  SELECT u.id AS user_id, floor(60 * own * own) AS home,
         CASE WHEN a < 0.8 THEN floor(60 * own * own) ELSE floor(60 * b * b) END AS place, d,
         floor(1000 * b * c)::int AS x
  FROM users u, generate_series(1, u.rows) r,
  LATERAL (SELECT {uniform}(u.id, 11) AS own, {uniform}(u.id * 100000 + r, 12) AS a,
                  {uniform}(u.id * 100000 + r, 13) AS b, {uniform}(u.id * 100000 + r, 14) AS c,
                  {uniform}(u.id, 15) AS d OFFSET 0) h
) made;
ALTER TABLE events ADD PRIMARY KEY (id);
"""


@contextmanager
def heavy_server(folder: Path | None, users: int, shape: float) -> Iterator[str]:
    """The DSN of a server that has the data; kept in `folder` if there is one."""

    def load(dsn: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(UNIFORM)
            text = SCHEMA.format(users=users, shape=shape, mean=MEAN_ROWS, uniform="pg_temp.uniform")
            connection.execute(text.encode())
            connection.execute("VACUUM (ANALYZE)")

    with kept_server(folder, f"heavy-{users}-{shape:g}", load) as dsn:
        yield dsn
