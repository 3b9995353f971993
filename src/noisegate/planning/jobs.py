"""What a planning worker does. Pure: a function of the job and the snapshot that the worker was started with."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from noisegate import errors
from noisegate.errors import Internal, NoisegateError, TooComplex
from noisegate.plan.catalog import Snapshot
from noisegate.plan.measure import NoisyTable, StatementPlan
from noisegate.plan.reading import OutputType
from noisegate.plan.units import Determinant, determinants
from noisegate.planning.cache import Cache
from noisegate.privacy.explain import explain
from noisegate.privacy.levels import with_levels
from noisegate.privacy.planner import Analysis, analyse
from noisegate.privacy.pricing import price
from noisegate.query.constants import Const, Span, constant_parts, decode_row
from noisegate.query.fragment import Answered, Fragment, expressions_of
from noisegate.query.known import known_row
from noisegate.query.lineage import Tables
from noisegate.query.split import Split, split
from noisegate.query.tree import Expr, Given, walk

Described = tuple[str, int]
Row = tuple[bytes | None, ...]

TYPED_MAX = 1024  # outputs of fragments that a worker knows the types of
UNPACKED_MAX, UNPACKED_BYTES_MAX = 16, 100_000  # statements that a worker keeps, and the largest of them, packed


@dataclass(frozen=True, slots=True)
class ReadJob:
    """Split a deparse."""

    sql: str


@dataclass(frozen=True, slots=True)
class AnalyseJob:
    """Analyse fragments with the session's constants."""

    fragments: tuple[Fragment, ...]
    outputs: tuple[tuple[OutputType, ...], ...]
    constants: Mapping[Span, Const]
    time_zone: str
    givens: tuple[tuple[OutputType, ...], ...] = ()
    answered: tuple[Answered, ...] = ()  # which fragments are grouping sets of one question


@dataclass(frozen=True, slots=True)
class CutJob:
    """Split a deparse, for the gate; and plan it, if nothing needs to be asked for that, in this zone and at this
    price (epsilon, delta)."""

    sql: str
    time_zone: str = "UTC"
    price: tuple[Decimal, Decimal] | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """What the gate needs of a split. `split` is without its fragments: their trees are in `packed`, which is for
    workers only. `described`: what types each fragment's outputs, and how many they are; `parts`: the constants that
    the session evaluates; `row`: their values where they are plain; `kinds`: how expressions use each given, nothing
    where it is joined. `ahead`: the plan, where the worker knew the types of all outputs."""

    split: Split
    packed: bytes
    described: tuple[Described, ...]
    parts: tuple[Expr, ...]
    row: Row | None
    kinds: tuple[frozenset[str], ...]
    ahead: Ahead | None = None


@dataclass(frozen=True, slots=True)
class Ahead:
    """`outputs`: the types that were known of each fragment's outputs."""

    outputs: tuple[tuple[OutputType, ...], ...]
    planned: Planned


@dataclass(frozen=True, slots=True)
class PlanJob:
    """Plan the fragments of a Cut at a price: what `analyse` holds, but for the fragments. `described`: as in the Cut
    where the types of its outputs are to be remembered; else empty."""

    packed: bytes
    described: tuple[Described, ...]
    analyse: AnalyseJob
    epsilon: Decimal
    delta: Decimal


