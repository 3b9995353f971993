"""What names and constants mean where an expression stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from noisegate.query.constants import Const, Span
from noisegate.query.interval import Interval
from noisegate.query.tree import Expr, Name
from noisegate.query.values import Value


@dataclass(frozen=True, slots=True)
class Scope:
    """`column` resolves a column or raises; `constants` are the session's values by span; `narrowed`: by a value's SQL,
    what the conditions around the place say of its range. `special`: the value of an expression that the relation
    decides (subqueries, aggregates and windows within a unit), None for any other."""

    column: Callable[[Name], Value]
    constants: Mapping[Span, Const]
    narrowed: Mapping[str, Interval] = field(default_factory=dict)
    special: Callable[[Expr], Value | None] = lambda _: None
