"""Random rows for the grammar: joins on the unit, a unit's own groups and windows, set operations, chains of keys.

As in grammar.py: each FROM clause names its unit, its columns by kind, and raises nothing on any row. An order below
the aggregate is total, so that the answer does not depend on where PostgreSQL finds a row. No unit has more rows than
its limits let count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from hypothesis import strategies as st

from equality.grammar import Rows, conditions, statements_over


@dataclass(frozen=True)
class Table:
    """A private table: its unit, a key that orders a unit's rows, and columns by kind, without an alias."""

    name: str
    unit: str
    order: str
    text: tuple[str, ...]
    number: tuple[str, ...]
    time: tuple[str, ...]
    flag: tuple[str, ...] = ()

    def rows(self, alias: str) -> Rows:
        kinds = {"text": self.text, "number": self.number, "flag": self.flag, "time": self.time}
        columns = {kind: tuple(f"{alias}.{c}" for c in names) for kind, names in kinds.items() if names}
        return Rows(f"{self.name} {alias}", f"{alias}.{self.unit}", columns)


USERS: Final = Table("users", "id", "id", ("plan", "country"), ("age",), ("signup_date",), ("is_admin",))
SESSIONS: Final = Table("sessions", "user_id", "id", ("device",), ("duration_s",), ("started_at",))
EVENTS: Final = Table("events", "user_id", "id", ("kind", "feature"), ("amount",), ("occurred_at",))
ORDERS: Final = Table("sales.orders", "user_id", "order_id", ("country",), ("total",), ("placed",))
THINGS: Final = Table("things", "user_id", "id", ("note",), ("whole", "small", "share"), ("born",), ("flag",))
ALIASES: Final = {"users": "u", "sessions": "s", "events": "e", "sales.orders": "o", "things": "t"}
TABLES: Final = (USERS, SESSIONS, EVENTS, ORDERS, THINGS)
MANY: Final = TABLES[1:]
FEW: Final = TABLES[:4]  # things have a low limit of their own, which a join would exceed


@st.composite
def nested_statements(draw: st.DrawFn) -> str:
    kinds = (_joined(), _per_unit(), _window(), _set_operation(), _lateral(), _multiplied(), _twice())
    nested = st.one_of(kinds).flatmap(statements_over)
    return draw(st.one_of(nested, nested, nested, _common(), _every_public_row()))


@st.composite
def _common(draw: st.DrawFn) -> str:
    """A common table expression that is read twice."""
    table, rows, where = draw(_base(FEW[1:]))
    number, text = draw(st.sampled_from(rows.of("number"))), draw(st.sampled_from(rows.of("text")))
    common = (
        f"WITH q AS (SELECT {rows.unit} AS uid, {text} AS k, {number} AS x FROM {table.name} {_alias(table)}{where})"
    )
    inner = draw(
        st.sampled_from(["count(*) AS n", "max(x) AS n", "least(sum(x), 5000) AS n", "count(DISTINCT k) AS n"])
    )
    tied = Rows(
        f"q JOIN (SELECT uid, {inner} FROM q GROUP BY uid) d ON d.uid = q.uid", "q.uid",
        {"text": ("q.k",), "number": ("q.x", "d.n")},
    )  # fmt: skip
    alone = Rows("q", "q.uid", {"text": ("q.k",), "number": ("q.x",)}, where="q.x > (SELECT avg(x) FROM q)")
    sql = draw(st.sampled_from([tied, alone]).flatmap(statements_over))
    return f"{common}, {sql.removeprefix('WITH ')}" if sql.startswith("WITH ") else f"{common}\n{sql}"


@st.composite
def _every_public_row(draw: st.DrawFn) -> str:
    """A public table with an outer join to people's rows: its rows are there though nobody matches."""
    public, key, table, column = draw(
        st.sampled_from([
            ("sales.regions r", "r.code", ORDERS, "country"), ("countries r", "r.code", USERS, "country"),
            ("sales.regions r", "r.code", USERS, "country"),
            ("(VALUES ('mobile'), ('watch'), ('tablet')) AS r(code)", "r.code", SESSIONS, "device"),
        ])
    )  # fmt: skip
    rows = table.rows(_alias(table))
    number = draw(st.sampled_from(rows.of("number")))
    on = f"{_alias(table)}.{column} = {key}" + draw(
        st.one_of(st.just(""), conditions(rows, simple_only=True).map(lambda c: f" AND {c}"))
    )
    aggregate = draw(
        st.sampled_from([
            f"count({rows.unit})", f"count(DISTINCT {rows.unit})", f"coalesce(sum({number}), 0)", f"avg({number})",
            f"count({number})", "count(*)",
        ])
    )  # fmt: skip
    order = draw(st.sampled_from(["", "\nORDER BY 1, 2", f"\nORDER BY {key} LIMIT 2"]))
    return f"SELECT {key}, {aggregate} AS c1 FROM {public} LEFT JOIN {rows.sql} ON {on}\nGROUP BY {key}{order}"


