"""The texts that go to the data server."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisegate.engine.generated import parametrised, plan_settings, session_settings, set_sql
from noisegate.engine.opening import begin_sql, check_sql, prepare_sql
from noisegate.errors import Internal
from noisegate.plan.measure import DeclaredGroups, FragmentPlan
from support.fragments import fragment, measurement, selection

UNGROUPED = DeclaredGroups(((),))


def plan(sql: str, secrets: int = 3) -> FragmentPlan:
    return fragment((measurement("n"),), UNGROUPED, sql=sql, secrets=secrets)


@pytest.mark.parametrize(
    ("sql", "expected", "count"),
    [
        ("SELECT 1", "SELECT 1", 0),
        ("f({secret:0}, {secret:2}, {secret:0})", "f(($1::bigint), ($2::bigint), ($1::bigint))", 2),
        ("f({secret:1})", "f(($1::bigint))", 1),
        ("'{secret:0}' {secret:0}", "'{secret:0}' ($1::bigint)", 1),
        ("'it''s {secret:0} $1; -- \\' {secret:0}", "'it''s {secret:0} $1; -- \\' ($1::bigint)", 1),
        ('"{secret:0}""" {secret:0}', '"{secret:0}""" ($1::bigint)', 1),
        (r"E'\'{secret:0}\\' {secret:0}", r"E'\'{secret:0}\\' ($1::bigint)", 1),
        ("date'2020-01-01' {secret:0}", "date'2020-01-01' ($1::bigint)", 1),
        (r"name'\' {secret:0}", r"name'\' ($1::bigint)", 1),
        ("'/* '", "'/* '", 0),
    ],
)
def test_secrets_become_parameters_outside_quotes_only(sql: str, expected: str, count: int) -> None:
    assert parametrised(plan(sql)) == (expected, count)


@pytest.mark.parametrize(
    "sql",
    [
        "{secret:3}",
        "{secret:x}",
        "{other:0}",
        "$1",
        "$$text$$",
        "$a$text$a$",
        "SELECT 1; SELECT 2",
        "SELECT 1 -- {secret:0}",
        "SELECT /* ' */ 1",
        "'unbalanced",
        "'unbalanced''",
        '"unbalanced',
        r"E'unbalanced\'",
        "E'a'\n'b\\''",
        r"\d",
    ],
)
def test_what_is_never_generated_is_refused(sql: str) -> None:
    with pytest.raises(Internal):
        parametrised(plan(sql))


@given(st.text(alphabet="a'\\{secret:0}$;-/*\"E \n"))
def test_a_constant_of_the_analysts_stays_what_it_is(text: str) -> None:
    literal = "'" + text.replace("'", "''") + "'"
    assert parametrised(plan(f"SELECT {literal}, {{secret:0}}")) == (f"SELECT {literal}, ($1::bigint)", 1)
    escaped = "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    assert parametrised(plan(f"SELECT {escaped}, {{secret:0}}")) == (f"SELECT {escaped}, ($1::bigint)", 1)


def test_groups_below_the_minimum_stay_on_the_data_server() -> None:
    units = measurement('n"x')
    selected = fragment((units,), selection(units, 10), keys=1, sql="SELECT 1")
    assert parametrised(selected)[0] == 'SELECT * FROM (SELECT 1) AS totals WHERE totals."n""x" >= 10'


def test_tables_are_locked_before_anything_takes_a_snapshot() -> None:
    tables = (("public", 'we"ird', "f"), ("a", "b", "f"))
    statements = begin_sql(tables * 2).split("; ")
    assert statements[0] == "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    assert all(statement.startswith("SET LOCAL ") for statement in statements[1:-1])
    assert statements[-1] == 'LOCK TABLE "a"."b", "public"."we""ird" IN ACCESS SHARE MODE'


def test_a_connection_has_its_settings_from_the_beginning_and_shows_all_of_them() -> None:
    settings = session_settings(60)
    assert "SET statement_timeout = '60s'" in set_sql(settings).split("; ")
    for check in (check_sql("SELECT 1", settings), prepare_sql("SELECT 1", settings)):
        assert all(f"current_setting('{name}')" in check for name, _ in settings)


def test_what_is_set_for_the_check_ends_with_it() -> None:
    set_local = [s.split()[2] for s in begin_sql([]).split("; ") if s.startswith("SET LOCAL ")]
    assert set_local == ["plan_cache_mode", "enable_seqscan"]
    for check in (check_sql("SELECT 1", session_settings(1)), prepare_sql("SELECT 1", session_settings(1))):
        assert all(f"set_config('{name}'" in check for name in set_local)


def test_settings_of_a_statement_are_one() -> None:
    berlin = dataclasses.replace(plan(""), settings=(("TimeZone", "Europe/Berlin"),))
    assert plan_settings([berlin, berlin]) == (("TimeZone", "Europe/Berlin"),)
    assert plan_settings([]) == ()
    with pytest.raises(Internal):
        plan_settings([berlin, plan("")])


@pytest.mark.parametrize(
    "name", ["statement_timeout", "search_path", "role", "session_replication_role", "row_security"]
)
def test_a_plan_cannot_change_what_the_session_may_do(name: str) -> None:
    with pytest.raises(Internal):
        plan_settings([dataclasses.replace(plan(""), settings=((name, "x"),))])
