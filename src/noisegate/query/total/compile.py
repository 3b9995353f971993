"""From a fragment's expression to a total value: the one dispatch over expressions. Its last branch refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from noisegate.errors import NoisegateError, TooComplex, Unsupported
from noisegate.query.constants import CONTEXT, Const, is_constant, render
from noisegate.query.interval import Interval, meet
from noisegate.query.total import (  # the rows register themselves
    arrays,
    calendar,
    jsons,  # noqa: F401
    logic,
    maths,  # noqa: F401
    numbers,  # noqa: F401
    patterns,  # noqa: F401
    strings,  # noqa: F401
    texts,  # noqa: F401
)
from noisegate.query.total.casts import cast
from noisegate.query.total.narrow import narrowed_by
from noisegate.query.total.nulls import finished
from noisegate.query.total.refused import reason
from noisegate.query.total.scope import Scope
from noisegate.query.total.table import FUNCTIONS, OPERATORS
from noisegate.query.tree import (
    FIELD,
    AnyOf,
    Array,
    Call,
    Case,
    Cast,
    Collate,
    Expr,
    IsTest,
    Literal,
    Name,
    Op,
    Row,
    Subscript,
)
from noisegate.query.values import Value, of_const

SQL_MAX = 100_000  # characters of one generated expression


def compile_expr(expr: Expr, scope: Scope) -> Value:
    """The total form of `expr`. Raises NoisegateError with the identifier and the place that it is about."""
    try:
        value = _compile(expr, scope)
    except NoisegateError as error:
        error.about(expr.start, expr.end)
        raise
    if len(value.sql) > SQL_MAX:
        raise TooComplex("an expression of the private question is too large")
    known = scope.narrowed.get(value.sql)
    return value if known is None else replace(value, bound=meet(value.bound, known))


def _compile(expr: Expr, scope: Scope) -> Value:
    decided = scope.special(expr)
    if decided is not None:
        return decided
    if is_constant(expr):
        return _constant(expr, scope)
    match expr:
        case Name():
            return scope.column(expr)
        case Cast():
            return cast(compile_expr(expr.arg, scope), expr.type, scope.constants.get(CONTEXT))
        case Op(op=("and" | "or") as word):
            return logic.connect(word, [compile_expr(a, scope) for a in expr.args])
        case Op():
            return _apply_operator(expr, [compile_expr(a, scope) for a in expr.args])
        case IsTest():
            return _is_test(expr, compile_expr(expr.arg, scope))
        case AnyOf():
            return _any_of(expr, scope)
        case Subscript():
            return arrays.subscript(compile_expr(expr.arg, scope), compile_expr(expr.index, scope))
        case Case():
            return _case(expr, scope)
        case Collate(collation='"C"' | 'pg_catalog."C"'):
            value = compile_expr(expr.arg, scope)
            return Value(f'({value.sql} COLLATE pg_catalog."C")', value.type, collation='pg_catalog."C"')
        case Collate():
            raise Unsupported('only COLLATE "C" is supported on private rows', name="collate")
        case Call():
            return _call(expr, scope)
        case _:
            raise unsupported(expr)


def unsupported(expr: Expr) -> NoisegateError:
    if isinstance(expr, Row):
        return Unsupported(
            "row values are not supported on private rows", hint="Compare or count column by column, or concat() them."
        )
    if isinstance(expr, Array):
        return Unsupported(
            "an array made of a person's values is not supported on private rows", hint="Compare the values one by one."
        )
    return Unsupported("this kind of expression is not supported on private rows")


def _constant(expr: Expr, scope: Scope) -> Value:
    if isinstance(expr, Literal) and expr.type == FIELD:
        return of_const(Const("text", expr.text), "")
    const = scope.constants.get((expr.start, expr.end))
    if const is None:
        raise Unsupported("a constant of the private question has no value")
    return _of_const(const)


def _of_const(const: Const) -> Value:
    if const.base == "enum":
        return Value("", "enum", const=const, null=const.text is None)
    if const.base == "array":
        return arrays.constant(const)
    return of_const(const, render(const))


def _any_of(expr: AnyOf, scope: Scope) -> Value:
    arg = compile_expr(expr.arg, scope)
    if not is_constant(expr.array) and not isinstance(expr.array, Array):
        return arrays.any_of(expr.op, arg, compile_expr(expr.array, scope), expr.every)
    items = _items(expr.array, scope)
    value = logic.any_of(expr.op, arg, items, expr.every)
    return replace(value, null=arg.null or any(i.null for i in items))


def _items(array: Expr, scope: Scope) -> list[Value]:
    """The items of an array: ARRAY[...], or an array constant."""
    if isinstance(array, Array) and not is_constant(array):
        return [compile_expr(item, scope) for item in array.items]
    const = scope.constants.get((array.start, array.end))
    if const is None or const.items is None:
        raise Unsupported(
            "ANY and ALL take a list of constants on private rows", name="any", hint="Write x IN (1, 2, 3)."
        )
    return [_of_const(c) for c in const.items]


def _apply_operator(expr: Op, args: list[Value]) -> Value:
    row = OPERATORS.get((expr.op, len(args)))
    if row is None:
        raise Unsupported(f"operator {expr.op} is not supported on private rows", name=expr.op)
    return finished(row.name, args, row.rule(*args))


def _is_test(expr: IsTest, value: Value) -> Value:
    if expr.test != "null":
        logic.condition(value)
    word = f"IS {'NOT ' if expr.negated else ''}{expr.test.upper()}"
    return Value(f"({value.sql} {word})", "bool", null=False)


def _case(expr: Case, scope: Scope) -> Value:
    """Each result stands under its condition and under the failure of those before it."""
    whens: list[tuple[Value, Value]] = []
    operand = compile_expr(expr.operand, scope) if expr.operand is not None else None
    here = scope
    for test, result in expr.whens:
        when = compile_expr(test, here)
        if operand is None:
            inside = replace(here, narrowed=_narrowed(test, True, here))
            here = replace(here, narrowed=_narrowed(test, False, here))
        else:
            left, right = logic.comparable("case", operand, when)
            when, inside = Value(f"({left} = {right})", "bool"), here
        whens.append((when, compile_expr(result, inside)))
    default = compile_expr(expr.default, here) if expr.default is not None else None
    return logic.case(whens, default)


def _narrowed(test: Expr, holds: bool, scope: Scope) -> Mapping[str, Interval]:
    return narrowed_by(test, holds, scope, lambda e: None if is_constant(e) else compile_expr(e, scope))


def _call(expr: Call, scope: Scope) -> Value:
    row = FUNCTIONS.get(expr.name)
    special = expr.star or expr.distinct or expr.filter is not None or expr.extras or expr.over is not None
    if row is None or special or expr.order or expr.within:
        raise reason(expr.name)
    args = [compile_expr(a, scope) for a in expr.args]
    if expr.name == "age" and len(args) == 1:
        args.insert(0, calendar.today(scope.constants.get(CONTEXT), args[0]))
    try:
        return finished(row.name, args, row.rule(*args))
    except TypeError as error:
        if "positional argument" not in str(error):
            raise
        raise Unsupported(
            f"function {expr.name} with {len(args)} arguments is not supported on private rows", name=expr.name
        ) from None
