"""Total functions never raise, whatever the row; and on ordinary rows they say what PostgreSQL says."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from fractions import Fraction

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisegate.errors import NoisegateError
from noisegate.privacy.rules import resolver_of
from noisegate.query.constants import Const, render
from noisegate.query.total import ROWS, Row
from noisegate.query.total.arrays import constant
from noisegate.query.total.casts import _NAMES, cast
from noisegate.query.total.dates import FIELDS, TRUNC_FIELDS
from noisegate.query.tree import Name, TableRef
from noisegate.query.values import NUMBERS, Value, of_const
from support.expressions import check_never_raises, check_same_as_postgresql, compiled, failures
from support.extremes import COLUMNS
from support.planner import Planner

STAMP_FIELDS = {word for word, (_, _, types) in FIELDS.items() if "timestamp" in types}
ZONES = ("UTC", "America/Los_Angeles", "Pacific/Kiritimati")
CONSTANTS = tuple(
    Const(base, text)
    for base, texts in {
        "text": ("", "a", "%", "a_%", "x\\\\", "UTC", "Europe/Berlin", "year", "week", "a'b", "ß"),
        "interval": ("0 months 0 days 0 microseconds", "12000 months 366000 days 31622400000000000 microseconds",
                     "-12000 months -366000 days -31622400000000000 microseconds", "-1 months 30 days -5 microseconds"),
        "date": ("2000-01-01", "9999-12-31", "infinity"),
        "timestamp": ("0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"),
        "timestamptz": ("0001-01-01 00:00:00+00", "infinity"),
        "bool": ("true", None),
        "time": ("24:00:00",),
        "uuid": ("00000000-0000-0000-0000-000000000000",),
    }.items()
    for text in texts
) + tuple(
    Const(base, text, None if text == "NaN" else Fraction(text))
    for base, texts in {
        "int4": ("0", "1", "-1", "7", "1000000", "-1000000", "2147483647"),
        "int8": ("9223372036854775807", "-9223372036854775808"),
        "numeric": ("0", "0.5", "-3", "1" + "0" * 300, "0." + "0" * 200 + "1", "NaN"),
        "float8": ("0", "0.5", "-3", "1e300", "1e-300", "NaN"),
    }.items()
    for text in texts
)  # fmt: skip


def columns(planner: Planner) -> dict[str, Value]:
    resolver = resolver_of(TableRef("public", "wild", "t0", 0, 0), planner.snapshot, {})
    return {c: resolver.column(Name(("t0", c), 0, 0)) for c in COLUMNS}


def constants() -> list[Value]:
    return [of_const(c, render(c)) for c in CONSTANTS]


def text(x: str) -> Value:
    return _literal(Const("text", x))


def whole(x: int, base: str = "int4") -> Value:
    return _literal(Const(base, str(x), Fraction(x)))


def items(base: str, *xs: str) -> Value:
    numbers = base in NUMBERS
    return constant(Const("array", "", None, tuple(Const(base, x, Fraction(x) if numbers else None) for x in xs)))


def _literal(const: Const) -> Value:
    return of_const(const, render(const))


def _leading(words: Iterable[str], *ends: Sequence[Value]) -> list[tuple[Value, ...]]:
    return list(itertools.product([text(w) for w in words], *ends))


def special(name: str, values: Sequence[Value]) -> list[tuple[Value, ...]] | None:
    """Calls of functions that take constants of a certain kind; None for all others."""
    kinds: dict[str, list[Value]] = {}
    for v in values:
        kinds.setdefault(v.type, []).append(v)
    stamps = [*kinds["timestamp"], *kinds["timestamptz"]]
    texts = [*kinds["text"], *kinds["bpchar"]]
    integers = [*kinds["int2"], *kinds["int4"], *kinds["int8"]]
    zones = [text("UTC"), text("Europe/Berlin")]
    patterns = [text(p) for p in ("a", "^(a|b)*$", "[[:alpha:]]{2,9}", "(.*)(x+)$", "é?", "")]
    keys = [text("a"), text(""), whole(0), whole(-1), whole(2**31 - 1)]
    paths = [items("text", "a"), items("text", "a", "0"), items("text", "-1"), items("text", "", "a", "9" * 30)]
    sets = [*paths, items("int4", "1", "7"), items("numeric", "1")]
    step = [
        _literal(Const("interval", f"0 months {d} days {us} microseconds")) for d, us in ((0, 1), (7, 0), (366_000, 0))
    ]
    origins = [
        _literal(Const(t, f"2000-01-01 00:00:00{z}", Fraction(0)))
        for t, z in (("timestamp", ""), ("timestamptz", "+00"))
    ]
    limits = {t: [_literal(Const(t, x, Fraction(x))) for x in ("-5", "7.5")] for t in ("numeric", "float8")}
    match name:
        case "extract" | "date_part":
            return _leading(FIELDS, values[::2])
        case "date_trunc":
            return _leading(TRUNC_FIELDS, values[::2]) + [
                (*c, z) for c in _leading(TRUNC_FIELDS, values[::2]) for z in zones
            ]
        case "timezone":
            return list(itertools.product(zones, values))
        case "date_bin":
            return list(itertools.product(step, stamps, origins))
        case "make_date":
            return list(
                itertools.product(integers[::2], [*integers[1::2], whole(2)], [*integers, whole(29), whole(31)])
            )
        case "to_char":
            dates = [
                text(f) for f in ("YYYY-MM-DD HH24:MI:SS.US", 'FMMonth "q"Q', "IYYY-IW-ID", "Dy, DDD J CC AM W WW")
            ]
            figures = [text(f) for f in ("FM999,990.00", "S09.99", "$9", "9.9PR", "0" * 30 + "." + "9" * 30)]
            return list(itertools.product(values, [*dates, *figures]))
        case "->" | "->>":
            return list(itertools.product([*kinds["jsonb"], *kinds["json"]], keys))
        case "#>" | "#>>":
            return list(itertools.product([*kinds["jsonb"], *kinds["json"]], paths))
        case "?" | "?|" | "?&":
            return list(itertools.product(kinds["jsonb"], [*keys, *paths]))
        case "@>" | "<@" | "&&":
            documents = [_literal(Const("jsonb", d)) for d in ('{"a": {"a": [1]}}', "[[2]]", "1")]
            pairs = [*itertools.product(kinds["jsonb"], documents), *itertools.product(kinds["array"], sets)]
            return pairs + [(b, a) for a, b in pairs]
        case "array_length" | "array_lower" | "array_upper":
            return list(itertools.product(kinds["array"], [whole(0), whole(1), whole(7), whole(-1)]))
        case "width_bucket":
            fixed = [(a, *limits[a.type][::w], whole(10)) for a in values if a.type in limits for w in (1, -1)]
            borders = [items(t, "-7", "0", "1000") for t in NUMBERS] + [items("text", "a", "b")]
            return [*fixed, *itertools.product(values, [*borders, items("date", "2000-01-01")])]
        case "~" | "~*" | "!~" | "!~*" | "regexp_count" | "regexp_substr":
            return list(itertools.product(texts, patterns))
        case "regexp_like":
            return [*itertools.product(texts, patterns), *itertools.product(texts, patterns, [text("i"), text("nx")])]
        case "regexp_replace":
            calls = list(itertools.product(texts, patterns, [text("é"), text("")]))
            return [*calls, *((*c, text("gi")) for c in calls)]
        case "replace" | "translate":
            return list(
                itertools.product(texts, [text("x"), text(""), text("ß'")], [text("y" * 5000), text(""), text("é")])
            )
        case "split_part":
            return list(itertools.product(texts, [text(""), text("s"), text("ß")], [whole(1), whole(-1), whole(9999)]))
        case "lpad" | "rpad" | "repeat":
            calls = list(itertools.product(texts, [whole(0), whole(-5), whole(10_000)]))
            return [*calls, *((*c, text(f)) for c in calls for f in ("", "é"))]
        case "substr" | "substring":
            numbers = [whole(n) for n in (0, 1, -1, 1_000_000)]
            calls = [*itertools.product(texts, numbers), *itertools.product(texts, numbers, numbers)]
            return [*calls, *itertools.product(texts, patterns)]
        case "concat" | "concat_ws" | "num_nulls" | "num_nonnulls":
            return [(text("é"), *values[i : i + 3]) for i in range(len(values))] + [tuple(texts)]
        case _:
            return None


def applications(row: Row, values: Sequence[Value], literals: Sequence[Value]) -> list[Value]:
    """Everything that the row's rule makes of columns and constants."""
    calls = special(row.name, values)
    if calls is None:
        firsts, seconds = values[::2], values[1::2]
        calls = [(a,) for a in firsts]
        calls += itertools.chain(itertools.product(firsts, (*seconds, *literals)), itertools.product(literals, seconds))
    found: dict[str, Value] = {}
    for args in calls:
        try:
            value = row.rule(*args)
        except (NoisegateError, TypeError):
            continue
        found.setdefault(value.sql, value)
    return list(found.values())


