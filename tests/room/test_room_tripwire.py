"""Invariant I5: whatever the plan, a private table that is read in the clean room raises; nothing else does."""

from __future__ import annotations

import psycopg
import pytest

E = '"Web log"."Ev""ents"'

RAISING = [
    "SELECT count(*) FROM users",
    "SELECT * FROM users",
    "SELECT 1 FROM users",
    "SELECT FROM users",
    "TABLE users",
    "SELECT max(id) FROM users",
    "SELECT min(id), max(id) FROM users",
    "SELECT max(user_id) FROM visits",
    "SELECT id FROM users WHERE id = 5",
    "SELECT id FROM users WHERE id IN (5, 6)",
    "SELECT id FROM users WHERE id = ANY ('{7,8}')",
    "SELECT id FROM users WHERE id BETWEEN 100 AND 200",
    "SELECT id FROM users WHERE id > 2000000000 ORDER BY id LIMIT 1",
    "SELECT count(*) FROM users WHERE mood IS NULL",
    "SELECT count(*) FROM users WHERE mood IS NOT NULL",
    "SELECT count(*) FROM users WHERE id IS NOT NULL",
    "SELECT count(*) FROM users WHERE plan = 'nobody has this'",
    "SELECT count(*) FROM users WHERE plan LIKE 'zz%'",
    "SELECT count(*) FROM users WHERE ctid = '(9,9)'",
    "SELECT count(*) FROM users WHERE id = 1 AND id = 2",
    "SELECT count(*) FROM users WHERE 1 / (id - id) > 0",
    "SELECT plan, count(*) FROM users GROUP BY plan HAVING count(*) > 100",
    "SELECT DISTINCT plan FROM users",
    "SELECT row_number() OVER (ORDER BY id) FROM users",
    "SELECT count(*) FROM users u JOIN countries c ON c.code = u.country",
    "SELECT count(*) FROM countries c LEFT JOIN users u ON c.code = u.country",
    "SELECT c.name FROM countries c JOIN LATERAL (SELECT 1 FROM users u WHERE u.country = c.code) x ON true",
    "SELECT name FROM countries c WHERE EXISTS (SELECT FROM users u WHERE u.country = c.code)",
    "SELECT name FROM countries c WHERE code NOT IN (SELECT country FROM users)",
    "SELECT name, (SELECT count(*) FROM users u WHERE u.country = c.code) FROM countries c",
    f"SELECT count(*) FROM users u JOIN {E} e ON e.user_id = u.id WHERE u.id = 3",
    f"SELECT count(*) FROM {E}",
    f"SELECT count(*) FROM {E} WHERE user_id = 4 AND at > '2020-01-01'",
    "SELECT count(*) FROM visits",
    "SELECT count(*) FROM visits WHERE day = '2020-05-05'",
    "SELECT count(*) FROM ONLY visits",
    "SELECT count(*) FROM parents",
    "WITH u AS (SELECT * FROM users) SELECT count(*) FROM u",
    "WITH u AS MATERIALIZED (SELECT * FROM users) SELECT count(*) FROM u",
    "WITH RECURSIVE r AS (SELECT id FROM users UNION ALL SELECT id + 1 FROM r WHERE id < 9) SELECT count(*) FROM r",
    "SELECT 1 UNION ALL SELECT id FROM users",
    "SELECT id FROM users EXCEPT SELECT 1",
    "EXPLAIN ANALYZE SELECT count(*) FROM users",
    "CREATE TEMP TABLE copied AS SELECT * FROM users",
    "COPY users TO STDOUT",
    "COPY (SELECT count(*) FROM users) TO STDOUT",
    "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM users",
]

