"""Constants: from the session's value to a literal on the data server and back, for every type; hostile texts."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from noisegate.engine.generated import parametrised
from noisegate.errors import NoisegateError, Unsupported
from noisegate.plan.measure import DeclaredGroups
from noisegate.query.constants import Const, constant_parts, decode, decode_row, evaluation_sql, quote_literal, render
from noisegate.query.lexer import Kind, tokenize
from noisegate.query.reader import Reader
from noisegate.room.embedded import EmbeddedServer
from support.fragments import fragment, measurement
from support.planner import like_the_engine
from support.servers import new_database

HOSTILE = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.lists(
        st.sampled_from(
            ["'", "\\", "''", "\\'", "{secret:0}", "$1", "--", "/*", ";", '"', "E'", "\n", "é", "{", "}", "::", "%"]
        )
    ).map("".join),
)


@pytest.fixture(scope="module")
def session(data_server: EmbeddedServer) -> Iterator[psycopg.Connection]:
    dsn = new_database(data_server, "CREATE TYPE mood AS ENUM ('sad', 'o''k\\'); CREATE DOMAIN small AS int")
    with psycopg.connect(dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        yield connection


@pytest.fixture(scope="module")
def engine(session: psycopg.Connection) -> Iterator[psycopg.Connection]:
    with psycopg.connect(session.info.dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        like_the_engine(connection)
        yield connection


def evaluated(session: psycopg.Connection, sql: str) -> Const:
    (part,) = constant_parts([Reader(tokenize(sql)).expression()])
    with psycopg.RawCursor(session) as cursor:
        cursor.execute(evaluation_sql(sql, [part]).encode(), binary=True)
        result = cursor.pgresult
        assert result is not None
        row = tuple(result.get_value(0, i) for i in range(result.nfields))
    return decode_row([part], row)[(part.start, part.end)]


VALUES = (
    "'-32768'::smallint", "'-2147483648'::integer", "'9223372036854775807'::bigint", "1", "-1.50", "0.000",
    "'1e400'::numeric",
    "'NaN'::numeric", "'Infinity'::numeric", "'1e-300'::numeric", "'1.5'::real", "'3.4028235e38'::real",
    "'1.7976931348623157e308'::double precision", "'5e-324'::double precision", "'-0'::double precision",
    "'NaN'::double precision", "'-Infinity'::double precision", "'Infinity'::real", "true", "false", "NULL::boolean",
    "NULL::numeric", "''::text", "'it''s'::text", "'a'::character varying", "'ab '::bpchar", "'name'::name",
    "'0001-01-01'::date", "'9999-12-31'::date", "'infinity'::date", "'-infinity'::timestamp without time zone",
    "'9999-12-31 23:59:59.999999'::timestamp without time zone",
    "'1999-12-31 23:59:59.000001'::timestamp without time zone",
    "'2000-01-01 00:00:00+00'::timestamp with time zone", "'1883-11-18 12:00:00+07'::timestamp with time zone",
    "'24:00:00'::time without time zone", "'00:00:00.000001'::time without time zone",
    "'1 mon -3 days 04:05:06.7'::interval",
    "'-178000000 years'::interval", "'0'::interval", "'ffffffff-0000-0000-0000-000000000001'::uuid",
    "(now() - '1 day'::interval)", "lower('ÄB'::text)", "(1 + 2)", "make_date(2020, 1, 2)",
    """'{"a": [1, null, "it''s \\\\"]}'::jsonb""",
)  # fmt: skip


@pytest.mark.parametrize("sql", VALUES)
def test_a_constant_means_the_same_on_the_data_server(
    session: psycopg.Connection, engine: psycopg.Connection, sql: str
) -> None:
    const = evaluated(session, sql)
    literal = render(const)
    session.execute("SELECT set_config('TimeZone', 'Asia/Tokyo', false)")
    row = engine.execute(f"SELECT {literal} IS NOT DISTINCT FROM ({sql}), ({literal})::text, ({sql})::text").fetchone()
    assert row is not None
    if "now()" not in sql:
        assert row[0] is True and row[1] == row[2]
    if const.number is not None and const.base in ("int2", "int4", "int8", "numeric"):
        assert const.number == Fraction(Decimal(str(row[2])))


@pytest.mark.parametrize(
    "sql",
    ["'4713-01-01 BC'::date", "'294276-01-01'::timestamp without time zone", "'{1}'::int[][]", "'x'::bytea", "'1'::bit",
     "'{{1,2}}'::integer[]", "ROW(1, 2)", "random()", "nextval('s'::regclass)", "clock_timestamp()",
     "'1e5000'::numeric",
     "'1'::money", "'{}'::json", "pg_sleep(1)"],
)  # fmt: skip
def test_what_has_no_literal_is_refused(session: psycopg.Connection, sql: str) -> None:
    with pytest.raises(NoisegateError):
        render(evaluated(session, sql))


def test_numbers_of_dates_are_days_and_seconds_since_2000(session: psycopg.Connection) -> None:
    assert evaluated(session, "'2000-01-03'::date").number == 2
    assert evaluated(session, "'2000-01-01 00:00:01.5'::timestamp without time zone").number == Fraction(3, 2)
    assert evaluated(session, "'2000-01-01 01:00:00+01'::timestamp with time zone").number == 0


def test_arrays(session: psycopg.Connection, engine: psycopg.Connection) -> None:
    const = evaluated(session, "ARRAY['a''b'::text, NULL::text, '\\'::text]")
    assert const.items is not None and [i.text for i in const.items] == ["a'b", None, "\\"]
    assert evaluated(session, "'{1,2,NULL}'::integer[]").items == (
        Const("int4", "1", Fraction(1)), Const("int4", "2", Fraction(2)), Const("int4", None),
    )  # fmt: skip
    assert evaluated(session, "'{}'::integer[]").items == ()
    assert evaluated(session, "ARRAY['sad'::public.mood]").items == (Const("enum", "sad"),)


@pytest.mark.parametrize("sql", ["ARRAY['-5'::public.small]", "'{-5}'::public.small[]"])
def test_arrays_of_other_types_are_refused_in_words(session: psycopg.Connection, sql: str) -> None:
    with pytest.raises(NoisegateError):
        const = evaluated(session, sql)
        for item in const.items or ():
            render(item, "public.mood")


def test_enums_render_with_their_own_type_only(session: psycopg.Connection, engine: psycopg.Connection) -> None:
    const = evaluated(session, "'o''k\\'::public.mood")
    assert engine.execute(f"SELECT {render(const, 'public.mood')}::text").fetchone() == ("o'k\\",)
    with pytest.raises(Unsupported):
        render(const)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(HOSTILE)
@example("{secret:0}")
@example("\\'; DROP TABLE x; --")
@example("\\")
def test_hostile_texts_stay_texts(engine: psycopg.Connection, text: str) -> None:
    """Through rendering, through the engine's placeholders, on a real server: one value, the very same."""
    literal = render(Const("text", text))
    tokens = tokenize(literal)
    assert [t.kind for t in tokens][:1] == [Kind.STRING] and tokens[0].value == text
    plan = fragment((measurement("m0"),), DeclaredGroups(((),)), sql=f"SELECT {literal} AS m0", secrets=1)
    sql, secrets = parametrised(plan)
    assert secrets == 0, "a text became a placeholder"
    for setting in ("on", "off"):
        with engine.transaction(force_rollback=True):
            engine.execute(f"SET LOCAL standard_conforming_strings = {setting}")
            assert engine.execute(sql.encode()).fetchone() == (text,)


def test_a_nul_is_refused() -> None:
    with pytest.raises(Unsupported):
        quote_literal("a\0b")


@given(
    st.binary(max_size=20),
    st.sampled_from([16, 20, 21, 23, 25, 700, 701, 1042, 1082, 1083, 1114, 1186, 1700, 2950, 17]),
)
def test_wrong_bytes_never_give_a_literal_of_another_kind(data: bytes, oid: int) -> None:
    """Values come from PostgreSQL; still, bytes that no type has must not become SQL."""
    try:
        const = decode(oid, data)
        literal = render(const)
    except Exception as error:
        assert not isinstance(error, (KeyError, AttributeError, NameError))
        return
    tokens = tokenize(literal)
    assert tokens[0].kind is Kind.STRING and [t.value for t in tokens[1:4]] == ["::", "pg_catalog", "."]