@pytest.mark.parametrize("row", ROWS, ids=[f"{r.name} ({r.arguments})" for r in ROWS])
def test_no_row_of_the_table_raises(planner: Planner, engine: psycopg.Connection, row: Row) -> None:
    made = applications(row, list(columns(planner).values()), constants())
    assert made, "the row is never exercised"
    for zone in ZONES if any("ts" in v.sql or "tz" in v.sql for v in made) else ZONES[:1]:
        assert failures(engine, made, zone) == []


TARGETS = (
    *_NAMES,
    "numeric(10,2)",
    "numeric(4,4)",
    "numeric(3,-2)",
    "numeric(1000,1000)",
    "character varying(3)",
    "character(7)",
)


def test_no_cast_raises(planner: Planner, engine: psycopg.Connection) -> None:
    made: dict[str, Value] = {}
    for value in list(columns(planner).values())[::2]:
        for target in TARGETS:
            try:
                once = cast(value, target)
            except NoisegateError:
                continue
            made[once.sql] = once
            for further in TARGETS:
                try:
                    twice = cast(once, further)
                except NoisegateError:
                    continue
                made[twice.sql] = twice
    assert len(made) > 300
    assert failures(engine, list(made.values())) == []
    moments = [v for v in made.values() if "ts1" in v.sql or "tz1" in v.sql or "d1" in v.sql]
    for zone in ZONES[1:]:
        assert failures(engine, moments, zone) == []


