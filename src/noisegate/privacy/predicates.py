"""Subqueries in the expressions of a private question: EXISTS, IN and scalars that stay within a unit, and values of
closed subqueries that were released or are public.

Claim: the value is a function of the outer row's unit's rows and of public rows. Because: every private row of the
subquery is tied to the outer row's unit by equalities that must hold at its top level.
"""

from __future__ import annotations

import re
from dataclasses import replace

from noisegate.errors import Internal, NoisegateError, Refused, Unsupported
from noisegate.plan.units import determinants
from noisegate.privacy.bodies import Body, source_of
from noisegate.privacy.columns import OWN_UNIT, Source
from noisegate.privacy.derived import body_of
from noisegate.privacy.givens import given_type, given_value
from noisegate.privacy.relation import Resolver
from noisegate.query.fragment import tables_of
from noisegate.query.total import compile_expr
from noisegate.query.total.arrays import ELEMENTS
from noisegate.query.total.table import OPERATORS
from noisegate.query.tree import Expr, From, Given, Select, Subquery
from noisegate.query.values import INTS, TEXTS, Value

_OPPOSITE = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_COMPARISONS = frozenset(_OPPOSITE)


def special(expr: Expr, resolver: Resolver) -> Value | None:
    """The value of an expression that compile_expr leaves to the relation; None for all others."""
    match expr:
        case Subquery():
            return _subquery(expr, resolver)
        case Given():
            return _given(expr, resolver)
        case _:
            return None


def _subquery(expr: Subquery, resolver: Resolver) -> Value:
    match expr.kind:
        case "exists":
            body, source = _inner(expr, resolver)
            _must_be_tied(expr, source, resolver, None, None)
            return Value(f"EXISTS (SELECT 1 {body.rows or f'FROM {source.sql}'})", "bool", null=False)
        case "in":
            return _compared(replace(expr, kind="any", op="="), resolver)
        case "any" | "all" if expr.op in _COMPARISONS:
            return _compared(expr, resolver)
        case "scalar":
            return _scalar(expr, resolver)
        case _:
            raise Unsupported(
                f"{expr.op} {expr.kind.upper()} over people's rows is not supported in a private question",
                name="select",
                hint="Use EXISTS with the condition inside.",
            )


def _inner(expr: Subquery, resolver: Resolver) -> tuple[Body, Source]:
    """For EXISTS, which reads the body's `rows` if it has them: PostgreSQL joins a subquery whose own WHERE names the
    row around it, and runs anew for each row what names it farther in."""
    body = body_of(expr.query, (), resolver.world, resolver)
    return body, source_of(body, "", resolver.world.alias())


def _compared(expr: Subquery, resolver: Resolver) -> Value:
    """`arg op ANY (query)`, of which IN is one, and `arg op ALL (query)`.

    Claim: equal to PostgreSQL's value, but that NULL may be false where both mean the same. Because: ANY is true where
    a comparison is, else NULL where one is NULL, else false; ALL is false where one is, else NULL where one is NULL,
    else true. Where all rows are of the outer row's unit, so are the NULLs. Where the comparison itself ties them to
    it, other people's rows are compared, too: then none may be NULL, or NULL and false mean the same.
    Checked by: tests/privacy/test_neighbours_joins.py, tests/equality/cases/predicates.sql.
    """
    if expr.arg is None:
        raise Internal("a comparison without an argument")
    arg = compile_expr(expr.arg, resolver.scope)
    body, source = _inner(expr, resolver)
    name = next((n for n in source.columns if n != OWN_UNIT), None)
    if name is None:
        raise Unsupported("a comparison needs a subquery with one column", name=expr.kind)
    item = source.column(name)
    every = expr.kind == "all"
    ties = expr.op == ("<>" if every else "=")
    _must_be_tied(expr, source, resolver, arg if ties else None, name)
    certain = item.fact.not_null and not item.fact.left_out and _not_null(arg, resolver)
    value = body.outputs[0].value if body.rows else item.value
    rows = f"{body.rows} AND" if body.rows else f"FROM {source.sql} WHERE"

    def some(condition: str) -> str:
        return f"EXISTS (SELECT 1 {rows} {condition})"

    compared = OPERATORS[(expr.op, 2)].rule(arg, value).sql
    positive = (expr.start, expr.end) in resolver.positive
    if every and certain:
        opposite = OPERATORS[(_OPPOSITE[expr.op], 2)].rule(arg, value).sql
        return Value(f"NOT {some(opposite)}", "bool", null=False)
    if not every and (certain or positive):
        return Value(some(compared), "bool", null=False)
    if source.private and not source.tied:
        raise _nullable()
    if every and positive:
        return Value(f"NOT {some(f'({compared}) IS NOT TRUE')}", "bool", null=False)
    decided, otherwise = ("FALSE", "true") if every else ("TRUE", "false")
    first = f"WHEN {some(f'({compared}) IS {decided}')} THEN {decided.lower()}"
    return Value(f"(CASE {first} WHEN {some(f'({compared}) IS NULL')} THEN NULL ELSE {otherwise} END)", "bool")


