"""What PostgreSQL prints of whole queries, read into trees."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from noisegate.errors import NoisegateError
from noisegate.query.tree import FunctionRef, Join, Query, Select, SetOp, Subquery, SubqueryRef, TableRef, Values, walk
from noisegate.query.trees import read_statement
from noisegate.room.embedded import EmbeddedServer
from support.deparse import Deparser
from support.servers import new_database

TABLES = """
CREATE TABLE users (id bigint PRIMARY KEY, plan text, age int, vip boolean, tags text[]);
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint, amount numeric(10,2), placed timestamptz);
CREATE TABLE countries (code text PRIMARY KEY, name text);
"""
READ = (
    "SELECT plan AS p, age + 1 FROM users WHERE age IN (SELECT 1) AND age NOT IN (SELECT 2) AND age > ALL (SELECT 3)",
    "SELECT 1 FROM users u WHERE EXISTS (SELECT FROM orders o WHERE o.user_id = u.id) AND (age, 2) IN (SELECT 1, 2)",
    "SELECT (age, 2) = (SELECT 1, 2), ARRAY(SELECT age FROM users), (SELECT max(age) FROM users)::text FROM users",
    "SELECT tags[2], (ARRAY[1,2])[1], 3 < ANY (ARRAY(SELECT 1)), 4 = ANY ((SELECT ARRAY[3])::int[]) FROM users",
    "SELECT * FROM (VALUES (1,'a'),(2,'b')) v(x,y), generate_series(1,3) g, unnest(ARRAY[1]) WITH ORDINALITY w(a,b)",
    "SELECT * FROM users x, LATERAL unnest(x.tags) t, LATERAL (SELECT * FROM orders WHERE user_id = x.id LIMIT 3) y",
    "SELECT * FROM (users u LEFT JOIN orders o ON o.user_id = u.id) FULL JOIN countries ON name = plan",
    "SELECT plan, id, sum(amount) FROM users FULL JOIN orders USING (id) GROUP BY plan, id HAVING count(*) > 3",
    "SELECT plan, GROUPING(plan, vip), count(*) FROM users GROUP BY ROLLUP (plan, vip), CUBE (age)",
    "SELECT plan FROM users GROUP BY DISTINCT GROUPING SETS (plan, ROLLUP (vip, (age, id), plan), ())",
    "SELECT rank() OVER w, sum(age) OVER (w ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM users "
    "WINDOW w AS (PARTITION BY plan ORDER BY age DESC NULLS LAST)",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY age DESC), mode() WITHIN GROUP (ORDER BY plan) "
    "FILTER (WHERE vip), string_agg(DISTINCT plan, ',' ORDER BY plan DESC), count(DISTINCT (id, plan)) FROM users",
    "(SELECT 1 UNION ALL SELECT 2) EXCEPT (SELECT 3 LIMIT 1) ORDER BY 1 LIMIT 3",
    "SELECT x.a FROM (((SELECT 1 AS a UNION SELECT 2) INTERSECT SELECT 3) UNION ALL VALUES (3)) x",
    "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 ORDER BY 1 DESC NULLS FIRST OFFSET 1 FETCH FIRST 2 ROWS ONLY",
    "WITH a AS (SELECT id FROM users), b(x) AS MATERIALIZED (SELECT count(*) FROM a), users AS (SELECT 1 AS id) "
    "SELECT b.x, y.id, users.id FROM b, users, (WITH a AS (SELECT 3 AS id) SELECT id FROM a) y",
    "SELECT DISTINCT ON (plan) plan, age FROM users ORDER BY plan, age DESC",
    "SELECT count(*) FROM users AS u(a, b)",
    "SELECT FROM ONLY users",
    "SELECT CASE WHEN EXISTS (SELECT 1) THEN 1 END, coalesce((SELECT 1), 2), -(SELECT 2), (SELECT 1) + 2 FROM users",
)  # fmt: skip
REFUSED = (
    "SELECT * FROM ROWS FROM (generate_series(1, 2), generate_series(1, 3)) r",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 10) SELECT * FROM t",
    "SELECT sum(age) OVER (ORDER BY id RANGE BETWEEN (2 + 1) PRECEDING AND CURRENT ROW) FROM users",
    "SELECT j.a FROM (users JOIN countries ON plan = code) AS j(a)",
    "SELECT tags[1:2] FROM users",
    "SELECT * FROM json_to_record('{}') AS x(a int, b text)",
    "SELECT 1 FROM users FOR UPDATE",
)  # fmt: skip


@pytest.fixture(scope="module")
def deparse(data_server: EmbeddedServer) -> Iterator[Deparser]:
    with Deparser(new_database(data_server, TABLES)) as deparser:
        yield deparser


@pytest.mark.parametrize("sql", READ)
def test_whole_queries_are_read_with_exact_spans(deparse: Deparser, sql: str) -> None:
    text = deparse(sql)
    tree = read_statement(text)
    assert (tree.start, tree.end) == (0, len(text))
    for query in queries(tree):
        assert bare(read_again(text, query)) == bare(query)


def test_subqueries_of_all_kinds(deparse: Deparser) -> None:
    text = deparse(READ[0])
    tree = read_statement(text)
    assert isinstance(tree, Select) and tree.where is not None
    found = [n for n in walk(tree.where) if isinstance(n, Subquery)]
    assert [(n.kind, n.op) for n in found] == [("in", "="), ("in", "="), ("all", ">")]
    assert [i.name for i in tree.items] == ["c0", "c1"]


def test_with_queries_are_resolved_by_scope(deparse: Deparser) -> None:
    tree = read_statement(deparse(READ[15]))
    assert isinstance(tree, Select) and isinstance(tree.source, Join) and isinstance(tree.source.left, Join)
    b, users, y = tree.source.left.left, tree.source.left.right, tree.source.right
    assert isinstance(b, SubqueryRef) and b.columns == ("x",) and isinstance(b.query, Select)
    inner = b.query.source
    assert isinstance(inner, SubqueryRef) and inner.alias == "a" and isinstance(inner.query, Select)
    assert isinstance(inner.query.source, TableRef) and inner.query.source.table == "users"
    assert isinstance(users, SubqueryRef) and isinstance(users.query, Select) and users.query.source is None
    assert isinstance(y, SubqueryRef) and isinstance(y.query, Select) and isinstance(y.query.source, SubqueryRef)
    shadow = y.query.source.query
    assert isinstance(shadow, Select) and shadow.source is None


def test_grouping_sets_windows_and_ordered_aggregates(deparse: Deparser) -> None:
    rolled = read_statement(deparse(READ[8]))
    assert isinstance(rolled, Select) and rolled.sets == ((0, 1, 2), (0, 1), (0, 2), (0,), (2,), ())
    distinct = read_statement(deparse(READ[9]))
    assert isinstance(distinct, Select) and distinct.sets is not None and len(set(map(frozenset, distinct.sets))) == 5
    windows = read_statement(deparse(READ[10]))
    assert isinstance(windows, Select)
    calls = [i.expr for i in windows.items]
    assert [c.over.frame for c in calls] == ["", "rows between 2 preceding and current row"]  # type: ignore[union-attr]
    assert all(c.over.order[0].descending for c in calls)  # type: ignore[union-attr]
    ordered = read_statement(deparse(READ[11]))
    assert isinstance(ordered, Select)
    within = [i.expr.within for i in ordered.items]  # type: ignore[union-attr]
    assert [len(w) for w in within] == [1, 1, 0, 0] and within[0][0].descending


@pytest.mark.parametrize("sql", REFUSED)
def test_refused(deparse: Deparser, sql: str) -> None:
    text = deparse(sql)
    with pytest.raises(NoisegateError):
        read_statement(text)


def queries(query: Query) -> list[Query]:
    found: list[Query] = [query]
    match query:
        case SetOp():
            found += queries(query.left) + queries(query.right)
        case Select():
            stack = [query.source]
            while stack:
                node = stack.pop()
                if isinstance(node, Join):
                    stack += [node.left, node.right]
                elif isinstance(node, SubqueryRef):
                    found += queries(node.query)
            for expr in [i.expr for i in query.items] + ([query.where] if query.where is not None else []):
                found += [q for n in walk(expr) if isinstance(n, Subquery) for q in queries(n.query)]
        case Values():
            pass
    return found


def read_again(text: str, query: Query) -> Query:
    return read_statement(text[query.start : query.end])


def bare(value: object) -> object:
    """A tree without its spans. A WITH query that the part does not hold itself is a table there."""
    if isinstance(value, SubqueryRef | TableRef):
        return (value.alias, value.columns)
    if isinstance(value, FunctionRef):
        return (value.alias, value.columns, bare(value.call))
    if isinstance(value, tuple):
        return tuple(bare(v) for v in value)
    names = [n for n in getattr(value, "__slots__", ()) if n not in ("start", "end")]
    return (type(value).__name__, *(bare(getattr(value, n)) for n in names)) if names else value