# -- whole expressions, as PostgreSQL prints them ----------------------------------------------------------------------
def numbers(kind: str, depth: int) -> st.SearchStrategy[str]:
    """SQL expressions of type int4, int8, numeric or float8."""
    columns = {
        "int4": ["i41", "i42"],
        "int8": ["i81", "i82"],
        "numeric": ["n1", "n2", "money1", "long1", "deep1"],
        "float8": ["f81", "f82"],
    }
    literals = {
        "int4": ["0", "1", "-1", "3", "2147483647"], "int8": ["0::int8", "9223372036854775807", "-7::int8"],
        "numeric": ["0.0", "0.5", "-2.25", "1e30", "1e-30"], 
        "float8": ["0::float8", "0.5::float8", "1e300::float8", "-3e-300::float8"],
    }  # fmt: skip
    leaf = st.sampled_from(columns[kind] * 3 + literals[kind])
    if depth == 0:
        return leaf
    same, truth = numbers(kind, depth - 1), conditions(depth - 1)
    forms = [
        leaf,
        st.builds("({} {} {})".format, same, st.sampled_from("+-*/" if kind == "float8" else "+-*/%"), same),
        st.builds("({} {})".format, st.sampled_from("+-@"), same),
        st.builds("abs({})".format, same),
        st.builds("{}({}, {})".format, st.sampled_from(["coalesce", "greatest", "least", "nullif"]), same, same),
        st.builds("CASE WHEN {} THEN {} ELSE {} END".format, truth, same, same),
    ]
    others = [k for k in columns if k != kind]
    forms.append(st.sampled_from(others).flatmap(lambda k: st.builds(f"({{}})::{kind}".format, numbers(k, depth - 1))))
    if kind == "int4":
        forms += [
            st.builds("length({})".format, texts(depth - 1)),
            st.builds(
                "extract({} FROM {})::int".format, st.sampled_from(sorted(STAMP_FIELDS - {"epoch"})), moments(depth - 1)
            ),
            st.builds("({} - {})".format, dates(depth - 1), dates(depth - 1)),
        ]
    elif kind == "numeric":
        forms += [
            st.builds("{}({}, {})".format, st.sampled_from(["round", "trunc"]), same, st.integers(-3, 5)),
            st.builds("{}({})".format, st.sampled_from(["floor", "ceil", "sign", "round"]), same),
            st.builds("({})::numeric({})".format, same, st.sampled_from(["5,2", "12", "3,3"])),
            st.builds("extract({} FROM {})".format, st.sampled_from(sorted(STAMP_FIELDS)), moments(depth - 1)),
        ]
    elif kind == "float8":
        forms += [
            st.builds("{}({})".format, st.sampled_from(["floor", "ceil", "sign", "round", "trunc"]), same),
            st.builds("date_part('{}', {})".format, st.sampled_from(["year", "epoch", "week"]), dates(depth - 1)),
        ]
    return st.one_of(forms)


