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
        kept = _of_chosen_groups(relation, keys, distinct.sql, "", bounds, scope)
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


def leaves_sql(relation: PrivateRelation, keys: Sequence[Key], leaves: Leaves, bounds: Bounds, scope: Scope) -> str:
    """Columns: k0.. as text, leaf, n."""
    names = _keys(keys)
    if relation.one_row_per_unit:
        rows = (
            f"SELECT {_comma(_key_select(keys))}{leaves.leaf} AS x, 1 AS n FROM {relation.from_sql} "
            f"WHERE {where_sql(relation, keys, scope)}"
        )
    elif leaves.keep in ("least", "greatest"):
        rows = _extremes(relation, keys, leaves, bounds, scope)
    else:
        kept = _of_chosen_groups(relation, keys, leaves.leaf, "pg_catalog.count(*)", bounds, scope)
        rows = (
            _capped(names, kept, 1 if leaves.keep == "once" else leaves.rows)
            if leaves.keep in ("each", "once")
            else _sample(relation, keys, kept, leaves.rows)
        )
    select = [f"(r.{n})::pg_catalog.text AS {n}" for n in names]
    select += ["(r.x)::pg_catalog.int8 AS leaf", "pg_catalog.sum(r.n) AS n"]
    group = ", ".join([*(f"r.{n}" for n in names), "r.x"])
    return f"SELECT {', '.join(select)} FROM ({rows}) AS r WHERE r.x IS NOT NULL GROUP BY {group}"


def _extremes(relation: PrivateRelation, keys: Sequence[Key], leaves: Leaves, bounds: Bounds, scope: Scope) -> str:
    """Claim: one unit adds 1 to one leaf of each of its groups. Because: one row per unit and group."""
    names = _keys(keys)
    word = "min" if leaves.keep == "least" else "max"
    select = [f"{relation.unit.sql} AS u", *_key_select(keys), f"pg_catalog.{word}({leaves.leaf}) AS x"]
    group = ", ".join(str(i + 1) for i in range(1 + len(keys)))
    inner = (
        f"SELECT {', '.join(select)} FROM {relation.from_sql} WHERE {where_sql(relation, keys, scope)} GROUP BY {group}"
    )
    columns = f"{_comma(f'p.{n}' for n in names)}p.x, 1 AS n"
    if not bounds.choose:
        return f"SELECT {columns} FROM ({inner}) AS p"
    ranked = f"SELECT {columns}, {_rank('row_number', relation, keys)} AS rn FROM ({inner}) AS p"
    return f"SELECT q.* FROM ({ranked}) AS q WHERE q.rn <= {bounds.groups}"


def _capped(names: Sequence[str], kept: str, most: int) -> str:
    """Claim: one unit adds at most `most` to each leaf of each of its groups. Because: LEAST."""
    return f"SELECT {_comma(f'q.{n}' for n in names)}q.x, LEAST(q.c, {most})::pg_catalog.int8 AS n FROM ({kept}) AS q"


def _sample(relation: PrivateRelation, keys: Sequence[Key], kept: str, most: int) -> str:
    """Claim: one unit adds at most `most` to each of its groups, all leaves together. Because: row_number() over its
    rows, which are numbered as copies of their leaf, with a total order: hash, leaf, copy."""
    names = _keys(keys)
    copies = f"({kept}) AS q CROSS JOIN LATERAL pg_catalog.generate_series(1, q.c) AS copy(i)"
    chain = hash_more(_unit_hash(relation, keys), "(q.x)::pg_catalog.text")
    order = f"pg_catalog.hashint8extended(copy.i, {chain}), q.x, copy.i"
    partition = ", ".join(["q.u", *(f"q.{n}" for n in names)])
    ranked = (
        f"SELECT {_comma(f'q.{n}' for n in names)}q.x, "
        f"pg_catalog.row_number() OVER (PARTITION BY {partition} ORDER BY {order}) AS rv FROM {copies}"
    )
    return f"SELECT {_comma(f'v.{n}' for n in names)}v.x, 1 AS n FROM ({ranked}) AS v WHERE v.rv <= {most}"


def _of_chosen_groups(
    relation: PrivateRelation, keys: Sequence[Key], x: str, counted: str, bounds: Bounds, scope: Scope
) -> str:
    """(u, k0.., x [, c]) of each unit's chosen groups, x distinct and not NULL, c how often it occurs."""
    names = _keys(keys)
    columns = ["x", "c"] if counted else ["x"]
    select = [f"{relation.unit.sql} AS u", *_key_select(keys), f"{x} AS x"]
    group = ", ".join(str(i + 1) for i in range(len(select)))
    select += [f"{counted} AS c"] if counted else []
    inner = (
        f"SELECT {', '.join(select)} FROM {relation.from_sql} WHERE {where_sql(relation, keys, scope)} GROUP BY {group}"
    )
    shown = ", ".join(f"p.{n}" for n in ("u", *names, *columns))
    if not bounds.choose:
        return f"SELECT {shown} FROM ({inner}) AS p WHERE p.x IS NOT NULL"
    ranked = f"SELECT {shown}, {_rank('dense_rank', relation, keys)} AS rn FROM ({inner}) AS p"
    return f"SELECT w.* FROM ({ranked}) AS w WHERE w.rn <= {bounds.groups} AND w.x IS NOT NULL"


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


def _comma(parts: object) -> str:
    """Columns with a comma after each."""
    return "".join(f"{part}, " for part in parts)  # type: ignore[attr-defined]
