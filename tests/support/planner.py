"""Plans as the gate makes them, without a gate: PostgreSQL's deparse, split, constants, analyse, price.

The data server itself stands for the clean room: it has the same tables and types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

import psycopg

from noisegate.engine.generated import SESSION
from noisegate.plan.catalog import Snapshot
from noisegate.plan.measure import FragmentPlan, NoisyTable, StatementPlan
from noisegate.plan.reading import OutputType
from noisegate.planning.jobs import AnalyseJob, ReadJob, analyse_job, read_job
from noisegate.policy.model import Policy
from noisegate.privacy.planner import Analysis
from noisegate.privacy.pricing import price
from noisegate.query.constants import Const, Span, constant_parts, decode_row, evaluation_sql
from noisegate.query.fragment import expressions_of
from noisegate.query.tree import Expr
from noisegate.room.source import load_snapshot
from support.gates import policy_from

Row = tuple[tuple[str | None, ...], tuple[int, ...]]
_OUTPUTS = """
SELECT format_type(a.atttypid, a.atttypmod),
       CASE WHEN o.oid IS NOT NULL THEN quote_ident(n.nspname) || '.' || quote_ident(o.collname) END
FROM pg_attribute a LEFT JOIN pg_collation o ON o.oid = a.attcollation
LEFT JOIN pg_namespace n ON n.oid = o.collnamespace
WHERE a.attrelid = to_regclass('pg_temp._ng_v') AND a.attnum > 0 ORDER BY a.attnum
"""


@dataclass(frozen=True)
class Planned:
    plan: StatementPlan
    tables: list[NoisyTable]
    analyses: tuple[Analysis, ...]

    @property
    def only(self) -> FragmentPlan:
        (fragment,) = self.plan.fragments
        return fragment


class Planner:
    """Plans statements on one database. Use as a context manager."""

    def __init__(self, dsn: str, policy: str | Policy) -> None:
        self.policy = policy_from(policy, dsn) if isinstance(policy, str) else policy
        self.snapshot: Snapshot = load_snapshot(self.policy, dsn)
        self.connection = psycopg.connect(dsn, autocommit=True, cursor_factory=psycopg.RawCursor)

    def __enter__(self) -> Planner:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def deparse(self, sql: str) -> str:
        """What pg_get_viewdef prints under an empty search_path, without the final semicolon."""
        with self._view(sql):
            (text,) = self.connection.execute("SELECT pg_get_viewdef(to_regclass('pg_temp._ng_v'))").fetchone()
        return text.strip().removesuffix(";")

    def describe(self, sql: str) -> tuple[OutputType, ...]:
        with self._view(sql):
            return tuple(OutputType(*row) for row in self.connection.execute(_OUTPUTS))

    def plan(
        self, sql: str, *, epsilon: str = "1", delta: str = "1e-6", time_zone: str = "UTC", deparsed: bool = False
    ) -> Planned:
        """The statement's plan. Raises what the gate would raise."""
        text = sql if deparsed else self.deparse(sql)
        split = read_job(ReadJob(text), self.snapshot)
        fragments = split.fragments
        outputs = tuple(self.describe(f.describe_sql) for f in fragments)
        constants = self.constants(text, [e for f in fragments for e in expressions_of(f)])
        givens = tuple(self.describe(g.describe_sql) for g in split.givens)
        job = AnalyseJob(fragments, outputs, constants, time_zone, givens, split.answered)
        analyses = analyse_job(job, self.snapshot)
        plan, tables = price(analyses, Decimal(epsilon), Decimal(delta))
        return Planned(plan, tables, analyses)

    def constants(self, text: str, exprs: Sequence[Expr]) -> Mapping[Span, Const]:
        """The values of the constants in expressions of a deparse."""
        parts = constant_parts(exprs)
        if not parts:
            return {}
        with psycopg.RawCursor(self.connection) as cursor:
            cursor.execute(evaluation_sql(text, parts), binary=True)
            result = cursor.pgresult
            assert result is not None
            return decode_row(parts, tuple(result.get_value(0, i) for i in range(result.nfields)))

    @contextmanager
    def _view(self, sql: str) -> Iterator[None]:
        with self.connection.transaction(force_rollback=True):
            columns = len(self.connection.execute(f"SELECT * FROM ({sql}\n) AS q LIMIT 0").description or ())
            names = ", ".join(f"c{i}" for i in range(columns))
            self.connection.execute(f"CREATE TEMP VIEW _ng_v{'(' + names + ')' if names else ''} AS {sql}\n")
            self.connection.execute("SET LOCAL search_path = ''")
            yield


def like_the_engine(connection: psycopg.Connection, settings: Sequence[tuple[str, str]] = ()) -> None:
    """Give a connection the engine's settings (those of a plan too) for the rest of its life."""
    for name, value in (*SESSION, *settings):
        connection.execute("SELECT set_config($1, $2, false)", (name, value))


def with_secret(sql: str, secret: int) -> str:
    """Generated SQL with one fixed secret. For statements whose constants do not spell placeholders."""
    return re.sub(r"\{secret:\d+\}", f"('{secret}'::pg_catalog.int8)", sql)


def totals(
    connection: psycopg.Connection, plan: FragmentPlan, sql: str
) -> dict[tuple[str | None, ...], tuple[int, ...]]:
    """All groups of `sql` (a form of the plan's), below the minimum too."""
    keys = len(plan.keys)
    found: dict[tuple[str | None, ...], tuple[int, ...]] = {}
    for row in connection.execute(sql):
        assert row[:keys] not in found, "two groups show the same key"
        found[row[:keys]] = tuple(int(x) for x in row[keys:])
    return found