def texts(depth: int) -> st.SearchStrategy[str]:
    leaf = st.sampled_from(["t1", "t2", "bp1::text", "vc1", "''", "'a'", "'é''%'", "e1::text"])
    if depth == 0:
        return leaf
    same = texts(depth - 1)
    return st.one_of(
        leaf,
        st.builds("({} || {})".format, same, same),
        st.builds("{}({})".format, st.sampled_from(["lower", "upper", "btrim", "ltrim", "rtrim"]), same),
        st.builds("{}({}, {})".format, st.sampled_from(["left", "right", "substr"]), same, st.integers(-3, 5)),
        st.builds("substr({}, {}, {})".format, same, st.integers(-3, 5), st.integers(0, 5)),
        st.builds("({})::varchar({})".format, same, st.integers(1, 4)),
        st.builds("({})::text".format, numbers("int8", depth - 1)),
        st.builds("({})::text".format, numbers("numeric", depth - 1)),
        st.builds("coalesce({}, {})".format, same, same),
        st.builds("CASE WHEN {} THEN {} END".format, conditions(depth - 1), same),
    )


def dates(depth: int) -> st.SearchStrategy[str]:
    leaf = st.sampled_from(["d1", "d2", "date '2001-02-03'"])
    if depth == 0:
        return leaf
    return st.one_of(
        leaf,
        st.builds(
            "({} {} {})".format, dates(depth - 1), st.sampled_from("+-"), st.sampled_from([1, -7, 100000, 1000000])
        ),
        st.builds("({})::date".format, moments(depth - 1)),
        st.builds("greatest({}, {})".format, dates(depth - 1), dates(depth - 1)),
    )


def moments(depth: int) -> st.SearchStrategy[str]:
    leaf = st.sampled_from(["ts1", "ts2", "timestamp '2001-02-03 04:05'"])
    if depth == 0:
        return leaf
    same = moments(depth - 1)
    steps = ["1 day", "-1 month", "1000 years", "-1000 years", "12000 months 366000 days", "90 minutes"]
    return st.one_of(
        leaf,
        st.builds("({} {} interval '{}')".format, same, st.sampled_from("+-"), st.sampled_from(steps)),
        st.builds("({} + interval '{}')".format, dates(depth - 1), st.sampled_from(steps)),
        st.builds("date_trunc('{}', {})".format, st.sampled_from(sorted(TRUNC_FIELDS)), same),
        st.builds("(({}) AT TIME ZONE 'Asia/Tokyo')::timestamp".format, same),
        st.builds("(({})::timestamptz AT TIME ZONE 'America/New_York')".format, same),
        st.builds("({})::timestamp".format, dates(depth - 1)),
        st.builds("coalesce({}, {})".format, same, same),
    )


