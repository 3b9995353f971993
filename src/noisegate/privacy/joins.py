"""The generated FROM clause: the analyst's joins over generated aliases, with conditions in total forms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from noisegate.errors import Refused, Unsupported
from noisegate.privacy.columns import Source
from noisegate.privacy.ties import aliases_of, conjuncts_of
from noisegate.query.total import Scope, compile_expr
from noisegate.query.tree import Expr, From, Join, Name, Op
from noisegate.query.values import INTS


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
    found = {s.alias: s for s in sources}

    def side(part: From) -> Source:
        owners = merged_owners(part, column, found)
        if len(owners) != 1:
            raise Unsupported(
                f"column {column} of USING is not one column of each side",
                name=column,
                hint="Write the condition with ON.",
            )
        return found[owners[0]]

    left, right = side(node.left), side(node.right)
    types = {s.column(column).value.type for s in (left, right)}
    if len(types) > 1 and not types <= INTS:
        raise Unsupported(
            f"USING ({column}) over columns of different types is not supported in a private question",
            name=column,
            hint="Write the condition with ON, and cast one side.",
        )
    return Op("=", (Name((left.alias, column), 0, 0), Name((right.alias, column), 0, 0)), 0, 0)


def merged_owners(node: From, column: str, sources: Mapping[str, Source]) -> tuple[str, ...]:
    """The text's aliases of the sources whose column an unqualified name means: several where it is their COALESCE, by
    a FULL JOIN ... USING; none where it is not there, or not one."""
    if not isinstance(node, Join):
        source = sources.get(node.alias)  # a LATERAL query sees those before it only
        return (node.alias,) if source is not None and column in source.columns else ()
    left, right = (merged_owners(side, column, sources) for side in (node.left, node.right))
    if column not in node.using:
        return left + right if not (left and right) else ()
    if node.kind == "full":
        return left + right
    return right if node.kind == "right" else left


def inner_conditions(node: From) -> tuple[Expr, ...]:
    """The conditions of joins that all rows meet: of inner joins beneath inner joins only."""
    if not isinstance(node, Join) or node.kind not in ("inner", "cross"):
        return ()
    return conjuncts_of(node.on) + inner_conditions(node.left) + inner_conditions(node.right)


def holds_full(node: From) -> bool:
    """Whether a FULL JOIN is in it."""
    return isinstance(node, Join) and (node.kind == "full" or holds_full(node.left) or holds_full(node.right))


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
