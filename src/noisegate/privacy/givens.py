"""Released answers and public values inside a private question: constants that the generated SQL takes as parameters.

`{given:i:j}` stands for column j of Split.givens[i], an array of texts.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from noisegate.errors import Internal
from noisegate.privacy.columns import Fact, Left, Source, SourceColumn
from noisegate.privacy.passing import ONE_TEXT
from noisegate.privacy.world import World
from noisegate.query.interval import ANY, hull, point
from noisegate.query.listings import Listed
from noisegate.query.total.casts import target_of
from noisegate.query.tree import GivenRef
from noisegate.query.values import INT_RANGES, NUMBERS, Value


def given_source(item: GivenRef, sql_alias: str, world: World) -> Source:
    """Released answers and public values as a table of constants: their texts are parameters of the generated SQL."""
    types = world.givens[item.index] if item.index < len(world.givens) else ()
    if len(types) != len(item.columns):
        raise Internal("a closed subquery was not typed")
    world.used.add(item.index)
    shown = {}
    for i, (name, output) in enumerate(zip(item.columns, types, strict=True)):
        value = replace(given_value(f"{sql_alias}.c{i}", output.sql), column=(sql_alias, name))
        shown[name] = _listed(value, item.listed[i] if i < len(item.listed) else None)
    arrays = ", ".join(f"pg_catalog.unnest({{given:{item.index}:{i}}})" for i in range(len(types)))
    columns = ", ".join(f"(r.v{i})::{given_type(output.sql)} AS c{i}" for i, output in enumerate(types))
    names = ", ".join(f"v{i}" for i in range(len(types)))
    sql = f"(SELECT {columns} FROM ROWS FROM ({arrays}) AS r({names})) AS {sql_alias}"
    most = world.snapshot.policy.answers.joined_rows_max  # of its rows: what runs the fragment sees to it
    return Source(item.alias, sql_alias, sql, shown, False, rows=most)


def _listed(value: Value, texts: Listed) -> SourceColumn:
    """A column whose values the text spells out.

    Claim: it has no others. Because: they are plain constants of its own type, or of one that is exact in it.
    Checked by: tests/privacy/test_listed.py.
    """
    fact = Fact(False, private=False)
    if texts is None:
        return SourceColumn(value, fact)
    there = tuple(dict.fromkeys(t for t in texts if t is not None))
    if value.type in NUMBERS:
        value = replace(value, bound=hull([point(Fraction(t)) for t in there]) if there else point(0))
    known = there if value.type in ONE_TEXT else None
    return SourceColumn(value, replace(fact, left=Left(known, None in texts)))


def given_value(sql: str, type_sql: str) -> Value:
    base, first, second = target_of(type_sql)
    scale = second if base == "numeric" and first is not None else 0 if base in ("int2", "int4", "int8") else None
    return Value(sql, base, INT_RANGES.get(base, ANY), scale=scale)


def given_type(type_sql: str) -> str:
    """The engine's name of a closed subquery's column type. Raises Unsupported for types without a canonical text."""
    base, _, _ = target_of(type_sql)
    return f"pg_catalog.{base}"
