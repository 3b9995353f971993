"""The registry of total functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from noisegate.errors import NoisegateError, Unsupported
from noisegate.query.values import Value

Rule = Callable[..., Value]


@dataclass(frozen=True, slots=True)
class Row:
    """One total function: its name, argument types in words, what its form guards against, and its rule."""

    name: str
    arguments: str
    guard: str
    rule: Rule


OPERATORS: dict[tuple[str, int], Row] = {}
FUNCTIONS: dict[str, Row] = {}
ROWS: list[Row] = []


def operator(symbol: str, arguments: str, guard: str = "cannot fail") -> Callable[[Rule], Rule]:
    """Register an operator; the number of arguments is that of the rule."""

    def register(rule: Rule) -> Rule:
        row = Row(symbol, arguments, guard, rule)
        OPERATORS[(symbol, rule.__code__.co_argcount)] = row
        ROWS.append(row)
        return rule

    return register


def function(name: str, arguments: str, guard: str = "cannot fail") -> Callable[[Rule], Rule]:
    """Register a function under its PostgreSQL name."""

    def register(rule: Rule) -> Rule:
        row = Row(name, arguments, guard, rule)
        FUNCTIONS[name] = row
        ROWS.append(row)
        return rule

    return register


def wrong_types(what: str, *args: Value) -> NoisegateError:
    types = ", ".join(a.type for a in args)
    return Unsupported(f"{what} of {types} is not supported on private rows", name=what)
