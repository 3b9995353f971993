"""Whose rows the rows of a block are: the one private source that all others are tied to, and the SQL of its unit.

Claim: every row that has a unit has that of each of its private sources. Because: each is tied to the anchor by
equalities that hold wherever it is there (privacy/ties.py). Rows without the anchor, which an outer join makes where
nobody matches, belong to nobody: their unit is NULL, and they are dropped.
Checked by: tests/privacy/test_relation.py, tests/privacy/test_neighbours.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from noisegate.errors import NoisegateError, Refused, Unsupported
from noisegate.plan.units import UNIT, unit_path_of
from noisegate.privacy.columns import OWN_UNIT, Source, table_sql
from noisegate.privacy.ties import Ties
from noisegate.privacy.world import World
from noisegate.query.constants import quote_name
from noisegate.query.tree import Join
from noisegate.query.values import Value


@dataclass(frozen=True, slots=True)
class Anchor:
    """source: None where all is public. unit: its SQL; None also where each row is of the unit of the outer sources
    `tied`. strict: there are rows without the source. present: generated aliases of the sources that are of its unit
    and there whenever it is. joined: new SQL of a source in FROM, by its alias, where the unit needs a join."""

    source: Source | None
    unit: Value | None = None
    strict: bool = False
    tied: tuple[str, ...] = ()
    present: frozenset[str] = frozenset()
    joined: tuple[tuple[str, str], ...] = ()


def find_anchor(
    sources: Sequence[Source],
    nullable: frozenset[str],
    ties: Ties,
    world: World,
) -> Anchor:
    """Raises Unsupported where private rows are not tied to one unit."""
    private = [s for s in sources if s.private]
    if not private:
        return Anchor(None)
    own = [s for s in private if s.unit is not None or s.hops]
    if not own:  # every row is of an outer source's unit
        outer = tuple(a for s in private for a in s.tied)
        return Anchor(private[0], None, False, outer, frozenset(s.sql_alias for s in private))
    certain = [s for s in own if s.alias not in nullable]
    if not certain and isinstance(ties.tree, Join) and ties.tree.kind == "full" and len(own) == len(sources) == 2:
        return _full(own, ties)
    anchor = (certain or own)[0]
    for other in private:
        if other is not anchor and not ties.same_unit(anchor, other):
            raise untied(anchor, other)
    group, present = ties.tied_to(anchor)
    there = frozenset(s.sql_alias for s in private if s.sql_alias in group and s.alias in present)
    tied = ties.tied_outside(anchor)
    direct = next((s for s in (anchor, *private) if s.unit is not None and s.sql_alias in there), None)
    if direct is not None:
        return Anchor(anchor, direct.unit, not certain, tied, there)
    unit, sql = join_unit(anchor, world)
    return Anchor(anchor, unit, not certain, tied, there, ((anchor.alias, sql),))


def _full(own: Sequence[Source], ties: Ties) -> Anchor:
    """`a FULL JOIN b` of two private sources on the unit.

    Claim: each row is of the unit COALESCE(a's, b's). Because: where both are there, they are of one unit; a row with
    one of them is there iff no row of the same unit matches it.
    """
    left, right = own
    if left.unit is None or right.unit is None or not ties.meets(left, right):
        raise untied(left, right)
    return Anchor(left, Value(f"COALESCE({left.unit.sql}, {right.unit.sql})", left.unit.type))


def join_unit(source: Source, world: World) -> tuple[Value, str]:
    """The join along a foreign-key chain that finds the unit, and the SQL of the source with it.

    Claim: no row is repeated; rows without a partner, which belong to nobody, are dropped. Because: each hop leads to
    an enforced key (plan/units.py).
    """
    snapshot = world.snapshot
    table = source.tables[0]
    path = unit_path_of(snapshot, (table.schema, table.name))
    sql, here, last = source.sql, source.sql_alias, table
    for hop in path.hops:
        last, alias = snapshot.tables[hop.target], world.alias()
        on = " AND ".join(
            f"{here}.{quote_name(a)} = {alias}.{quote_name(b)}"
            for a, b in zip(hop.columns, hop.target_columns, strict=True)
        )
        sql, here = f"({sql} JOIN {table_sql(last)} AS {alias} ON ({on}))", alias
        world.tables[hop.target] = last
    column = last.column(path.column)
    if column is None:
        raise Unsupported(f"the unit column {path.column} is not there", name=source.alias)
    return Value(f"{here}.{quote_name(path.column)}", column.type.base, column=(here, path.column)), sql


def unit_name(source: Source) -> str:
    """The column that names the unit, for people."""
    unit = next((d for d in source.determinants if d.label == UNIT and d.columns != (OWN_UNIT,)), None)
    if unit is not None:
        return unit.columns[0]
    return source.determinants[0].columns[0] if source.determinants else source.alias


def untied(anchor: Source, other: Source) -> NoisegateError:
    condition = _condition(anchor, other)
    return Refused(
        f"{anchor.alias} and {other.alias} are both about people, and their rows are not tied to the same person",
        name=other.alias,
        detail="A row of an answer must belong to one person.",
        hint=f"Add the condition {condition}." if condition else "Join them on the column of the privacy unit.",
    )


def _condition(a: Source, b: Source) -> str | None:
    """The equality that would tie two sources, as an analyst writes it."""
    for d in a.determinants:
        for e in b.determinants:
            if d.label == e.label and OWN_UNIT not in (*d.columns, *e.columns):
                pairs = zip(d.columns, e.columns, strict=True)
                return " AND ".join(f"{a.alias}.{x} = {b.alias}.{y}" for x, y in pairs)
    return None
