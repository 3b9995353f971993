"""Forms of values inside nested queries: in which equal values are the same value, and in which rows have one order."""

from __future__ import annotations

from dataclasses import replace

from noisegate.errors import Unsupported
from noisegate.query.values import Value

SORTABLE = frozenset(
    "int2 int4 int8 numeric float4 float8 text bpchar bool date time timestamp timestamptz uuid enum".split()
)


def settled(value: Value) -> Value:
    """A form in which equal values are the same value, whichever row they come from.

    Claim: `=` implies equal bytes. Because: trailing zeros, negative zero and trailing blanks are gone; other types
    that may be grouped have one form for a value (text has a deterministic collation).
    """
    match shown(value).type:
        case "numeric" if value.scale is None:
            return replace(value, sql=f"pg_catalog.trim_scale({value.sql})")
        case "numeric" if (value.column is None or value.respelled) and value.const is None:
            return replace(value, sql=f"pg_catalog.round({value.sql}, {value.scale})")
        case "float4" | "float8":
            return replace(value, sql=f"({value.sql} + '0'::pg_catalog.{value.type})")
        case "bpchar":
            return replace(value, sql=f"(({value.sql})::pg_catalog.text)::pg_catalog.bpchar")
        case t if t in SORTABLE:
            return value
        case _:
            raise Unsupported(f"a value of type {value.type} cannot be grouped in a private question")


def shown(value: Value) -> Value:
    """A value that stands for itself. Raises Unsupported for a constant of an enum, which takes its type from what
    it is compared with."""
    if value.type == "enum" and value.const is not None:
        raise Unsupported(
            "a constant of an enum cannot stand alone in a private question", name="select", hint="Cast it to text."
        )
    return value


def sort_sql(value: Value) -> str:
    if shown(value).type not in SORTABLE:
        raise Unsupported(f"a value of type {value.type} cannot be ordered in a private question")
    return value.sql


def tie_break(value: Value) -> list[str]:
    """Sort keys under which rows that tie show the same bytes."""
    if value.type not in SORTABLE:
        return [f'({value.sql})::pg_catalog.text COLLATE pg_catalog."C"']
    if value.type == "bpchar":  # without a length, equal ones may have different trailing blanks
        return [f'({value.sql})::pg_catalog.text COLLATE pg_catalog."C"', f"pg_catalog.octet_length({value.sql})"]
    if value.type == "text" or (value.type == "numeric" and (value.scale is None or value.respelled)):
        return [f'({value.sql})::pg_catalog.text COLLATE pg_catalog."C"']
    if value.type in ("float4", "float8"):
        return [value.sql, f'({value.sql})::pg_catalog.text COLLATE pg_catalog."C"']
    return [value.sql]
