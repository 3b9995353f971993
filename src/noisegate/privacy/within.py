"""Aggregates and windows whose input is one unit's rows: expressions of nested queries, each in a form that cannot fail
and whose value is a function of that unit's rows alone, never of their physical order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from noisegate.errors import NoisegateError, Refused, Unsupported
from noisegate.privacy.anchor import unit_name
from noisegate.privacy.columns import Fact
from noisegate.privacy.forms import SORTABLE, settled, shown, sort_sql, tie_break
from noisegate.privacy.joins import condition_sql
from noisegate.privacy.relation import Resolver
from noisegate.privacy.world import Relation
from noisegate.query.fragment import inner_nodes
from noisegate.query.interval import ANY, Interval, between, hull, point
from noisegate.query.total import Scope, compile_expr
from noisegate.query.total.numbers import narrow
from noisegate.query.tree import Call, Expr, Name, Select, SortKey, Subquery, same_expression, walk
from noisegate.query.values import INT_RANGES, INTS, NUMBERS, Value, single, tame_float, tame_numeric
from noisegate.query.words import ANSWERED_AGGREGATES, OTHER_AGGREGATES, ROW_AGGREGATES

AGGREGATES = ANSWERED_AGGREGATES | OTHER_AGGREGATES
_COUNT = INT_RANGES["int8"]
_ORDERED = frozenset("row_number ntile lag lead first_value last_value nth_value".split())  # ties would show scan order
_RANKS = frozenset("rank dense_rank percent_rank cume_dist".split())
_END = r"(unbounded preceding|unbounded following|current row|[0-9]{1,9} (?:preceding|following))"
_FRAME = re.compile(rf"(rows|groups|range)( between)? {_END}( and {_END})?\Z")
_SPREADS = frozenset("variance var_samp var_pop stddev stddev_samp stddev_pop".split())


class Within:
    """Compiles the expressions of one nested block."""

    def __init__(self, resolver: Resolver, relation: Relation, select: Select) -> None:
        self._resolver = resolver
        self._relation = relation
        self._select = select
        self._keys: list[Value] = []
        self._settled = False  # whether a key's form differs from the text's
        self._determined: dict[str, None] = {}  # columns that a key determines, of sources that are tables no longer
        self.scope = Scope(self._column, resolver.world.constants, special=self._special)
        limits = [resolver.world.snapshot.policy.limits_of(k) for k in resolver.world.limits]
        self._rows = max((x.rows_per_group_max or 1 for x in limits), default=1)

    def group_by(self, keys: Sequence[Value]) -> None:
        self._keys = list(keys)
        raw = [compile_expr(e, self._resolver.scope).sql for e in self._select.group]
        self._settled = any(k.sql != sql for k, sql in zip(keys, raw, strict=True))

    def _column(self, name: Name) -> Value:
        """A column outside of aggregates that is no key: PostgreSQL takes it as determined by a primary key among the
        keys, and so does the data server, where the keys stand as they are."""
        hit = self._resolver.find(name)
        if self._settled and hit is not None and hit[0] in self._resolver.sources:
            raise _ungrouped(name.parts[-1])
        value = self._resolver.column(name)
        if self._keys and hit is not None and hit[0].sql_alias in self._resolver.capped:
            self._determined[value.sql] = None
        return value

    def determined(self) -> tuple[str, ...]:
        """Further group keys, which the keys determine: a source that is cut has no primary key on the data server."""
        return tuple(self._determined)

    def _key(self, expr: Expr) -> Value | None:
        """The group key that an expression is."""
        pairs = zip(self._select.group, self._keys, strict=False)
        return next((key for text, key in pairs if same_expression(text, expr)), None)

    def output(self, expr: Expr) -> Value:
        """An output of a grouped block: a group key keeps its settled form."""
        return compile_expr(expr, self.scope)

    def fact(self, expr: Expr, fact: Fact) -> Fact:
        counted = isinstance(expr, Call) and expr.name == "count" and expr.over is None
        return replace(fact, not_null=fact.not_null or counted)

    def names_unit(self, values: Sequence[Value], exprs: Sequence[Expr]) -> bool:
        """Whether rows that agree in the values belong to one unit: they include a determinant of a source that is
        there in every row, or the unit itself. exprs: the same in the text."""
        if any(self._resolver.is_merged_unit(e) for e in exprs):
            return True
        columns = {v.column for v in values if v.column is not None}
        return any(
            all((s.sql_alias, c) in columns for c in d.columns)
            for s in self._resolver.sources
            if s.sql_alias in self._relation.present
            for d in s.determinants
        )

    def count(self, expr: Expr, most: int) -> int:
        """A constant number of rows."""
        const = self._resolver.world.constants.get((expr.start, expr.end))
        if const is None or const.number is None or const.number.denominator != 1 or not 0 <= const.number <= most:
            raise Unsupported("a constant number of rows is needed here in a private question", name="limit")
        return int(const.number)

    def _special(self, expr: Expr) -> Value | None:
        key = self._key(expr) if self._keys else None
        if key is not None:
            return key
        if isinstance(expr, Subquery) and self._keys and (self._settled or self._resolver.capped):
            self._check_keys_only(expr)
        if isinstance(expr, Call) and expr.over is not None:
            return self._window(expr)
        if isinstance(expr, Call) and (expr.name in AGGREGATES or expr.within):
            if not self._select.grouped:
                raise Unsupported(f"{expr.name} cannot stand here in a private question", name=expr.name)
            return self._aggregate(expr, self._resolver.scope, "")
        return self._resolver.scope.special(expr)

    def _check_keys_only(self, expr: Subquery) -> None:
        """A subquery beside keys in another form than the text's, or beside sources that are cut."""
        if self._settled:
            raise _ungrouped("select")
        keys = [k.column for k in self._keys if k.column is not None]
        for name in (n for n in inner_nodes(expr) if isinstance(n, Name)):
            hit = self._resolver.find(name)
            if hit is not None and hit[0].sql_alias in self._resolver.capped and (hit[0].sql_alias, hit[1]) not in keys:
                raise _ungrouped(name.parts[-1])

    # -- aggregates -----------------------------------------------------------------------------------------------
    def _aggregate(self, call: Call, scope: Scope, over: str) -> Value:
        """Claim: a function of the unit's rows as a multiset. Because: sums over floating point are taken in numeric,
        which adds exactly; what depends on the order of rows is refused."""
        if call.extras or call.order:
            raise Unsupported(f"ORDER BY in {call.name} is not supported inside a private question", name=call.name)
        tail = f" FILTER (WHERE {condition_sql(call.filter, scope)})" if call.filter is not None else ""
        tail += over
        if call.star:
            return Value(f"pg_catalog.count(*){tail}", "int8", _COUNT, between(0, self._rows), 0)
        if call.within:
            return self._ordered_set(call, scope, tail)
        if len(call.args) != 1:
            raise self._refuse(call)
        arg = shown(compile_expr(call.args[0], scope))
        arg = settled(arg) if call.distinct else arg  # which of several equal values is taken would show in the scale
        word = "DISTINCT " if call.distinct else ""
        match call.name:
            case "count":
                return Value(f"pg_catalog.count({word}{arg.sql}){tail}", "int8", _COUNT, between(0, self._rows), 0)
            case "sum":
                return self._sum(call, arg, word, tail)
            case "avg":
                return self._avg(call, arg, word, tail)
            case "min" | "max" if arg.type in SORTABLE - {"bool"}:
                return settled(_anew(arg, f"pg_catalog.{call.name}({arg.sql}){tail}"))
            case "bool_and" | "bool_or" | "every" if arg.type == "bool":
                return Value(f"pg_catalog.{call.name}({arg.sql}){tail}", "bool")
            case name if name in _SPREADS and arg.type in NUMBERS:
                return self._spread(call, arg, word, tail)
            case _:
                raise self._refuse(call)

    def _sum(self, call: Call, arg: Value, word: str, tail: str) -> Value:
        bound = _times(arg.bound, self._rows)
        declared = self._declared(arg)
        if declared is not None:
            bound = Interval(
                max(-declared, bound.lo) if bound.lo is not None else -declared,
                min(declared, bound.hi) if bound.hi is not None else declared,
            )
        if arg.type in INTS:
            whole = _exactly(arg)
            kind = "numeric" if arg.type == "int8" else "int8"
            safe = ANY if kind == "numeric" else _COUNT
            return Value(f"pg_catalog.sum({word}{whole.sql}){tail}", kind, safe, bound, 0)
        if arg.type == "numeric":
            kept = tame_numeric(arg)
            return Value(f"pg_catalog.sum({word}{kept.sql}){tail}", "numeric", ANY, bound, arg.scale)
        if arg.type in ("float4", "float8"):
            sql = f"(pg_catalog.sum({word}({tame_float(arg).sql})::pg_catalog.numeric){tail})::pg_catalog.float8"
            whole = Value(sql, "float8", ANY, bound)
            return whole if arg.type == "float8" else single(whole)
        raise self._refuse(call)

    def _declared(self, arg: Value) -> Fraction | None:
        """The unit total that the policy declares for a plain column whose rows no join repeats."""
        source = next((s for s in self._resolver.sources if arg.column and s.sql_alias == arg.column[0]), None)
        if source is None or arg.column is None:
            return None
        fact = self._resolver.fact_of(source, source.column(arg.column[1]).fact, self._relation)
        total = fact.policy.unit_total if fact.policy is not None and not fact.multiplied else None
        return Fraction(total) if total is not None else None

    def _avg(self, call: Call, arg: Value, word: str, tail: str) -> Value:
        if arg.type in ("float4", "float8"):
            sql = f"(pg_catalog.avg({word}({tame_float(arg).sql})::pg_catalog.numeric){tail})::pg_catalog.float8"
            return Value(sql, "float8", ANY, arg.bound)
        if arg.type not in INTS | {"numeric"}:
            raise self._refuse(call)
        kept = _exactly(arg) if arg.type in INTS else tame_numeric(arg)
        return Value(f"pg_catalog.avg({word}{kept.sql}){tail}", "numeric", kept.safe, arg.bound)

    def _spread(self, call: Call, arg: Value, word: str, tail: str) -> Value:
        if arg.type in ("float4", "float8"):
            inner, kind = f"({tame_float(arg).sql})::pg_catalog.numeric", "float8"
        else:
            inner, kind = (_exactly(arg) if arg.type in INTS else tame_numeric(arg)).sql, "numeric"
        sql = f"pg_catalog.{call.name}({word}{inner}){tail}"
        sql = f"({sql})::pg_catalog.float8" if kind == "float8" else sql
        width = arg.bound.hi - arg.bound.lo if arg.bound.lo is not None and arg.bound.hi is not None else None
        top = None if width is None else width if call.name.startswith("stddev") else width * width
        return Value(sql, kind, ANY, Interval(Fraction(0), top))

    def _ordered_set(self, call: Call, scope: Scope, tail: str) -> Value:
        """percentile_cont, percentile_disc and mode: functions of the sorted values."""
        if len(call.within) != 1:
            raise self._refuse(call)
        key = call.within[0]
        arg = shown(compile_expr(key.expr, scope))
        order = f"WITHIN GROUP (ORDER BY {{}}{_direction(key)})"
        if call.name == "mode" and not call.args and arg.type in SORTABLE:
            kept = settled(arg)
            return _anew(kept, f"pg_catalog.mode() {order.format(kept.sql)}{tail}")
        if call.name not in ("percentile_cont", "percentile_disc") or len(call.args) != 1 or arg.type not in SORTABLE:
            raise self._refuse(call)
        const = self._resolver.world.constants.get((call.args[0].start, call.args[0].end))
        if const is None or const.number is None or not 0 <= const.number <= 1:
            raise Unsupported("a percentile inside a private question takes one constant in [0, 1]", name=call.name)
        share = f"'{float(const.number)!r}'::pg_catalog.float8"
        if call.name == "percentile_cont":
            if arg.type != "float8":
                raise self._refuse(call)
            arg = tame_float(arg)
        kept = settled(arg)
        sql = f"pg_catalog.{call.name}({share}) {order.format(kept.sql)}{tail}"
        return replace(_anew(kept, sql), exponents=None, finite=None)

    def _refuse(self, call: Call) -> NoisegateError:
        if call.name in ROW_AGGREGATES:
            return Refused(f"{call.name} would show rows of people", name=call.name, hint="Use count, sum or avg.")
        return Unsupported(
            f"{call.name} in this form is not supported inside a private question",
            name=call.name,
            hint="Use count, sum, avg, min, max, bool_and, bool_or, a variance or a percentile.",
        )

    # -- windows --------------------------------------------------------------------------------------------------
    def _window(self, call: Call) -> Value:
        """Claim: the value is a function of the unit's rows as a multiset. Because: the partition is of one unit, and
        where order shows, it is total: the analyst's keys, then every column that the block reads, so that rows that
        tie are interchangeable (docs/privacy.md, order below the aggregate)."""
        spec = call.over
        assert spec is not None
        parts = [compile_expr(e, self.scope) for e in spec.partition]
        if self._relation.anchor is not None and not self._relation.tied and not self.names_unit(parts, spec.partition):
            anchor = self._relation.anchor
            raise Refused(
                f"{call.name} OVER would mix the rows of several people",
                name="over",
                hint=f"Add PARTITION BY {unit_name(anchor)}." if anchor is not None else "Add PARTITION BY the unit.",
            )
        frame = self._frame(spec.frame)
        ordered = call.name in _ORDERED or (frame.startswith("rows") and call.name not in _RANKS)
        if call.name == "last_value" and not (frame.startswith("rows") or frame.endswith("unbounded following")):
            raise Unsupported(
                "last_value over the default frame depends on the order of equal rows",
                name="last_value",
                hint="Add ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING.",
            )
        order = self.order(spec.order) if ordered else self._keys_sql(spec.order)
        partition = f"PARTITION BY {', '.join(p.sql for p in parts)}" if parts else ""
        words = " ".join(w for w in (partition, order.strip(), frame.upper()) if w)
        return self._windowed(call, f" OVER ({words})", self._select.grouped)

    def _windowed(self, call: Call, over: str, grouped: bool) -> Value:
        name, scope = call.name, self.scope
        if name in AGGREGATES and name not in _ORDERED | _RANKS:
            if call.distinct:
                raise self._refuse(call)
            return self._aggregate(call, scope, over)
        args = [shown(compile_expr(a, scope)) for a in call.args]
        match name, len(args):
            case (("row_number" | "rank" | "dense_rank"), 0):
                return Value(f"pg_catalog.{name}(){over}", "int8", between(1, 2**62), between(1, self._rows), 0)
            case (("percent_rank" | "cume_dist"), 0):
                return Value(f"pg_catalog.{name}(){over}", "float8", between(0, 1), between(0, 1))
            case "ntile", 1:
                n = max(self.count(call.args[0], 10**6), 1)
                return Value(f"pg_catalog.ntile({n}){over}", "int4", between(1, n), between(1, n), 0)
            case (("lag" | "lead"), (1 | 2 | 3)):
                return self._shifted(call, args, over)
            case (("first_value" | "last_value"), 1):
                return _anew(args[0], f"pg_catalog.{name}({args[0].sql}){over}")
            case "nth_value", 2:
                n = max(self.count(call.args[1], 10**6), 1)
                return _anew(args[0], f"pg_catalog.nth_value({args[0].sql}, {n}){over}")
            case _:
                raise Unsupported(f"window function {name} is not supported in a private question", name=name)

    def _shifted(self, call: Call, args: Sequence[Value], over: str) -> Value:
        value = args[0]
        inner = value.sql
        if len(args) > 1:
            inner += f", {self.count(call.args[1], 10**6)}"
        if len(args) > 2:
            default = args[2]
            if default.type != value.type or value.type in INTS:
                value = _exactly(value) if value.type in INTS else value
                if default.type not in INTS or value.type not in INTS:
                    raise self._refuse(call)
            fallback = default.sql if default.type not in INTS else f"({narrow(default, value.type).sql})"
            inner = f"{value.sql}, {self.count(call.args[1], 10**6)}, {fallback}"
            safe, bound = hull([value.safe, default.safe]), hull([value.bound, default.bound])
            scale = 0 if value.type in INTS else None
            value = replace(value, safe=safe, bound=bound, exponents=None, scale=scale, finite=None, chars=None)
        return _anew(value, f"pg_catalog.{call.name}({inner}){over}")

    def _frame(self, words: str) -> str:
        """The frame, of known words only."""
        text = " ".join(words.lower().split())
        if not text:
            return ""
        if not _FRAME.match(text) or (text.startswith("range") and re.search("[0-9]", text)):
            raise Unsupported("this window frame is not supported in a private question", name="over")
        return text

    def order(self, keys: Sequence[SortKey], first: Sequence[str] = ()) -> str:
        """ORDER BY with a total order: the keys, then everything that the block reads."""
        parts = [*first, *(self._key_sql(k) for k in keys)]
        ties = self._keys if self._select.grouped else self._observed()
        parts += [t for v in ties for t in tie_break(v)]
        if self._relation.unit is not None and (self._keys or not self._select.grouped):
            parts.append(self._relation.unit.sql)
        return f" ORDER BY {', '.join(dict.fromkeys(parts))}" if parts else ""

    def _keys_sql(self, keys: Sequence[SortKey]) -> str:
        return f"ORDER BY {', '.join(self._key_sql(k) for k in keys)}" if keys else ""

    def _key_sql(self, key: SortKey) -> str:
        return sort_sql(compile_expr(key.expr, self.scope)) + _direction(key)

    def _observed(self) -> list[Value]:
        """The columns that the block's outputs and windows read; with those of subqueries there, which are functions
        of them and of the unit's rows."""
        tops = [i.expr for i in self._select.items] + [k.expr for k in self._select.order]
        found: dict[str, Value] = {}
        for top in (*tops, *self._select.distinct_on):
            own = [n for n in walk(top) if isinstance(n, Name)]
            for name in (*own, *(n for n in inner_nodes(top) if isinstance(n, Name) and self._is_own(n))):
                value = self._resolver.scope.column(name)
                found[value.sql] = value
        return list(found.values())

    def _is_own(self, name: Name) -> bool:
        hit = self._resolver.find(name)
        return bool(self._resolver.merged(name)) or (hit is not None and hit[0] in self._resolver.sources)


def _anew(value: Value, sql: str) -> Value:
    """One of the values, or NULL, from several rows."""
    return replace(value, sql=sql, column=None, const=None, null=True)


def _ungrouped(column: str) -> NoisegateError:
    return Unsupported(
        f'column "{column}" must appear in the GROUP BY clause or be used in an aggregate function',
        name=column,
        detail="A subquery inside a private question groups numbers and floating point by a canonical form.",
        hint="Add what it depends on to the GROUP BY clause, or use min or max of it.",
    )


def _direction(key: SortKey) -> str:
    nulls = {None: "", True: " NULLS FIRST", False: " NULLS LAST"}[key.nulls_first]
    return (" DESC" if key.descending else "") + nulls


def _exactly(value: Value) -> Value:
    """An integer whose SQL has its own type."""
    limits = INT_RANGES[value.type]
    assert limits.lo is not None and limits.hi is not None
    return value if value.safe.within(int(limits.lo), int(limits.hi)) else narrow(value, value.type)


def _times(interval: Interval, rows: int) -> Interval:
    lo = None if interval.lo is None else interval.lo * rows
    hi = None if interval.hi is None else interval.hi * rows
    return hull([point(0), Interval(lo, hi)])
