"""The outer sums: from what each unit adds to its groups, to the groups' totals.

A total whose cap is chosen privately has two columns per cap. Units are summed by size first, and the columns are made
of the sizes, of which there are few: otherwise each unit would pass through dozens of aggregates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from noisegate.privacy.totals import Cut, Flag, Total

INT4_MAX = 2**31 - 1
TOTAL_MAX = 2**61


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one unit in one group each: `sql` is from FROM to WHERE; keys k0.. and cells are columns of `alias`.
    Where totals are joint, so are `first`, true in one row of each unit, and z0.., its size for each of these; where
    units are weighed, `groups`, the number of its rows."""

    sql: str
    alias: str
    keys: int


def outer_sql(
    rows: Rows, totals: Sequence[Total], reads: Sequence[Sequence[str]], names: Sequence[Sequence[str]]
) -> str:
    """The groups' totals. reads: the columns of `rows` that each total is made of; names: those that it gets."""
    filled = cells_of(rows.alias, totals, reads)
    if any(_sized(total) or _jointly(total) for total in totals):
        return _by_size(rows, totals, filled, names)
    select = [f"({rows.alias}.k{i})::pg_catalog.text AS k{i}" for i in range(rows.keys)]
    for total, those, named in zip(totals, filled, names, strict=True):
        select += [f"{_outer(o, those, total)} AS {name}" for o, name in zip(total.outer, named, strict=True)]
    group = f" GROUP BY {', '.join(f'{rows.alias}.k{i}' for i in range(rows.keys))}" if rows.keys else ""
    return f"SELECT {', '.join(select)} {rows.sql}{group}"


@dataclass(frozen=True, slots=True)
class Cells:
    """What a total's placeholders stand for."""

    columns: tuple[str, ...]
    size: str
    alias: str

    def fill(self, sql: str) -> str:
        names = {"size": self.size, "first": f"{self.alias}.first", "groups": f"{self.alias}.groups"}
        return sql.format(*self.columns, **names)


def cells_of(alias: str, totals: Sequence[Total], reads: Sequence[Sequence[str]]) -> list[Cells]:
    joint = [total.identity for total in totals if total.joint is not None]
    return [
        Cells(
            tuple(f"{alias}.{column}" for column in read),
            f"{alias}.z{joint.index(total.identity)}" if total.joint is not None else "",
            alias,
        )
        for total, read in zip(totals, reads, strict=True)
    ]


def outer_sum(clamped: str, large: bool) -> str:
    """The outer sum of one unit's integers. A clamped value fits int4, so 2^31 units fit the int8 sum. A large one fits
    int8, its sum is a numeric, and is cut at what noise can be added to: the cut of a total changes it by no more than
    a unit does."""
    if clamped == "1":
        return "pg_catalog.count(*)"
    if large:
        return _cut(f"COALESCE(pg_catalog.sum(({clamped})::pg_catalog.int8), 0)")
    return f"COALESCE(pg_catalog.sum(({clamped})::pg_catalog.int4), 0)"


def _cut(total: str) -> str:
    return f"LEAST(GREATEST({total}, {-TOTAL_MAX}), {TOTAL_MAX})"


def _outer(clamped: str, cells: Cells, total: Total) -> str:
    if isinstance(clamped, Flag):
        return f"pg_catalog.count(*) FILTER (WHERE {cells.fill(clamped)})"
    return outer_sum(cells.fill(clamped), total.per_group > INT4_MAX)


def _sized(total: Total) -> bool:
    return total.cut is not None and total.per_group <= INT4_MAX


def _jointly(total: Total) -> bool:
    return total.joint is not None and bool(total.caps)


@dataclass(slots=True)
class _Sizes:
    """The rows of sizes r while their columns are found: `levels` are its keys besides k0.., `sums` what it adds up;
    each by its SQL, once."""

    levels: dict[str, str] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)

    def level(self, sql: str) -> str:
        return f"r.{self.levels.setdefault(sql, f'b{len(self.levels)}')}"

    def sum(self, sql: str) -> str:
        return f"r.{self.sums.setdefault(sql, f'x{len(self.sums)}')}"


def _by_size(rows: Rows, totals: Sequence[Total], cells: Sequence[Cells], names: Sequence[Sequence[str]]) -> str:
    """Claim: every column is the sum over units of what `Total.outer` says. Because: units of one row r are in one
    group, and within each cap or beyond it alike; sums of sums are exact, of integers as of numerics.
    Checked by: tests/privacy/test_outer.py, tests/privacy/test_neighbours_parts.py.
    """
    sizes = _Sizes()
    select = [f"(r.k{i})::pg_catalog.text AS k{i}" for i in range(rows.keys)]
    for total, those, named in zip(totals, cells, names, strict=True):
        rule = _of_joint if _jointly(total) else _of_sizes if _sized(total) else _of_sums
        columns = rule(sizes, total, those)
        select += [f"{column} AS {name}" for column, name in zip(columns, named, strict=True)]
    grouped = {f"{rows.alias}.k{i}": f"k{i}" for i in range(rows.keys)} | sizes.levels
    inner = ", ".join(f"{sql} AS {name}" for sql, name in (grouped | sizes.sums).items())
    by = ", ".join(str(i + 1) for i in range(len(grouped)))
    group = f" GROUP BY {', '.join(f'r.k{i}' for i in range(rows.keys))}" if rows.keys else ""
    return f"SELECT {', '.join(select)} FROM (SELECT {inner} {rows.sql} GROUP BY {by}) AS r{group}"


