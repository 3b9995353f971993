"""The split: no mention of a private table survives in the remainder, whatever the deparse looks like."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisegate.errors import NoisegateError
from noisegate.plan.units import UNIT, Determinant
from noisegate.query.lexer import Kind, tokenize
from noisegate.query.lineage import Tables
from noisegate.query.split import Split, split

PRIVATE = {("public", "users"), ("public", "events"), ("Web log", 'Ev"ents')}
COLUMNS = {
    ("public", "users"): ["id", "city", "age", "date"],
    ("public", "events"): ["user_id", "kind", "at"],
    ("Web log", 'Ev"ents'): ["user_id", "page"],
    ("public", "cities"): ["name", "region"],
}
UNITS = {
    ("public", "users"): (Determinant(UNIT, ("id",)),),
    ("public", "events"): (Determinant(UNIT, ("user_id",)),),
    ("Web log", 'Ev"ents'): (Determinant(UNIT, ("user_id",)),),
}
# Texts as pg_get_viewdef prints them.
DEPARSES = (
    "SELECT count(*) AS c0 FROM public.users",
    "SELECT city AS c0, count(*) AS c1 FROM public.users GROUP BY city HAVING (count(*) > 5) ORDER BY (count(*)) DESC",
    "SELECT u.city AS c0, sum(u.age) FILTER (WHERE (u.age > 3)) AS c1 FROM (public.users u JOIN "
    "public.cities c ON ((c.name = u.city))) WHERE ((u.city <> 'public.users'::text) AND (u.age < 90)) "
    "GROUP BY u.city",
    "WITH a AS ( SELECT count(*) AS n FROM public.events ), b AS ( SELECT avg(users.age) AS m FROM "
    "public.users ) SELECT (a.n)::numeric / b.m AS c0 FROM a, b",
    "SELECT x.c0 FROM ( SELECT events.kind AS c0, count(*) AS n FROM public.events GROUP BY events.kind) x "
    "WHERE (x.n > (10)::bigint) LIMIT 3",
    "SELECT 'users'::text AS c0, count(*) AS c1 FROM public.users UNION ALL SELECT 'events'::text AS c0, "
    'count(*) AS c1 FROM "Web log"."Ev""ents"',
    "SELECT ( SELECT count(*) AS count FROM public.events) AS c0, cities.name AS c1 FROM public.cities",
    'SELECT count(DISTINCT "Ev""ents".user_id) AS c0, sum(count(*)) OVER () AS c1 FROM "Web '
    'log"."Ev""ents" GROUP BY (date_trunc(\'day\'::text, "Ev""ents".page))',
    "SELECT DISTINCT users.city AS c0 FROM public.users",
    "SELECT CASE WHEN (users.age > 3) THEN 'a'::text ELSE 'b'::text END AS c0, avg(users.age) AS c1 FROM "
    "public.users GROUP BY CASE WHEN (users.age > 3) THEN 'a'::text ELSE 'b'::text END",
)
SPICES = (
    "public.users", "public.events", '"public"."users"', "public . users", "public/**/.users",
    '"Web log"."Ev""ents"', "public.cities", "FROM", "WHERE", "GROUP BY", "HAVING", "UNION ALL", "SELECT", "(", ")",
    ",", ".", "*", "count(*)", "users", "public", "AS x", "JOIN", "ON true", "'public.users'", "LATERAL", "WITH",
    "city", "1", "::", "INTO", "FOR UPDATE", "OVER ()", "[", "]", "users.*", "TABLE public.users",
    "INSERT INTO public.users", "EXISTS", "array_agg(users)", "::public.users",
)  # fmt: skip


def cut(sql: str) -> Split:
    tables = Tables(
        lambda s, t: (s, t) in PRIVATE, lambda s, t: COLUMNS.get((s, t), []), lambda s, t: UNITS.get((s, t), ())
    )
    return split(sql, tables)


def mentions(sql: str) -> list[tuple[str, str]]:
    """Private tables that a text names, by PostgreSQL's own lexical rules: name, dot, name."""
    tokens = tokenize(sql)
    words = (Kind.NAME, Kind.QUOTED)
    return [
        (a.value, b.value)
        for a, dot, b in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if dot.is_punct(".") and a.kind in words and b.kind in words and (a.value, b.value) in PRIVATE
    ]


