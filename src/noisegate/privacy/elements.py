"""unnest() of an array column of people's rows: one row for each of its first elements.

Claim: each row that it makes is of the unit of the row that holds the array, and of one such row it makes at most
`length_max` of the policy, whatever stands in the data. Because: it is a LATERAL source without people's rows of its
own and without keys, so a join with it repeats rows of the sources before it; which elements stay is a function of the
array, by their place in it. Checked by: tests/privacy/test_elements.py.
"""

from __future__ import annotations

from noisegate.errors import NoisegateError, Unsupported
from noisegate.privacy.columns import Fact, Left, Source, SourceColumn, bounds_of, numeric_scale
from noisegate.privacy.relation import Resolver
from noisegate.query.interval import ANY, between
from noisegate.query.total import compile_expr
from noisegate.query.tree import FunctionRef, Name
from noisegate.query.values import INT_RANGES, INTS, Value


def elements(item: FunctionRef, sql_alias: str, resolver: Resolver) -> Source:
    """`unnest(column)`, also WITH ORDINALITY, of a column of the sources before it or of a query around it. Raises
    Unsupported for any other function, and for arrays without a declared length."""
    call = item.call
    name = call.args[0] if len(call.args) == 1 else None
    hit = resolver.find(name) if isinstance(name, Name) else None
    if call.name != "unnest" or not isinstance(name, Name) or hit is None:
        raise _not_bounded(
            f"function {call.name} over columns in FROM is not supported in a private question", call.name, ""
        )
    array, fact = compile_expr(name, resolver.scope), hit[0].column(hit[1]).fact
    if array.type != "array" or not array.element:
        raise Unsupported("unnest of this type is not supported on private rows", name="unnest")
    most = fact.policy.length_max if fact.policy is not None else None
    if most is None:
        column = name.parts[-1]
        hint = f"Test its elements, such as '...' = ANY ({column})"
        if fact.column is not None and fact.private:
            hint += f"; or let the data owner declare a length in the policy, such as {column}: {{length_max: 10}}"
        raise _not_bounded(f"unnest needs a length_max of column {column}", column, f"{hint}.")
    kind = array.element
    shown = item.columns[0] if item.columns else item.alias
    value = Value(
        f"{sql_alias}.c0",
        kind,
        INT_RANGES.get(kind, ANY),
        bounds_of(fact.policy, kind),
        scale=0 if kind in INTS else numeric_scale(fact.column) if kind == "numeric" and fact.column else None,
        column=(sql_alias, shown),
        collation=array.collation,
        null=True,
    )
    columns: dict[str, SourceColumn | NoisegateError] = {
        shown: SourceColumn(value, Fact(False, left=_declared(fact, resolver)))
    }
    if item.ordinality:
        second = item.columns[1] if len(item.columns) > 1 else "ordinality"
        places = between(1, most)
        place = Value(f"{sql_alias}.c1", "int8", places, places, scale=0, column=(sql_alias, second))
        columns[second] = SourceColumn(place, Fact(False))
    sql = (
        f"LATERAL (SELECT e.x AS c0, e.n AS c1 FROM pg_catalog.unnest({array.sql}) WITH ORDINALITY AS e(x, n) "
        f"WHERE e.n <= {most}) AS {sql_alias}"
    )
    before = frozenset(s.sql_alias for s in resolver.sources)
    return Source(item.alias, sql_alias, sql, columns, False, rows=most, beside=before)


def _declared(fact: Fact, resolver: Resolver) -> Left | None:
    """The values that the policy declares of the elements: a group key drops all others (privacy/keys.py)."""
    if fact.table is None or fact.column is None:
        return None
    values = resolver.world.snapshot.domains.get((fact.table.schema, fact.table.name, fact.column.name))
    return Left(values, True) if values is not None else None


def _not_bounded(message: str, name: str, hint: str) -> NoisegateError:
    return Unsupported(
        message, name=name, detail="How many rows it makes of one person's row is not bounded.", hint=hint
    )
