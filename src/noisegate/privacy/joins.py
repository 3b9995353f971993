"""The generated FROM clause: the analyst's joins over generated aliases, with conditions in total forms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from noisegate.errors import Refused, Unsupported
from noisegate.privacy.columns import Source
from noisegate.privacy.ties import aliases_of, conjuncts_of
from noisegate.query.total import Scope, compile_expr
from noisegate.query.tree import Expr, From, Join, Name, Op


class FromWriter:
    """sources: by the text's alias. joined: other SQL for some of them. scope: of the joins' conditions."""

    def __init__(
        self,
        sources: Sequence[Source],
        joined: Mapping[str, str],
        scope: Scope,
        seen: Callable[[Expr], None],
    ) -> None:
        self._sources = {s.alias: s for s in sources}
        self._joined = joined
        self._scope = scope
        self._seen = seen  # told of each condition before it is compiled

    def write(self, node: From) -> tuple[str, tuple[Expr, ...]]:
        """The FROM clause and the conditions of its inner joins, which filter like WHERE."""
        if not isinstance(node, Join):
            return self._joined.get(node.alias, self._sources[node.alias].sql), ()
        left, inner_left = self.write(node.left)
        right, inner_right = self.write(node.right)
        conditions = conjuncts_of(node.on) or using_of(node, self._sources.values())
        match node.kind:
            case "inner" | "cross":
                inner = inner_left + inner_right + conditions
            case "left":  # what holds inside the far side does not hold where it is filled up with NULLs
                inner = inner_left
            case "right":
                inner = inner_right
            case _:
                inner = ()
        if not conditions:
            return f"({left} CROSS JOIN {right})", inner
        for condition in conditions:
            self._seen(condition)
        on = " AND ".join(condition_sql(c, self._scope) for c in conditions)
        return f"({left} {node.kind.upper()} JOIN {right} ON ({on}))", inner


def condition_sql(expr: Expr, scope: Scope) -> str:
    """Raises Unsupported unless the condition is boolean."""
    value = compile_expr(expr, scope)
    if value.type != "bool":
        raise Unsupported("a condition must be boolean")
    return value.sql


def using_of(node: Join, sources: Iterable[Source]) -> tuple[Expr, ...]:
    """The equalities that USING stands for."""
    found = list(sources)
    return tuple(_using(node, c, found) for c in node.using)


def _using(node: Join, column: str, sources: Sequence[Source]) -> Expr:
    def side(part: From) -> Name:
        wanted = aliases_of(part)
        source = next((s for s in sources if s.alias in wanted and column in s.columns), None)
        if source is None:
            raise Unsupported(f"column {column} of USING is not known", name=column)
        return Name((source.alias, column), 0, 0)

    return Op("=", (side(node.left), side(node.right)), 0, 0)


def nullable_aliases(node: From) -> frozenset[str]:
    """The text's aliases of the sources that an outer join may fill up with NULLs."""
    if not isinstance(node, Join):
        return frozenset()
    inside = nullable_aliases(node.left) | nullable_aliases(node.right)
    match node.kind:
        case "left":
            return inside | set(aliases_of(node.right))
        case "right":
            return inside | set(aliases_of(node.left))
        case "full":
            return inside | set(aliases_of(node))
        case "inner" | "cross":
            return inside
        case _:
            raise Refused("this kind of join is not supported")


def merged_columns(node: From) -> dict[str, str]:
    """Columns of USING, with the kind of their outermost join."""
    if not isinstance(node, Join):
        return {}
    return {**merged_columns(node.left), **merged_columns(node.right), **dict.fromkeys(node.using, node.kind)}
