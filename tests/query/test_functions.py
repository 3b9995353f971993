"""Each total function on ordinary rows: it is answered, and says what PostgreSQL says wherever that does not raise."""

from __future__ import annotations

import psycopg
import pytest

from noisegate.errors import NoisegateError
from support.expressions import check_same_as_postgresql, compiled
from support.planner import Planner

ZONES = ("UTC", "America/Los_Angeles")
NUMBERS = (
    "sqrt(abs(i41))", "sqrt(abs(n1))", "|/ abs(f81)", "cbrt(f81)", "||/ f81", "ln(abs(f81) + 1)", "ln(abs(n1) + 1)",
    "log(abs(i41) + 1)", "log(2.0, abs(n1) + 1)", "log10(abs(n1) + 1)", "exp(least(f81, 3))", "exp(money1)", "i41 ^ 2",
    "power(n1, 2)", "power(abs(n1), 0.5)", "2 ^ i21", "1.05 ^ least(i41, 100)", "power(f81, 3)",
    "power(0::float8, abs(f81))",
    "div(n1, 3)", "mod(i41, 7)", "sin(f81)", "cos(f81)", "atan(f81)", "degrees(f81)", "radians(f81)", "f41 + f41",
    "f41 * f42",
    "f41 / (abs(f42) + 1)", "- f41", "f81::real", "n1::real", "width_bucket(n1, 0, 100, 10)",
    "width_bucket(f81, 10, 0, 5)",
    "width_bucket(i41, ARRAY[0, 10, 100])", "least(greatest(n1, 0), 100)", "CASE WHEN i41 > 100 THEN 100 ELSE i41 END",
    "i41 BETWEEN 2 AND 9", "i41 BETWEEN SYMMETRIC 9 AND 2", "i41 IN (1, i42)",
)  # fmt: skip
TEXTS = (
    "initcap(t1)", "reverse(t1)", "replace(t1, 'b', 'xyz')", "translate(t1, 'ab', 'x')", "split_part(t1, '-', 2)",
    "split_part(t1, '-', -1)", "position('b' in t1)", "strpos(t1, 'b')", "starts_with(t1, 'a')", "lpad(t1, 5)",
    "rpad(vc1, 5, '*')", "repeat(t1, 3)", "concat(t1, i41, b1, NULL, n1)", "concat_ws('-', t1, vc1, i41)", "t1 ~ '^a'",
    "t1 !~* 'B$'", "t1 ~* '(a|b)+'", "t1 SIMILAR TO '(a|A)%'", "t1 NOT SIMILAR TO '_'", "t1 LIKE 'a!%%' ESCAPE '!'",
    "regexp_replace(t1, '[aeiou]', '*', 'g')", "substring(t1 from '[a-z]+')", "substring(t1 from 2 for 1)",
    "regexp_like(t1, 'B', 'i')", "regexp_count(t1, 'a')", "trim(both ' ' from t1)", "bit_length(t1)", "ascii(t1)",
    "t1 ~ ANY (ARRAY['^a', 'b$'])", "num_nulls(t1, i41)", "num_nonnulls(t1, i41)", "octet_length(t1)", "left(t1, -1)",
)  # fmt: skip
DATES = (
    "age(ts1, ts2)", "age(ts1)", "age(tz1)", "age(d1)", "extract(year from age(d1))",
    "extract(month from age(ts1, ts2))",
    "extract(day from ts1 - ts2)", "extract(epoch from ts1 - ts2)", "extract(julian from d1)",
    "extract(isoyear from ts1)",
    "extract(timezone_hour from tz1)", "extract(epoch from tz1)", "date_bin('15 minutes', ts1, '2001-01-01')",
    "date_bin('7 days', tz1, '2001-01-01 00:00+00')", 
    "to_char(ts1, 'YYYY-MM-DD HH24:MI:SS.US')", "to_char(d1, 'YYYY-MM')", "to_char(tz1, 'FMMonth Dy IYYY-IW-ID Q')",
    "to_char(i41, 'FM999,990')", "to_char(n1, '999.99')", "to_char(f81, 'S09.9')", "isfinite(d1)", "isfinite(iv1)",
    "to_timestamp(f81)", "ts1 + i41 * interval '1 day'", "d1 - i21 * interval '1 month'", "interval '1 hour' + ts1",
    "d1 + tm1", "tm1 + interval '25 hours'", "tm1 - tm2", "ts1::time", "d1 + 7", "7 + d1",
    "now() - tz1 > interval '1 day'",
    "extract(epoch from iv1)", "extract(day from iv1)", "extract(hour from tm1)",
    "date_trunc('day', tz1, 'Asia/Tokyo')",
    "tz1 AT TIME ZONE 'Europe/Paris'", "ts1 AT TIME ZONE 'Europe/Paris'", "iv1 = interval '24 hours'",
    "d1 > current_date",
)  # fmt: skip
CASTS = (
    "b1::int", "i41::bool", "n1::text", "d1::text", "ts1::text", "tz1::text", "f81::text", "b1::text", "u1::text",
    "e1::text",
    "tm1::text", "i41::text", "(jb1 ->> 'n')::numeric", "jb1::text", "n1::int8", "f81::int8", "f81::numeric",
)  # fmt: skip
DOCUMENTS = (
    "jb1 -> 'a'", "jb1 ->> 'a'", "jb1 -> 0", "jb1 ->> -1", "jb1 #> '{b,1}'", "jb1 #>> '{a,b}'", "jb1 ? 'a'",
    "jb1 ?| ARRAY['n', 'x']", "jb1 ?& ARRAY['a', 'n']", "jb1 @> '{\"a\": 1}'", "jb1 <@ '{\"a\": 1, \"b\": [1, \"x\"]}'",
    "jsonb_typeof(jb1)", "jsonb_typeof(jb1 -> 'a')", "jb1 = '\"x\"'::jsonb", "js1 ->> 'a'", "(js1 -> 'b') ->> 0",
    "js1 #>> '{a,b}'",
    "json_typeof(js1)", "'a' = ANY (at1)", "i41 = ANY (ai1)", "7 <> ALL (ai1)", "at1 @> ARRAY['a']",
    "at1 <@ ARRAY['a', 'b']",
    "ai1 && ARRAY[7, 9]", "cardinality(at1)", "array_length(ai1, 1)", "array_upper(ai1, 1)", "array_lower(at1, 1)",
    "array_ndims(at1)", "ai1[1]", "at1[2]", "coalesce(ai1[2], 0) + 1", "e1 = 'ok'", "e1 > 'sad'", "e1 IN ('sad', 'ok')",
    "u1 = '00000000-0000-0000-0000-000000000000'", "b1 IS NOT TRUE", "coalesce(b1, false) AND NOT b2",
)  # fmt: skip