@pytest.mark.parametrize("sql", DEPARSES)
def test_real_deparses_are_split(sql: str) -> None:
    found = cut(sql)
    assert len(found.fragments) == len(mentions(sql)) >= 1
    assert mentions(found.remainder) == []
    for i in range(len(found.fragments)):
        assert f"_ng_f{i}" in found.remainder
    assert found.remainder[: found.with_at].strip().lower() in ("", "with", "with recursive")


def mutated(seed: int, edits: int) -> str:
    draw = random.Random(seed)
    sql = draw.choice(DEPARSES)
    tokens = tokenize(sql)
    pieces = [sql[a.start : b.start] for a, b in zip(tokens, (*tokens[1:], None), strict=True) if b is not None]
    pieces.append(sql[tokens[-1].start :])
    for _ in range(edits):
        at = draw.randrange(len(pieces) + 1)
        match draw.randrange(5):
            case 0 if at < len(pieces) and len(pieces) > 1:
                del pieces[at]
            case 1:
                pieces.insert(at, f" {draw.choice(SPICES)} ")
            case 2 if at + 1 < len(pieces):
                pieces[at], pieces[at + 1] = pieces[at + 1], pieces[at]
            case 3:
                start = draw.randrange(len(pieces))
                pieces[at:at] = pieces[start : start + draw.randrange(1, 12)]
            case _:
                other = tokenize(text := draw.choice(DEPARSES))
                start = draw.randrange(len(other))
                stop = min(len(other) - 1, start + draw.randrange(1, 20))
                pieces.insert(at, f" {text[other[start].start : other[stop].end]} ")
    return "".join(pieces)


def check(sql: str) -> bool:
    """Whether it was split; in any case nothing but a NoisegateError, and no private name left."""
    try:
        found = cut(sql)
    except NoisegateError:
        return False
    assert mentions(found.remainder) == []
    for fragment in found.fragments:
        assert fragment.aggregates or fragment.grouped
    return True


@settings(max_examples=600, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 4))
def test_mutated_deparses_leave_no_private_name(seed: int, edits: int) -> None:
    check(mutated(seed, edits))


def test_mutations_reach_the_split() -> None:
    passed = sum(check(mutated(seed, 1 + seed % 3)) for seed in range(600))
    assert 60 < passed < 600


@pytest.mark.slow
@settings(max_examples=100_000, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 8))
def test_mutated_deparses_leave_no_private_name_long(seed: int, edits: int) -> None:
    check(mutated(seed, edits))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT city FROM public.users",
        "SELECT count(*) FROM public.users, public.users",
        "SELECT public.users FROM public.cities",
        "SELECT (x)::public.users FROM public.cities",
        "SELECT count(*) FROM public.cities WHERE (EXISTS ( SELECT 1 FROM public.users))",
        "SELECT count(*), users.city FROM public.users",
        "SELECT count(*), ( SELECT users.city) FROM public.users",
        "SELECT count(*), users.* FROM public.users",
        "SELECT count(*) AS users FROM public.users GROUP BY city ORDER BY users.id",
        "TABLE public.users",
        "SELECT count(*) FROM ROWS FROM(public.users())",
        "SELECT count(*) FROM public.users TABLESAMPLE system (1)",
        "SELECT count(*) FROM public.users FOR UPDATE",
        "WITH x AS (INSERT INTO public.users DEFAULT VALUES) SELECT count(*) FROM public.users",
        "SELECT _ng_f0.a0 FROM public.users",
        'SELECT count(*) FROM public.users WHERE U&"\\0061" = 1',
        "SELECT array_agg(users.id) FROM public.users",
    ],
)
def test_refused(sql: str) -> None:
    try:
        found = cut(sql)
    except NoisegateError as error:
        assert error.message
        return
    # What the split lets pass, planning refuses: two private tables, for one.
    assert mentions(found.remainder) == [] and sql.count("public.users") > 1