@dataclass(frozen=True, slots=True)
class Planned:
    """A statement's plan, the noisy tables that its remainder reads, and the explanation."""

    plan: StatementPlan
    tables: tuple[NoisyTable, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A NoisegateError on its way between processes."""

    kind: str
    message: str
    detail: str
    hint: str
    name: str | tuple[str, ...] | None
    span: tuple[int, int] | None = None


Job = CutJob | PlanJob


def run_job(job: Job, snapshot: Snapshot) -> Cut | Planned | Failure:
    """Never raises: what is not a refusal becomes one."""
    try:
        match job:
            case CutJob():
                return cut_job(job, snapshot)
            case PlanJob():
                return plan_job(job, snapshot)
    except NoisegateError as error:
        return Failure(type(error).__name__, error.message, error.detail, error.hint, error.name, error.span)
    except (MemoryError, RecursionError):
        return _too_complex()
    except Exception:  # a fault of ours: refuse, say nothing of the text
        return Failure("Internal", "the statement could not be planned", "", "", None)


_unpacked: Cache[tuple[Fragment, ...]] = Cache(UNPACKED_MAX)  # what this worker has cut, by its packed form
_typed: Cache[tuple[OutputType, ...]] = Cache(TYPED_MAX)  # what it was told before; the snapshot is the same


def cut_job(job: CutJob, snapshot: Snapshot) -> Cut:
    whole = read_job(ReadJob(job.sql), snapshot)
    fragments = whole.fragments
    expressions = [expressions_of(f) for f in fragments]
    parts = tuple(p for own in expressions for p in constant_parts(own))
    kinds: list[set[str]] = [set() for _ in whole.givens]
    if kinds:
        for given in (n for own in expressions for e in own for n in walk(e) if isinstance(n, Given)):
            kinds[given.index].add(given.kind)
    packed = pickle.dumps(fragments, pickle.HIGHEST_PROTOCOL)
    if len(packed) <= UNPACKED_BYTES_MAX:
        _unpacked.put(packed, fragments)
    described = tuple((f.describe_sql, len(f.keys) + len(f.aggregates)) for f in fragments)
    row = known_row(parts)
    cut = Cut(replace(whole, fragments=()), packed, described, parts, row, tuple(map(frozenset, kinds)))
    return replace(cut, ahead=_ahead(job, cut, fragments, snapshot))


def _ahead(job: CutJob, cut: Cut, fragments: tuple[Fragment, ...], snapshot: Snapshot) -> Ahead | None:
    outputs = tuple(found for one in cut.described if (found := _typed.get(one)) is not None)
    if job.price is None or cut.row is None or cut.split.givens or not fragments or len(outputs) < len(fragments):
        return None
    constants = decode_row(cut.parts, cut.row)
    analyse = AnalyseJob(fragments, outputs, constants, job.time_zone, (), cut.split.answered)
    return Ahead(outputs, _planned(analyse, job.price, snapshot))


def plan_job(job: PlanJob, snapshot: Snapshot) -> Planned:
    if job.described:
        for one, outputs in zip(job.described, job.analyse.outputs, strict=True):
            _typed.put(one, outputs)
    fragments = _unpacked.get(job.packed)
    if fragments is None:
        fragments = pickle.loads(job.packed)
    return _planned(replace(job.analyse, fragments=fragments), (job.epsilon, job.delta), snapshot)


def _planned(job: AnalyseJob, at: tuple[Decimal, Decimal], snapshot: Snapshot) -> Planned:
    analyses = analyse_job(job, snapshot)
    plan, tables = price(analyses, *at)
    assert plan.digests  # computed here, they go along
    return Planned(plan, tuple(tables), tuple(explain(plan, analyses)))


def read_job(job: ReadJob, snapshot: Snapshot) -> Split:
    tables = snapshot.tables

    def is_private(schema: str, table: str) -> bool:
        return (schema, table) in tables and snapshot.is_private((schema, table))

    def columns(schema: str, table: str) -> list[str]:
        found = tables.get((schema, table))
        return [c.name for c in found.columns] if found is not None else []

    def units(schema: str, table: str) -> Sequence[Determinant]:
        return determinants(snapshot, (schema, table))

    return split(job.sql, Tables(is_private, columns, units))


def analyse_job(job: AnalyseJob, snapshot: Snapshot) -> tuple[Analysis, ...]:
    def analysed(fragment: Fragment, outputs: Sequence[OutputType]) -> Analysis:
        return analyse(fragment, outputs, snapshot, job.constants, job.time_zone, job.givens)

    return with_levels(job.fragments, job.outputs, job.answered, analysed, snapshot.policy.answers)


def _too_complex() -> Failure:
    return Failure("TooComplex", "the statement is too complex to plan", "", "Split it into smaller questions.", None)


def raise_failure(failure: Failure) -> NoisegateError:
    """The error that a worker met, as an exception of this process."""
    kind = getattr(errors, failure.kind, Internal)
    if not (isinstance(kind, type) and issubclass(kind, NoisegateError)) or kind is errors.EngineFailed:
        kind = Internal
    error = kind(failure.message, detail=failure.detail, hint=failure.hint, name=failure.name)
    return error if failure.span is None else error.about(*failure.span)


def overrun() -> NoisegateError:
    return TooComplex("the statement took too long to plan", hint="Split it into smaller questions.")
