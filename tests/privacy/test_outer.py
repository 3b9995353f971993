"""Totals with caps are made of the sizes of units: the columns are those of `Total.outer`, for every size at an end.

Units are summed in Python, from what the docstrings of `clipped` and `Total` say.
"""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from noisegate.privacy.clips import bounded, clipped, clipped_rows, joint
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


# Caps on all groups of a unit together

UNITS_OF = {u: [(u * 7 + i * 13) % 90 * (-1) ** (u * i) for i in range(u % 4)] for u in range(1, 60)}
LOW, HIGH, GROUPS = -60, 50, 3


def joint_total() -> Total:
    plain = Total(("j",), "", (), ("",), (), max(-LOW, HIGH), "")
    return clipped(plain, "COALESCE({0}, 0)", LOW, HIGH, GROUPS)


def jointly(values: list[int], cap: int, fine: int) -> list[int]:
    """What a unit with these integers in its groups adds to each: whole, or its part of the cap, towards 0."""
    size = sum(map(abs, values))
    if size <= cap:
        return [v * fine for v in values]
    return [int(v / abs(v)) * (abs(v) * 2**16 // size) * (cap * fine >> 16) if v else 0 for v in values]


@pytest.mark.parametrize("sized", [True, False])
def test_joint_columns_are_sums_over_units(data_server: EmbeddedServer, sized: bool) -> None:
    """Of both forms: by the sizes of units, and unit by unit."""
    total = joint_total()
    assert total.joint is not None and total.caps[-1] >= GROUPS * 60 > total.caps[-2]
    own = {u: [min(max(v, LOW), HIGH) for v in values] for u, values in UNITS_OF.items()}
    rows = [
        ("abc"[i], v, sum(map(abs, own[u])), i == 0) for u, values in UNITS_OF.items() for i, v in enumerate(values)
    ]
    names = [f"m{i}" for i in range(len(total.outer))]
    one = total if sized else replace(total, joint=None)
    with psycopg.connect(
        new_database(data_server, "CREATE TABLE u (k0 text, c0 int8, z0 int8, first bool)")
    ) as connection:
        connection.cursor().executemany("INSERT INTO u VALUES (%s, %s, %s, %s)", rows)
        if not sized:
            one = replace(one, outer=tuple(type(o)(o.replace("{size}", "w.z0")) for o in one.outer))
        sql = outer_sql(Rows("FROM u AS w WHERE true", "w", 1), [one], [["c0"]], [names])
        found = {r[0]: [int(n) for n in r[1:]] for r in connection.execute(sql.encode()).fetchall()}
    for i, key in enumerate("abc"):
        those = [values for values in own.values() if len(values) > i]
        sizes = [sum(map(abs, values)) for values in own.values() if values] if sized or i == 0 else []
        above = [sum(size > t for size in sizes) for t in (0, *total.caps[:-1])]
        kept = [
            sum(jointly(values, cap, fine)[i] for values in those)
            for cap, fine in zip(total.caps, total.fine, strict=True)
        ]
        assert found[key] == above + kept


@pytest.mark.parametrize("most", [8, 1000, 2**31 - 1])
@pytest.mark.parametrize("unit", [1, 3, 1000, 2**20, 2**30])
@pytest.mark.parametrize("groups", [2, 3, 16, 1000])
def test_joint_caps_are_whole_and_fit(most: int, unit: int, groups: int) -> None:
    """Under each cap: parts are whole multiples of 1/2^bits, and what a unit adds fits what 2^31 of them can."""
    total = joint(Total(("j",), "", (), ("",), (), 1, ""), "{0}", ("{0}",), most, unit, groups)
    assert total.joint is not None and most * groups <= total.caps[-1] < 2 * most * groups and len(total.caps) <= 32
    for cap, fine in zip(total.caps, total.fine, strict=True):
        assert cap * fine % 2**total.joint.bits == 0
        assert fine == 1 or cap * unit * fine <= 2**30
    assert unit * 2**total.joint.bits < 2**31, "a part of a whole fits int4"
    assert total.fine[0] == 2**total.joint.bits or total.caps[0] > 1


@pytest.mark.parametrize("overall", [11, 2000, 10**8, 2**31, 2**33 + 1])
def test_a_declared_cap_of_any_size_is_divided_as_it_is(data_server: EmbeddedServer, overall: int) -> None:
    """A unit beyond it with equal integers in its groups adds the whole cap, but for a step in each."""
    plain = Total(("j",), "", (), ("",), (), INT4_MAX, "")
    total = bounded(plain, "pg_catalog.abs({0})", ("{0}",), INT4_MAX, 1, 8, overall)
    (fine,), (kept,) = total.fine, total.outer
    each = min(overall // 3, INT4_MAX)
    units = [[each] * 7, [-each, INT4_MAX, 0], [overall // 8] * 8, [-INT4_MAX] * 8]
    rows = [(v, sum(map(abs, values))) for values in units for v in values]
    sql = f"SELECT {kept.format('c', size='z')} FROM unnest(%s::int8[], %s::int8[]) AS r (c, z)"
    with psycopg.connect(data_server.dsn("postgres")) as connection:
        found = [n for (n,) in connection.execute(sql.encode(), [list(column) for column in zip(*rows, strict=True)])]
    for values in units:
        size, own, found = sum(map(abs, values)), found[: len(values)], found[len(values) :]
        whole = min(size, overall) * fine
        assert whole - len(values) < sum(map(abs, own)) <= whole
        assert all(abs(n) <= max(2**30, abs(v)) and n * v >= 0 for n, v in zip(own, values, strict=True))