@pytest.mark.parametrize("expression", [*NUMBERS, *TEXTS, *DATES, *CASTS, *DOCUMENTS])
def test_it_is_answered_as_postgresql_answers(planner: Planner, engine: psycopg.Connection, expression: str) -> None:
    for zone in ZONES if expression in DATES + CASTS else ZONES[:1]:
        for connection in (engine, planner.connection):
            connection.execute("SELECT set_config('TimeZone', $1, false)", (zone,))
        try:
            _, value = compiled(planner, expression, "tame")
            assert value.sql
            check_same_as_postgresql(planner, engine, expression, raises=False)
        finally:
            planner.connection.execute("RESET TimeZone")


# Where PostgreSQL raises on some row, the others keep their values.
@pytest.mark.parametrize(
    ("expression", "good"),
    [
        ("t1::int", "t1 ~ '^ ?-?[0-9]+ ?$'"), ("t1::numeric", "t1 ~ '^ ?-?[0-9.]+ ?$'"), ("t1::float8",
        "t1 ~ '^ ?-?[0-9.]+ ?$'"),
        ("t1::bool", "t1 IN ('yes', 'F')"), ("t1::date", "t1 ~ '^20'"), ("t1::timestamp", "t1 ~ '^20'"),
        ("t1::timestamptz", "t1 ~ '^20'"), ("t1::time", "t1 = '12:30'"), ("t1::uuid", "false"), ("sqrt(n1)", "n1 >= 0"),
        ("ln(n1)", "n1 > 0"), ("1 / i41", "i41 <> 0"), ("mod(n1, money1)", "money1 <> 0"), ("power(n1, 0.5)",
        "n1 >= 0"),
        ("power(n1, -1)", "n1 <> 0"), ("jsonb_array_length(jb1)", "jsonb_typeof(jb1) = 'array'"),
        ("(jb1 -> 'n')::numeric", "jsonb_typeof(jb1 -> 'n') = 'number'"), ("(jb1 -> 'a')::bool",
        "jsonb_typeof(jb1 -> 'a') = 'boolean'"),
        ("i41::smallint", "true"), ("make_date(2023, i21, 30)", "i21 IN (1, 7, 12)"), ("log(n1, 2.0)",
        "n1 > 0 AND n1 <> 1"),
        ("make_date(2000 + i21::int, 2, 29)", "i21 IN (0, 12)"), ("make_date(i41, 1, 31)", "i41 > 0"),
    ],
)  # fmt: skip
def test_where_postgresql_raises_it_is_null(
    planner: Planner, engine: psycopg.Connection, expression: str, good: str
) -> None:
    text, value = compiled(planner, expression, "tame")
    rows = "FROM public.tame AS t0"
    engine.execute("SET search_path = public, pg_catalog")
    original = f"CASE WHEN {good} THEN ({text}) END"
    differing = engine.execute(
        f"SELECT count(*) {rows} WHERE CASE WHEN {good} THEN ({text}) IS DISTINCT FROM ({value.sql}) END"
    )
    assert differing.fetchone() == (0,)
    assert engine.execute(f"SELECT count({value.sql}) >= count({original}) {rows}").fetchone() == (True,)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("md5(t1)", "md5"), ("coalesce(at1, at2)", "array"), ("hashtext(t1)", "hashtext"),
        ("t1 ~ t2", "constant"), ("t1 ~ '(a)\\1'", "refers back"),
        ("t1 ~ '(?=a)b'", "looks around"), ("t1 ~ '(a{200}){200}'", "repeats"), ("repeat(t1, i41)", "constant"),
        ("to_char(ts1, 'TMMonth')", "plain patterns"), ("justify_days(iv1)", "not supported"), ("iv1 * 2", "\\*"),
        ("at1 @> at2", "constant"), ("jb1 -> t1", "constant"), ("to_jsonb(t1)", "packs"), ("f81::text", "ISO style"),
        ("regexp_replace(t1, '(a)', '\\1\\1')", "replacement"), ("lpad(t1, 1000000)", "constant length"),
    ],
)  # fmt: skip
def test_what_is_refused_says_why(planner: Planner, expression: str, words: str) -> None:
    planner.connection.execute("SET extra_float_digits = 0")
    try:
        with pytest.raises(NoisegateError) as refusal:
            compiled(planner, expression, "tame")
    finally:
        planner.connection.execute("RESET extra_float_digits")
    assert words in f"{refusal.value.message} {refusal.value.detail}".replace("*", "\\*")
