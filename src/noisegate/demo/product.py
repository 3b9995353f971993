"""Product analytics, made inside PostgreSQL: users, their sessions and events, and a public table of countries.

Deterministic: every value is a hash of row numbers and a column's own seed, so two loads of one size are equal.
Activity is heavy-tailed (Pareto, a few users have hundreds of times the median), a few countries have fewer than ten
users, and one user in twelve never came back after signing up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import accumulate, pairwise
from typing import Final

import psycopg

from noisegate.demo.countries import COUNTRIES
from noisegate.demo.loading import Progress, connect, is_marked, mark_loaded, no_progress

USERS: Final = 50_000
EVENTS: Final = 2_000_000
EVENTS_PER_SESSION: Final = 8
_CHUNK_EVENTS: Final = 100_000

# (value, share); the policy's domains in policies/demo.yaml list the same values
PLANS: Final = (("free", 0.70), ("pro", 0.22), ("team", 0.06), ("enterprise", 0.02))
DEVICES: Final = (("desktop", 0.55), ("mobile", 0.36), ("tablet", 0.09))
KINDS: Final = (("page_view", 0.58), ("feature_use", 0.26), ("search", 0.10), ("invite", 0.02), ("purchase", 0.04))
FEATURES: Final = (
    ("dashboard", 0.30),
    ("editor", 0.24),
    ("export", 0.15),
    ("sharing", 0.11),
    ("comments", 0.09),
    ("api", 0.06),
    ("automation", 0.04),
    ("audit_log", 0.01),
)

_SCHEMA: Final = """
CREATE TABLE countries (code text NOT NULL, name text NOT NULL, region text NOT NULL, population bigint NOT NULL);
CREATE TABLE users (
    id bigint NOT NULL, plan text NOT NULL, country text, signup_date date NOT NULL, age int,
    is_admin boolean NOT NULL, email text NOT NULL);
CREATE TABLE sessions (
    id bigint NOT NULL, user_id bigint NOT NULL, started_at timestamptz NOT NULL, device text NOT NULL,
    duration_s int NOT NULL);
CREATE TABLE events (
    id bigint NOT NULL, user_id bigint NOT NULL, session_id bigint NOT NULL, occurred_at timestamptz NOT NULL,
    kind text NOT NULL, feature text, amount numeric(10,2), seconds_spent double precision);
