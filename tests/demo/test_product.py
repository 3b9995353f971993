"""The made data: deterministic, of the asked size, heavy-tailed, and within what policies/demo.yaml promises."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from noisegate.cli.check import check_policies
from noisegate.demo import product
from noisegate.demo.loading import READER
from noisegate.room.embedded import EmbeddedServer
from support.servers import new_database

USERS, EVENTS = 2_000, 40_000
POLICIES = Path(__file__).parents[2] / "policies"


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, float]]:
    return []


@pytest.fixture(scope="module")
def dsn(data_server: EmbeddedServer, steps: list[tuple[str, float]]) -> str:
    made = new_database(data_server)
    product.load(made, USERS, EVENTS, lambda what, share: steps.append((what, share)))
    return made


def one(dsn: str, query: str) -> tuple[object, ...]:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row


def test_sizes_are_exact_and_numbers_are_gapless(dsn: str) -> None:
    assert one(dsn, "SELECT count(*), min(id), max(id) FROM users") == (USERS, 1, USERS)
    assert one(dsn, "SELECT count(*), min(id), max(id) FROM events") == (EVENTS, 1, EVENTS)
    assert one(dsn, "SELECT count(*) = max(id), count(*) > 0 FROM sessions") == (True, True)
    assert one(dsn, "SELECT count(*) FROM countries") == (40,)


def test_two_loads_are_equal(data_server: EmbeddedServer) -> None:
    digest = "SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM {} AS t"
    two = [new_database(data_server), new_database(data_server)]
    for made, workers in zip(two, (1, 3), strict=True):
        product.load(made, 150, 250_000 // 100, workers=workers)
    for table in ("users", "sessions", "events"):
        assert one(two[0], digest.format(table)) == one(two[1], digest.format(table)), table


def test_activity_is_heavy_tailed_and_some_countries_are_tiny(dsn: str) -> None:
    median, most, idle = one(
        dsn,
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY n), max(n), count(*) FILTER (WHERE n = 0) FROM "
        "(SELECT count(e.id) AS n FROM users u LEFT JOIN events e ON e.user_id = u.id GROUP BY u.id) AS activity",
    )
    assert isinstance(median, int) and isinstance(most, int) and isinstance(idle, int)
    assert most >= 15 * median
    assert 0.05 * USERS < idle < 0.12 * USERS
    tiny = "SELECT country FROM users WHERE country IS NOT NULL GROUP BY 1 HAVING count(*) < 10"
    few = one(dsn, f"SELECT count(*) FROM ({tiny}) AS t")[0]
    assert isinstance(few, int) and few >= 5


def test_rows_fit_together(dsn: str) -> None:
    for wrong in (
        "events e JOIN sessions s ON s.id = e.session_id WHERE s.user_id <> e.user_id OR e.occurred_at < s.started_at",
        "sessions s JOIN users u ON u.id = s.user_id WHERE s.started_at < u.signup_date",
        "sessions s WHERE NOT EXISTS (SELECT FROM events e WHERE e.session_id = s.id)",
        "events WHERE (kind = 'purchase') <> (amount IS NOT NULL) OR (kind = 'feature_use') <> (feature IS NOT NULL)",
        "events WHERE (kind IN ('purchase', 'invite')) <> (seconds_spent IS NULL)",
    ):
        assert one(dsn, f"SELECT count(*) FROM {wrong}") == (0,), wrong


def test_the_policy_keeps_its_word(dsn: str) -> None:
    for wrong in (
        "users WHERE age NOT BETWEEN 16 AND 90 OR signup_date NOT BETWEEN '2022-01-01' AND '2024-12-31'",
        "users WHERE plan NOT IN ('free', 'pro', 'team', 'enterprise')",
        "sessions WHERE duration_s NOT BETWEEN 0 AND 14400 OR device NOT IN ('desktop', 'mobile', 'tablet')",
        "sessions WHERE started_at NOT BETWEEN '2024-01-01 00:00:00+00' AND '2024-12-31 23:59:59+00'",
        "events WHERE occurred_at NOT BETWEEN '2024-01-01 00:00:00+00' AND '2024-12-31 23:59:59+00'",
        "events WHERE kind NOT IN ('page_view', 'feature_use', 'search', 'invite', 'purchase')",
        "events WHERE amount NOT BETWEEN 0 AND 1500 OR seconds_spent NOT BETWEEN 0 AND 1800",
    ):
        assert one(dsn, f"SELECT count(*) FROM {wrong}") == (0,), wrong
    reader = dsn.replace("postgres@", f"{READER}@")
    _, findings = check_policies(POLICIES / "demo.yaml", {"NOISEGATE_DEMO_DSN": reader})
    assert {finding.severity for finding in findings} == {"note"}, findings


def test_the_reader_may_only_read(dsn: str) -> None:
    with psycopg.connect(dsn.replace("postgres@", f"{READER}@")) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (USERS,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM users")


def test_progress_only_grows_and_ends(dsn: str, steps: list[tuple[str, float]]) -> None:
    shares = [share for _, share in steps]
    assert shares == sorted(shares)
    assert (shares[0], steps[-1]) == (0.0, ("done", 1.0))


def test_a_finished_load_is_known_by_its_size(dsn: str, data_server: EmbeddedServer) -> None:
    assert product.is_loaded(dsn, USERS, EVENTS)
    assert not product.is_loaded(dsn, USERS, EVENTS + 1)
    assert not product.is_loaded(new_database(data_server), USERS, EVENTS)


def test_a_database_that_is_not_empty_is_left_alone(data_server: EmbeddedServer) -> None:
    dsn = new_database(data_server, "CREATE TABLE events (mine int); INSERT INTO events VALUES (1)")
    with pytest.raises(psycopg.errors.DuplicateTable):
        product.load(dsn, 10, 10)
    assert one(dsn, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == (1,)


@pytest.mark.parametrize(("users", "events"), [(1, 1), (1, 30), (30, 1), (5, 1000)])
def test_small_sizes(data_server: EmbeddedServer, users: int, events: int) -> None:
    dsn = new_database(data_server)
    product.load(dsn, users, events)
    assert one(dsn, "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM events)") == (users, events)


def test_no_size_is_refused(data_server: EmbeddedServer) -> None:
    with pytest.raises(ValueError, match="at least one user"):
        product.load("", 0, 5)
