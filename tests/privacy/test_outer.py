"""Totals with caps are made of the sizes of units: the columns are those of `Total.outer`, for every size at an end.

Units are summed in Python, from what the docstrings of `clipped` and `Total` say.
"""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from noisegate.privacy.clips import clipped, clipped_rows
from noisegate.privacy.means import both_sums
from noisegate.privacy.outer import INT4_MAX, Rows, outer_sql
from noisegate.privacy.totals import UNITS, Total
from noisegate.room.embedded import EmbeddedServer
from support.servers import new_database

ENDS = ((0, 8), (0, 50), (-8, 8), (-3, 50), (-1000, 5), (-INT4_MAX, INT4_MAX), (0, 2**40))
NEAR = [t + d for j in range(7) for t in (2**j, -(2**j)) for d in (-1, 0, 1)]
VALUES = (*NEAR, *NEAR[::3], 0, 50, 51, 1000, -1000, INT4_MAX, -INT4_MAX, 2**40, 2**62, -(2**62), None)


def total(cell: str, low: int, high: int) -> Total:
    plain = Total((cell,), "", (), (f"GREATEST(LEAST(COALESCE({cell}, 0), {high}), {low})",), (), max(-low, high), "")
    return clipped(plain, f"COALESCE({cell}, 0)", low, high)


def expected(values: list[int | None], low: int, high: int, caps: tuple[int, ...]) -> list[int]:
    own = [min(max(v or 0, low), high) for v in values]
    above = [sum(abs(v) > t for v in own) for t in (0, *caps[:-1])]
    return above + [sum(min(max(v, -t), t) for v in own) for t in caps]


def mean(steps: int) -> Total:
    plain = Total(("{0}", "{1}"), "", (), (), (), 50 * steps, "")
    return clipped_rows(plain, "{1}", 50, lambda most: both_sums(most, steps), steps)


@pytest.mark.parametrize("keys", [0, 1])
def test_columns_are_sums_over_units(data_server: EmbeddedServer, keys: int) -> None:
    rows = [("ab"[i % 2], v, VALUES[i * 7 % len(VALUES)]) for i, v in enumerate(VALUES)]
    totals = [t for low, high in ENDS for t in (total("{0}", low, high), total("{1}", low, high))] + [UNITS]
    names = [[f"m{i}_{j}" for j in range(len(t.outer))] for i, t in enumerate(totals)]
    with psycopg.connect(new_database(data_server, "CREATE TABLE u (k0 text, c0 int8, c1 numeric)")) as connection:
        connection.cursor().executemany("INSERT INTO u VALUES (%s, %s, %s)", rows)
        sql = outer_sql(Rows("FROM u AS q WHERE true", "q", keys), totals, [["c0", "c1"]] * len(totals), names)
        found = {r[:keys]: list(r[keys:]) for r in connection.execute(sql.encode()).fetchall()}
    groups = {("a",): "a", ("b",): "b"} if keys else {(): "ab"}
    for key, those in groups.items():
        units = [r for r in rows if r[0] in those]
        columns = [expected([r[1 + i % 2] for r in units], *ENDS[i // 2], t.caps) for i, t in enumerate(totals[:-1])]
        assert found[key] == [n for column in columns for n in column] + [len(units)]


def test_nobody_is_zero_everywhere(data_server: EmbeddedServer) -> None:
    sql = outer_sql(Rows("FROM u AS q WHERE true", "q", 0), [total("{0}", -3, 50)], [["c0"]], [["m"] * 14])
    with psycopg.connect(new_database(data_server, "CREATE TABLE u (c0 int8)")) as connection:
        assert set(connection.execute(sql.encode()).fetchall()) == {(0,) * 14}


def test_means_by_size_are_means_unit_by_unit(data_server: EmbeddedServer) -> None:
    rows = [
        ("ab"[i % 2], (i * 37 % 1300 - 100) * n + i if n else None, n) for i, n in enumerate([*range(70), 10**6, 2**40])
    ]
    sized = [mean(1000), mean(3), total("{1}", 0, 50)]
    names = [[f"m{i}_{j}" for j in range(len(t.outer))] for i, t in enumerate(sized)]
    found = []
    with psycopg.connect(new_database(data_server, "CREATE TABLE u (k0 text, c0 int8, c1 int8)")) as connection:
        connection.cursor().executemany("INSERT INTO u VALUES (%s, %s, %s)", rows)
        for totals in (sized, [replace(t, cut=None) for t in sized]):
            sql = outer_sql(Rows("FROM u AS q WHERE true", "q", 1), totals, [["c0", "c1"]] * 3, names)
            found.append(sorted(connection.execute(sql.encode()).fetchall()))
    assert found[0] == found[1]
    assert len(set(found[0][0])) > 20
