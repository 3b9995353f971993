"""Random statements over the product database, in the SQL that a private question may be written in.

A statement is valid for PostgreSQL, raises nothing on any row, and keeps clear of what docs/exceptions.md names: groups
of one unit are filtered away, a sum over nothing is coalesced, no quotient or float is summed, limits do not bind.
Whether noisegate answers it already is not the grammar's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[str]], str]


@dataclass(frozen=True)
class Rows:
    """A FROM clause: its text, the unit's column, columns by kind, and a condition that it needs."""

    sql: str
    unit: str
    columns: Mapping[str, tuple[str, ...]]
    where: str = ""
    also: tuple[str, ...] = field(default=())  # predicates over other tables that fit

    def of(self, *kinds: str) -> list[str]:
        return [c for kind in kinds for c in self.columns.get(kind, ())]


CONSTANTS: Final = {
    "u.plan": ("free", "pro", "team"), "u.country": ("US", "DE", "FR", "??"), "s.device": ("mobile", "tablet"),
    "e.kind": ("search", "purchase", "page_view"), "e.feature": ("api", "editor", "export"), "o.country": ("US", "DE"),
    "t.note": ("alpha", "Beta", "it''s"), "c.region": ("Europe", "Asia"), "r.region": ("Europe", "Asia"),
}  # fmt: skip
NUMBERS: Final = {
    "u.age": (18, 30, 37, 45), "s.duration_s": (60, 300, 900), "e.amount": (5, 20, 99.5), "o.total": (10, 62.25, 100),
    "t.whole": (3, 11, 20), "t.small": (-2, 0, 2), "t.share": (10, 50, 90), "t.price": (1.5, 6, 10),
}  # fmt: skip
TIMES: Final = {
    "u.signup_date": "2024-03-01", "s.started_at": "2024-06-15", "e.occurred_at": "2024-08-01 12:00",
    "o.placed": "2024-02-10", "t.born": "2024-03-01", "o.o_orderdate": "1995-06-17", "l.l_shipdate": "1995-06-17",
    "l.l_receiptdate": "1997-01-01",
}  # fmt: skip
ANY_TEXT, ANY_TIME = ("US", "free", "mobile", "search"), "2024-05-01"
# Numbers and times of at most 4,096 steps: percentiles, extremes and variances are exact (docs/exceptions.md).
EXACT: Final = {
    "u.age", "p.age", "b.age", "t.whole", "t.small", "t.share", "s.n", "w.n", "c.c_nationkey", "l.l_linenumber",
    "l.l_quantity",
}  # fmt: skip
CHAR: Final = {"c_mktsegment", "o_orderstatus", "o_orderpriority", "l_returnflag", "l_shipmode", "n_name"}
EXACT_TIMES: Final = {"u.signup_date", "o.placed", "t.born", "o.o_orderdate", "l.l_shipdate"}
_USERS: Final = {
    "text": ("u.plan", "u.country"),
    "number": ("u.age",),
    "flag": ("u.is_admin",),
    "time": ("u.signup_date",),
}
_SESSIONS: Final = {"text": ("s.device",), "number": ("s.duration_s",), "time": ("s.started_at",)}
_EVENTS: Final = {"text": ("e.kind", "e.feature"), "number": ("e.amount",), "time": ("e.occurred_at",)}
_ORDERS: Final = {"text": ("o.country",), "number": ("o.total",), "time": ("o.placed",)}
_THINGS: Final = {
    "text": ("t.note",),
    "number": ("t.whole", "t.small", "t.share", "t.price"),
    "flag": ("t.flag",),
    "time": ("t.born",),
}
_HAS: Final = (
    "EXISTS (SELECT FROM events x WHERE x.user_id = {u} AND x.kind = 'purchase')",
    "NOT EXISTS (SELECT FROM sales.orders x WHERE x.user_id = {u} AND x.total > 50)",
    "{u} IN (SELECT x.user_id FROM sessions x WHERE x.device = 'mobile')",
    "EXISTS (SELECT FROM sessions x, events y WHERE y.session_id = x.id AND y.user_id = x.user_id AND x.user_id = {u})",
    "{u} IN (SELECT x.user_id FROM sessions x GROUP BY x.user_id HAVING count(*) > 2)",
)
_LIVES: Final = (
    "u.country IN (SELECT x.code FROM countries x WHERE x.region = 'Europe')",
    "NOT EXISTS (SELECT FROM countries x WHERE x.code = u.country AND x.population > 60000000)",
    "u.age > (SELECT avg(x.age) FROM users x)",
)