def _of_sums(sizes: _Sizes, total: Total, cells: Cells) -> list[str]:
    """The columns of a total, whatever the sizes of its units."""
    large = total.per_group > INT4_MAX
    columns: list[str] = []
    for clamped in total.outer:
        if large and not isinstance(clamped, Flag):
            part = sizes.sum(f"COALESCE(pg_catalog.sum(({cells.fill(clamped)})::pg_catalog.int8), 0)")
            columns.append(_cut(f"COALESCE(pg_catalog.sum({part}), 0)"))
        else:
            columns.append(_again(sizes.sum(_outer(clamped, cells, total))))
    return columns


def _of_joint(sizes: _Sizes, total: Total, cells: Cells) -> list[str]:
    """The columns of a total with joint caps: how many units are above 0 and each cap but the last, in all groups,
    which every row repeats; then what they add under each cap (`clips.joint`): of a unit within it, its integers;
    beyond it, a part of the cap.

    Claim: no product leaves int8. Because: what units add under a cap is at most 2^31 each, in its steps; a unit's part
    of a whole, in 2^-bits, fits int4.
    """
    assert total.joint is not None
    above = (0, *total.caps[:-1])
    ends = ", ".join(str(t + 1) for t in (*above, total.caps[-1]))
    size = sizes.level(f"pg_catalog.width_bucket({cells.size}, ARRAY[{ends}]::pg_catalog.int8[])")
    units = sizes.sum(f"pg_catalog.count(*) FILTER (WHERE {cells.alias}.first)")
    counts = [f"pg_catalog.sum({units}) FILTER (WHERE {size} > {i})" for i in range(len(above))]
    columns = [f"COALESCE(pg_catalog.sum({n}) OVER (), 0)::pg_catalog.int8" for n in counts]
    added, parts = [], []
    for sql in map(cells.fill, total.joint.sums):
        part = f"({sql})::pg_catalog.int8 * {1 << total.joint.bits} / NULLIF({cells.size}, 0)"
        added.append(sizes.sum(f"pg_catalog.sum(({sql})::pg_catalog.int4)"))
        parts.append(sizes.sum(f"pg_catalog.sum(({part})::pg_catalog.int4)"))
    for i, (cap, fine) in enumerate(zip(total.caps, total.fine, strict=True)):
        factor = cap * fine >> total.joint.bits
        columns += [
            _again(f"CASE WHEN {size} <= {i + 1} THEN {whole} * {fine} ELSE {part} * {factor} END")
            for whole, part in zip(added, parts, strict=True)
        ]
    return columns


def _of_sizes(sizes: _Sizes, total: Total, cells: Cells) -> list[str]:
    """The columns of a total with caps: how many units are above 0 and each cap but the last, then their sum cut at
    each cap. A unit whose size is n of these steps up exceeds the first n of them.

    Claim: the sum cut at T is exact. Because: a unit within T is in r's sum as it is, and one beyond T counts as T with
    its sign: the total's own ends are farther out than T where a unit is.
    """
    assert total.cut is not None
    unit = f"({cells.fill(total.cut.sql)})::pg_catalog.int4"
    size = sizes.level(_size(unit, total.caps, total.cut))
    steps = f"pg_catalog.abs({size})" if total.cut.low < 0 else size
    units = sizes.sum("pg_catalog.count(*)")
    above = [_again(units, f" FILTER (WHERE {steps} > {i})") for i in range(len(total.caps))]
    if not total.cut.own:
        return [*above, *_of_rows(sizes, total, cells, size)]
    added = sizes.sum(f"pg_catalog.sum({unit})")
    beyond = [
        f"WHEN {size} < 0 THEN {units} * {-cap} ELSE {units} * {cap}" if total.cut.low < 0 else f"ELSE {units} * {cap}"
        for cap in total.caps
    ]
    within = [_again(f"CASE WHEN {steps} <= {i + 1} THEN {added} {other} END") for i, other in enumerate(beyond[:-1])]
    return [*above, *within, _again(added)]


def _of_rows(sizes: _Sizes, total: Total, cells: Cells, size: str) -> list[str]:
    """The sums of a total with caps on a unit's rows. A unit within a cap adds the same as under the last one."""
    assert total.cut is not None
    count = len(total.caps)
    sums = [f"pg_catalog.sum(({cells.fill(one)})::pg_catalog.int4)" for one in total.outer[count:]]
    width = len(sums) // count
    last = [sizes.sum(sql) for sql in sums[-width:]]
    columns: list[str] = []
    for i, sql in enumerate(sums[:-width]):
        cap = i // width
        beyond = sizes.sum(f"{sql} FILTER (WHERE {cells.fill(total.cut.sql)} > {total.caps[cap]})")
        columns.append(_again(f"CASE WHEN {size} <= {cap + 1} THEN {last[i % width]} ELSE {beyond} END"))
    return [*columns, *map(_again, last)]


def _size(unit: str, caps: Sequence[int], cut: Cut) -> str:
    """How many of 0 and the caps but the last a unit's integer exceeds; negative where the integer is."""
    above = (0, *caps[:-1])
    if cut.low >= 0:
        return f"pg_catalog.width_bucket({unit}, {_array([t + 1 for t in above])})"
    both = _array([*(-t for t in reversed(above)), *(t + 1 for t in above)])
    return f"(pg_catalog.width_bucket({unit}, {both}) - {len(above)})"


def _array(items: Sequence[int]) -> str:
    return f"ARRAY[{', '.join(map(str, items))}]::pg_catalog.int4[]"


def _again(part: str, condition: str = "") -> str:
    """A sum of what fits int8, as does the whole."""
    return f"COALESCE(pg_catalog.sum({part}){condition}, 0)::pg_catalog.int8"
