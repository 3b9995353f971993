"""The split of nested statements as PostgreSQL prints them: which block is rows, a fragment, a given, refused.

An outcome reads: the fragments (their FROM, the queries of their WHERE, `by` their keys), the givens (and the noisy
tables that they read), the remainder's FROM items. `rows(...)` is a tree; g0 a given; f0 a noisy table.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from noisegate.errors import NoisegateError
from noisegate.plan.units import UNIT, Determinant
from noisegate.query.fragment import Part
from noisegate.query.lexer import tokenize
from noisegate.query.lineage import Tables
from noisegate.query.split import Split, split
from noisegate.query.tree import (
    Expr,
    From,
    Given,
    GivenRef,
    Join,
    Query,
    Select,
    SetOp,
    Subquery,
    SubqueryRef,
    TableRef,
    walk,
)
from noisegate.room.embedded import EmbeddedServer
from support.deparse import Deparser
from support.servers import new_database

TABLES = """
CREATE TABLE users (id bigint PRIMARY KEY, plan text, country text, age int, vip boolean, tags text[]);
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint, country text, amount numeric(10,2), placed timestamptz);
CREATE TABLE lines (order_id bigint, product text, price numeric(10,2));
CREATE TABLE countries (code text PRIMARY KEY, name text, population bigint);
"""
COLUMNS = {
    "users": ("id", "plan", "country", "age", "vip", "tags"),
    "orders": ("id", "user_id", "country", "amount", "placed"),
    "lines": ("order_id", "product", "price"),
    "countries": ("code", "name", "population"),
}
ORDER = ("public", "orders", "id")
UNITS = {
    "users": (Determinant(UNIT, ("id",)), Determinant(("public", "users", "id"), ("id",))),
    "orders": (Determinant(UNIT, ("user_id",)), Determinant(ORDER, ("id",))),
    "lines": (Determinant(ORDER, ("order_id",)),),
}
BY_UNIT = "SELECT user_id, count(*) AS n FROM orders GROUP BY user_id"

ROWS_AND_FRAGMENTS = {
    # a group that is one unit's is rows; every other group is a fragment
    f"SELECT avg(n) FROM ({BY_UNIT}) x": "x=rows(orders)",
    "SELECT avg(n) FROM (SELECT country, count(*) AS n FROM users GROUP BY country) x": "users by 1",
    "SELECT avg(n) FROM (SELECT order_id, count(*) AS n FROM lines GROUP BY order_id) x": "x=rows(lines)",
    "SELECT avg(n) FROM (SELECT id, count(*) AS n FROM orders GROUP BY country, id) x": "x=rows(orders)",
    "SELECT avg(n) FROM (SELECT product, count(*) AS n FROM lines GROUP BY product) x": "lines by 1",
    # by lineage, never by name: renamed, computed, NULLed, shadowed, another table's
    "SELECT avg(m) FROM (SELECT u, sum(n) AS m FROM (SELECT user_id AS u, 1 AS n FROM orders) y GROUP BY u) x":
        "x=rows(y=rows(orders))",
    "SELECT avg(n) FROM (SELECT user_id + 0 AS user_id, count(*) AS n FROM orders GROUP BY user_id + 0) x":
        "orders by 1",
    "SELECT avg(n) FROM (SELECT user_id, count(*) AS n FROM (SELECT user_id + 0 AS user_id FROM orders) y "
    "GROUP BY user_id) x": "y=rows(orders) by 1",
    "SELECT avg(n) FROM (SELECT user_id, count(*) AS n FROM (SELECT nullif(user_id, 1) AS user_id FROM orders) y "
    "GROUP BY user_id) x": "y=rows(orders) by 1",
    "SELECT avg(n) FROM (SELECT user_id, count(*) AS n FROM (SELECT amount AS user_id FROM orders) y "
    "GROUP BY user_id) x": "y=rows(orders) by 1",
    "SELECT avg(n) FROM (SELECT user_id, count(*) AS n FROM (SELECT age, country, id FROM users) y(user_id, x, id) "
    "GROUP BY user_id) z": "y=rows(users) by 1",
    "SELECT avg(n) FROM (SELECT u.x, count(*) AS n FROM users u(x) GROUP BY u.x) z": "z=rows(users)",
    "SELECT avg(n) FROM (SELECT c.code, count(*) AS n FROM users u JOIN countries c ON c.population = u.id "
    "GROUP BY c.code) z": "users+countries by 1",
    "WITH users AS (SELECT age AS id FROM users) SELECT avg(n) FROM (SELECT count(*) AS n FROM users GROUP BY id) x":
        "users=rows(users) by 1",
    # outer joins: NULLs beside another person's row are no unit
    "SELECT avg(n) FROM (SELECT o.user_id, count(*) AS n FROM users u LEFT JOIN orders o ON o.user_id = u.id "
    "GROUP BY o.user_id) x": "users+orders by 1",
    "SELECT avg(n) FROM (SELECT u.id, count(*) AS n FROM users u LEFT JOIN orders o ON o.user_id = u.id "
    "GROUP BY u.id) x": "x=rows(users+orders)",
    "SELECT avg(n) FROM (SELECT id, count(*) AS n FROM users u FULL JOIN orders o USING (id) GROUP BY id) x":
        "users+orders by 1",
    "SELECT avg(n) FROM (SELECT id, count(*) AS n FROM users u FULL JOIN (SELECT user_id AS id FROM orders) o "
    "USING (id) GROUP BY id) x": "x=rows(users+o=rows(orders))",
    "SELECT avg(n) FROM (SELECT u.id, count(*) AS n FROM users u FULL JOIN (SELECT user_id AS id FROM orders) o "
    "USING (id) GROUP BY u.id) x": "users+o=rows(orders) by 1",
    "SELECT avg(n) FROM (SELECT id, count(*) AS n FROM users u FULL JOIN (SELECT user_id AS id FROM orders) o "
    "USING (id) CROSS JOIN countries c GROUP BY id) x": "users+o=rows(orders)+countries by 1",
    # DISTINCT
    "SELECT count(*) FROM (SELECT DISTINCT user_id, country FROM orders) x": "x=rows(orders)",
    "SELECT count(*) FROM (SELECT DISTINCT country FROM orders) x": "orders by 1",
    "SELECT count(*) FROM (SELECT DISTINCT ON (user_id) amount FROM orders ORDER BY user_id, placed) x":
        "x=rows(orders)",
    "SELECT DISTINCT plan, country FROM users": "users by 2",
    # set operations: the same label at the same position of every branch
    "SELECT avg(n) FROM (SELECT id, count(*) AS n FROM (SELECT id FROM users UNION ALL SELECT user_id FROM orders) y "
    "GROUP BY id) x": "x=rows(y=rows(users union orders))",
    "SELECT avg(n) FROM (SELECT id, count(*) AS n FROM (SELECT id FROM users UNION ALL SELECT id FROM orders) y "
    "GROUP BY id) x": "y=rows(users union orders) by 1",
    "SELECT avg(n) FROM (SELECT id, count(*) AS n FROM (SELECT 1 AS k, id FROM users UNION SELECT user_id, 2 "
    "FROM orders) y(k, id) GROUP BY id) x": "y=rows(users union orders) by 1",
    "SELECT count(*) FROM (SELECT id FROM users EXCEPT (SELECT user_id FROM orders INTERSECT SELECT id FROM users)) x":
        "x=rows(users except orders intersect users)",
    # windows alone make no fragment
    "SELECT count(*) FROM (SELECT row_number() OVER (PARTITION BY user_id ORDER BY placed) AS r FROM orders) x "
    "WHERE r = 1": "x=rows(orders)",
    # LATERAL, functions of columns
    "SELECT count(*) FROM users u, LATERAL (SELECT amount FROM orders WHERE user_id = u.id ORDER BY placed LIMIT 1) o":
        "users+o=rows(orders)",
    "SELECT count(*) FROM users u, LATERAL unnest(u.tags) t": "users+t()",
    # nested three deep
    "SELECT avg(m) FROM (SELECT k, max(n) AS m FROM (SELECT u AS k, count(*) AS n FROM (SELECT user_id AS u, country "
    "FROM orders) a GROUP BY u, country) b GROUP BY k) c": "c=rows(b=rows(a=rows(orders)))",
    "SELECT avg(m) FROM (SELECT n, count(*) AS m FROM (SELECT user_id, count(*) AS n FROM orders GROUP BY user_id) a "
    "GROUP BY n) b": "a=rows(orders) by 1",
    "WITH a AS (SELECT id AS u, age FROM users), b AS (SELECT u, max(age) AS m FROM a GROUP BY u) SELECT avg(m) FROM b":
        "b=rows(a=rows(users))",
}  # fmt: skip
SUBQUERIES = {
    "SELECT count(*) FROM users u WHERE EXISTS (SELECT FROM orders o WHERE o.user_id = u.id)":
        "users[exists rows(orders)]",
    "SELECT count(*) FROM users WHERE id IN (SELECT user_id FROM orders)": "users[in rows(orders)]",
    "SELECT count(*) FROM users WHERE id NOT IN (SELECT user_id FROM orders GROUP BY user_id HAVING count(*) > 2)":
        "users[in rows(orders)]",
    "SELECT count(*) FROM users u WHERE vip OR EXISTS (SELECT FROM orders o WHERE o.user_id = u.id)":
        "users[exists rows(orders)]",
    "SELECT count(*) FROM users u WHERE age < (SELECT sum(amount) FROM orders o WHERE o.user_id = u.id)":
        "users[scalar rows(orders)]",
    "SELECT EXISTS (SELECT FROM orders o WHERE o.user_id = u.id) AS x, count(*) FROM users u GROUP BY 1 "
    "ORDER BY EXISTS (SELECT FROM orders o WHERE o.user_id = u.id)": "users by 1",
    "SELECT count(*) FROM users WHERE age > (SELECT avg(age) FROM users)": "users; users[scalar g0]; g0(f0)",
    "SELECT count(*) FROM users WHERE country IN (SELECT country FROM users GROUP BY country HAVING count(*) > 9)":
        "users by 1; users[in g0]; g0(f0)",
    "SELECT count(*) FROM users WHERE country IN (SELECT code FROM countries WHERE code IN (SELECT 'DE'))":
        "users[in g0]; g0()",
    "SELECT count(*) FROM users u WHERE EXISTS (SELECT FROM countries c WHERE c.code = u.country)":
        "users[exists rows(countries)]",
    "SELECT count(*) FROM users u WHERE EXISTS (SELECT FROM orders o WHERE o.user_id = u.id AND amount > "
    "(SELECT avg(amount) FROM orders))": "orders; users[exists rows(orders[scalar g0])]; g0(f0)",
    "SELECT count(*) FROM users u JOIN (VALUES ('DE', 1)) v(c, x) ON v.c = u.country, generate_series(1, 3) s":
        "users+v=g0+s=g1; g0(); g1()",
    "WITH a AS (SELECT country, avg(age) AS m FROM users GROUP BY country) SELECT count(*) FROM users u WHERE age > "
    "(SELECT m FROM a WHERE a.country = u.country)": "users by 1; users[scalar rows(a=g0)]; g0(f0)",
    "WITH a AS (SELECT avg(age) AS m FROM users), b AS (SELECT m * 2 AS m FROM a) SELECT count(*), (SELECT m FROM a) "
    "FROM users, b WHERE age > b.m": "users; users+b=g0; g0(f0)",
    "SELECT sum(amount) FILTER (WHERE amount > (SELECT avg(amount) FROM orders)) FROM orders": "orders; orders; g0(f0)",
    f"SELECT count(*) FROM ({BY_UNIT} HAVING count(*) > (SELECT avg(n) FROM ({BY_UNIT}) y)) x":
        "y=rows(orders); x=rows(orders); g0(f0)",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 9) SELECT count(*) FROM users "
    "WHERE age IN (SELECT n FROM t)": "users[in g0]; g0()",
    "WITH u AS (SELECT * FROM users) SELECT (SELECT avg(age) FROM u), (SELECT count(*) FROM u WHERE age > 3)":
        "u=rows(users); u=rows(users)",
    "WITH a AS (SELECT 1 AS id), b AS (WITH a AS (SELECT id FROM users) SELECT id FROM a) SELECT count(*) FROM b, a":
        "b=rows(a_1=rows(users))+a=g0; g0()",
    "SELECT c.name, n FROM countries c LEFT JOIN (SELECT country, count(*) AS n FROM users GROUP BY country) x "
    "ON x.country = c.code": "users by 1",
    "SELECT country, count(*), (SELECT n FROM (SELECT country AS k, count(*) AS n FROM orders GROUP BY country) x "
    "WHERE k = users.country) FROM users GROUP BY country": "orders by 1; users by 1",
}  # fmt: skip
REFUSED = {
    "SELECT user_id, count(*) FROM orders GROUP BY user_id": "rows of table orders",
    "SELECT EXISTS (SELECT FROM orders o WHERE o.user_id = 5), count(*) FROM users u "
    "GROUP BY EXISTS (SELECT FROM orders o WHERE o.user_id = u.id)": "rows of table orders|a subquery would show",
    "SELECT DISTINCT id FROM users": "rows of table users",
    "WITH u AS (SELECT id, age FROM users) SELECT * FROM u": "rows of table users",
    "WITH u AS (SELECT id FROM users) SELECT 1": "rows of table users",
    "WITH a AS (SELECT id FROM users), b AS (WITH a AS (SELECT 1 AS id) SELECT id FROM a) SELECT count(*) FROM b":
        "rows of table users",
    "WITH u AS (SELECT id, age FROM users) SELECT count(*), (SELECT max(age) FROM u WHERE id = 5), "
    "ARRAY(SELECT age FROM u) FROM u": "rows of table users",
    "SELECT name FROM countries WHERE code IN (SELECT country FROM users)": "rows of table users",
    "SELECT count(*) FROM (SELECT code FROM countries c WHERE EXISTS (SELECT FROM users WHERE country = c.code)) x":
        "rows of table users",
    "SELECT count(*), ARRAY(SELECT age FROM users) FROM users": "rows of table users",
    "SELECT count(*) FROM users WHERE age > (SELECT age FROM users WHERE id = 5)": "show people's rows",
    "SELECT count(*) FROM users WHERE country IN (SELECT code FROM countries c WHERE EXISTS (SELECT FROM orders o "
    "WHERE o.country = c.code))": "show people's rows",
    "SELECT count(*) FROM users, (SELECT code FROM countries c WHERE EXISTS (SELECT FROM orders o WHERE o.country = "
    "c.code)) x": "rows of table orders",
    "SELECT count(*) FROM (SELECT id FROM users UNION ALL SELECT 5) x": "a set operation would mix people's rows",
    "SELECT count(*) FROM (SELECT id FROM users EXCEPT SELECT population FROM countries) x": "a set operation",
    "SELECT count(*) FROM (SELECT id FROM users UNION ALL SELECT count(*) FROM users) x":
        "a set operation would mix people",
    "SELECT count(*) FROM (SELECT * FROM orders ORDER BY amount DESC LIMIT 9) x":
        "LIMIT would choose among several people's rows",
    "SELECT count(*) FROM users WHERE id IN (SELECT id FROM users UNION SELECT user_id FROM orders OFFSET 3)":
        "OFFSET would choose among several people's rows",
    "SELECT count(*) FROM (SELECT DISTINCT ON (country) user_id FROM orders ORDER BY country, placed) x": "DISTINCT ON",
    "SELECT count(*) FROM (SELECT DISTINCT count(*) FROM orders GROUP BY user_id) x": "DISTINCT over answers",
    "SELECT name, (SELECT count(*) FROM users u WHERE u.country = c.code) FROM countries c": "the query around it",
    "SELECT name, n FROM countries c, LATERAL (SELECT count(*) AS n FROM users GROUP BY country, c.code) x":
        "the query around it",
    "SELECT country, (SELECT count(*) FROM orders o WHERE o.country = users.country) FROM users GROUP BY country":
        "the query around it",
    "SELECT count(*) FROM (SELECT (SELECT sum(u.age)) FROM users u) x": "an aggregate over columns of the query around",
    "SELECT count(*) FROM (SELECT (SELECT sum(u.age) FROM countries) FROM users u) x": "an aggregate over columns",
    "WITH RECURSIVE t(n) AS (SELECT id FROM users UNION ALL SELECT n + 1 FROM t WHERE n < 9) SELECT count(*) FROM t":
        "a set operation would mix people",
    "WITH RECURSIVE t(n) AS (SELECT id FROM users UNION ALL SELECT user_id FROM orders, t WHERE n = orders.id) "
    "SELECT count(*) FROM t": "a recursive query",
    "SELECT plan FROM users GROUP BY CUBE (plan, country, age, vip, id, tags)": "at most 32 grouping sets",
    "SELECT plan, string_agg(country, ',') FROM users GROUP BY plan": "string_agg would show rows",
    "SELECT count(*) FROM users, pg_class": "pg_class joined",
}  # fmt: skip


@pytest.fixture(scope="module")
def deparse(data_server: EmbeddedServer) -> Iterator[Deparser]:
    with Deparser(new_database(data_server, TABLES)) as deparser:
        yield deparser


def cut(sql: str) -> Split:
    tables = Tables(
        lambda schema, table: schema == "public" and table in UNITS,
        lambda schema, table: COLUMNS.get(table, ()) if schema == "public" else (),
        lambda schema, table: UNITS.get(table, ()),
    )
    return split(sql, tables)


def outcome(found: Split) -> str:
    parts = []
    for f in found.fragments:
        keys = f" by {len(f.keys)}" if f.keys else ""
        parts.append(items(f.relation) + conditions(f.where) + keys)
    parts += [f"g{i}({','.join(f'f{n}' for n in g.noisy)})" for i, g in enumerate(found.givens)]
    return "; ".join(parts)


def items(node: From) -> str:
    match node:
        case Join():
            return f"{items(node.left)}+{items(node.right)}"
        case TableRef():
            return node.table
        case SubqueryRef():
            return f"{node.alias}={tree(node.query)}"
        case GivenRef():
            return f"{node.alias}=g{node.index}"
        case _:
            return f"{node.alias}()"


def tree(query: Query) -> str:
    return f"rows({_tree(query)})"


def _tree(query: Query) -> str:
    if isinstance(query, SetOp):
        return f"{_tree(query.left)} {query.op} {_tree(query.right)}"
    assert isinstance(query, Select) and query.source is not None
    return items(query.source) + conditions(query.where)


def conditions(where: Expr | None) -> str:
    found = [n for n in walk(where) if isinstance(n, Subquery | Given)] if where is not None else []
    texts = [f"{n.kind} " + (tree(n.query) if isinstance(n, Subquery) else f"g{n.index}") for n in found]
    return f"[{', '.join(texts)}]" if texts else ""


def check_texts(deparse: Deparser, found: Split) -> None:
    """What the split says is SQL: PostgreSQL parses each text, over tables of the columns that the noisy ones have."""
    with deparse.connection.transaction(force_rollback=True):
        deparse.connection.execute("SET LOCAL search_path = ''")
        texts = [f.describe_sql for f in found.fragments] + [g.describe_sql for g in found.givens]
        widths = [len(deparse.connection.execute(f"SELECT * FROM ({t}) q LIMIT 0").description or ()) for t in texts]
        assert widths == [len(f.keys) + len(f.aggregates) for f in found.fragments] + [g.columns for g in found.givens]
        noisy = ", ".join(f"_ng_f{i} AS ({_noisy(found, i)})" for i in range(len(found.answered)))
        for text, at, more in [(found.remainder, found.with_at, found.with_more)] + [
            (g.sql, g.with_at, g.with_more) for g in found.givens
        ]:
            whole = f"{text[:at]} {noisy},{text[at:]}" if more else f"{text[:at]}WITH {noisy} {text[at:]}"
            deparse.connection.execute(f"EXPLAIN {whole}")


def _noisy(found: Split, index: int) -> str:
    """An empty noisy table, typed as the gate types it."""
    answered = found.answered[index]
    columns = []
    for i in range(len(answered.parts[0].keys)):
        part = next(p for p in answered.parts if p.keys[i] is not None)
        columns.append(f"p{part.fragment}.k{part.keys[i]} AS k{i}")
    first = answered.parts[0].fragment
    columns += [f"p{first}.a{i}" for i in range(len(found.fragments[first].aggregates))]
    columns += ["0 AS g"] if answered.rolled else []
    sources = []
    for number in sorted({p.fragment for p in answered.parts}):
        f = found.fragments[number]
        names = [f"k{i}" for i in range(len(f.keys))] + [f"a{i}" for i in range(len(f.aggregates))]
        sources.append(f"({f.describe_sql}) p{number}" + (f"({', '.join(names)})" if names else ""))
    return f"SELECT {', '.join(columns)} FROM {', '.join(sources)}"


@pytest.mark.parametrize(("sql", "expected"), [*ROWS_AND_FRAGMENTS.items(), *SUBQUERIES.items()])
def test_split(deparse: Deparser, sql: str, expected: str) -> None:
    found = cut(deparse(sql))
    assert outcome(found) == expected
    private = {("public", table) for table in UNITS}
    for text in (found.remainder, *(g.sql for g in found.givens)):
        words = [t.value for t in tokenize(text)]
        assert not private & set(zip(words, words[2:], strict=False))
    check_texts(deparse, found)


@pytest.mark.parametrize(("sql", "reason"), REFUSED.items())
def test_refused(deparse: Deparser, sql: str, reason: str) -> None:
    text = deparse(sql)
    with pytest.raises(NoisegateError, match=reason):
        cut(text)


def test_a_with_query_of_rows_leaves_the_remainder(deparse: Deparser) -> None:
    found = cut(
        deparse("WITH u AS (SELECT id, age FROM users), c AS (SELECT 1 AS x) SELECT avg(age), (SELECT x FROM c) FROM u")
    )
    assert " ".join(found.remainder.split()) == (
        "WITH _ng_c0 AS (SELECT), c AS ( SELECT 1 AS x ) SELECT _ng_f0.a0 AS c0, ( SELECT c.x FROM c) AS c1 FROM _ng_f0"
    )
    assert found.fragments[0].describe_sql.startswith("WITH u AS (")


def test_a_with_query_that_is_a_fragment_is_one_fragment(deparse: Deparser) -> None:
    found = cut(deparse("WITH a AS (SELECT avg(age) AS m FROM users) SELECT x.m - y.m FROM a x, a y"))
    assert len(found.fragments) == len(found.answered) == 1


def test_givens_hold_the_with_queries_that_they_need(deparse: Deparser) -> None:
    sql = (
        "WITH z AS (SELECT 5 AS m), a AS (SELECT avg(age) AS m FROM users), b AS (SELECT m FROM a) "
        "SELECT count(*) FROM (WITH a AS (SELECT m * 2 AS m FROM b) "
        "SELECT id FROM users WHERE age > (SELECT m FROM a)) x"
    )
    (given,) = cut(deparse(sql)).givens
    assert " ".join(given.sql.split()) == (
        "WITH a AS ( SELECT _ng_f0.a0 AS m FROM _ng_f0 ), b AS ( SELECT a.m FROM a ) "
        "(WITH a AS ( SELECT (b.m * (2)::numeric) AS m FROM b ) SELECT * FROM (SELECT a.m FROM a) _ng_g(c0))"
    )
    assert (given.with_at, given.with_more, given.noisy) == (4, True, (0,))


def test_grouping_sets_are_fragments_of_one_noisy_table(deparse: Deparser) -> None:
    sql = (
        "SELECT plan, vip, GROUPING(vip, plan), count(*) FROM users GROUP BY ROLLUP (plan, vip), () "
        "HAVING GROUPING(plan) = 0 ORDER BY 1"
    )
    found = cut(deparse(sql))
    assert [f.key_texts for f in found.fragments] == [("plan", "vip"), ("plan",), ()]
    (answered,) = found.answered
    assert answered.rolled
    assert answered.parts == (Part(0, (0, 1)), Part(1, (0, None)), Part(2, (None, None)))
    assert "((((_ng_f0.g >> 1) & 1) << 1) | ((_ng_f0.g >> 0) & 1)) AS c2" in found.remainder
    assert "WHERE (((_ng_f0.g >> 0) & 1) = 0)" in found.remainder
    check_texts(deparse, found)
    twice = cut(deparse("SELECT plan, count(*) FROM users GROUP BY GROUPING SETS (plan, plan, ())"))
    assert len(twice.fragments) == 2 and [p.fragment for p in twice.answered[0].parts] == [0, 0, 1]


def test_fragments_come_after_those_that_they_use(deparse: Deparser) -> None:
    sql = "SELECT count(*) FROM users WHERE age > (SELECT avg(age) FROM users WHERE age < (SELECT max(age) FROM users))"
    found = cut(deparse(sql))
    assert [g.noisy for g in found.givens] == [(0,), (1,)]
    assert [f.aggregate_texts[0].split("(")[0] for f in found.fragments] == ["max", "avg", "count"]


def test_spans_are_those_of_the_statement(deparse: Deparser) -> None:
    text = deparse(
        "WITH o AS (SELECT user_id FROM orders WHERE amount > 5) "
        "SELECT count(*) FROM users WHERE id IN (SELECT * FROM o)"
    )
    (fragment,) = cut(text).fragments
    (inner,) = [n for n in walk(fragment.where) if isinstance(n, Subquery)] if fragment.where is not None else []
    assert isinstance(inner.query, Select) and isinstance(inner.query.source, SubqueryRef)
    with deparse.connection.transaction(force_rollback=True):
        rows = inner.query.source.query
        deparse.connection.execute(f"EXPLAIN {text[rows.start : rows.end]}")
        assert isinstance(rows, Select) and rows.where is not None
        deparse.connection.execute(f"EXPLAIN SELECT 1 FROM orders WHERE {text[rows.where.start : rows.where.end]}")