SILENT = [
    ("SELECT * FROM users LIMIT 0", 0),
    ("SELECT count(*) FROM users LIMIT 0", 0),
    ("SELECT * FROM users WHERE false", 0),
    ("SELECT count(*) FROM users WHERE false", 1),
    ("SELECT * FROM users WHERE id IS NULL", 0),
    ("SELECT c.name FROM countries c LEFT JOIN users u ON u.id = 1 AND false", 2),
    ("SELECT c.name FROM countries c LEFT JOIN users u ON u.id = length(c.name)", 2),
    ("EXPLAIN SELECT count(*) FROM users", None),
    ("SELECT count(*) FROM countries", 1),
    ("SELECT name FROM countries WHERE code = 'FR'", 1),
]

PLANS = [
    "",
    "SET enable_seqscan = off",
    "SET enable_seqscan = off; SET enable_indexscan = off; SET enable_indexonlyscan = off",
    "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET enable_memoize = off",
    "SET enable_hashjoin = off; SET enable_nestloop = off; SET enable_bitmapscan = off; SET enable_tidscan = off",
    "SET plan_cache_mode = force_generic_plan; SET enable_partition_pruning = off",
]


def _run(connection: psycopg.Connection, statement: str) -> None:
    if statement.startswith("COPY"):
        with connection.cursor().copy(statement.encode()) as copy:
            for _ in copy:
                pass
    else:
        connection.execute(statement.encode())


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("statement", RAISING)
def test_reading_a_private_table_raises(as_analyst: psycopg.Connection, statement: str, plan: str) -> None:
    if plan:
        as_analyst.execute(plan.encode())
    with pytest.raises(psycopg.Error) as caught:
        _run(as_analyst, statement)
    assert caught.value.sqlstate == "NG001"


@pytest.mark.parametrize(("statement", "rows"), SILENT)
def test_what_reads_no_private_row_does_not_raise(
    as_analyst: psycopg.Connection, statement: str, rows: int | None
) -> None:
    found = as_analyst.execute(statement.encode()).fetchall()
    assert len(found) == rows if rows is not None else found


def test_conditions_that_contradict_each_other_need_no_row(as_analyst: psycopg.Connection) -> None:
    as_analyst.execute("SET constraint_exclusion = on")
    assert as_analyst.execute("SELECT count(*) FROM users WHERE id = 1 AND id = 2").fetchone() == (0,)


@pytest.mark.parametrize("method", ["SYSTEM", "BERNOULLI"])
def test_sampling_could_skip_the_dummy_rows_and_is_gone(as_analyst: psycopg.Connection, method: str) -> None:
    with pytest.raises(psycopg.errors.UndefinedObject):
        as_analyst.execute(f"SELECT count(*) FROM users TABLESAMPLE {method} (0)".encode())


def test_locking_rows_is_refused(as_analyst: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_analyst.execute("SELECT * FROM users FOR SHARE")


def test_row_security_cannot_be_switched_off(as_analyst: psycopg.Connection) -> None:
    as_analyst.execute("SET row_security = off")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_analyst.execute("SELECT count(*) FROM users")


def test_a_temporary_view_does_not_go_around(as_analyst: psycopg.Connection) -> None:
    as_analyst.execute("CREATE TEMP VIEW v AS SELECT * FROM users")
    with pytest.raises(psycopg.Error) as caught:
        as_analyst.execute("SELECT count(*) FROM v")
    assert caught.value.sqlstate == "NG001"


def test_a_prepared_statement_describes_and_then_raises(as_analyst: psycopg.Connection) -> None:
    as_analyst.execute("PREPARE p(int) AS SELECT count(*) FROM users WHERE id = $1")
    (types,) = as_analyst.execute("SELECT result_types::text FROM pg_prepared_statements").fetchone()
    assert types == "{bigint}"
    with pytest.raises(psycopg.Error) as caught:
        as_analyst.execute("EXECUTE p(1)")
    assert caught.value.sqlstate == "NG001"


def test_no_function_is_leakproof(as_analyst: psycopg.Connection) -> None:
    assert as_analyst.execute("SELECT count(*) FROM pg_proc WHERE proleakproof").fetchone() == (0,)
