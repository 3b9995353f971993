"""PostgreSQL's own reading of a statement: its deparse, with every name resolved and every constant typed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """Session settings that change what a text means."""

    search_path: str
    date_style: str
    interval_style: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class OutputType:
    """Type of one output column: `sql` is format_type() with schema and typmod; `collation` is quoted and qualified,
    None where the type has no collation."""

    sql: str
    collation: str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """`sql` is what pg_get_viewdef prints under an empty search_path (or the body of a throw-away SQL function where
    there are parameters, which then stand as $1, $2 ...), without the final semicolon."""

    sql: str
    outputs: tuple[OutputType, ...]
