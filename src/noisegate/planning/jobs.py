"""What a planning worker does. Pure: a function of the job and the snapshot that the worker was started with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from noisegate import errors
from noisegate.errors import Internal, NoisegateError, TooComplex
from noisegate.plan.catalog import Snapshot
from noisegate.plan.reading import OutputType
from noisegate.plan.units import Determinant, determinants
from noisegate.privacy.levels import with_levels
from noisegate.privacy.planner import Analysis, analyse
from noisegate.query.constants import Const, Span
from noisegate.query.fragment import Answered, Fragment
from noisegate.query.lineage import Tables
from noisegate.query.split import Split, split


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
class Failure:
    """A NoisegateError on its way between processes."""

    kind: str
    message: str
    detail: str
    hint: str
    name: str | tuple[str, ...] | None
    span: tuple[int, int] | None = None


Job = ReadJob | AnalyseJob


def run_job(job: Job, snapshot: Snapshot) -> Split | tuple[Analysis, ...] | Failure:
    """Never raises: what is not a refusal becomes one."""
    try:
        match job:
            case ReadJob():
                return read_job(job, snapshot)
            case AnalyseJob():
                return analyse_job(job, snapshot)
    except NoisegateError as error:
        return Failure(type(error).__name__, error.message, error.detail, error.hint, error.name, error.span)
    except (MemoryError, RecursionError):
        return _too_complex()
    except Exception:  # a fault of ours: refuse, say nothing of the text
        return Failure("Internal", "the statement could not be planned", "", "", None)


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
