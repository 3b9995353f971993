"""The statement that runs in the clean room: the remainder over noisy tables. It accepts releases only.

Invariant: nothing but released numbers, canonical keys and the analyst's own statement is in the text. Keys are quoted
so that no session setting changes them; each noisy table is one materialized CTE: a release used twice is drawn once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from noisegate.errors import Internal
from noisegate.plan.measure import NoisyColumn, NoisyTable

Rows = Sequence[tuple[tuple[str | None, ...], tuple[int, ...]]]
Texts = Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Stack:
    """A noisy table of one or several fragments: each with, for every key column, which of its keys that is; None where
    it is rolled up. If `rolled`, bit i of the column g says that key i is rolled up."""

    parts: tuple[tuple[int, tuple[int | None, ...]], ...]
    rolled: bool = False


@dataclass(frozen=True, slots=True)
class Remainder:
    """What is left of a statement: `text` reads stack i from _ng_f<i>; the CTEs go in at character `with_at`, before a
    WITH list of its own if `with_more`."""

    text: str
    with_at: int
    with_more: bool
    stacks: tuple[Stack, ...]


def rewrite(
    remainder: Remainder, tables: Sequence[NoisyTable], rows: Sequence[Rows], computed: Sequence[Sequence[Texts]]
) -> str:
    """The statement to run, with one CTE per stack. `rows`: of each fragment's noisy table, as they were released;
    `computed`: its columns q0.."""
    return _with_tables(remainder, tables, rows, computed)


def over_nothing(remainder: Remainder, tables: Sequence[NoisyTable], noisy: Sequence[int] | None = None) -> str:
    """The same statement over empty noisy tables: for PostgreSQL to read before anything is charged. `noisy`: the
    stacks that a closed subquery reads; None for all."""
    nothing: list[Rows] = [() for _ in tables]
    columns: list[list[Texts]] = [[() for _ in t.computed] for t in tables]
    if noisy is not None:
        return given_select(remainder, noisy, tables, nothing, columns)
    return _with_tables(remainder, tables, nothing, columns)


def given_select(
    given: Remainder,
    noisy: Sequence[int],
    tables: Sequence[NoisyTable],
    rows: Sequence[Rows],
    computed: Sequence[Sequence[Texts]],
) -> str:
    """A closed subquery over noisy tables. `noisy`: the stacks that it reads, whose fragments have rows."""
    if not noisy:
        return given.text
    return _with_tables(given, tables, rows, computed, noisy)


def _with_tables(
    remainder: Remainder,
    tables: Sequence[NoisyTable],
    rows: Sequence[Rows],
    computed: Sequence[Sequence[Texts]],
    noisy: Sequence[int] | None = None,
) -> str:
    def part(stack: Stack, fragment: int, keys: tuple[int | None, ...]) -> str:
        columns = _key_columns(stack, keys, fragment, tables) + _aggregate_columns(tables[fragment])
        if stack.rolled:
            columns.append(f"{sum(1 << i for i, key in enumerate(keys) if key is None)} AS g")
        return _noisy_select(columns, tables[fragment], rows[fragment], computed[fragment])

    ctes = ", ".join(
        f"_ng_f{i} AS MATERIALIZED ({' UNION ALL '.join(part(stack, *p) for p in stack.parts)})"
        for i, stack in enumerate(remainder.stacks)
        if noisy is None or i in noisy
    )
    start, rest = remainder.text[: remainder.with_at], remainder.text[remainder.with_at :]
    return f"{start} {ctes},{rest}" if remainder.with_more else f"{start}WITH {ctes} {rest}"


def _noisy_select(columns: Sequence[str], table: NoisyTable, rows: Rows, computed: Sequence[Texts]) -> str:
    """SELECT of a noisy table's columns over one fragment's rows."""
    width = len(table.keys)
    names = [*(f"k{i}" for i in range(width)), *table.released, *(f"q{i}" for i in range(len(table.computed)))]
    arrays = [_text_array([row[0][i] for row in rows]) for i in range(width)]
    arrays += [_number_array([row[1][i] for row in rows]) for i in range(len(table.released))]
    arrays += [_text_array(texts) for texts in computed]
    if table.other:
        names.append("other")
        arrays.append(_number_array([0] * (len(rows) - 1) + [1] * bool(rows)))
    unnested = ", ".join(f"pg_catalog.unnest({a})" for a in arrays)
    return f"SELECT {', '.join(columns) or '1 AS one'} FROM ROWS FROM ({unnested}) AS r({', '.join(names)})"


def _key_columns(stack: Stack, keys: tuple[int | None, ...], fragment: int, tables: Sequence[NoisyTable]) -> list[str]:
    """k0.. with the types of the original columns; a key that is rolled up is NULL, of its type in another part."""
    found = []
    for i, key in enumerate(keys):
        if key is not None:
            found.append(f"{_typed(tables[fragment].keys[key])} AS k{i}")
            continue
        whole = next((tables[f].keys[k] for f, others in stack.parts if (k := others[i]) is not None), None)
        if whole is None:
            raise Internal("a grouping key stands in no grouping set")
        found.append(f"{_typed(replace(whole, sql='NULL'))} AS k{i}")
    return found


def _aggregate_columns(table: NoisyTable) -> list[str]:
    return [f"{_typed(c)} AS a{i}" for i, c in enumerate(table.aggregates)]


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
