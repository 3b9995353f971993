"""Group keys: canonical forms, and which sets of keys are known before any private row is read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from noisegate.errors import Unsupported
from noisegate.plan.catalog import Snapshot
from noisegate.privacy.columns import Fact, Left
from noisegate.privacy.passing import passing
from noisegate.privacy.world import PrivateRelation
from noisegate.query.constants import quote_literal
from noisegate.query.total import Scope
from noisegate.query.total.numbers import narrow
from noisegate.query.tree import Expr
from noisegate.query.values import INT_RANGES, INTS, Value

DECLARED_GROUPS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Key:
    """One group key. `sql`: its canonical form, so that PostgreSQL's `=` implies equal bytes. `values`: the declared
    domain in canonical text, None where keys come from data; `null`: whether NULL can occur beside it."""

    sql: str
    values: tuple[str, ...] | None
    null: bool
    allowed_sql: str | None  # a condition that keeps rows of the domain only


def canonical(value: Value) -> str:
    """Claim: two rows in one group show the same bytes. Because: per type, values that are equal print alike in this
    form. Checked by: tests/privacy/test_keys.py."""
    if value.type == "enum" and value.const is not None:
        raise Unsupported("grouping by a constant of an enum is not supported on private rows")
    match value.type:
        case "int2" | "int4" | "int8":
            kept = value if value.safe.within(*_ends(value.type)) else narrow(value, value.type)
            return kept.sql
        case "numeric":
            if value.scale is None:
                return f"pg_catalog.trim_scale({value.sql})"
            return (
                value.sql if value.column and not value.respelled else f"pg_catalog.round({value.sql}, {value.scale})"
            )
        case "float4" | "float8":
            return f"({value.sql} + '0'::pg_catalog.{value.type})"
        case "text" if value.collation == 'pg_catalog."C"' and value.column is None:
            return value.sql  # it says so itself
        case "text" | "bpchar":  # bpchar is equal but for trailing blanks: the cast to text drops them
            return f'({value.sql})::pg_catalog.text COLLATE pg_catalog."C"'
        case "bool" | "date" | "time" | "timestamp" | "timestamptz" | "uuid" | "enum":
            return value.sql
        case _:
            raise Unsupported(
                f"grouping by a value of type {value.type} is not supported on private rows",
                name=value.column[1] if value.column is not None else "group",
                hint="Group by a number, text, boolean, date, timestamp or uuid.",
            )


def _ends(base: str) -> tuple[int, int]:
    limits = INT_RANGES[base]
    assert limits.lo is not None and limits.hi is not None
    return int(limits.lo), int(limits.hi)


# Types that have several texts for one value: by the session's time zone, or by the width of the float. A declared
# value of theirs is shown as it was declared.
_SPELLED_DIFFERENTLY = frozenset({"timestamptz", "float4", "float8"})


def resolve_key(value: Value, relation: PrivateRelation, snapshot: Snapshot, scope: Scope) -> Key:
    """The key with the values that it can have, as far as policy, types, public tables or the conditions say."""
    fact = relation.fact(value)
    key = _resolve(value, fact, snapshot, canonical(value))
    if value.const is not None:
        return key
    values, null = _still(fact, key)
    values, null = passing(value, values, null, relation.conjuncts, scope)
    if values is None or (values, null) == (key.values, key.null) or not (values or null):
        return key  # also where nothing can pass: the question is asked all the same
    return _of_domain(value, canonical(value), values, null)


def left_of(
    value: Value, fact: Fact | None, conjuncts: Sequence[Expr], snapshot: Snapshot, scope: Scope
) -> Left | None:
    """Of an output of a nested query, whose rows all meet `conjuncts`: the values that it can have; None where nothing
    is known. `fact`: of a plain column.

    Claim: as of privacy/passing.py, or a row with another value would be dropped if this query grouped by it.
    Checked by: tests/privacy/test_passing_nested.py.
    """
    if value.const is not None:
        empty = value.const.text is None
        return Left(() if empty else value.known, empty)
    key = _resolve(value, fact, snapshot, "")
    values, null = passing(value, *_still(fact, key), conjuncts, scope)
    return None if values is None and null else Left(values, null)


def _still(fact: Fact | None, key: Key) -> tuple[tuple[str, ...] | None, bool]:
    """The key's values, and whether NULL, as far as nested queries leave them."""
    left = fact.left if fact is not None else None
    if left is None:
        return key.values, key.null
    if key.values is None or left.values is None:
        return (left.values if key.values is None else key.values), key.null and left.null
    kept = set(left.values)
    return tuple(v for v in key.values if v in kept), key.null and left.null


