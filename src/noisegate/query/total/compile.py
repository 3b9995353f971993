"""From a fragment's expression to a total value: the one dispatch over expressions. Its last branch refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from noisegate.errors import NoisegateError, TooComplex, Unsupported
from noisegate.query.constants import Const, Span, is_constant, render
from noisegate.query.total import logic, numbers, texts  # noqa: F401  (the rows register themselves)
from noisegate.query.total.casts import cast
from noisegate.query.total.table import FUNCTIONS, OPERATORS
from noisegate.query.tree import FIELD, AnyOf, Call, Case, Cast, Collate, Expr, IsTest, Literal, Name, Op
from noisegate.query.values import Value, of_const

SQL_MAX = 100_000  # characters of one generated expression


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean: `column` resolves a column or raises; `constants` are the session's values by span."""

    column: Callable[[Name], Value]
    constants: Mapping[Span, Const]


def compile_expr(expr: Expr, scope: Scope) -> Value:
    """The total form of `expr`. Raises NoisegateError with the identifier it is about."""
    value = _compile(expr, scope)
    if len(value.sql) > SQL_MAX:
        raise TooComplex("an expression of the private question is too large")
    return value


def _compile(expr: Expr, scope: Scope) -> Value:
    if is_constant(expr):
        return _constant(expr, scope)
    match expr:
        case Name():
            return scope.column(expr)
        case Cast():
            return cast(compile_expr(expr.arg, scope), expr.type)
        case Op(op=("and" | "or") as word):
            return logic.connect(word, [compile_expr(a, scope) for a in expr.args])
        case Op():
            return _apply_operator(expr, [compile_expr(a, scope) for a in expr.args])
        case IsTest():
            return _is_test(expr, compile_expr(expr.arg, scope))
        case AnyOf():
            return logic.any_of(expr.op, compile_expr(expr.arg, scope), _items(expr.array, scope), expr.every)
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
    return Unsupported(f"{type(expr).__name__.lower()} expressions are not supported on private rows")


def _constant(expr: Expr, scope: Scope) -> Value:
    if isinstance(expr, Literal) and expr.type == FIELD:
        return of_const(Const("text", expr.text), "")
    const = scope.constants.get((expr.start, expr.end))
    if const is None:
        raise Unsupported("a constant of the private question has no value")
    if const.base == "enum":
        return Value("", "enum", const=const)
    return of_const(const, render(const))


def _items(array: Expr, scope: Scope) -> list[Value]:
    """The constants of an array: ARRAY[...] of constants, or an array constant."""
    const = scope.constants.get((array.start, array.end))
    if const is None or const.items is None:
        raise Unsupported(
            "ANY and ALL take a list of constants on private rows", name="any", hint="Write x IN (1, 2, 3)."
        )
    return [Value("", "enum", const=c) if c.base == "enum" else of_const(c, render(c)) for c in const.items]


def _apply_operator(expr: Op, args: list[Value]) -> Value:
    row = OPERATORS.get((expr.op, len(args)))
    if row is None:
        raise Unsupported(f"operator {expr.op} is not supported on private rows", name=expr.op)
    return row.rule(*args)


def _is_test(expr: IsTest, value: Value) -> Value:
    if expr.test != "null":
        logic.condition(value)
    word = f"IS {'NOT ' if expr.negated else ''}{expr.test.upper()}"
    return Value(f"({value.sql} {word})", "bool")


def _case(expr: Case, scope: Scope) -> Value:
    whens: list[tuple[Value, Value]] = []
    operand = compile_expr(expr.operand, scope) if expr.operand is not None else None
    for test, result in expr.whens:
        when = compile_expr(test, scope)
        if operand is not None:
            left, right = logic.comparable("case", operand, when)
            when = Value(f"({left} = {right})", "bool")
        whens.append((when, compile_expr(result, scope)))
    default = compile_expr(expr.default, scope) if expr.default is not None else None
    return logic.case(whens, default)


def _call(expr: Call, scope: Scope) -> Value:
    row = FUNCTIONS.get(expr.name)
    if row is None or expr.star or expr.distinct or expr.filter is not None or expr.extras:
        raise Unsupported(
            f"function {expr.name} is not supported on private rows",
            name=expr.name,
            hint="docs/sql.md lists the functions that are.",
        )
    args = [compile_expr(a, scope) for a in expr.args]
    try:
        return row.rule(*args)
    except TypeError as error:
        if "positional argument" not in str(error):
            raise
        raise Unsupported(
            f"function {expr.name} with {len(args)} arguments is not supported on private rows", name=expr.name
        ) from None
