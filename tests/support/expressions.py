"""Expressions on private rows: as PostgreSQL prints them, in total form, and the two compared."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import psycopg

from noisegate.errors import NoisegateError
from noisegate.planning.jobs import ReadJob, read_job
from noisegate.privacy.grid import choose_grid
from noisegate.privacy.keys import canonical
from noisegate.privacy.rules import resolver_of
from noisegate.query.total import compile_expr
from noisegate.query.tree import IsTest
from noisegate.query.values import NUMBERS, Value
from support.planner import Planner


def uses(value: Value) -> list[str]:
    """The forms in which a value goes to the engine: as it is, as a group key, as a summand."""
    found = [f"pg_catalog.count({value.sql})"]
    with suppress(NoisegateError):
        found.append(f"pg_catalog.count(({canonical(value)})::pg_catalog.text)")
    if value.type in NUMBERS and value.bound.finite:
        try:
            grid = choose_grid(value, None, value.bound.magnitude)
            found.append(f"pg_catalog.sum({grid.row_sql(value, value.bound)})")
            found.append(f"pg_catalog.sum({grid.row_sql(value, value.bound, grid.down(value.bound.lo))})")
        except NoisegateError:
            pass
    return found


def failures(engine: psycopg.Connection, values: Sequence[Value], zone: str = "UTC") -> list[str]:
    """The SQL that raises on some row, with its error; in batches, as most does not."""
    engine.execute("SELECT set_config('TimeZone', $1, false)", (zone,))
    pending = [[s for v in values[i : i + 100] for s in uses(v)] for i in range(0, len(values), 100)]
    found: list[str] = []
    while pending:
        batch = pending.pop()
        try:
            engine.execute(f"SELECT {', '.join(batch)} FROM public.wild AS t0")
        except psycopg.errors.DatabaseError as error:
            if len(batch) == 1 and (error.sqlstate or "").startswith("42"):
                continue  # refused when it is parsed, before any charge: types that PostgreSQL's own reading rules out
            if len(batch) == 1:
                found.append(f"{str(error)[-150:]} | {batch[0][:200]} ... {batch[0][-200:]}")
            else:
                half = len(batch) // 2
                pending += [batch[:half], batch[half:]]
    return found


def compiled(planner: Planner, expression: str, table: str) -> tuple[str, Value]:
    """(the expression as PostgreSQL prints it, its total form). Raises NoisegateError where it is refused, and
    psycopg.Error where PostgreSQL itself refuses the text or a constant in it."""
    text = planner.deparse(f"SELECT count(*) FROM public.{table} AS t0 WHERE ({expression}) IS NOT NULL")
    (fragment,) = read_job(ReadJob(text), planner.snapshot).fragments
    test = fragment.where
    assert isinstance(test, IsTest)
    resolver = resolver_of(fragment.relation, planner.snapshot, planner.constants(text, [test]))
    return text[test.arg.start : test.arg.end], compile_expr(test.arg, resolver.scope)


def check_never_raises(planner: Planner, engine: psycopg.Connection, expression: str) -> None:
    try:
        _, value = compiled(planner, expression, "wild")
    except (NoisegateError, psycopg.DataError):
        return
    assert failures(engine, [value]) == []


def check_same_as_postgresql(
    planner: Planner, engine: psycopg.Connection, expression: str, raises: bool = True
) -> None:
    """On ordinary rows: the value of the original. Where that raises, if it may (`raises`), nothing is compared."""
    if any(word in expression for word in ("e300", "e-300", "00000", "000 years", "000 months")):
        return  # floats so far from 1 are NULL in arithmetic, and so are steps over the calendar's ends
    try:
        text, value = compiled(planner, expression, "tame")
    except (NoisegateError, psycopg.DataError):
        return
    differing = f"SELECT t0.id FROM public.tame AS t0 WHERE ({text}) IS DISTINCT FROM ({value.sql}) LIMIT 1"
    try:
        row = engine.execute(differing).fetchone()
    except (psycopg.DataError, psycopg.errors.FeatureNotSupported):
        if raises:
            return
        raise
    assert row is None, f"{text} is not {value.sql} in row {row}"
