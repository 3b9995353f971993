"""The statement that runs in the clean room: the remainder over noisy tables. It accepts releases only.

Invariant: nothing but released numbers, canonical keys and the analyst's own statement is in the text. Keys are quoted
so that no session setting changes them; each noisy table is one materialized CTE: a release used twice is drawn once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from noisegate.plan.measure import FragmentPlan, NoisyColumn, NoisyTable
from noisegate.plan.trust import Release

Rows = Sequence[tuple[tuple[str | None, ...], tuple[int, ...]]]
Texts = Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Remainder:
    """What is left of a statement: `text` reads fragment i's answer from _ng_f<i>; the CTEs go in at character
    `with_at`, before a WITH list of its own if `with_more`."""

    text: str
    with_at: int
    with_more: bool


def rewrite(
    remainder: Remainder,
    plans: Sequence[FragmentPlan],
    tables: Sequence[NoisyTable],
    releases: Sequence[Release],
    computed: Sequence[Sequence[Texts]],
) -> str:
    """The statement to run, with one CTE per fragment. `computed`: of each, the columns q0.. of its noisy table."""
    return _with_tables(remainder, plans, tables, [release.rows for release in releases], computed)


def over_nothing(remainder: Remainder, plans: Sequence[FragmentPlan], tables: Sequence[NoisyTable]) -> str:
    """The same statement over empty noisy tables: for PostgreSQL to read before anything is charged."""
    return _with_tables(remainder, plans, tables, [() for _ in plans], [[() for _ in t.computed] for t in tables])


def _with_tables(
    remainder: Remainder,
    plans: Sequence[FragmentPlan],
    tables: Sequence[NoisyTable],
    rows: Sequence[Rows],
    computed: Sequence[Sequence[Texts]],
) -> str:
    ctes = ", ".join(
        f"_ng_f{i} AS MATERIALIZED ({_noisy_select(plan, table, those, texts)})"
        for i, (plan, table, those, texts) in enumerate(zip(plans, tables, rows, computed, strict=True))
    )
    start, rest = remainder.text[: remainder.with_at], remainder.text[remainder.with_at :]
    return f"{start} {ctes},{rest}" if remainder.with_more else f"{start}WITH {ctes} {rest}"


def _noisy_select(plan: FragmentPlan, table: NoisyTable, rows: Rows, computed: Sequence[Texts]) -> str:
    """SELECT of the noisy table: k0.. and a0.. with the types of the original columns."""
    names = [*(k.name for k in plan.keys), *plan.released, *(f"q{i}" for i in range(len(table.computed)))]
    arrays = [_text_array([row[0][i] for row in rows]) for i in range(len(plan.keys))]
    arrays += [_number_array([row[1][i] for row in rows]) for i in range(len(plan.released))]
    arrays += [_text_array(texts) for texts in computed]
    unnested = ", ".join(f"pg_catalog.unnest({a})" for a in arrays)
    columns = [f"{_typed(c)} AS k{i}" for i, c in enumerate(table.keys)]
    columns += [f"{_typed(c)} AS a{i}" for i, c in enumerate(table.aggregates)]
    return f"SELECT {', '.join(columns) or '1 AS one'} FROM ROWS FROM ({unnested}) AS r({', '.join(names)})"


def _typed(column: NoisyColumn) -> str:
    collate = f" COLLATE {column.collation}" if column.collation is not None else ""
    return f"(({column.sql})::{column.type_sql}){collate}"


def _number_array(values: Sequence[int]) -> str:
    return "'{" + ",".join(map(str, values)) + "}'::pg_catalog.numeric[]"


def _text_array(values: Sequence[str | None]) -> str:
    """An escape string of pure ASCII: the same array under every client encoding and every standard_conforming_strings.
    (array_nulls must be on; the gate checks it.)"""
    items = ",".join("NULL" if v is None else '"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values)
    return f"E'{{{_escape(items)}}}'::pg_catalog.text[]"


def _escape(text: str) -> str:
    out = text.replace("\\", "\\\\").replace("'", "\\'")
    if out.isascii():
        return out
    return "".join(c if c < "\x80" else f"\\u{ord(c):04x}" if c < "\U00010000" else f"\\U{ord(c):08x}" for c in out)
