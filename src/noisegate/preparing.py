"""From an analyst's text to a priced plan: read, cut, typed, constants evaluated, planned. Nothing is charged or run.

Everything here is a function of the text, the session's settings, the policy and the catalog, and is kept by them.
What does not need each other's outcome waits together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from noisegate.plan.catalog import Snapshot
from noisegate.plan.reading import OutputType, Reading
from noisegate.planning.cache import Cache
from noisegate.planning.jobs import AnalyseJob, Cut, CutJob, PlanJob, Planned, Row
from noisegate.planning.pool import PlanningPool
from noisegate.query.constants import decode_row, evaluation_sql
from noisegate.query.places import read_as
from noisegate.query.statements import Judgement, Wrapper
from noisegate.query.tree import Expr, Literal
from noisegate.query.views import expand
from noisegate.releasing import remainders_of
from noisegate.room.checker import Checker
from noisegate.room.remainder import over_nothing
from noisegate.settings import SessionSettings, without_parameters
from noisegate.wire import gate as wire

# bool, int8, int2, int4, text, float4, float8, bpchar, varchar, numeric
FIXED_TYPES = frozenset({16, 20, 21, 23, 25, 700, 701, 1042, 1043, 1700})

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a text means under given settings."""

    reading: Reading
    cut: Cut
    outputs: tuple[tuple[OutputType, ...], ...]
    givens: tuple[tuple[OutputType, ...], ...]  # of the closed subqueries' columns


@dataclass(slots=True)
class Priced:
    """A statement's plan at a price. `tried`: the types of parameters with which PostgreSQL accepted its remainder.
    `checked`: the plan, which never changes, has passed the second road."""

    planned: Planned
    tried: set[tuple[int, ...]]
    checked: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """A text that is being read as under `settings`, while its session is asked for them."""

    settings: SessionSettings
    reading: asyncio.Task[tuple[Reading, Cut]]

    def drop(self) -> None:
        """Its outcome, if nobody asked for it, is of no interest."""
        if not self.reading.cancel() and not self.reading.cancelled():
            self.reading.exception()