def _alias(table: Table) -> str:
    return ALIASES[table.name]


@st.composite
def _base(draw: st.DrawFn, tables: tuple[Table, ...]) -> tuple[Table, Rows, str]:
    """A table, its rows, and a WHERE clause or nothing."""
    table = draw(st.sampled_from(tables))
    rows = table.rows(_alias(table))
    where = draw(st.one_of(st.just(""), conditions(rows).map(lambda c: f" WHERE {c}")))
    return table, rows, where


@st.composite
def _joined(draw: st.DrawFn) -> Rows:
    """Two private relations, tied by the unit; the same table twice among them."""
    left = draw(st.one_of(st.sampled_from(FEW).map(lambda table: table.rows(_alias(table))), _per_unit(tables=FEW[1:])))
    twins = st.sampled_from((USERS, ORDERS)).map(lambda table: table.rows("b"))
    right = draw(st.one_of(twins, _per_unit("h", FEW[1:]), _window("v", (ORDERS,))))
    on = f"{right.unit} = {left.unit}"
    if draw(st.booleans()):
        on += f" AND {draw(conditions(right, simple_only=True))}"
    kind = draw(st.sampled_from(["JOIN", "LEFT JOIN", "JOIN"]))
    joined = _both(f"{left.sql} {kind} {right.sql} ON {on}", left.unit, left, right)
    return replace(joined, where=right.where)


def _both(sql: str, unit: str, *parts: Rows) -> Rows:
    kinds = {kind for part in parts for kind in part.columns}
    return Rows(sql, unit, {k: tuple(c for part in parts for c in part.columns.get(k, ())) for k in sorted(kinds)})


@st.composite
def _per_unit(draw: st.DrawFn, alias: str = "g", tables: tuple[Table, ...] = MANY) -> Rows:
    _, rows, where = draw(_base(tables))
    key = draw(
        st.sampled_from(["", "", *rows.of("text"), *(f"date_trunc('month', {c})::date" for c in rows.of("time"))])
    )
    number = draw(st.sampled_from(rows.of("number")))
    most = draw(
        st.sampled_from([
            "least(count(*), 400)", "count(*)", f"count({number})", f"max({number})", f"min({number})",
            f"least(sum({number}), 5000)", f"least(round(avg({number}), 2), 5000)", f"count(DISTINCT {number})",
        ])
    )  # fmt: skip
    flag = draw(
        st.sampled_from([f"bool_or({number} > 3)", f"bool_and({number} > 2)", "count(*) > 2", f"max({number}) > 9"])
    )
    having = draw(st.sampled_from(["", "", " HAVING count(*) > 1"]))
    shown = f"{rows.unit} AS uid, {most} AS n, {flag} AS f" + (f", {key} AS k" if key else "")
    grouped = rows.unit + (f", {key}" if key else "")
    sql = f"(SELECT {shown} FROM {rows.sql}{where} GROUP BY {grouped}{having}) {alias}"
    columns = {"number": (f"{alias}.n",), "flag": (f"{alias}.f",)}
    if key:
        columns["time" if "date_trunc" in key else "text"] = (f"{alias}.k",)
    return Rows(sql, f"{alias}.uid", columns)


@st.composite
def _window(draw: st.DrawFn, alias: str = "w", tables: tuple[Table, ...] = MANY) -> Rows:
    table, rows, where = draw(_base(tables))
    number, text = draw(st.sampled_from(rows.of("number"))), draw(st.sampled_from(rows.of("text")))
    order = f"{draw(st.sampled_from([*rows.of('time'), number]))}{draw(st.sampled_from(['', ' DESC', ' NULLS FIRST']))}"
    over = f"OVER (PARTITION BY {rows.unit} ORDER BY {order}, {_alias(table)}.{table.order})"
    place = draw(
        st.sampled_from([f"row_number() {over}", f"count(*) OVER (PARTITION BY {rows.unit})", f"rank() {over}"])
    )
    value = draw(
        st.sampled_from([
            f"lag({number}) {over}", f"lead({number}) {over}", f"first_value({number}) {over}",
            f"max({number}) {over}", f"least(sum({number}) {over}, 5000)",
            f"max({number}) OVER (PARTITION BY {rows.unit}, {text})",
        ])
    )  # fmt: skip
    before = f"lag({text}) {over}"
    shown = f"{rows.unit} AS uid, {text} AS k, {before} AS l, {number} AS x, {place} AS n, {value} AS v"
    sql = f"(SELECT {shown} FROM {rows.sql}{where}) {alias}"
    found = Rows(
        sql, f"{alias}.uid", {"text": (f"{alias}.k", f"{alias}.l"), "number": tuple(f"{alias}.{c}" for c in "xnv")}
    )
    return replace(found, where=draw(st.sampled_from(["", f"{alias}.n = 1", f"{alias}.n <= 3"])))


