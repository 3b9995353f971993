"""UNION, INTERSECT and EXCEPT of people's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from noisegate.errors import Internal, Unsupported
from noisegate.plan.units import UNIT, Determinant
from noisegate.privacy.bodies import Body, Output
from noisegate.privacy.columns import OWN_UNIT, Fact, Left
from noisegate.privacy.forms import settled
from noisegate.privacy.passing import ONE_TEXT
from noisegate.query.interval import hull
from noisegate.query.tree import SetOp
from noisegate.query.values import NUMBERS, Value


def combine(query: SetOp, left: Body, right: Body) -> Body:
    """UNION ALL of private inputs; UNION, INTERSECT and EXCEPT where the unit is a column of each.

    Claim: each row belongs to one unit, and which rows there are depends on that unit's rows only. Because: every
    branch is private and carries its unit in the last column, by lineage, so that equal rows are of one unit.
    """
    if query.order or query.limit is not None or query.offset is not None:
        raise Unsupported("LIMIT over a set operation is not supported inside a private question", name="limit")
    if left.unit is None or right.unit is None or left.unit.type != right.unit.type:
        raise Unsupported(
            f"{query.op.upper()} inside a private question needs people's rows in every branch",
            name=query.op,
            detail="A row of a public table or of constants belongs to nobody.",
        )
    if len(left.outputs) != len(right.outputs):
        raise Internal("a set operation with branches of different widths")
    outputs = tuple(_united(a, b) for a, b in zip(left.outputs, right.outputs, strict=True))
    shown = {o.name for o in outputs}
    rename = {b.name: a.name for a, b in zip(left.outputs, right.outputs, strict=True)}
    theirs = {Determinant(d.label, tuple(rename.get(c, "?") for c in d.columns)) for d in right.determinants}
    determinants = tuple(d for d in left.determinants if d in theirs and set(d.columns) <= shown)
    merges = not query.all or query.op != "union"
    if merges and not any(d.label == UNIT for d in determinants):
        raise Unsupported(
            f"{query.op.upper()} inside a private question needs the privacy unit in the same column of each branch",
            name=query.op,
            hint=f"Add the unit's column to both, or use {query.op.upper()} ALL where that is meant.",
        )
    word = query.op.upper() + (" ALL" if query.all else "")
    sides = " ".join((_branch(left, outputs, merges), word, _branch(right, outputs, merges)))
    keys = () if query.all else (frozenset(shown | {OWN_UNIT}),)
    return Body(sides, outputs, True, left.unit, determinants, keys, ())


def _branch(body: Body, outputs: Sequence[Output], merges: bool) -> str:
    """A branch. Where rows are compared, in the form in which equal values are the same value: which of them stays is
    for the executor to choose."""
    values = [replace(o.value, sql=f"b.c{i}", column=None, const=None) for i, o in enumerate(outputs)]
    columns = [f"{settled(v).sql if merges else v.sql} AS c{i}" for i, v in enumerate(values)]
    return f"(SELECT {', '.join([*columns, 'b.u'])} FROM ({body.sql}) AS b)"


def _united(a: Output, b: Output) -> Output:
    x, y = a.value, b.value
    if x.type != y.type:
        raise Unsupported(
            "the branches of a set operation have columns of different types",
            name=a.name.partition("\0")[0],
            hint="Cast both to one type.",
        )
    labels = x.labels if x.labels == y.labels else ()
    if x.type == "enum" and x.enum_type != y.enum_type:
        raise Unsupported(
            "the branches of a set operation have columns of different types", name=a.name.partition("\0")[0]
        )
    value = Value(
        x.sql,
        x.type,
        hull([x.safe, y.safe]) if x.type in NUMBERS else x.safe,
        hull([x.bound, y.bound]),
        max(x.scale, y.scale) if x.scale is not None and y.scale is not None else None,
        enum_type=x.enum_type,
        labels=labels,
        collation=x.collation,
    )
    same = a.fact.column is b.fact.column and a.fact.table is b.fact.table
    fact = replace(
        a.fact,
        not_null=a.fact.not_null and b.fact.not_null,
        unit=a.fact.unit and b.fact.unit,
        multiplied=True,
        missing=a.fact.missing or b.fact.missing,
        left=_either(a.fact.left, b.fact.left, same or x.type in ONE_TEXT),
    )
    return Output(a.name, value, fact if same else Fact(fact.not_null, fact.unit, left=fact.left))


def _either(a: Left | None, b: Left | None, alike: bool) -> Left | None:
    """What is left of the values of both branches. alike: equal values have one text in both.

    Claim: every row has one of them. Because: a row of any set operation has the value of a row of one branch.
    Checked by: tests/privacy/test_passing_nested.py.
    """
    if a is None or b is None:
        return None
    known = alike and a.values is not None and b.values is not None
    values = tuple(dict.fromkeys((*(a.values or ()), *(b.values or ())))) if known else None
    return None if values is None and (a.null or b.null) else Left(values, a.null or b.null)
