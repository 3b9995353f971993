"""The generated SQL of a fragment's further queries: distinct values, and histograms of a row's leaf.

Claim: they see exactly the groups that the first query keeps of each unit. Because: the same rows, the same keys, the
same hash with the same secret, in one snapshot; rows that do not count for an aggregate stay until the groups are
chosen. Checked by: tests/privacy/test_neighbours.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from noisegate.privacy.bounding import Bounds, where_sql
from noisegate.privacy.keys import Key, hash_chain, hash_more
from noisegate.privacy.outer import outer_sum
from noisegate.privacy.totals import Distinct, Leaves, Total
from noisegate.privacy.world import PrivateRelation
from noisegate.query.total import Scope

PICK_SECRET = 1  # of the choice among one unit's values; the groups are chosen by secret 0


def distinct_sql(
    relation: PrivateRelation,
    keys: Sequence[Key],
    distinct: Distinct,
    totals: Sequence[tuple[Total, tuple[str, ...]]],
    bounds: Bounds,
    scope: Scope,
) -> str:
    """Columns: k0.. as text, then those of the totals, over each group's set of values.

    Claim: one unit adds at most `values` values to the set of each of its groups. Because: row_number() with a total
    order (its values are distinct and in canonical form); one row has one value.
    """
    names = _keys(keys)
    if relation.one_row_per_unit:
        values = (
            f"SELECT DISTINCT {_comma(_key_select(keys))}{distinct.sql} AS x FROM {relation.from_sql} "
            f"WHERE {where_sql(relation, keys, scope)}"
        )
    else:
        kept = _of_chosen_groups(relation, keys, distinct.sql, bounds, scope)
        order = f"{hash_more(_unit_hash(relation, keys), '(q.x)::pg_catalog.text')}, q.x"
        partition = ", ".join(["q.u", *(f"q.{n}" for n in names)])
        ranked = (
            f"SELECT {_comma(f'q.{n}' for n in names)}q.x, "
            f"pg_catalog.row_number() OVER (PARTITION BY {partition} ORDER BY {order}) AS rv FROM ({kept}) AS q"
        )
        values = (
            f"SELECT DISTINCT {_comma(f'v.{n}' for n in names)}v.x FROM ({ranked}) AS v WHERE v.rv <= {distinct.values}"
        )
    select = [f"(r.{n})::pg_catalog.text AS {n}" for n in names]
    for total, columns in totals:
        large = total.per_group > 2**31 - 1
        select += [
            f"{outer_sum(o.format('r.x'), large)} AS {name}" for o, name in zip(total.outer, columns, strict=True)
        ]
    group = f" GROUP BY {', '.join(f'r.{n}' for n in names)}" if names else ""
    return f"SELECT {', '.join(select)} FROM ({values}) AS r WHERE r.x IS NOT NULL{group}"


def leaves_sql(
    relation: PrivateRelation, keys: Sequence[Key], leaves: Leaves, bounds: Bounds, scope: Scope, units_min: int = 0
) -> str:
    """Columns: k0.. as text, leaf, n. units_min: where groups are read from data, groups with fewer units stay on the
    data server.

    Claim: no group that may be shown is left out. Because: `f` is 1 in one row of each unit and group, rows without a
    leaf among them, so that its sum is the number of units that the release gate tests.
    """
    names = _keys(keys)
    if relation.one_row_per_unit:
        rows = (
            f"SELECT {_comma(_key_select(keys))}{leaves.leaf} AS x, 1 AS n, 1 AS f FROM {relation.from_sql} "
            f"WHERE {where_sql(relation, keys, scope)}"
        )
    elif leaves.keep in ("least", "greatest"):
        rows = _extremes(relation, keys, leaves, bounds, scope)
    elif leaves.keep in ("each", "once"):
        rows = _capped(relation, keys, leaves, bounds, scope)
    else:
        rows = _sample(relation, keys, leaves, bounds, scope)
    by = ", ".join([*(f"r.{n}" for n in names), "r.x"])
    tested = f", pg_catalog.sum(pg_catalog.sum(r.f)) OVER (PARTITION BY {_names('r', names)}) AS f" if units_min else ""
    grouped = f"SELECT {by}, pg_catalog.sum(r.n) AS n{tested} FROM ({rows}) AS r GROUP BY {by}"
    select = [*(f"(g.{n})::pg_catalog.text AS {n}" for n in names), "(g.x)::pg_catalog.int8 AS leaf", "g.n"]
    enough = f" AND g.f >= {units_min}" if units_min else ""
    return f"SELECT {', '.join(select)} FROM ({grouped}) AS g WHERE g.x IS NOT NULL AND g.n > 0{enough}"


def _extremes(relation: PrivateRelation, keys: Sequence[Key], leaves: Leaves, bounds: Bounds, scope: Scope) -> str:
    """Claim: one unit adds 1 to one leaf of each of its groups. Because: one row per unit and group."""
    names = _keys(keys)
    word = "min" if leaves.keep == "least" else "max"
    select = [f"{relation.unit.sql} AS u", *_key_select(keys), f"pg_catalog.{word}({leaves.leaf}) AS x"]
    group = ", ".join(str(i + 1) for i in range(1 + len(keys)))
    inner = (
        f"SELECT {', '.join(select)} FROM {relation.from_sql} WHERE {where_sql(relation, keys, scope)} GROUP BY {group}"
    )
    columns = f"{_comma(f'p.{n}' for n in names)}p.x, 1 AS n, 1 AS f"
    if not bounds.choose:
        return f"SELECT {columns} FROM ({inner}) AS p"
    ranked = f"SELECT {columns}, {_rank('row_number', relation, keys)} AS rn FROM ({inner}) AS p"
    return f"SELECT q.* FROM ({ranked}) AS q WHERE q.rn <= {bounds.groups}"


def _capped(relation: PrivateRelation, keys: Sequence[Key], leaves: Leaves, bounds: Bounds, scope: Scope) -> str:
    """Claim: one unit adds at most `rows` (1 where each leaf counts once) to each leaf of each of its groups. Because:
    LEAST."""
    most = 1 if leaves.keep == "once" else leaves.rows
    select = [f"{relation.unit.sql} AS u", *_key_select(keys), f"{leaves.leaf} AS x"]
    group = ", ".join(str(i + 1) for i in range(len(select)))
    inner = (
        f"SELECT {', '.join(select)}, pg_catalog.count(*) AS c FROM {relation.from_sql} "
        f"WHERE {where_sql(relation, keys, scope)} GROUP BY {group}"
    )
    kept, group = _chosen(relation, keys, inner, ("x", "c"), bounds)
    first = f"CASE WHEN pg_catalog.row_number() OVER (PARTITION BY {group}) = 1 THEN 1 ELSE 0 END AS f"
    columns = f"{_comma(f'q.{n}' for n in _keys(keys))}q.x"
    return f"SELECT {columns}, LEAST(q.c, {most})::pg_catalog.int8 AS n, {first} FROM ({kept}) AS q"


def _sample(relation: PrivateRelation, keys: Sequence[Key], leaves: Leaves, bounds: Bounds, scope: Scope) -> str:
    """Claim: one unit adds at most M = `rows` to each of its groups, all leaves together, whichever the secret; each of
    its t rows there counts with the same probability M / t, if the hash is uniform.

    Because: its rows that have a leaf are numbered s = 1 ... t in order of their leaves, where equal ones are
    interchangeable; with more than M of them those s stay where e(s) = floor((s * M + o) / t) exceeds e(s - 1), for an
    o in 0 ... t - 1 by a keyed hash of (unit, group). The differences are 0 or 1, and add up over s to e(t) - e(0) = M.
    Evenly spaced rows vary less than independent ones.
    Assumes: (t + 1) * M < 2^63, where M < t: a unit has fewer than 2^31 rows.
    """
    names, most = _keys(keys), leaves.rows
    inner = (
        f"SELECT {relation.unit.sql} AS u, {_comma(_key_select(keys))}{leaves.leaf} AS x FROM {relation.from_sql} "
        f"WHERE {where_sql(relation, keys, scope)}"
    )
    kept, group = _chosen(relation, keys, inner, ("x",), bounds)
    ranked = (
        f"SELECT q.*, pg_catalog.row_number() OVER (PARTITION BY {group} ORDER BY q.x) AS s, "
        f"pg_catalog.count(q.x) OVER (PARTITION BY {group}) AS t FROM ({kept}) AS q"
    )
    start = f"({hash_chain(relation.unit, len(keys), 'v', PICK_SECRET)} & {2**63 - 1}) % v.t"
    spaced = f"(v.s * {most} + v.o) / v.t > ((v.s - 1) * {most} + v.o) / v.t"
    spread = f"SELECT v.*, CASE WHEN v.t > {most} THEN {start} END AS o FROM ({ranked}) AS v"
    counts = f"CASE WHEN v.x IS NULL THEN 0 WHEN v.t <= {most} THEN 1 WHEN {spaced} THEN 1 ELSE 0 END AS n"
    columns = f"{_comma(f'v.{n}' for n in names)}v.x, {counts}, CASE WHEN v.s = 1 THEN 1 ELSE 0 END AS f"
    return f"SELECT {columns} FROM ({spread}) AS v"


def _chosen(
    relation: PrivateRelation, keys: Sequence[Key], rows: str, columns: Sequence[str], bounds: Bounds
) -> tuple[str, str]:
    """(rows of each unit's chosen groups, u, k0.. and `columns`; the columns of q that name a unit's group)."""
    names = _keys(keys)
    if not bounds.choose:
        return rows, _names("q", ["u", *names])
    shown = _names("p", ["u", *names, *columns])
    ranked = f"SELECT {shown}, {_rank('dense_rank', relation, keys)} AS rn FROM ({rows}) AS p"
    return f"SELECT w.* FROM ({ranked}) AS w WHERE w.rn <= {bounds.groups}", "q.u, q.rn"


def _of_chosen_groups(relation: PrivateRelation, keys: Sequence[Key], x: str, bounds: Bounds, scope: Scope) -> str:
    """(u, k0.., x) of each unit's chosen groups, x distinct and not NULL."""
    names = _keys(keys)
    select = [f"{relation.unit.sql} AS u", *_key_select(keys), f"{x} AS x"]
    group = ", ".join(str(i + 1) for i in range(len(select)))
    inner = (
        f"SELECT {', '.join(select)} FROM {relation.from_sql} WHERE {where_sql(relation, keys, scope)} GROUP BY {group}"
    )
    if not bounds.choose:
        return f"SELECT {_names('p', ['u', *names, 'x'])} FROM ({inner}) AS p WHERE p.x IS NOT NULL"
    kept, _ = _chosen(relation, keys, inner, ("x",), bounds)
    return f"{kept} AND w.x IS NOT NULL"


def _rank(function: str, relation: PrivateRelation, keys: Sequence[Key]) -> str:
    """The rank of a unit's groups, by the order of the first query. dense_rank(): of a group's several rows."""
    order = ", ".join([hash_chain(relation.unit, len(keys)), *(f"p.{n}" for n in _keys(keys))])
    return f"pg_catalog.{function}() OVER (PARTITION BY p.u ORDER BY {order})"


def _unit_hash(relation: PrivateRelation, keys: Sequence[Key]) -> str:
    return hash_chain(relation.unit, len(keys), "q", PICK_SECRET)


def _keys(keys: Sequence[Key]) -> list[str]:
    return [f"k{i}" for i in range(len(keys))]


def _key_select(keys: Sequence[Key]) -> list[str]:
    return [f"{k.sql} AS k{i}" for i, k in enumerate(keys)]


def _names(alias: str, names: Sequence[str]) -> str:
    return ", ".join(f"{alias}.{n}" for n in names)


def _comma(parts: object) -> str:
    """Columns with a comma after each."""
    return "".join(f"{part}, " for part in parts)  # type: ignore[attr-defined]