@st.composite
def _set_operation(draw: st.DrawFn) -> Rows:
    operation = draw(st.sampled_from(["UNION ALL", "UNION", "INTERSECT", "EXCEPT", "UNION ALL"]))
    if operation != "UNION ALL" and draw(st.booleans()):
        sides = [f"SELECT {rows.unit} AS uid FROM {rows.sql}{where}" for _, rows, where in draw(_two())]
        sql = f"(SELECT uid, uid % 2 = 0 AS f FROM ({f' {operation} '.join(sides)}) y) z"
        return Rows(sql, "z.uid", {"flag": ("z.f",)})
    sides = [
        f"SELECT {rows.unit} AS uid, {draw(st.sampled_from(rows.of('text')))} AS k, "
        f"{draw(st.sampled_from(rows.of('number')))}::numeric AS x FROM {rows.sql}{where}"
        for _, rows, where in draw(_two())
    ]
    return Rows(f"({f' {operation} '.join(sides)}) z", "z.uid", {"text": ("z.k",), "number": ("z.x",)})


def _two() -> st.SearchStrategy[list[tuple[Table, Rows, str]]]:
    return st.lists(_base(FEW), min_size=2, max_size=2)


@st.composite
def _lateral(draw: st.DrawFn) -> Rows:
    """Some rows of each unit, found by the unit."""
    table, rows, _ = draw(_base(MANY))
    alias = _alias(table)
    text, number = draw(st.sampled_from(rows.of("text"))), draw(st.sampled_from(rows.of("number")))
    condition = draw(st.sampled_from(["", f" AND {draw(conditions(rows, simple_only=True))}"]))
    order = f" ORDER BY {number} DESC, {alias}.{table.order} LIMIT {draw(st.sampled_from([1, 3]))}"
    inner = f"SELECT {text} AS k, {number} AS x FROM {rows.sql} WHERE {rows.unit} = p.id{condition}{order}"
    kind, on = draw(st.sampled_from([("CROSS JOIN", ""), ("LEFT JOIN", " ON true"), ("JOIN", " ON l.x > 2")]))
    sql = f"users p {kind} LATERAL ({inner}) l{on}"
    return Rows(sql, "p.id", {"text": ("p.plan", "l.k"), "number": ("p.age", "l.x"), "flag": ("p.is_admin",)})


@st.composite
def _multiplied(draw: st.DrawFn) -> Rows:
    """Rows of a table beside those of VALUES, a series, or a public table."""
    _, rows, _ = draw(_base(FEW))
    number, text = draw(st.sampled_from(rows.of("number"))), draw(st.sampled_from(rows.of("text")))
    ranges = "(VALUES (0, 20, 'low'), (20, 60, 'high')) AS v(a, b, k)"
    joined: list[tuple[str, str, str]] = [
        ("CROSS JOIN generate_series(1, 3) AS i(i)", "number", "least(greatest(i.i, 0), 9)"),
        (f"JOIN {ranges} ON {number} >= v.a AND {number} < v.b", "text", "v.k"),
        (f"LEFT JOIN (VALUES ('US', 'x'), ('free', 'y'), ('mobile', 'z')) AS v(a, x) ON {text} = v.a", "text", "v.x"),
        (f"JOIN countries c ON c.population > {number} * 1000.0 AND c.region = 'Europe'", "text", "c.region"),
        (f"LEFT JOIN sales.regions r ON r.code = {text}", "text", "r.lead"),
    ]
    join, kind, column = draw(st.sampled_from(joined))
    return _both(f"{rows.sql} {join}", rows.unit, rows, Rows("", "", {kind: (column,)}))


