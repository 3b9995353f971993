"""The walk of one statement, from the analyst's text to what runs in its place. The only place that sees every room.

    judge, settings, read, split, type, constants, analyse, price, check, charge, run, release, rewrite

Describe and EXPLAIN stop before the charge. Nothing looks at a private row before the charge is durable (I3); nothing
read from the engine leaves but through the release gate (I2).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from noisegate.engine.early import Early
from noisegate.engine.interface import Engine, tables_of
from noisegate.errors import (
    Internal,
    MissingBounds,
    NoisegateError,
    Refused,
    TooComplex,
    TooManyConnections,
    Unsupported,
)
from noisegate.ledger.accounts import AccountLimit, accounts_of, left
from noisegate.ledger.asynchronous import AsyncLedger
from noisegate.ledger.audit import ASKED, AuditEntry, RelayedEntry
from noisegate.mechanisms.gate import second_road
from noisegate.plan.catalog import Snapshot
from noisegate.plan.measure import Charge, NoisyTable, StatementPlan
from noisegate.plan.reading import OutputType, Reading
from noisegate.plan.trust import Receipt
from noisegate.planning.cache import Cache
from noisegate.planning.jobs import AnalyseJob
from noisegate.planning.pool import PlanningPool
from noisegate.privacy.explain import explain, show
from noisegate.privacy.planner import Analysis
from noisegate.privacy.pricing import price
from noisegate.query.constants import constant_parts, decode_row, evaluation_sql, quote_literal
from noisegate.query.fragment import expressions_of
from noisegate.query.places import place, read_as
from noisegate.query.split import Split
from noisegate.query.statements import Judgement, Sketch, Verdict, Wrapper, judge, locate, sketch
from noisegate.query.tree import Expr, Literal
from noisegate.query.views import expand
from noisegate.releasing import Releasing, remainders_of
from noisegate.room.checker import Checker
from noisegate.room.cluster import CleanRoom
from noisegate.room.remainder import over_nothing
from noisegate.settings import SessionSettings, check_setting, read_settings, without_parameters
from noisegate.wire import gate as wire

_log = logging.getLogger("noisegate")
# bool, int8, int2, int4, text, float4, float8, bpchar, varchar, numeric
FIXED_TYPES = frozenset({16, 20, 21, 23, 25, 700, 701, 1042, 1043, 1700})
ABOUT_THE_TEXT = (Refused, Unsupported, MissingBounds, TooComplex)  # errors that have a place in it


@dataclass(frozen=True, slots=True)
class Shape:
    """What a text means under given settings: cached by both."""

    reading: Reading
    split: Split
    outputs: tuple[tuple[OutputType, ...], ...]
    givens: tuple[tuple[OutputType, ...], ...]  # of the closed subqueries' columns
    parts: tuple[Expr, ...]  # constant subexpressions, evaluated by the session


@dataclass(frozen=True, slots=True)
class Priced:
    """A statement's plan, the noisy tables that its remainder reads, and the explanation."""

    plan: StatementPlan
    tables: tuple[NoisyTable, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """What `finished` needs of an answered statement."""

    receipt: Receipt | None
    asked: AuditEntry


class Gateway:
    """One policy's database. Satisfies wire.gate.Gate."""

    def __init__(
        self,
        snapshot: Snapshot,
        room: CleanRoom,
        checker: Checker,
        engine: Engine,
        ledger: AsyncLedger,
        pool: PlanningPool,
    ) -> None:
        self.snapshot = snapshot
        self._room = room
        self._checker = checker
        self._engine = engine
        self._ledger = ledger
        self._pool = pool
        self._private_names = snapshot.private_names()
        self._views: dict[tuple[str, str], str] = {}  # as the room deparses them; read when first needed
        self._classified: Cache[tuple[wire.Statement, ...]] = Cache(4096)
        self._shapes: Cache[Shape] = Cache(1024)
        self._values: Cache[tuple[bytes | None, ...]] = Cache(1024)
        self._analyses: Cache[tuple[Analysis, ...]] = Cache(1024)
        self._priced: Cache[Priced] = Cache(1024)
        self._asked: Cache[StatementPlan] = Cache(1024)
        self._sessions: dict[str, int] = {}

    # -- wire.gate.Gate -------------------------------------------------------------------------------------------
    def classify(self, text: str) -> Sequence[wire.Statement]:
        try:
            self._ledger.check()  # a statement whose record would be lost is not run
            found = self._classified.get(text)
            if found is not None:
                return found
            statements = tuple(self._judged(s) for s in sketch(text))
        except NoisegateError as error:
            return (wire.Statement(text, 0, wire.Verdict.REFUSE, error),)
        return self._classified.put(text, statements) if len(text) < 16_384 else statements

    def _judged(self, one: Sketch) -> wire.Statement:
        judgement = judge(one, self._private_names)
        refusal = judgement.refusal or check_setting(one, self.snapshot.policy.price)
        verdict = wire.Verdict.REFUSE if refusal is not None else wire.Verdict(judgement.verdict.value)
        if refusal is not None and refusal.position is None:
            refusal.position = locate(one.tokens, refusal.name) - one.offset
        return wire.Statement(one.text, one.offset, verdict, refusal)

    async def admit(self, identity: wire.Identity) -> wire.RoomAddress:
        most = self.snapshot.policy.access.sessions_per_analyst_max
        if self._sessions.get(identity.analyst, 0) >= most:
            raise TooManyConnections(f'too many connections for role "{identity.analyst}"')
        self._ledger.check()
        self._sessions[identity.analyst] = self._sessions.get(identity.analyst, 0) + 1
        try:
            return await asyncio.to_thread(self._room.address, self.snapshot.policy.database, identity.analyst)
        except BaseException:
            self.left(identity)
            raise

    def left(self, identity: wire.Identity) -> None:
        count = self._sessions.get(identity.analyst, 1) - 1
        if count > 0:
            self._sessions[identity.analyst] = count
        else:
            self._sessions.pop(identity.analyst, None)

    def relayed(self, identity: wire.Identity, text: str, outcome: str, seconds: float) -> None:
        self._ledger.relayed(
            RelayedEntry(
                identity.analyst,
                identity.client_address,
                identity.application_name,
                identity.database,
                text,
                outcome,
                seconds,
                time.time(),
            )
        )

    def finished(self, question: wire.Question, answer: wire.Answer | None, outcome: str, seconds: float) -> None:
        token = answer.token if answer is not None else None
        if isinstance(token, Token) and token.receipt is not None:
            self._ledger.finished(token.receipt, token.asked, outcome, seconds)
        else:
            self.relayed(question.identity, question.text, outcome, seconds)

    async def answer(self, question: wire.Question, hidden: wire.Hidden) -> wire.Answer:
        one = sketch(question.text)[0]
        judgement = judge(one, self._private_names)
        early = self._foresee(question)
        try:
            return await self._answer(question, judgement, one, hidden, early)
        except NoisegateError as error:
            if error.position is None and isinstance(error, ABOUT_THE_TEXT):
                error.position = place(one.tokens, error)
            raise
        finally:
            early.drop()

    # -- the walk -------------------------------------------------------------------------------------------------
    async def _answer(
        self, question: wire.Question, judgement: Judgement, one: Sketch, hidden: wire.Hidden, early: Early
    ) -> wire.Answer:
        if judgement.verdict is not Verdict.PRIVATE:
            raise Internal("a statement that is not private was asked as one")
        settings = await read_settings(hidden, self.snapshot.policy.price)
        if settings.shadows(one.tokens, self._private_names):
            return wire.Answer("", relay=True)
        self._ledger.check()
        shape = await self._shape(question, judgement, settings)
        if not shape.split.fragments:
            return wire.Answer("", relay=True)
        priced = await self._price(question, shape, settings, hidden)
        if judgement.wrapper is Wrapper.EXPLAIN:
            return await self._explained(question, priced)
        self._check(priced.plan)
        self._asked.put(_repeats(question), priced.plan)
        return await self._ask(question, shape, priced, early, hidden)

    def _foresee(self, question: wire.Question) -> Early:
        """Have the engine get ready for what this text meant when it was asked the last time; no more than that."""
        early, plan = Early(self._engine), self._asked.get(_repeats(question))
        if plan is not None:
            early.begin(tables_of(plan.fragments))
        return early

    async def _shape(self, question: wire.Question, judgement: Judgement, settings: SessionSettings) -> Shape:
        """What the text means: PostgreSQL's reading of it, split, with the types of every output."""
        key = (judgement.query, settings.reading, question.param_types, question.identity.analyst)
        found = self._shapes.get(key)
        if found is not None:
            return found
        columns = 0 if judgement.wrapper is Wrapper.EXPLAIN else len(question.columns)
        reading = await self._checker.read(
            judgement.query, settings.reading, question.param_types, columns, analyst=question.identity.analyst
        )
        frozen = settings.frozen_words(judgement.query, reading.sql)
        if frozen is not None:
            raise frozen
        reading = await self._without_views(reading)
        with read_as(reading.sql):
            split = await self._pool.read(reading.sql)
        described = [(f.describe_sql, len(f.keys) + len(f.aggregates)) for f in split.fragments]
        outputs = tuple(await asyncio.gather(*(self._types(*one, question) for one in described)))
        closed = [(g.describe_sql, g.columns) for g in split.givens]
        givens = tuple(await asyncio.gather(*(self._types(*one, question) for one in closed)))
        with read_as(reading.sql):
            parts = tuple(p for f in split.fragments for p in constant_parts(expressions_of(f)))
        return self._shapes.put(key, Shape(reading, split, outputs, givens, parts))

    async def _without_views(self, reading: Reading) -> Reading:
        """From here on, all see the text with the queries of its views in place."""
        if not self.snapshot.views:
            return reading
        self._views = self._views or await self._checker.views()
        return replace(reading, sql=expand(reading.sql, self._views))

    async def _types(self, sql: str, columns: int, question: wire.Question) -> tuple[OutputType, ...]:
        if not columns:
            return ()
        if question.param_types:
            sql = without_parameters(sql, question.param_types, await self._checker.type_names(question.param_types))
        return await self._checker.describe(sql, columns)

    async def _price(
        self, question: wire.Question, shape: Shape, settings: SessionSettings, hidden: wire.Hidden
    ) -> Priced:
        """Plan in a worker, with the values of the constants, and price."""
        row = await self._constants(question, shape, settings, hidden)
        key = (shape.reading.sql, row, settings.reading)
        priced = self._priced.get((key, settings.epsilon))
        if priced is not None:
            return priced
        analyses = self._analyses.get(key)
        if analyses is None:
            zone = settings.reading.time_zone
            with read_as(shape.reading.sql):
                constants = decode_row(shape.parts, row)
                split = shape.split
                job = AnalyseJob(split.fragments, shape.outputs, constants, zone, shape.givens, split.answered)
                analyses = self._analyses.put(key, await self._pool.analyse(job))
        plan, tables = price(analyses, settings.epsilon, self.snapshot.policy.price.delta)
        await self._try_remainder(question, shape.split, tables)
        return self._priced.put((key, settings.epsilon), Priced(plan, tuple(tables), tuple(explain(plan, analyses))))

    async def _constants(
        self, question: wire.Question, shape: Shape, settings: SessionSettings, hidden: wire.Hidden
    ) -> tuple[bytes | None, ...]:
        """The constants' values as the session computes them, unless they are the same in every session."""
        if not shape.parts:
            return ()
        key = (shape.reading.sql, settings.reading)
        kept = self._values.get(key)
        if kept is not None:
            return kept
        (row,) = await hidden.query(evaluation_sql(shape.reading.sql, shape.parts), bind=question.has_params)
        return self._values.put(key, row) if are_fixed(shape.parts, row) else row

    async def _try_remainder(self, question: wire.Question, split: Split, tables: Sequence[NoisyTable]) -> None:
        """Have PostgreSQL read what it will be asked over empty noisy tables: what it refuses is not charged."""
        texts = [over_nothing(r, tables, noisy) for r, noisy in remainders_of(split)]
        for sql in texts:
            if question.param_types:
                names = await self._checker.type_names(question.param_types)
                sql = without_parameters(sql, question.param_types, names)
            await self._checker.accepts(sql)

    def _check(self, plan: StatementPlan) -> None:
        """The second road, before the charge: withhold iff the noise costs more than the price (docs/privacy.md)."""
        if sum(second_road(f) for f in plan.fragments) > plan.price.epsilon:
            raise Internal("a statement would cost more than its price")
        if sum(f.delta for f in plan.fragments) > plan.price.delta:
            raise Internal("a statement would cost more than its price")

    async def _ask(
        self, question: wire.Question, shape: Shape, priced: Priced, early: Early, hidden: wire.Hidden
    ) -> wire.Answer:
        """Charge, run, release. From the charge on, only an answer or a constant error comes out."""
        identity, plan = question.identity, priced.plan
        asked = replace(
            self._entry(ASKED, identity, question.text),
            plan="\n".join(priced.lines),
            decision="private",
            parameters=question.parameters,
            policy_hash=self.snapshot.version,
        )
        most = self.snapshot.policy.answers.joined_rows_max
        releasing = Releasing(shape.split, plan, priced.tables, shape.givens, hidden, question.has_params, most)
        await releasing.prepare()
        async with early.snapshot(plan.fragments) as snapshot:
            receipt = await self._ledger.charge(
                identity.analyst, self._accounts(identity.analyst), plan.price, plan.digests, asked
            )
            rest = asyncio.create_task(self._notice(identity, plan.price))  # while the engine works
            try:
                sql = await releasing.run(snapshot, receipt)
                notice = await rest
            except BaseException as error:
                rest.cancel()
                self._closed(receipt, asked, error)
                raise
        return wire.Answer(sql, (notice,), token=Token(receipt, asked))

    def _closed(self, receipt: Receipt, asked: AuditEntry, error: BaseException) -> None:
        """The charge stands; the audit says how the statement ended."""
        outcome = error.sqlstate if isinstance(error, NoisegateError) else "57014"
        try:
            self._ledger.finished(receipt, asked, outcome, 0.0)
        except NoisegateError:
            _log.error("the end of a charged statement could not be recorded")

    async def _explained(self, question: wire.Question, priced: Priced) -> wire.Answer:
        rest, cost = await self._left(question.identity.analyst), priced.plan.price
        left_after = (
            f"Budget left after it: epsilon {show(rest.epsilon - cost.epsilon)}, delta {show(rest.delta - cost.delta)}"
        )
        items = ", ".join(quote_literal(line) for line in (*priced.lines, left_after))
        return wire.Answer(
            f'SELECT pg_catalog.unnest(ARRAY[{items}]::pg_catalog.text[]) AS "QUERY PLAN"', tag="EXPLAIN"
        )

    async def _notice(self, identity: wire.Identity, cost: Charge) -> wire.Notice:
        rest = await self._left(identity.analyst)
        return wire.Notice(
            f"noisegate: price epsilon {show(cost.epsilon)}"
            + (f", delta {show(cost.delta)}" if cost.delta else "")
            + f"; left: epsilon {show(rest.epsilon)}, delta {show(rest.delta)}"
        )

    # -- accounts and records -------------------------------------------------------------------------------------
    def _accounts(self, analyst: str) -> tuple[AccountLimit, ...]:
        return accounts_of(self.snapshot.policy, analyst)

    async def _left(self, analyst: str) -> Charge:
        account = self._accounts(analyst)[0]
        return left(account, await self._ledger.balance(account.name))

    def _entry(self, event: str, identity: wire.Identity, text: str) -> AuditEntry:
        return AuditEntry(
            event,
            analyst=identity.analyst,
            client_address=identity.client_address,
            application_name=identity.application_name,
            database=identity.database,
            sql=text,
        )


def _repeats(question: wire.Question) -> tuple[object, ...]:
    return question.text, question.param_types, question.parameters, question.identity.analyst


def are_fixed(parts: Sequence[Expr], row: Sequence[bytes | None]) -> bool:
    """Whether these constants have these values under all settings and at all times: literals of types whose input
    PostgreSQL calls immutable, numbers, texts and booleans."""
    types = [int((word or b"??0")[2:] or 0) for word in row[::2]]
    return all(isinstance(part, Literal) for part in parts) and FIXED_TYPES.issuperset(types)