def _with(*parts: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    kinds = {kind for part in parts for kind in part}
    return {kind: tuple(c for part in parts for c in part.get(kind, ())) for kind in sorted(kinds)}


def _rows(sql: str, unit: str, *parts: Mapping[str, tuple[str, ...]], where: str = "", lives: bool = False) -> Rows:
    also = tuple(p.format(u=unit) for p in _HAS) + (_LIVES if lives else ())
    return Rows(sql, unit, _with(*parts), where, also)


ONE_TABLE: Final = (
    _rows("users u", "u.id", _USERS, lives=True),
    _rows("sessions s", "s.user_id", _SESSIONS),
    _rows("events e", "e.user_id", _EVENTS),
    _rows("sales.orders o", "o.user_id", _ORDERS),
    Rows("things t", "t.user_id", _THINGS),
    _rows("users u JOIN countries c ON c.code = u.country", "u.id", _USERS, {"text": ("c.region",)}, lives=True),
    _rows("users u LEFT JOIN countries c ON c.code = u.country", "u.id", _USERS, {"text": ("c.region",)}),
    _rows("sales.orders o JOIN sales.regions r ON r.code = o.country", "o.user_id", _ORDERS, {"text": ("r.region",)}),
    _rows("sales.orders o, sales.weeks w", "o.user_id", _ORDERS, where="w.country = o.country"),
)
SEVERAL_TABLES: Final = (
    _rows("users u JOIN events e ON e.user_id = u.id", "u.id", _USERS, _EVENTS, lives=True),
    _rows("sessions s, users u", "s.user_id", _USERS, _SESSIONS, where="u.id = s.user_id"),
    _rows("users u LEFT JOIN sales.orders o ON o.user_id = u.id", "u.id", _USERS, _ORDERS),
    _rows("sales.orders o RIGHT JOIN users u ON o.user_id = u.id AND o.total > 30", "u.id", _USERS, _ORDERS),
    _rows("sessions s JOIN events e ON e.user_id = s.user_id AND e.session_id = s.id", "e.user_id", _SESSIONS, _EVENTS),
    _rows(
        "sales.orders o JOIN sales.orders p ON o.user_id = p.user_id AND o.order_id < p.order_id", "p.user_id", _ORDERS
    ),
    _rows(
        "users u JOIN sessions s ON s.user_id = u.id JOIN events e ON e.user_id = u.id AND e.session_id = s.id",
        "u.id",
        _USERS,
        _SESSIONS,
        _EVENTS,
    ),
    _rows(
        "users u JOIN countries c ON c.code = u.country JOIN sales.orders o ON o.user_id = u.id",
        "o.user_id",
        _USERS,
        _ORDERS,
        {"text": ("c.region",)},
    ),
    _rows("(SELECT * FROM users WHERE age > 20) u", "u.id", _USERS, lives=True),
    _rows(
        "(SELECT user_id, kind, feature, amount, occurred_at FROM events WHERE kind <> 'invite') e",
        "e.user_id",
        _EVENTS,
    ),
    _rows(
        "(SELECT user_id, device, duration_s, started_at,"
        " row_number() OVER (PARTITION BY user_id ORDER BY started_at, id) AS n FROM sessions) s",
        "s.user_id",
        _SESSIONS,
        {"number": ("s.n",)},
    ),
    Rows(
        "(SELECT user_id, least(count(*), 100) AS n, max(duration_s) AS most FROM sessions GROUP BY user_id) g",
        "g.user_id",
        {"number": ("g.n", "g.most")},
    ),
    Rows(
        "users u JOIN (SELECT user_id, least(count(*), 400) AS n FROM events GROUP BY user_id) g ON g.user_id = u.id",
        "u.id",
        _with(_USERS, {"number": ("g.n",)}),
    ),
)


def statements() -> st.SearchStrategy[str]:
    return st.sampled_from(ONE_TABLE + SEVERAL_TABLES).flatmap(statements_over)


@st.composite
def statements_over(draw: st.DrawFn, rows: Rows) -> str:
    keys = draw(st.lists(_keys(rows), max_size=2, unique=True))
    aggregates = draw(st.lists(_aggregates(rows), min_size=1, max_size=3, unique=True))
    grouping = draw(_grouping(keys)) if keys else ""
    if grouping.startswith("GROUP BY ") and "(" in grouping.partition("GROUP BY ")[2] and draw(st.booleans()):
        aggregates.append(f"grouping({', '.join(keys)})")
    shown = [f"{sql} AS c{i}" for i, sql in enumerate([*keys, *aggregates])]
    parts = [f"SELECT {', '.join(shown)} FROM {rows.sql}"]
    where = [rows.where] * bool(rows.where) + draw(st.lists(conditions(rows), max_size=2))
    if where:
        parts.append("WHERE " + " AND ".join(f"({c})" for c in where))
    if keys:
        parts.append(grouping)
        having = [f"count(DISTINCT {rows.unit}) > 1", *draw(st.lists(_having(rows), max_size=1))]
        parts.append("HAVING " + " AND ".join(having))
    return _outside(draw, "\n".join(parts), len(keys), len(shown))


def _outside(draw: st.DrawFn, sql: str, keys: int, width: int) -> str:
    """Around a fragment: nothing, an order (total: by all columns), a limit, an aggregate, a window, itself again."""
    order = ", ".join(str(i + 1) for i in range(width))
    last = f"c{width - 1}"
    choices = [
        sql,
        f"{sql}\nORDER BY {order}",
        f"{sql}\nORDER BY {order} LIMIT 3",
        f"WITH f AS ({sql})\nSELECT * FROM f",
        f"SELECT f.*, (SELECT sum(i) FROM generate_series(1, 3) AS i) FROM ({sql}) AS f",
    ]
    if keys:
        choices += [
            f"SELECT count(*), count({last}) FROM ({sql}) AS f",
            f"SELECT c0, {last}, count(*) OVER () FROM ({sql}) AS f",
            f"SELECT c0, {last}, rank() OVER (ORDER BY {last} DESC, c0) FROM ({sql}) AS f",
            f"WITH f AS ({sql})\nSELECT f.c0, f.{last}, g.{last} FROM f JOIN f AS g ON g.c0 = f.c0",
            f"SELECT c0, {last} FROM ({sql}) AS f WHERE {last} IS NOT NULL ORDER BY 2 DESC, 1 LIMIT 2",
            f"({sql})\nUNION ALL\n({sql.replace(' > 1', ' > 2')})",
        ]
    return draw(st.sampled_from(choices))


def _grouping(keys: Sequence[str]) -> st.SearchStrategy[str]:
    plain = f"GROUP BY {', '.join(str(i + 1) for i in range(len(keys)))}"
    names = ", ".join(keys)
    sets = ", ".join(f"({key})" for key in keys)
    forms = [plain] * 5 + [
        f"GROUP BY ROLLUP ({names})",
        f"GROUP BY CUBE ({names})",
        f"GROUP BY GROUPING SETS ({sets}, ())",
    ]
    return st.sampled_from(forms)


def _keys(rows: Rows) -> st.SearchStrategy[str]:
    options = rows.of("text", "flag")
    options += [f"date_trunc('month', {c})" for c in rows.of("time")]
    options += [f"extract(quarter FROM {c})" for c in rows.of("time")]
    for column in rows.of("number"):
        low = NUMBERS.get(column, (3,))[0]
        options += [
            f"{column} > {low}",
            f"CASE WHEN {column} IS NULL THEN 'none' WHEN {column} > {low} THEN 'more' END",
        ]
    options += [f"{c} / 20" for c in rows.of("number") if c in ("u.age", "t.share")]
    options += [f"upper({c})" for c in rows.of("text")] + [
        f"coalesce({c}, '-')" for c in rows.of("text") if c.partition(".")[2] not in CHAR
    ]
    return st.sampled_from(options)


def _aggregates(rows: Rows) -> st.SearchStrategy[str]:
    anything = st.sampled_from(rows.of("text", "number", "flag", "time"))
    plain = st.one_of(
        st.sampled_from(["count(*)", f"count(DISTINCT {rows.unit})"]),
        anything.map(lambda c: f"count({c})"),
        anything.map(lambda c: f"count(DISTINCT {c})"),
    )
    numbers = _numbers(rows)
    if numbers is None:
        return _filtered(plain, rows)
    sums = numbers.flatmap(lambda x: st.sampled_from([f"sum({x})", f"avg({x})"]))
    distinct = st.sampled_from(rows.of("number")).flatmap(
        lambda x: st.sampled_from([f"sum(DISTINCT {x})", f"avg(DISTINCT {x})"])
    )
    summed = _filtered(st.one_of(sums, sums, distinct), rows).map(_nothing_is_zero)
    any_or_all = _simple(rows).flatmap(lambda c: st.sampled_from([f"bool_or({c})", f"bool_and({c})", f"every({c})"]))
    return st.one_of(_filtered(plain, rows), summed, _filtered(any_or_all, rows), *_spreads(rows))


def _spreads(rows: Rows) -> list[st.SearchStrategy[str]]:
    numbers = [c for c in rows.of("number") if c in EXACT]
    found = [
        f"{name}({x})" for x in numbers for name in ("var_pop", "stddev_samp", "variance", "stddev_pop", "min", "max")
    ]
    for x in [*numbers, *(c for c in rows.of("time") if c in EXACT_TIMES)]:
        found += [f"min({x})", f"max({x})", f"percentile_disc(0.5) WITHIN GROUP (ORDER BY {x})"]
    for x in numbers:
        found += [f"percentile_cont(ARRAY[0.25, 0.9]) WITHIN GROUP (ORDER BY {x})", f"regr_count({x}, {numbers[0]})"]
    return [_filtered(st.sampled_from(found), rows)] if found else []


def _nothing_is_zero(sql: str) -> str:
    return f"coalesce({sql}, 0)" if sql.startswith("sum") else sql


def _filtered(aggregates: st.SearchStrategy[str], rows: Rows) -> st.SearchStrategy[str]:
    with_filter = st.tuples(aggregates, _simple(rows)).map(lambda p: f"{p[0]} FILTER (WHERE {p[1]})")
    return st.one_of(aggregates, aggregates, with_filter)


def _numbers(rows: Rows) -> st.SearchStrategy[str] | None:
    columns = rows.of("number")
    if not columns:
        return None
    column = st.sampled_from(columns)
    forms = ["{0}", "{0} + 1", "2 * {0}", "-{0}", "coalesce({0}, 1)", "abs({0})", "greatest({0}, 3)", "least({0}, 25)"]
    one = st.tuples(st.sampled_from(forms), column).map(lambda p: p[0].format(p[1]))
    cases = st.tuples(_simple(rows), column).map(lambda p: f"CASE WHEN {p[0]} THEN {p[1]} ELSE 0 END")
    two = st.tuples(column, st.sampled_from(["+", "-"]), column).map(" ".join)
    return st.one_of(one, cases, two)


def _simple(rows: Rows) -> st.SearchStrategy[str]:
    """A comparison of a column with constants."""
    options: list[st.SearchStrategy[str]] = []
    for column in rows.of("text"):
        values = CONSTANTS.get(column, ANY_TEXT)
        options.append(st.sampled_from(values).map(lambda v, c=column: f"{c} = '{v}'"))  # type: ignore[misc]
        listed = ", ".join(f"'{v}'" for v in values)
        tests = ["IN ({0})", "NOT IN ({0})", "LIKE '%e%'", "IS NULL", "IS DISTINCT FROM '{1}'"]
        options.append(st.sampled_from([f"{column} {test.format(listed, values[0])}" for test in tests]))
    for column in rows.of("number"):
        values_n = NUMBERS.get(column, (2, 5))
        signs = st.sampled_from(["<", "<=", "=", "<>", ">=", ">"])
        options.append(
            st.tuples(st.just(column), signs, st.sampled_from(values_n)).map(lambda p: f"{p[0]} {p[1]} {p[2]}")
        )
        options.append(st.just(f"{column} BETWEEN {values_n[0]} AND {values_n[-1]}"))
    options += [st.sampled_from([c, f"NOT {c}", f"{c} IS NOT TRUE"]) for c in rows.of("flag")]
    options += [
        st.sampled_from([f"{c} < '{TIMES.get(c, ANY_TIME)}'", f"extract(month FROM {c}) > 4"]) for c in rows.of("time")
    ]
    return st.one_of(options)


def conditions(rows: Rows, simple_only: bool = False) -> st.SearchStrategy[str]:
    simple = _simple(rows)
    if simple_only:
        return simple
    both: Callable[[Sequence[str]], str] = lambda p: f"{p[0]} {p[1]} {p[2]}"  # noqa: E731
    joined = st.tuples(simple, st.sampled_from(["AND", "OR"]), simple).map(both)
    options = [simple, simple, joined, joined.map(lambda c: f"NOT ({c})")]
    return st.one_of(*options, st.sampled_from(rows.also)) if rows.also else st.one_of(options)


def _having(rows: Rows) -> st.SearchStrategy[str]:
    return st.sampled_from(["count(*) > 5", "count(*) % 2 = 0", f"count(DISTINCT {rows.unit}) < 200"])