def _nullable() -> NoisegateError:
    return Unsupported(
        "NOT IN over columns that may be NULL is not supported in a private question",
        name="in",
        detail="One person's NULL would empty everybody's answer.",
        hint="Use NOT EXISTS (SELECT ... WHERE the columns are equal).",
    )


def _not_null(value: Value, resolver: Resolver) -> bool:
    if value.const is not None:
        return value.const.text is not None
    here: Resolver | None = resolver
    while here is not None:
        for source in here.sources:
            if value.column is not None and source.sql_alias == value.column[0]:
                if here.is_nullable(source):
                    return False
                fact = source.column(value.column[1]).fact
                return fact.not_null or fact.unit  # rows without a unit are left out
        here = here.outer
    return False


def _scalar(expr: Subquery, resolver: Resolver) -> Value:
    body = body_of(expr.query, (), resolver.world, resolver)
    source = source_of(body, "", resolver.world.alias())
    _must_be_tied(expr, source, resolver, None, None)
    if not body.single:
        raise Unsupported(
            "a scalar subquery over people's rows must have one row by its form",
            name="select",
            hint="Aggregate in it, or add ORDER BY ... LIMIT 1.",
        )
    name = next(iter(source.columns))
    value = source.column(name).value
    return replace(value, sql=f"(SELECT {value.sql} FROM {source.sql})", column=None, const=None, null=True)


def _must_be_tied(expr: Subquery, source: Source, resolver: Resolver, arg: Value | None, name: str | None) -> None:
    """Raises Unsupported unless every row of the subquery that matters is of the outer row's unit."""
    if not source.private or source.tied:
        return
    if arg is not None and arg.column is not None and name is not None and _same_unit(source, name, arg, resolver):
        return
    raise untied(expr, resolver)


def _same_unit(source: Source, name: str, arg: Value, resolver: Resolver) -> bool:
    """Whether the equality of `arg` with the subquery's column `name` ties both to one unit."""
    outer = next((s for s in resolver.private_sources() if arg.column and s.sql_alias == arg.column[0]), None)
    if outer is None or arg.column is None:
        return False
    return any(
        d.columns == (name,) and e.columns == (arg.column[1],) and d.label == e.label
        for d in source.determinants
        for e in outer.determinants
    )


def untied(expr: Subquery, resolver: Resolver) -> NoisegateError:
    query = expr.query
    grouped = isinstance(query, Select) and query.grouped
    condition = _condition(query.source, resolver) if isinstance(query, Select) else ""
    hint = f"Add to its WHERE: {condition}" if condition else "Tie it to the same person by the unit's column."
    if expr.kind == "scalar" and grouped:
        hint += (
            ", or ask it for all values at once: JOIN (SELECT key, avg(...) FROM ... GROUP BY key) AS a ON a.key = ..."
        )
    return Refused(
        "a subquery over people's rows must be about the same person as the row around it",
        name="select",
        detail="One person's rows may not decide about another's.",
        hint=hint,
    ).about(query.start, query.end)


