"""The walk of one statement, from the analyst's text to what runs in its place. The only place that sees every room.

    judge, settings, read, split, type, constants, analyse, price, check, charge, run, release, rewrite

Describe and EXPLAIN stop before the charge. Nothing looks at a private row before the charge is durable (I3); nothing
read from the engine leaves but through the release gate (I2).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Collection, Sequence
from dataclasses import dataclass, replace

from noisegate.engine.early import Early
from noisegate.engine.interface import Engine, Table, tables_of
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
from noisegate.plan.measure import Charge, StatementPlan
from noisegate.plan.trust import Receipt
from noisegate.planning.cache import Cache
from noisegate.planning.jobs import Planned
from noisegate.planning.pool import PlanningPool
from noisegate.preparing import Preparing, Shape
from noisegate.privacy.explain import show
from noisegate.query.constants import quote_literal
from noisegate.query.lexer import Kind
from noisegate.query.places import place
from noisegate.query.statements import Judgement, Sketch, Verdict, Wrapper, judge, locate, sketch
from noisegate.releasing import Releasing
from noisegate.room.checker import Checker
from noisegate.room.cluster import CleanRoom
from noisegate.settings import SessionSettings, check_setting, read_settings
from noisegate.wire import gate as wire

_log = logging.getLogger("noisegate")
FORESEEN_MAX = 8  # tables
ABOUT_THE_TEXT = (Refused, Unsupported, MissingBounds, TooComplex)  # errors that have a place in it


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
        self._tables_named = _by_name(snapshot)
        self._classified: Cache[tuple[wire.Statement, ...]] = Cache(4096)
        self._judged: Cache[tuple[Sketch, Judgement]] = Cache(256)  # questions
        self._asked: Cache[frozenset[Table]] = Cache(1024)
        self._settings: Cache[SessionSettings] = Cache(1024)  # of sessions, as they were the last time
        self._sessions: dict[str, int] = {}
        self._preparing = Preparing(snapshot, checker, pool)

    # -- wire.gate.Gate -------------------------------------------------------------------------------------------
    def classify(self, text: str) -> Sequence[wire.Statement]:
        try:
            self._ledger.check()  # a statement whose record would be lost is not run
            found = self._classified.get(text)
            if found is not None:
                return found
            statements = tuple(self._statement(s) for s in sketch(text))
        except NoisegateError as error:
            return (wire.Statement(text, 0, wire.Verdict.REFUSE, error),)
        return self._classified.put(text, statements) if len(text) < 16_384 else statements

    def _statement(self, one: Sketch) -> wire.Statement:
        judgement = judge(one, self._private_names)
        if judgement.verdict is Verdict.PRIVATE and not one.offset:
            self._judged.put(one.text, (one, judgement))
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
        one, judgement = self._judgement(question.text)
        early = Early(self._engine)
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
        if judgement.wrapper is not Wrapper.EXPLAIN:
            early.begin(self._foreseen(question, one))
        session = (question.identity.analyst, question.identity.session)
        last = self._settings.get(session)
        begun = self._preparing.begin(question, judgement, last) if last is not None else None
        try:
            settings = self._settings.put(session, await read_settings(hidden, self.snapshot.policy.price))
            if settings.shadows(one.tokens, self._private_names):
                return wire.Answer("", relay=True)
            self._ledger.check()
            shape, row = await self._preparing.shape(question, judgement, settings, hidden, begun)
        finally:
            if begun is not None:
                begun.drop()
        if not shape.cut.described:
            return wire.Answer("", relay=True)
        priced = await self._preparing.price(question, shape, row, settings)
        if not priced.checked:
            self._check(priced.planned.plan)
            priced.checked = True
        if judgement.wrapper is Wrapper.EXPLAIN:
            await self._preparing.accept(question, shape, priced)
            return await self._explained(question, priced.planned)
        self._asked.put(_repeats(question), tables_of(priced.planned.plan.fragments))
        accepted = asyncio.create_task(self._preparing.accept(question, shape, priced))
        try:
            return await self._ask(question, shape, priced.planned, accepted, early, hidden)
        finally:
            if not accepted.done() and accepted.cancel():
                await asyncio.wait([accepted])
            elif not accepted.cancelled():
                accepted.exception()  # was raised, or something else was

    def _judgement(self, text: str) -> tuple[Sketch, Judgement]:
        found = self._judged.get(text)
        if found is None:
            one = sketch(text)[0]
            found = one, judge(one, self._private_names)
        return found

    def _foreseen(self, question: wire.Question, one: Sketch) -> Collection[Table]:
        """What the engine gets ready for while the text is read: the tables of this question when it was asked the last
        time, or those that have the names in it."""
        asked = self._asked.get(_repeats(question))
        if asked is not None:
            return asked
        named = {t.value for t in one.tokens if t.kind in (Kind.NAME, Kind.QUOTED)}
        tables = frozenset(table for name in named for table in self._tables_named.get(name, ()))
        return tables if len(tables) <= FORESEEN_MAX else ()

    def _check(self, plan: StatementPlan) -> None:
        """The second road, before the charge: withhold iff the noise costs more than the price (docs/privacy.md)."""
        if sum(second_road(f) for f in plan.fragments) > plan.price.epsilon:
            raise Internal("a statement would cost more than its price")
        if sum(f.delta for f in plan.fragments) > plan.price.delta:
            raise Internal("a statement would cost more than its price")

    async def _ask(
        self,
        question: wire.Question,
        shape: Shape,
        planned: Planned,
        accepted: Awaitable[None],
        early: Early,
        hidden: wire.Hidden,
    ) -> wire.Answer:
        """Charge, run, release. From the charge on, only an answer or a constant error comes out."""
        identity, plan = question.identity, planned.plan
        asked = replace(
            self._entry(ASKED, identity, question.text),
            plan="\n".join(planned.lines),
            decision="private",
            parameters=question.parameters,
            policy_hash=self.snapshot.version,
        )
        most = self.snapshot.policy.answers.joined_rows_max
        releasing = Releasing(
            shape.cut.split, plan, planned.tables, shape.givens, shape.cut.kinds, hidden, question.has_params, most
        )
        await releasing.prepare()
        async with early.snapshot(plan.fragments) as snapshot:
            await accepted
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

    async def _explained(self, question: wire.Question, planned: Planned) -> wire.Answer:
        rest, cost = await self._left(question.identity.analyst), planned.plan.price
        left_after = (
            f"Budget left after it: epsilon {show(rest.epsilon - cost.epsilon)}, delta {show(rest.delta - cost.delta)}"
        )
        items = ", ".join(quote_literal(line) for line in (*planned.lines, left_after))
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


def _by_name(snapshot: Snapshot) -> dict[str, list[Table]]:
    """The tables that a name may mean."""
    found: dict[str, list[Table]] = {}
    for (schema, name), table in snapshot.tables.items():
        found.setdefault(name, []).append((schema, name, table.fingerprint))
    return found