def conditions(depth: int) -> st.SearchStrategy[str]:
    leaf = st.sampled_from(
        ["b1", "b2", "true", "e1 > 'sad'", "u1 = u2", "tm1 < tm2", "iv1 > interval '1 day'", "i41 IS NULL"]
    )
    if depth == 0:
        return leaf
    pair = st.sampled_from(["int4", "int8", "numeric", "float8"]).flatmap(
        lambda k: st.tuples(numbers(k, depth - 1), numbers(k, depth - 1))
    )
    pair = st.one_of(pair, *(st.tuples(f(depth - 1), f(depth - 1)) for f in (texts, dates, moments)))
    return st.one_of(
        leaf,
        st.builds(
            lambda p, op: f"({p[0]} {op} {p[1]})",
            pair,
            st.sampled_from(["=", "<>", "<", ">", "<=", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"]),
        ),
        st.builds("({} {} {})".format, conditions(depth - 1), st.sampled_from(["AND", "OR"]), conditions(depth - 1)),
        st.builds("(NOT {})".format, conditions(depth - 1)),
        st.builds(
            "({} IS {})".format, conditions(depth - 1), st.sampled_from(["TRUE", "NOT FALSE", "UNKNOWN", "NOT NULL"])
        ),
        st.builds(
            "({} {} '{}')".format,
            texts(depth - 1),
            st.sampled_from(["LIKE", "NOT LIKE", "ILIKE"]),
            st.sampled_from(["a%", "_", "%%é%"]),
        ),
        st.builds("({} IN (1, 7, 2147483647))".format, numbers("int4", depth - 1)),
        st.builds("({} NOT IN ('a', 'é'))".format, texts(depth - 1)),
        st.builds("({} BETWEEN 0 AND 7.5)".format, numbers("numeric", depth - 1)),
        st.builds("starts_with({}, 'a')".format, texts(depth - 1)),
    )


def anything(depth: int) -> st.SearchStrategy[str]:
    kinds = [numbers(k, depth) for k in ("int4", "int8", "numeric", "float8")]
    return st.one_of(*kinds, texts(depth), dates(depth), moments(depth), conditions(depth))


@pytest.mark.parametrize(
    "expression",
    [
        "bp1::text LIKE '_'", "bp1 LIKE '_'", "vc1::bpchar = 'a'::bpchar", "bp1 = 'a'", "bp1::text = 'a '",
        "length(bp1)",
        "octet_length(bp1)", "bp1::text || vc1", "vc1::char(3)", "t1::varchar(1)", "n1::int4", "f81::int4", "i41 / 2",
        "-7 / i42", "i41 % -3", "n1 / 3", "f81 / 3", "round(n1)", "round(f81)", "trunc(n1, 1)", "i41 IN (1, NULL)",
        "i41 NOT IN (1, NULL)",
        "t1 LIKE ANY (ARRAY['a%', '_x'])", "t1 NOT LIKE ALL (ARRAY['a%', '_x'])",
        "n1 > ALL (ARRAY[1, 2.5])",
        "CASE i41 WHEN 1 THEN 'a' WHEN NULL THEN 'b' END", "nullif(e1, 'ok')", "greatest(e1, 'ok')",
        "NOT (b1 AND NULL)",
        "extract(quarter FROM d1)", "date_part('week', ts1)", "date_trunc('quarter', tz1)", "ts1 - ts2", "d1 - d2",
        "ts1 + '1 month -1 day'::interval", "(d1 + 30)::timestamp", "tz1::date", "ts1 > d1", "tz1 > d1",
        "money1::numeric(3,1)",
    ],
)  # fmt: skip
def test_examples_say_what_postgresql_says(planner: Planner, engine: psycopg.Connection, expression: str) -> None:
    for zone in ZONES:
        engine.execute("SELECT set_config('TimeZone', $1, false)", (zone,))
        _, value = compiled(planner, expression, "tame")
        assert value.sql
        check_same_as_postgresql(planner, engine, expression)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(expression=anything(3))
def test_whole_expressions_never_raise(planner: Planner, engine: psycopg.Connection, expression: str) -> None:
    check_never_raises(planner, engine, expression)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(expression=anything(2))
def test_whole_expressions_say_what_postgresql_says(
    planner: Planner, engine: psycopg.Connection, expression: str
) -> None:
    check_same_as_postgresql(planner, engine, expression)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None, suppress_health_check=list(HealthCheck))
@given(expression=anything(4))
def test_whole_expressions_long(planner: Planner, engine: psycopg.Connection, expression: str) -> None:
    check_never_raises(planner, engine, expression)
    check_same_as_postgresql(planner, engine, expression)
