"""Outer joins that keep public rows without a person: `public LEFT JOIN private`.

A row that exists because nobody matches belongs to nobody, so it is dropped before the totals. What PostgreSQL would
make of it must then be nothing: aggregates see only values that are NULL in it, and its group is shown all the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from noisegate.errors import Unsupported
from noisegate.privacy.keys import Key
from noisegate.privacy.passing import all_pass
from noisegate.privacy.relation import Resolver
from noisegate.privacy.ties import conjuncts_of
from noisegate.privacy.world import PrivateRelation
from noisegate.query.fragment import Fragment
from noisegate.query.total import compile_expr
from noisegate.query.tree import Cast, Expr, From, Join, Name, Op, TableRef

_STRICT = frozenset({"+", "-", "*", "/", "%"})


def check_strict(fragment: Fragment, relation: PrivateRelation, resolver: Resolver, keys: Sequence[Key]) -> bool:
    """Whether groups that nobody is in must be shown, since PostgreSQL has them.

    Claim: with the rows of nobody dropped, every answer is PostgreSQL's but for noise. Because: an aggregate's argument
    is NULL in such a row, and aggregates skip NULLs; the groups are all values of one column of the table that the
    outer join keeps whole, or those of them whose rows all pass WHERE, while no row of the others does. Raises
    Unsupported for anything else.
    Checked by: tests/equality, tests/privacy/test_joins.py.
    """
    if not relation.strict:
        return False
    private = next(s for s in relation.sources if s.private)
    named = [*(c for key in private.keys for c in sorted(key)), *private.columns]
    column = next((c for c in named if c), "")  # a nested query's own unit has no name
    for call in fragment.aggregates:
        if call.star or not call.args or not all(_is_strict(a, resolver) for a in call.args):
            raise Unsupported(
                f"{call.name} would count rows that exist because no person matches",
                name=call.name,
                detail="Such a row belongs to nobody.",
                hint=f"Use a column of {private.alias}, such as count({private.alias}.{column}), or an inner join.",
            )
    if not keys:
        return False
    if any(k.values is None for k in keys) or not _keeps_all(fragment, relation, resolver, keys):
        raise Unsupported(
            "the groups of an outer join that keeps public rows must be one column of the table that it keeps",
            name="group",
            detail="Whether a group has people would show in whether it is there.",
            hint="Start from the public table, group by one column of it, and let WHERE compare only that column with "
            "constants; or use an inner join.",
        )
    return True


def _is_strict(expr: Expr, resolver: Resolver) -> bool:
    """Whether the value is NULL where the person is missing: arithmetic over a column of the private side."""
    match expr:
        case Name():
            hit = resolver.find(expr)
            return hit is not None and hit[0].private and resolver.is_nullable(hit[0])
        case Cast():
            return _is_strict(expr.arg, resolver)
        case Op() if expr.op in _STRICT:
            return any(_is_strict(a, resolver) for a in expr.args)
        case _:
            return False


def _keeps_all(fragment: Fragment, relation: PrivateRelation, resolver: Resolver, keys: Sequence[Key]) -> bool:
    """`table LEFT JOIN ...`, grouped by one column of the table, with no other WHERE than about this column."""
    first = _kept(fragment.relation)
    if first is None or len(fragment.keys) != 1 or not _decided(fragment, relation, resolver, keys[0]):
        return False
    key = fragment.keys[0]
    source = next(s for s in relation.sources if s.alias == first.alias)
    named = isinstance(key, Name) and key.parts[-1] in source.columns
    return named and not source.private and (len(key.parts) == 1 or key.parts[0] == first.alias)  # type: ignore[union-attr]


def _decided(fragment: Fragment, relation: PrivateRelation, resolver: Resolver, key: Key) -> bool:
    """Whether WHERE lets through all rows of the groups that are left, by the key alone. Their values must be known to
    be in the table: those that WHERE lists need not be."""
    if fragment.where is None:
        return True
    value = compile_expr(fragment.keys[0], resolver.scope)
    fact = relation.fact(value)
    if fact is None or fact.table is None or fact.column is None:
        return False
    read = (fact.table.schema, fact.table.name, fact.column.name) in resolver.world.snapshot.domains
    return read and all_pass(value, key.values or (), key.null, conjuncts_of(fragment.where), resolver.scope)


def _kept(node: From) -> TableRef | None:
    while isinstance(node, Join):
        if node.kind not in ("left", "right"):
            return None
        node = node.left if node.kind == "left" else node.right
    return node if isinstance(node, TableRef) else None
