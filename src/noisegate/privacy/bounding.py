"""Contribution bounding: the generated SQL of a fragment. Bounding comes last, after every join and filter.

The forms (docs/privacy.md, contribution bounding):
- one row per unit: clamp the row's own values (no grouping by unit);
- few groups: aggregate per unit and group, clamp;
- general: aggregate per unit and group, keep at most K groups of each unit, clamp.
Totals that are bounded over all of a unit's groups together, and weights, look at what was kept once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from noisegate.errors import TooComplex
from noisegate.privacy.joins import condition_sql
from noisegate.privacy.keys import Key, hash_chain
from noisegate.privacy.outer import INT4_MAX, Rows, cells_of, outer_sql, outer_sum
from noisegate.privacy.totals import WEIGHTS, Total
from noisegate.privacy.world import PrivateRelation
from noisegate.query.total import Scope

COLUMNS_MAX = 1600  # of one result: PostgreSQL has 1664


@dataclass(frozen=True, slots=True)
class Bounds:
    """groups: the most groups a unit may touch (L0). choose: whether the SQL must choose among a unit's groups."""

    groups: int
    choose: bool


def bounds_for(relation: PrivateRelation, keys: Sequence[Key], known_groups: int | None, groups_max: int) -> Bounds:
    """K of the fragment.

    Claim: after bounding, a unit's rows are in at most `groups` groups. Because: without keys there is one group; a
    unit with at most one row after all joins touches at most one; with as many known groups as K or fewer (one, where
    the key is a function of the unit by enforced constraints) it cannot touch more; otherwise row_number() keeps K with
    a total order, for every fixed secret. Checked by: tests/privacy/test_neighbours.py.
    """
    if not keys or relation.one_row_per_unit:
        return Bounds(1, False)
    if known_groups is not None and known_groups <= groups_max:
        return Bounds(max(known_groups, 1), False)
    return Bounds(groups_max, True)


def fragment_sql(
    relation: PrivateRelation, keys: Sequence[Key], totals: Sequence[Total], bounds: Bounds, scope: Scope
) -> tuple[str, tuple[tuple[str, ...], ...]]:
    """The SQL, and for each total the names of its columns. Columns: k0.. as text, then m0.. Without totals there is
    nothing to ask: the groups are declared, and what is asked of them is asked by further queries."""
    if not totals:
        return "", ()
    if sum(len(t.outer) for t in totals) > COLUMNS_MAX:
        raise TooComplex(
            "the private question has too many aggregates", hint="Ask for some of them in another statement."
        )
    where = where_sql(relation, keys, scope)
    if relation.one_row_per_unit:
        return _one_row(relation, keys, totals, where)
    names = names_of(totals)
    inner, filled = _per_unit(relation, keys, totals, where)
    together = any(t.joint is not None or t == WEIGHTS for t in totals)
    rows = Rows(f"FROM ({inner}) AS p", "p", len(keys))
    if bounds.choose or together:
        kept = [f"k{i}" for i in range(len(keys))] + [f"c{i}" for i in range(filled[1])]
        order = [hash_chain(relation.unit, len(keys))] if bounds.choose else []
        ranked = ", ".join([*order, *(f"p.k{i}" for i in range(len(keys)))])
        rank = f"pg_catalog.row_number() OVER (PARTITION BY p.u ORDER BY {ranked}) AS rn"
        columns = ", ".join(f"p.{name}" for name in (["u", *kept] if together else kept))
        where = f" WHERE q.rn <= {bounds.groups}" if bounds.choose else ""
        rows = Rows(f"FROM (SELECT {columns}, {rank} FROM ({inner}) AS p) AS q{where}", "q", len(keys))
        rows = _together(rows, kept, totals, filled[0]) if together else rows
    return outer_sql(rows, totals, filled[0], names), names


def _together(rows: Rows, kept: Sequence[str], totals: Sequence[Total], reads: Sequence[Sequence[str]]) -> Rows:
    """The same rows, each with what is known of its unit: its sizes, its number of groups, and which row is its first.

    Claim: these are functions of the unit's own kept rows; one of them is the first. Because: windows over the rows of
    one u, after the choice of groups; row_number() has a total order. A size is a sum of at most K int4.
    """
    columns = [f"q.{name}" for name in kept] + ["q.rn = 1 AS first"]
    columns += ["pg_catalog.count(*) OVER unit AS groups"] if WEIGHTS in totals else []
    sizes = {
        cells.size.removeprefix("q."): cells.fill(total.joint.size)
        for total, cells in zip(totals, cells_of("q", totals, reads), strict=True)
        if total.joint is not None
    }
    columns += [f"pg_catalog.sum(({sql})::pg_catalog.int4) OVER unit AS {name}" for name, sql in sizes.items()]
    sql = f"SELECT {', '.join(columns)} {rows.sql} WINDOW unit AS (PARTITION BY q.u)"
    return Rows(f"FROM ({sql}) AS w", "w", rows.keys)


def where_sql(relation: PrivateRelation, keys: Sequence[Key], scope: Scope) -> str:
    """NULL units are dropped; values outside a declared domain are dropped before bounding."""
    parts = [f"{relation.unit.sql} IS NOT NULL"]
    parts += [condition_sql(c, scope) for c in relation.where]
    parts += [k.allowed_sql for k in keys if k.allowed_sql is not None and _all_declared(keys)]
    return " AND ".join(parts)


def _all_declared(keys: Sequence[Key]) -> bool:
    return all(k.values is not None for k in keys)


def names_of(totals: Sequence[Total]) -> tuple[tuple[str, ...], ...]:
    names: list[tuple[str, ...]] = []
    at = 0
    for total in totals:
        names.append(tuple(f"m{at + i}" for i in range(len(total.outer))))
        at += len(total.outer)
    return tuple(names)


def _per_unit(
    relation: PrivateRelation, keys: Sequence[Key], totals: Sequence[Total], where: str
) -> tuple[str, tuple[list[list[str]], int]]:
    """Rows per (unit, group) with the inner aggregates, each computed once; also which column each total reads."""
    columns: dict[str, int] = {}
    reads = [[f"c{columns.setdefault(sql, len(columns))}" for sql in total.inner] for total in totals]
    select = [f"{relation.unit.sql} AS u"] + [f"{k.sql} AS k{i}" for i, k in enumerate(keys)]
    select += [f"{sql} AS c{i}" for sql, i in columns.items()]
    group = ", ".join(str(i + 1) for i in range(1 + len(keys)))
    sql = f"SELECT {', '.join(select)} FROM {relation.from_sql} WHERE {where} GROUP BY {group}"
    return sql, (reads, len(columns))


def _one_row(
    relation: PrivateRelation, keys: Sequence[Key], totals: Sequence[Total], where: str
) -> tuple[str, tuple[tuple[str, ...], ...]]:
    names = names_of(totals)
    select = [f"({k.sql})::pg_catalog.text AS k{i}" for i, k in enumerate(keys)]
    for total, named in zip(totals, names, strict=True):
        select += [
            f"{outer_sum(direct, total.per_group > INT4_MAX)} AS {name}"
            for direct, name in zip(total.direct, named, strict=True)
        ]
    sql = f"SELECT {', '.join(select)} FROM {relation.from_sql} WHERE {where}"
    if keys:
        sql += f" GROUP BY {', '.join(k.sql for k in keys)}"
    return sql, names
