"""What a nested query's generated SQL is, and as a source of the block around it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from noisegate.plan.units import UNIT, Determinant
from noisegate.privacy.columns import OWN_UNIT, Fact, Source, SourceColumn
from noisegate.privacy.ties import ColumnId
from noisegate.query.values import Value


@dataclass(frozen=True, slots=True)
class Output:
    """One column of a nested query's generated SELECT."""

    name: str
    value: Value  # inside
    fact: Fact


@dataclass(frozen=True, slots=True)
class Body:
    """A nested query's generated SQL, with columns c0, c1 ... and, where it has a unit of its own, u.

    source_of: for Source's determinants and keys, in names of the outputs. single: at most one row in all. rows: where
    the rows are those of a FROM clause and the outputs can be read there, that clause with a WHERE; else empty.
    """

    sql: str
    outputs: tuple[Output, ...]
    private: bool
    unit: Value | None
    determinants: tuple[Determinant, ...]
    keys: tuple[frozenset[str], ...]
    tied: tuple[str, ...]
    single: bool = False
    rows: str = ""


def source_of(body: Body, alias: str, sql_alias: str) -> Source:
    shown: dict[str, SourceColumn] = {}
    for i, output in enumerate(body.outputs):
        if output.name in shown:
            continue  # an ambiguous name: PostgreSQL refuses its use
        value = _outside(output.value, f"{sql_alias}.c{i}", (sql_alias, output.name))
        left = output.fact.left
        value = value if left is None or left.null else replace(value, null=False)
        shown[output.name] = SourceColumn(value, output.fact)
    unit = _outside(body.unit, f"{sql_alias}.u", (sql_alias, OWN_UNIT)) if body.unit is not None else None
    if unit is not None:
        shown[OWN_UNIT] = SourceColumn(unit, Fact(False, unit=True))
    own = (Determinant(UNIT, (OWN_UNIT,)),) if unit is not None else ()
    return Source(
        alias,
        sql_alias,
        f"({body.sql}) AS {sql_alias}",
        shown,
        body.private,
        unit,
        (*body.determinants, *own),
        body.keys + ((frozenset[str](),) if body.single else ()),
        tied=body.tied,
        rows=1 if body.single else None,
    )


def _outside(value: Value, sql: str, column: ColumnId) -> Value:
    """The same value, read from the nested query's column."""
    respelled = value.type == "numeric" and (value.column is None or value.respelled)
    return replace(value, sql=sql, column=column, const=None, respelled=respelled)