def _condition(relation: From | None, resolver: Resolver) -> str:
    """The equality that would tie the first private table of a subquery to a source around it."""
    snapshot = resolver.world.snapshot
    tables = [
        t for t in (tables_of(relation) if relation is not None else ()) if snapshot.is_private((t.schema, t.table))
    ]
    for table in tables:
        for own in determinants(snapshot, (table.schema, table.table)):
            for outer in resolver.private_sources():
                for d in outer.determinants:
                    if d.label == own.label and OWN_UNIT not in d.columns:
                        again = re.fullmatch(rf"{re.escape(table.table)}(_\d+)?", table.alias) is not None
                        name = f"{table.table}2" if again else table.alias
                        pairs = zip(own.columns, d.columns, strict=True)
                        text = " AND ".join(f"{name}.{x} = {outer.alias}.{y}" for x, y in pairs)
                        return f"{text}, with {name} as its table's alias" if again else text
    return ""


def _given(expr: Given, resolver: Resolver) -> Value:
    """A value that is a function of releases and public rows: a parameter of the generated SQL."""
    types = resolver.world.givens[expr.index] if expr.index < len(resolver.world.givens) else ()
    resolver.world.used.add(expr.index)
    if expr.kind == "exists":
        return Value(f"(pg_catalog.cardinality({{given:{expr.index}:0}}) > 0)", "bool")
    if len(types) > 1:
        raise Unsupported(
            "a row of several columns IN a subquery is not supported in a private question",
            name=expr.kind,
            hint="Join the subquery, or write EXISTS with an equality for each column.",
        )
    if not types:
        raise Internal("a closed subquery was not typed")
    kind = given_type(types[0].sql)
    if expr.kind == "scalar":
        return given_value(f"(({{given:{expr.index}:0}})[1])::{kind}", types[0].sql)
    if expr.kind == "array":
        return _given_array(expr, given_value("", types[0].sql).type, kind)
    if expr.arg is None:
        raise Internal("IN without an argument")
    return _given_member(expr, compile_expr(expr.arg, resolver.scope), types[0].sql)


def _given_array(expr: Given, base: str, kind: str) -> Value:
    if base not in ELEMENTS:
        raise Unsupported(f"an array of {base} is not supported in a private question", name="array")
    return Value(f"(({{given:{expr.index}:0}})::{kind}[])", "array", null=False, element=base)


def _given_member(expr: Given, arg: Value, type_sql: str) -> Value:
    """Membership in constants, NULLs included: PostgreSQL's own ANY and ALL over an array."""
    kind = _common(arg, given_value("", type_sql))
    array = f"({{given:{expr.index}:0}})::{given_type(type_sql)}[]::pg_catalog.{kind}[]"
    match expr.kind, expr.op:
        case ("in", _) | ("any", "="):
            return Value(f"(({arg.sql})::pg_catalog.{kind} = ANY ({array}))", "bool")
        case ("all", "<>"):
            return Value(f"(({arg.sql})::pg_catalog.{kind} <> ALL ({array}))", "bool")
        case _:
            raise Unsupported(f"{expr.op} {expr.kind.upper()} is not supported in a private question", name="select")


def _common(a: Value, b: Value) -> str:
    """The type in which both compare without a loss."""
    if a.type == b.type and a.type not in INTS:
        return a.type
    if {a.type, b.type} <= INTS | {"numeric"}:
        return "numeric" if "numeric" in (a.type, b.type) or a.wide else "int8"
    if {a.type, b.type} <= TEXTS:
        return "text" if a.type == b.type == "text" else "bpchar"
    raise Unsupported(f"comparing {a.type} with {b.type} is not supported in a private question", name="in")
