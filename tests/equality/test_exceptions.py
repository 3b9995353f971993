"""Where a private answer differs from PostgreSQL's even without noise: each exception of docs/exceptions.md, shown."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from equality.conftest import Pair

PAGE = Path(__file__).parents[2] / "docs" / "exceptions.md"


def rows(connection: psycopg.Connection, sql: str) -> list[Any]:
    return connection.execute(sql.encode()).fetchall()


def test_groups_of_one_unit_stay_hidden(product: Pair) -> None:
    sql = "SELECT age, count(*) FROM users GROUP BY age ORDER BY age"
    truth = rows(product.truth, sql)
    assert any(n == 1 for _, n in truth)
    assert rows(product.gate, sql) == [(age, n) for age, n in truth if n > 1]


def test_a_sum_over_nothing_is_zero_unless_its_values_are_counted(product: Pair) -> None:
    sum_only, counted = (f"SELECT sum(age){more} FROM users WHERE age > 199" for more in ("", ", count(age)"))
    assert rows(product.truth, sum_only) == [(None,)] and rows(product.gate, sum_only) == [(0,)]
    assert rows(product.truth, counted) == rows(product.gate, counted) == [(None, 0)]


def test_decimals_of_numeric_without_a_scale_are_the_grids(product: Pair) -> None:
    (truth,), (private,) = (rows(c, "SELECT sum(free) FROM things")[0] for c in (product.truth, product.gate))
    assert private == truth and str(private) != str(truth)
    assert -private.as_tuple().exponent == 2


def test_keys_of_numeric_without_a_scale_lose_trailing_zeros(product: Pair) -> None:
    sql = "SELECT free FROM things WHERE free < 1 GROUP BY free ORDER BY free"
    truth, private = rows(product.truth, sql), rows(product.gate, sql)
    assert truth == private and str(private[0][0]) == "0" != str(truth[0][0])
    sql = "SELECT coalesce(fixed, 'none') AS k, fixed FROM things WHERE fixed = 'ab' GROUP BY 1, 2"
    assert rows(product.truth, sql) == [("ab  ", "ab  ")]
    assert rows(product.gate, sql) == [("ab", "ab  ")]


def test_sums_of_floats_are_exact_on_their_grid(product: Pair) -> None:
    sql = "SELECT sum(seconds_spent), count(seconds_spent), avg(seconds_spent) FROM events"
    (truth, n, mean), (private, _, private_mean) = rows(product.truth, sql)[0], rows(product.gate, sql)[0]
    assert private != truth
    assert abs(private - truth) <= n * 0.0005 and abs(private_mean - mean) <= 0.0005


def test_quotients_are_rounded_to_a_millionth_of_their_range(product: Pair) -> None:
    sql = "SELECT sum(whole / 3.0), count(*) FROM things"
    (truth, n), (private, _) = rows(product.truth, sql)[0], rows(product.gate, sql)[0]
    assert private != truth and abs(private - truth) <= n * Decimal("0.001")


def test_percentiles_of_a_wide_column_are_right_to_a_leaf(product: Pair) -> None:
    """Bounds of 0 to 1500 in cents: 1,024 leaves of 1.47 for the maximum, more and smaller ones for the median."""
    sql = "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY amount), max(amount) FROM events"
    truth, private = rows(product.truth, sql)[0], rows(product.gate, sql)[0]
    assert private != truth
    assert all(abs(a - b) <= Decimal("1.47") for a, b in zip(private, truth, strict=True))


def test_mode_of_nothing_is_a_declared_value(product: Pair) -> None:
    sql = "SELECT mode() WITHIN GROUP (ORDER BY plan) FROM users WHERE age > 199"
    assert rows(product.truth, sql) == [(None,)]
    assert rows(product.gate, sql) == [("enterprise",)]


def test_mode_of_values_that_few_people_have_is_null(product: Pair) -> None:
    sql = "SELECT mode() WITHIN GROUP (ORDER BY id) FROM sessions"
    assert rows(product.truth, sql) != [(None,)] == rows(product.gate, sql)
    sql = "SELECT mode() WITHIN GROUP (ORDER BY free) FROM things WHERE user_id IS NOT NULL AND free < 1"
    truth, private = rows(product.truth, sql), rows(product.gate, sql)
    assert truth == private and len(str(private[0][0])) < len(str(truth[0][0]))


def test_what_would_raise_is_null(product: Pair) -> None:
    sql = "SELECT count(*), count(6 / small) FROM things WHERE small IS NOT NULL"
    with pytest.raises(psycopg.errors.DivisionByZero):
        rows(product.truth, sql)
    wanted = "SELECT count(*), count(6 / nullif(small, 0)) FROM things WHERE small IS NOT NULL"
    assert rows(product.gate, sql) == rows(product.truth, wanted)


def test_sums_of_very_large_values_are_coarser(product: Pair) -> None:
    (truth,), (private,) = (rows(c, "SELECT sum(big) FROM things")[0] for c in (product.truth, product.gate))
    assert private != truth and private % 10 == 0 and abs(private - truth) <= 400 * 10
    sql = "SELECT var_pop(total) FROM sales.orders"
    (truth,), (private,) = (rows(c, sql)[0] for c in (product.truth, product.gate))
    assert private != truth and abs(private - truth) < Decimal("0.01")


def test_objects_of_a_users_own_type_have_other_numbers(product: Pair) -> None:
    oids = [c.execute("SELECT feeling, count(*) FROM things GROUP BY feeling") for c in (product.gate, product.truth)]
    types = [cursor.description[0].type_code for cursor in oids if cursor.description is not None]
    assert len(types) == 2 and min(types) >= 16384


def test_a_prepared_text_means_what_the_settings_say_when_it_runs(product: Pair) -> None:
    sql = b"SELECT count(*) FROM users WHERE signup_date < '02/03/2024'"
    found = []
    for connection in (product.truth, product.gate):
        for style in ("ISO, MDY", "ISO, DMY"):
            connection.execute(f"SET DateStyle = '{style}'".encode())
            found.append(connection.execute(sql, prepare=True).fetchone())
        connection.execute(b"RESET DateStyle")
    assert found[0] == found[1] == found[2] != found[3]


def test_the_page_shows_every_exception() -> None:
    tests = [name for name in globals() if name.startswith("test_") and not name.startswith("test_the_")]
    assert PAGE.read_text().count("\n## ") == len(tests) + 2  # the databases of this suite avoid the last two