@st.composite
def _twice(draw: st.DrawFn) -> Rows:
    """Rows whose conditions ask other rows of the unit, or a released answer."""
    _, rows, _ = draw(_base(TABLES))
    other = draw(st.sampled_from(MANY))
    of, number = f"y.{other.unit} = {rows.unit}", draw(st.sampled_from(other.number))
    mine = draw(st.sampled_from(rows.of("number")))
    condition = draw(
        st.sampled_from([
            f"EXISTS (SELECT FROM {other.name} y WHERE {of} AND y.{number} > {mine})",
            f"NOT EXISTS (SELECT FROM {other.name} y WHERE {of} AND y.{number} > 5)",
            f"(SELECT count(*) FROM {other.name} y WHERE {of}) > 2",
            f"(SELECT max(y.{number}) FROM {other.name} y WHERE {of}) > {mine}",
            f"{rows.unit} NOT IN (SELECT y.{other.unit} FROM {other.name} y WHERE y.{number} > 5)",
            f"{mine} > (SELECT avg(y.{number}) FROM {other.name} y)",
            f"{mine} < (SELECT count(*) FROM {other.name} y WHERE y.{number} < 3)",
            f"{mine} > ALL (SELECT y.{number} FROM {other.name} y WHERE {of} AND y.{number} IS NOT NULL)",
        ])
    )  # fmt: skip
    return replace(rows, where=condition)


CUSTOMER: Final = Rows(
    "customer c", "c.c_custkey", {"text": ("c.c_mktsegment",), "number": ("c.c_acctbal", "c.c_nationkey")}
)
ORDER: Final = {
    "text": ("o.o_orderstatus", "o.o_orderpriority"),
    "number": ("o.o_shippriority",),
    "time": ("o.o_orderdate",),
}
LINE: Final = {
    "text": ("l.l_returnflag", "l.l_shipmode"), "number": ("l.l_quantity", "l.l_discount", "l.l_linenumber"),
    "time": ("l.l_shipdate", "l.l_receiptdate"),
}  # fmt: skip
_ORDER, _LINE = Rows("", "", ORDER), Rows("", "", LINE)
CHAINS: Final = (
    CUSTOMER,
    Rows("orders o", "o.o_custkey", ORDER),
    _both("customer c JOIN orders o ON o.o_custkey = c.c_custkey", "c.c_custkey", CUSTOMER, _ORDER),
    _both(
        "customer c LEFT JOIN orders o ON o.o_custkey = c.c_custkey AND o.o_orderstatus = 'P'", "c.c_custkey", CUSTOMER,
        _ORDER,
    ),
    _both("orders o JOIN lineitem l ON l.l_orderkey = o.o_orderkey", "o.o_custkey", _ORDER, _LINE),
    _both(
        "customer c JOIN orders o ON o.o_custkey = c.c_custkey JOIN lineitem l ON l.l_orderkey = o.o_orderkey",
        "c.c_custkey", CUSTOMER, _ORDER, _LINE,
    ),
    _both(
        "(SELECT * FROM lineitem WHERE l_shipmode = 'RAIL') l JOIN orders o ON l.l_orderkey = o.o_orderkey"
        " JOIN supplier s ON s.s_suppkey = l.l_suppkey JOIN nation n ON n.n_nationkey = s.s_nationkey",
        "o.o_custkey", _ORDER, _LINE, Rows("", "", {"text": ("n.n_name",)}),
    ),
    _both(
        "orders o JOIN (SELECT l_orderkey, count(*) AS x, max(l_quantity) AS y FROM lineitem GROUP BY l_orderkey) q"
        " ON q.l_orderkey = o.o_orderkey",
        "o.o_custkey", _ORDER, Rows("", "", {"number": ("q.x", "q.y")}),
    ),
    _both(
        "nation n JOIN customer c ON c.c_nationkey = n.n_nationkey", "c.c_custkey", CUSTOMER,
        Rows("", "", {"text": ("n.n_name",)}),
    ),
    Rows(
        "(SELECT o_custkey, o_orderstatus, o_orderdate, row_number() OVER (PARTITION BY o_custkey ORDER BY o_orderdate,"
        " o_orderkey) AS n FROM orders) o",
        "o.o_custkey", {"text": ("o.o_orderstatus",), "number": ("o.n",), "time": ("o.o_orderdate",)},
    ),
)  # fmt: skip


@st.composite
def chain_statements(draw: st.DrawFn) -> str:
    rows = draw(st.sampled_from(CHAINS))
    if rows.sql.startswith(("orders o", "customer c JOIN orders o")):
        line = "o.o_orderkey IN (SELECT y.l_orderkey FROM lineitem y WHERE y.l_quantity > 48)"
        late = (
            "EXISTS (SELECT FROM lineitem y WHERE y.l_orderkey = o.o_orderkey AND y.l_shipdate > o.o_orderdate + 100)"
        )
        rows = replace(rows, where=draw(st.sampled_from(["", "", line, late])))
    return draw(statements_over(rows))