class Preparing:
    """For one policy's database; keeps what it found out."""

    def __init__(self, snapshot: Snapshot, checker: Checker, pool: PlanningPool) -> None:
        self._snapshot = snapshot
        self._checker = checker
        self._pool = pool
        self._views: dict[tuple[str, str], str] = {}  # as the room deparses them; read when first needed
        self._shapes: Cache[Shape] = Cache(1024)
        self._typed: Cache[tuple[OutputType, ...]] = Cache(1024)
        self._values: Cache[Row] = Cache(1024)
        self._priced: Cache[Priced] = Cache(1024)

    def begin(self, question: wire.Question, judgement: Judgement, settings: SessionSettings) -> Begun | None:
        """Read a text that was never read, as under these settings. Whoever gets one drops it."""
        if self._shapes.get(_shape_key(question, judgement, settings)) is not None:
            return None
        return Begun(settings, asyncio.create_task(self._read(question, judgement, settings)))

    async def shape(
        self,
        question: wire.Question,
        judgement: Judgement,
        settings: SessionSettings,
        hidden: wire.Hidden,
        begun: Begun | None,
    ) -> tuple[Shape, Row]:
        """What the text means, and the values of its constants in this session. `begun` is of use if it was begun under
        these settings."""
        key = _shape_key(question, judgement, settings)
        shape = self._shapes.get(key)
        if shape is not None:
            return shape, await self._constants(question, shape.reading, shape.cut, settings, hidden)
        if begun is not None and (begun.settings.reading, begun.settings.epsilon) == (
            settings.reading,
            settings.epsilon,
        ):
            reading, cut = await begun.reading
        else:
            reading, cut = await self._read(question, judgement, settings)
        if cut.ahead is not None and cut.row is not None:
            shape = Shape(reading, replace(cut, ahead=None), cut.ahead.outputs, ())
            self._priced.put(_price_key(shape, cut.row, settings), Priced(cut.ahead.planned, set()))
            return self._shapes.put(key, shape), cut.row
        described = [*cut.described, *((g.describe_sql, g.columns) for g in cut.split.givens)]
        types, row = await _both(
            asyncio.gather(*(self._types(*one, question) for one in described)),
            self._constants(question, reading, cut, settings, hidden),
        )
        fragments = len(cut.described)
        shape = Shape(reading, cut, tuple(types[:fragments]), tuple(types[fragments:]))
        return self._shapes.put(key, shape), row

    async def _read(
        self, question: wire.Question, judgement: Judgement, settings: SessionSettings
    ) -> tuple[Reading, Cut]:
        """PostgreSQL's reading of the text, with the queries of its views in place, and its pieces."""
        columns = 0 if judgement.wrapper is Wrapper.EXPLAIN else len(question.columns)
        reading = await self._checker.read(
            judgement.query, settings.reading, question.param_types, columns, analyst=question.identity.analyst
        )
        frozen = settings.frozen_words(judgement.query, reading.sql)
        if frozen is not None:
            raise frozen
        if self._snapshot.views:
            self._views = self._views or await self._checker.views()
            reading = replace(reading, sql=expand(reading.sql, self._views))
        price = None if question.param_types else (settings.epsilon, self._snapshot.policy.price.delta)
        with read_as(reading.sql):
            return reading, await self._pool.cut(CutJob(reading.sql, settings.reading.time_zone, price))

    async def _types(self, sql: str, columns: int, question: wire.Question) -> tuple[OutputType, ...]:
        if not columns:
            return ()
        key = (sql, columns, question.param_types)
        typed = self._typed.get(key)
        if typed is None:
            sql = await self._without_parameters(sql, question)
            typed = self._typed.put(key, await self._checker.describe(sql, columns))
        return typed

    async def _without_parameters(self, sql: str, question: wire.Question) -> str:
        if not question.param_types:
            return sql
        return without_parameters(sql, question.param_types, await self._checker.type_names(question.param_types))

    async def _constants(
        self, question: wire.Question, reading: Reading, cut: Cut, settings: SessionSettings, hidden: wire.Hidden
    ) -> Row:
        """The constants' values as the session computes them, unless they are the same in every session."""
        if cut.row is not None:
            return cut.row
        key = (reading.sql, settings.reading)
        kept = self._values.get(key)
        if kept is not None:
            return kept
        with read_as(reading.sql):
            sql = evaluation_sql(reading.sql, cut.parts)
        (row,) = await hidden.query(sql, bind=question.has_params)
        return self._values.put(key, row) if are_fixed(cut.parts, row) else row

    async def price(self, question: wire.Question, shape: Shape, row: Row, settings: SessionSettings) -> Priced:
        """Plan in a worker, at the session's price. Nothing may be charged for it before `accept` has returned."""
        key = _price_key(shape, row, settings)
        priced = self._priced.get(key)
        if priced is not None:
            return priced
        cut, delta = shape.cut, self._snapshot.policy.price.delta
        with read_as(shape.reading.sql):
            constants = decode_row(cut.parts, row)
            zone = settings.reading.time_zone
            job = AnalyseJob((), shape.outputs, constants, zone, shape.givens, cut.split.answered)
            described = () if question.param_types else cut.described
            planned = await self._pool.plan(PlanJob(cut.packed, described, job, settings.epsilon, delta))
        return self._priced.put(key, Priced(planned, set()))

    async def accept(self, question: wire.Question, shape: Shape, priced: Priced) -> None:
        """Have PostgreSQL read what it will be asked over empty noisy tables: what it refuses is not charged.

        Raises Unsupported, Unavailable.
        """
        if question.param_types in priced.tried:
            return
        for remainder, noisy in remainders_of(shape.cut.split):
            sql = over_nothing(remainder, priced.planned.tables, noisy)
            await self._checker.accepts(await self._without_parameters(sql, question))
        priced.tried.add(question.param_types)


def _shape_key(question: wire.Question, judgement: Judgement, settings: SessionSettings) -> Hashable:
    return judgement.query, settings.reading, question.param_types, question.identity.analyst


def _price_key(shape: Shape, row: Row, settings: SessionSettings) -> Hashable:
    return shape.reading.sql, row, settings.reading, settings.epsilon


async def _both(one: Awaitable[T], other: Awaitable[U]) -> tuple[T, U]:
    """The outcomes of both; the first one's error where there are two. Neither is left behind: a session's hidden query
    ends before its client is told anything."""
    first, second = await asyncio.gather(one, other, return_exceptions=True)
    if isinstance(first, BaseException):
        raise first
    if isinstance(second, BaseException):
        raise second
    return first, second


def are_fixed(parts: Sequence[Expr], row: Sequence[bytes | None]) -> bool:
    """Whether these constants have these values under all settings and at all times: literals of types whose input
    PostgreSQL calls immutable, numbers, texts and booleans."""
    types = [int((word or b"??0")[2:] or 0) for word in row[::2]]
    return all(isinstance(part, Literal) for part in parts) and FIXED_TYPES.issuperset(types)