def _resolve(value: Value, fact: Fact | None, snapshot: Snapshot, sql: str) -> Key:
    """The key, of canonical form `sql`, with its domain, if the policy or the type declares one, or it is a column of a
    public table.

    Claim: the values are a function of text, policy, types and public rows. Because: a row with a value that the copy
    of a public table lacks is dropped before bounding, as one outside a declared domain is.
    Checked by: tests/privacy/test_public_keys.py.
    """
    if value.const is not None:
        return Key(sql, None, True, None)
    if fact is None or fact.table is None or fact.column is None:
        return _of_expression(value, sql) if value.column is None else Key(sql, None, True, None)
    table, column = fact.table, fact.column
    name = (table.schema, table.name, column.name)
    null = not fact.not_null
    if not fact.private and name in snapshot.domains:  # its NULLs are known, too
        return _of_domain(value, sql, snapshot.domains[name], fact.missing or name in snapshot.nulls)
    if value.type == "bool":
        return Key(sql, ("false", "true"), null, None)
    if value.type == "enum":
        return Key(sql, value.labels, null, None)
    declared = snapshot.domains.get(name)
    if declared is None:
        return Key(sql, None, null, None)
    return _of_domain(value, sql, declared, null)


def _of_expression(value: Value, sql: str) -> Key:
    """The key of an expression; its values are known where the expression lists them.

    Claim: the listed values are a function of text, policy and types; a row with any other value, or with a NULL that
    is not expected, is dropped before bounding. Because: a row passes `allowed_sql` only with one of them.
    Checked by: tests/query/test_finite.py.
    """
    values = value.known
    if values is None:
        return Key(sql, None, True, None)
    if value.type in ("bool", "enum"):
        return Key(sql, values, value.null, None if value.null else f"({sql} IS NOT NULL)")
    return _of_domain(value, sql, values, value.null)


def _of_domain(value: Value, sql: str, declared: tuple[str, ...], null: bool) -> Key:
    """A key of which rows with other values than the declared ones are dropped."""
    kind = "text" if value.type in ("text", "bpchar", "enum") else value.type
    items = ", ".join(f"{quote_literal(v)}::pg_catalog.{kind}" for v in declared)
    compared = f'({sql})::pg_catalog.text COLLATE pg_catalog."C"' if value.type == "enum" else sql
    inside = f"{compared} = ANY (ARRAY[{items}]::pg_catalog.{kind}[])"
    if value.type in _SPELLED_DIFFERENTLY:
        texts = ", ".join(f"{quote_literal(v)}::pg_catalog.text" for v in declared)
        place = f"pg_catalog.array_position(ARRAY[{items}]::pg_catalog.{kind}[], {sql})"
        shown = f"COALESCE((ARRAY[{texts}]::pg_catalog.text[])[{place}], ({sql})::pg_catalog.text)"
        return Key(shown, declared, null, f"({inside} OR {sql} IS NULL)" if null else f"({inside})")
    return Key(sql, declared, null, f"({inside} OR {sql} IS NULL)" if null else f"({inside})")


def declared_rows(keys: Sequence[Key]) -> tuple[tuple[str | None, ...], ...] | None:
    """All combinations of the keys' domains, or None where one key is read from data or there are too many.

    Claim: the rows are a function of the policy, the schema and public rows only. Because: as soon as one key of
    several is selected from data, the whole tuple is.
    """
    columns: list[tuple[str | None, ...]] = []
    size = 1
    for key in keys:
        if key.values is None:
            return None
        column: tuple[str | None, ...] = (*key.values, *((None,) if key.null else ()))
        size *= max(1, len(column))
        columns.append(column)
    if size > DECLARED_GROUPS_MAX:
        return None
    return tuple(itertools.product(*columns))


def hash_chain(unit: Value, keys: int, row: str = "p", secret: int = 0) -> str:
    """A keyed hash of the unit and the key of `row`, in [0, 2^64). Only spreads the choice: no guarantee rests on
    it."""
    seed = f"{{secret:{secret}}}"
    if unit.type in INTS:
        chain = f"pg_catalog.hashint8extended(({row}.u)::pg_catalog.int8, {seed})"
    elif unit.type == "uuid":
        chain = f"pg_catalog.uuid_hash_extended({row}.u, {seed})"
    else:
        chain = f"pg_catalog.hashtextextended({row}.u, {seed})"
    for i in range(keys):
        text = f"({row}.k{i})::pg_catalog.text"
        if i == 0:
            text = f'{text} COLLATE pg_catalog."C"'
            chain = f"COALESCE(pg_catalog.hashtextextended({text}, {chain}), {chain})"
        else:
            chain = hash_more(chain, text)
    return chain


def hash_more(chain: str, text: str) -> str:
    """The hash of one more text."""
    return f"""pg_catalog.hashtextextended(COALESCE({text} COLLATE pg_catalog."C", ''), {chain})"""
