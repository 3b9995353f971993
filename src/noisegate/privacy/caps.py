"""How many rows of one unit enter a join of people's rows with people's rows: what bounds the work that one unit can
cause. A unit with 50,000 rows on both sides would make 2,500,000,000 pairs, and a time-out is an answer without noise.

Claim: of each unit at most so many rows stay on each side, and which ones is a function of the unit's rows, public
data and the run's secret. Because: they are the first by row_number() within the unit, by a keyed hash of the row and
then by all columns that a question can read, so that rows that tie are interchangeable; whether a unit has more rows
than that depends on its own rows alone. It holds for every secret.
Checked by: tests/privacy/test_caps.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from noisegate.privacy.anchor import join_unit
from noisegate.privacy.columns import Source, SourceColumn
from noisegate.privacy.forms import tie_break
from noisegate.privacy.keys import hash_more
from noisegate.privacy.ties import Ties
from noisegate.privacy.world import World
from noisegate.query.constants import quote_name
from noisegate.query.values import Value


def capped_sides(
    ties: Ties, outer: Sequence[Source], own: Callable[[Source], Sequence[str]], world: World
) -> dict[str, Source]:
    """By generated alias: the sources of a block that must be capped, with their new SQL. outer: the sides of the
    queries around it. own: conditions on a source's rows alone that all rows of the block meet; they come first."""
    sides = ties.sides()
    around = [s for s in outer if not ties.names(s)]
    if not sides or len(sides) + len(around) < 2:
        return {}
    found = {}
    for source in sides:
        if source.beside or (source.unit is None and not source.hops):
            continue  # its own FROM clause is capped
        rows = rows_for(_limit(source, world), len(sides) + len(around))
        others = [s for s in (*sides, *around) if s is not source]
        found[source.sql_alias] = _capped(source, rows, _reference(source, others, ties), own(source), world)
        world.capped.append((source.alias, rows))
    return found


def rows_for(most: int, sides: int) -> int:
    """Rows of a unit on each side of a join, so that the sides' product is at most the square of `most`."""
    rows = most
    while sides > 2 and rows > 1 and rows**sides > most * most:
        rows = min(rows - 1, int((most * most) ** (1 / sides)) + 1)
    return rows


def described(world: World) -> list[str]:
    """Lines of EXPLAIN."""
    aliases: dict[int, list[str]] = {}
    for alias, rows in world.capped:
        aliases.setdefault(rows, []).append(alias)
    return [
        f"at most {rows} rows of a unit enter a join or subquery from {', '.join(dict.fromkeys(names))}, "
        "chosen by a keyed hash"
        for rows, names in aliases.items()
    ]


def _limit(source: Source, world: World) -> int:
    policy = world.snapshot.policy
    return min(policy.limits_of(k).join_rows_per_unit_max or 1 for k in source.limits or world.limits)


def _reference(source: Source, others: Iterable[Source], ties: Ties) -> tuple[str, ...]:
    """The columns by which a table without the unit's own column meets all other sides, if there are such: rows that
    agree in them are of one unit, and only they meet. Empty: it meets by the unit."""
    if not source.hops:
        return ()
    labels = [ties.agreed(source, other) for other in others]
    shared = frozenset.intersection(*labels) if labels else frozenset()
    return next((d.columns for d in source.determinants if d.label in shared), ())


def _capped(source: Source, rows: int, reference: Sequence[str], conditions: Sequence[str], world: World) -> Source:
    """The source with at most `rows` rows of each unit.

    Only units with more rows are sorted: the others' rows pass through a join with the (mostly empty) list of those.
    Where no unit has more, a join of 1,000,000 with 200,000 rows takes about a tenth more processor time than without
    (2.9 to 3.1 s; a row_number() over all rows: 4.1 s).
    """
    here = source.sql_alias
    columns = {c.value.sql: c.value for c in source.columns.values() if isinstance(c, SourceColumn)}
    if source.tables:
        scan, before = source.sql, ""
    else:  # a nested query is read once
        query = source.sql.removeprefix("LATERAL ").removesuffix(f" AS {here}")  # which has nothing beside it to read
        scan, before = f"s AS {here}", f"s AS MATERIALIZED {query}, "
    by = [source.column(c).value.sql for c in reference]
    if source.unit is not None:
        by = [source.unit.sql]
    elif not by:
        unit, scan = join_unit(source, world)
        by = [unit.sql]
    names = [f"u{i}" for i in range(len(by))]
    group = f"{_where(conditions)} GROUP BY {', '.join(by)} HAVING pg_catalog.count(*) > {rows}"
    many = f"SELECT {_named(by, names)} FROM {scan}{group}"
    same = " AND ".join(f"h.{n} = {c}" for n, c in zip(names, by, strict=True))
    rank = _unused("rn", [sql.removeprefix(f"{here}.") for sql in columns])
    kept = ", ".join(columns)
    number = f"pg_catalog.row_number() OVER (PARTITION BY {', '.join(by)} ORDER BY {_order(columns.values())})"
    few = f"SELECT {kept} FROM {scan}{_where([*conditions, f'NOT EXISTS (SELECT 1 FROM h WHERE {same})'])}"
    ranked = f"SELECT {kept}, {number} AS {rank} FROM {scan} JOIN h ON ({same}){_where(conditions)}"
    first = f"SELECT {kept} FROM ({ranked}) AS {here} WHERE {here}.{rank} <= {rows}"
    whole = f"WITH {before}h AS MATERIALIZED ({many}) {few} UNION ALL {first}"
    return replace(source, sql=f"({whole}) AS {here}")


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _order(values: Iterable[Value]) -> str:
    """A keyed hash of the row, then all of its columns."""
    parts = [key for value in values for key in tie_break(value)]
    chain = "{secret:0}"
    for value in values:
        chain = hash_more(chain, f"({value.sql})::pg_catalog.text")
    return ", ".join([chain, *parts])


def _named(columns: Sequence[str], names: Sequence[str]) -> str:
    return ", ".join(f"{c} AS {n}" for c, n in zip(columns, names, strict=True))


def _unused(name: str, taken: Iterable[str]) -> str:
    known = set(taken)
    while quote_name(name) in known or name in known:
        name += "_"
    return name
