"""Ten million events of half a million people, for the figures of the engine's SQL; and the planner without a gate.

Rows per person follow a Pareto distribution (median 5, 99th percentile 186, at most 48,395), so that a sixth of the
people hold nearly all rows; rows lie in the order of their arrival, people mixed, which is the bad case for hashing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from noisegate.engine.generated import SESSION, parametrised
from noisegate.plan.catalog import Snapshot
from noisegate.plan.measure import FragmentPlan
from noisegate.plan.reading import ReadSettings
from noisegate.planning.jobs import AnalyseJob, ReadJob, analyse_job, read_job
from noisegate.policy.load import load_text
from noisegate.privacy.pricing import price
from noisegate.query.constants import constant_parts, decode_row, evaluation_sql
from noisegate.query.fragment import expressions_of
from noisegate.room.checker import Checker
from noisegate.room.embedded import EmbeddedServer
from noisegate.room.source import load_snapshot

SETTINGS = {"shared_buffers": "2GB", "fsync": "off", "max_wal_size": "8GB", "max_connections": "50"}
READ = ReadSettings("public", "ISO, MDY", "postgres", "UTC")

SCHEMA = """
CREATE TABLE users (id bigint PRIMARY KEY, rows int NOT NULL);
INSERT INTO users
SELECT i, least(48395, floor(2.635 * power((q + 0.5) / {users}, -0.924)))::int
FROM (SELECT i, row_number() OVER (ORDER BY hashint8extended(i, 1)) - 1 AS q FROM generate_series(1, {users}) i) r;

CREATE TABLE events (id bigint, user_id bigint, country text, device text, x int, amount numeric(12, 2));
INSERT INTO events
SELECT row_number() OVER (), user_id, 'C' || lpad(country::text, 2, '0'), 'D' || device, x, x / 10.0
FROM (
  SELECT u.id AS user_id,
         CASE WHEN a < 0.8 THEN floor(60 * home * home) ELSE floor(60 * b * b) END::int AS country,
         CASE WHEN c < 0.8 THEN floor(5 * home) ELSE floor(5 * d) END::int AS device,
         floor(1000 * b * c)::int AS x
  FROM users u, generate_series(1, u.rows) r,
  LATERAL (SELECT {uniform}(u.id, 11) AS home, {uniform}(u.id * 100000 + r, 12) AS a,
                  {uniform}(u.id * 100000 + r, 13) AS b, {uniform}(u.id * 100000 + r, 14) AS c,
                  {uniform}(u.id * 100000 + r, 15) AS d OFFSET 0) h
  ORDER BY hashint8extended(u.id * 100000 + r, 16)
) arrived;
ALTER TABLE events ADD PRIMARY KEY (id);
"""
UNIFORM = """
CREATE FUNCTION pg_temp.uniform(bigint, bigint) RETURNS float8 LANGUAGE sql IMMUTABLE
RETURN ((hashint8extended($1, $2) >> 11) & 9007199254740991)::float8 / 9007199254740992
"""

_COLUMNS = """
      id:
      user_id:
      country:
      device: {domain: [D0, D1, D2, D3, D4]}
      x: {bounds: [0, 1000], unit_total: 100000}
      amount: {bounds: [0, 100], grid: 0.01, unit_total: 10000}
limits: {groups_per_unit_max: 3, rows_per_group_max: 50, group_size_min: 20}
price: {epsilon: 1, epsilon_max: 1000000000, delta: 1e-9}
budgets: {dataset: {epsilon: 1000000000000, delta: 1e-3}, analyst: {epsilon: 1000000000000, delta: 1e-3}}
"""
PEOPLE = f"""
database: bench
dsn: ${{DSN}}
unit: {{table: users, key: id}}
tables:
  users: {{unit: id, columns: {{id: }}}}
  events:
    unit: user_id
    columns: {_COLUMNS}
"""
ROWS = f"""
database: bench
dsn: ${{DSN}}
unit: {{table: events, key: id}}
tables:
  events:
    unit: id
    columns: {_COLUMNS}
"""


@contextmanager
def data_server(folder: Path | None, users: int) -> Iterator[str]:
    """The DSN of a server that has the data; kept in `folder` if there is one."""
    made = None if folder is not None else Path(tempfile.mkdtemp(prefix="ng-bench-"))
    place = folder or made
    assert place is not None
    server = EmbeddedServer(place / f"events-{users}" / "data", name="events", settings=SETTINGS)
    server.start()
    try:
        yield _loaded(server, users)
    finally:
        server.stop()
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


def _loaded(server: EmbeddedServer, users: int) -> str:
    dsn = server.dsn("bench")
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = 'bench'").fetchone():
            return dsn
        print(f"making the events of {users:,} people", flush=True)
        connection.execute("CREATE DATABASE making")
    with psycopg.connect(server.dsn("making"), autocommit=True) as connection:
        connection.execute("SET work_mem = '512MB'; SET maintenance_work_mem = '512MB'")
        connection.execute(UNIFORM)
        connection.execute(SCHEMA.format(users=users, uniform="pg_temp.uniform").encode())
        connection.execute("VACUUM (FREEZE, ANALYZE) users")
        connection.execute("VACUUM (FREEZE, ANALYZE) events")
        connection.execute("CHECKPOINT")
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute("ALTER DATABASE making RENAME TO bench")
    return dsn


class Planner:
    """From a text to the engine's SQL, by the same functions as the gate, without clean room, charge or noise."""

    def __init__(self, policy_text: str, dsn: str) -> None:
        loaded, problems = load_text("policy.yaml", policy_text, {"DSN": dsn})
        assert loaded is not None and not problems, problems
        self.snapshot: Snapshot = load_snapshot(loaded.policy, dsn)
        self._dsn = dsn

    async def plan(self, sql: str) -> FragmentPlan:
        """The plan of a statement that has one fragment."""
        checker = Checker(self._dsn)
        reading = await checker.read(sql, READ, (), 0, analyst="bench")
        split = read_job(ReadJob(reading.sql), self.snapshot)
        outputs = tuple([await checker.describe(f.describe_sql) for f in split.fragments])
        await checker.close()
        parts = tuple(p for f in split.fragments for p in constant_parts(expressions_of(f)))
        row: tuple[bytes | None, ...] = ()
        if parts:
            with psycopg.connect(self._dsn) as connection:
                cursor = connection.cursor(binary=True)
                cursor.execute(evaluation_sql(reading.sql, parts).encode())
                assert cursor.pgresult is not None
                row = tuple(cursor.pgresult.get_value(0, i) for i in range(cursor.pgresult.nfields))
        job = AnalyseJob(split.fragments, outputs, decode_row(parts, row), "UTC")
        policy = self.snapshot.policy
        plan, _ = price(analyse_job(job, self.snapshot), policy.price.epsilon, policy.price.delta)
        (fragment,) = plan.fragments
        return fragment


def engine_sql(plan: FragmentPlan) -> str:
    """The SQL as the engine runs it, with secrets put in as constants: the engine asks for a plan per query."""
    sql, secrets = parametrised(plan)
    for i in range(secrets):
        sql = sql.replace(f"(${i + 1}::bigint)", f"('{int.from_bytes(os.urandom(8), 'big', signed=True)}'::bigint)")
    return sql


def engine_settings() -> str:
    """The engine's session, as one text of SET commands."""
    return "; ".join(f"SET {name} = {_value(text)}" for name, text in SESSION)


def _value(text: str) -> str:
    return ", ".join(f"'{part.strip()}'" for part in text.split(","))