COMMENT ON TABLE countries IS 'Public: countries of the world';
COMMENT ON TABLE users IS 'One row per person who signed up';
COMMENT ON TABLE sessions IS 'Visits';
COMMENT ON TABLE events IS 'What people did in a visit';
COMMENT ON COLUMN users.country IS 'NULL where unknown';
COMMENT ON COLUMN events.feature IS 'Of feature_use; NULL otherwise';
COMMENT ON COLUMN events.amount IS 'Of purchase, in dollars; NULL otherwise';
COMMENT ON COLUMN events.seconds_spent IS 'NULL for purchase and invite';
"""

_KEYS: Final = (
    "ALTER TABLE countries ADD PRIMARY KEY (code)",
    "ALTER TABLE users ADD PRIMARY KEY (id)",
    "ALTER TABLE sessions ADD PRIMARY KEY (id)",
    "ALTER TABLE events ADD PRIMARY KEY (id)",
    "CREATE INDEX events_user_id ON events (user_id)",
    "ALTER TABLE users ADD FOREIGN KEY (country) REFERENCES countries",
    "ALTER TABLE sessions ADD FOREIGN KEY (user_id) REFERENCES users",
    "ALTER TABLE events ADD FOREIGN KEY (user_id) REFERENCES users",
    "ALTER TABLE events ADD FOREIGN KEY (session_id) REFERENCES sessions",
)


def load(
    dsn: str, users: int = USERS, events: int = EVENTS, progress: Progress = no_progress, workers: int = 2
) -> None:
    """Fill the empty database `dsn` with `users` users and exactly `events` events. `dsn` needs the right to create.

    Raises ValueError for sizes that make no data set, psycopg.Error when the database is not empty.
    """
    if users < 1 or events < 1:
        raise ValueError("a demo needs at least one user and one event")
    with connect(dsn) as connection:
        progress("tables and users", 0.0)
        connection.execute(_SCHEMA)
        _fill_countries(connection)
        connection.execute(_users_sql(users).encode())
        connection.execute(_activity_sql(events).encode())
    for done, total in _fill_activity(dsn, events, workers):
        progress("sessions and events", 0.05 + 0.7 * done / total)
    for i, step in enumerate(_KEYS):
        progress("keys and indexes", 0.75 + 0.2 * i / len(_KEYS))
        _run(dsn, [step])
    progress("statistics", 0.95)
    with connect(dsn) as connection:
        connection.execute("DROP TABLE demo_activity")
        connection.execute("ANALYZE countries, users, sessions, events")
        mark_loaded(connection, _mark(users, events))
    progress("done", 1.0)


def is_loaded(dsn: str, users: int = USERS, events: int = EVENTS) -> bool:
    """Whether the database holds this data set of this size already."""
    return is_marked(dsn, _mark(users, events))


def _mark(users: int, events: int) -> str:
    return f"noisegate demo: product, {users} users, {events} events, version 1"


def _fill_countries(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY countries FROM STDIN") as copy:
        for code, name, region, thousands, _ in COUNTRIES:
            copy.write_row((code, name, region, thousands * 1000))


def _users_sql(users: int) -> str:
    """Users 1..n. Sign-ups grow over three years; one country in a hundred and one age in twenty are not known."""
    country = _pick(_uniform("id", 2), [(code, share) for code, _, _, _, share in COUNTRIES])
    return f"""
        INSERT INTO users
        SELECT id, {_pick(_uniform("id", 1), PLANS)},
               CASE WHEN {_uniform("id", 3)} >= 0.01 THEN {country} END,
               date '2022-01-01' + floor(1096 * sqrt({_uniform("id", 4)}))::int,
               CASE WHEN {_uniform("id", 5)} >= 0.05
                    THEN 16 + floor(24 * ({_uniform("id", 6)} + {_uniform("id", 7)} ^ 2 + {_uniform("id", 8)} ^ 8))::int
               END,
               {_uniform("id", 9)} < 0.02,
               'user' || id || '@example.com'
        FROM generate_series(1, {users}::bigint) AS id"""


def _activity_sql(events: int) -> str:
    """How many events each user has, and where the numbers of their events and sessions start.

    Pareto with exponent 1.6 (a paying user twice as much), cut at 80 times the least. What rounding leaves over is
    spread one by one, so that the counts add up to `events` exactly.
    """
    pareto = f"(1 - {_uniform('id', 20)}) ^ (-1 / 1.6) * CASE WHEN plan = 'free' THEN 1 ELSE 2 END"
    return f"""
        CREATE TABLE demo_activity AS
        WITH weights AS (
            SELECT id, signup_date, plan,
                   CASE WHEN {_uniform("id", 21)} < 0.92 THEN least({pareto}, 80) ELSE 0 END AS w
            FROM users),
        shares AS (
            SELECT *, floor(w * {events} / greatest(sum(w) OVER (), 1))::bigint AS n FROM weights),
        active AS (
            SELECT *, row_number() OVER (ORDER BY w = 0, id) AS place, count(*) FILTER (WHERE w > 0) OVER () AS many,
                   {events} - sum(n) OVER () AS missing
            FROM shares),
        counted AS (
            SELECT id, signup_date, plan, n + CASE WHEN many = 0 THEN CASE WHEN place = 1 THEN missing ELSE 0 END
                WHEN w = 0 THEN 0
                ELSE div(missing, many) + (place <= missing % many)::int END AS n
            FROM active)
        SELECT id, signup_date, plan, n::int AS n,
               (sum(n) OVER before)::bigint - n::bigint AS events_before,
               (sum(visits) OVER before - visits)::bigint AS sessions_before
        FROM (SELECT *, ceil(n / {EVENTS_PER_SESSION}.0) AS visits FROM counted) AS visited
        WINDOW before AS (ORDER BY id)"""


def _fill_activity(dsn: str, events: int, workers: int) -> Iterable[tuple[int, int]]:
    """Sessions and events, a range of users at a time on `workers` connections; yields (ranges done, ranges)."""
    bounds = [*range(0, events, _CHUNK_EVENTS), events]
    ranges = list(pairwise(bounds))
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(_run, dsn, [_sessions_sql(low, high), _events_sql(low, high)]) for low, high in ranges]
        for done, job in enumerate(as_completed(jobs), start=1):
            job.result()
            yield done, len(jobs)


def _run(dsn: str, statements: Sequence[str]) -> None:
    with connect(dsn) as connection:
        connection.execute("SET maintenance_work_mem = '256MB'")
        connection.execute("SET work_mem = '64MB'")
        for statement in statements:
            connection.execute(statement.encode())


def _sessions_sql(low: int, high: int) -> str:
    """The sessions of the users whose events start in [low, high). A visit lasts about as long as its events."""
    return f"""
        INSERT INTO sessions
        SELECT session, id, {_session_start("session")}, {_pick(_uniform("session", 33), DEVICES)},
               least(14400, 20 - 420 * ln(1 - {_uniform("session", 34)}))::int
        FROM (SELECT a.id, a.signup_date, a.sessions_before + s AS session
              FROM demo_activity AS a, generate_series(1, ceil(a.n / {EVENTS_PER_SESSION}.0)::int) AS s
              WHERE a.events_before >= {low} AND a.events_before < {high}) AS numbered"""


def _events_sql(low: int, high: int) -> str:
    """Their events. Amounts and times are heavy-tailed, too; paying plans spend more."""
    kind = _pick(_uniform("event", 41), KINDS)
    feature = _pick(_uniform("event", 42), FEATURES)
    price = f"least(1500, 6 * (1 - {_uniform('event', 43)}) ^ (-0.7) * CASE WHEN plan = 'free' THEN 1 ELSE 1.8 END)"
    seconds = f"least(1800, -42 * ln(1 - {_uniform('event', 44)}))"
    return f"""
        INSERT INTO events
        SELECT event, id, session, started_at + place * interval '47 seconds' * (1 + {_uniform("event", 45)}), kind,
               CASE WHEN kind = 'feature_use' THEN {feature} END,
               CASE WHEN kind = 'purchase' THEN {price}::numeric(10,2) END,
               CASE WHEN kind NOT IN ('purchase', 'invite') THEN {seconds} END
        FROM (SELECT id, plan, session, event, place, {_session_start("session")} AS started_at, {kind} AS kind
              FROM (SELECT a.id, a.plan, a.signup_date, a.events_before + e AS event,
                           (e - 1) % {EVENTS_PER_SESSION} AS place,
                           a.sessions_before + 1 + (e - 1) / {EVENTS_PER_SESSION} AS session
                    FROM demo_activity AS a, generate_series(1, a.n) AS e
                    WHERE a.events_before >= {low} AND a.events_before < {high}
                    OFFSET 0) AS numbered OFFSET 0) AS placed"""


def _session_start(session: str) -> str:
    """A moment of 2024, not before the user's sign-up, more likely in the middle of the day."""
    first = "greatest(signup_date, date '2024-01-01')"
    day = f"floor((date '2025-01-01' - {first}) * {_uniform(session, 31)})::int"
    hour = f"({_uniform(session, 32)} + {_uniform(session, 35)}) * 11.5"
    return f"({first} + {day})::timestamp AT TIME ZONE 'UTC' + interval '1 hour' * ({hour})"


def _uniform(number: str, seed: int) -> str:
    """SQL for a float in [0, 1) that depends on the bigint `number` and the seed only."""
    return f"((hashint8extended(({number})::bigint, {seed}) & 9007199254740991)::float8 / 9007199254740992)"


def _pick(uniform: str, shares: Sequence[tuple[str, float]]) -> str:
    """SQL for one of the values, each with its share (normalised)."""
    total = sum(share for _, share in shares)
    steps = [f"{step / total:.9f}" for step in accumulate(share for _, share in shares)][:-1]
    values = ", ".join(value for value, _ in shares)
    return f"('{{{values}}}'::text[])[1 + width_bucket({uniform}, '{{{', '.join(steps)}}}'::float8[])]"
