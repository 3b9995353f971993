"""Runs the fragments of a charged statement, each after those whose answers it takes as values.

A closed subquery of the statement (Split.givens) is evaluated by PostgreSQL in the analyst's own session, over releases
and public tables: before the charge where it reads no release, else as soon as its fragments are released. Its rows are
parameters of the engine's queries. Everything was charged before the first fragment ran.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from noisegate.engine.interface import EngineSnapshot
from noisegate.errors import Internal, TooComplex, TooManyRows
from noisegate.mechanisms.computed import computed
from noisegate.mechanisms.gate import draws, release
from noisegate.plan.measure import FragmentPlan, NoisyTable, StatementPlan
from noisegate.plan.reading import OutputType
from noisegate.plan.trust import Confidential, Receipt, Release
from noisegate.query.constants import text_of
from noisegate.query.split import Split
from noisegate.query.total.casts import target_of
from noisegate.room.remainder import Remainder, Rows, Stack, Texts, given_select, rewrite
from noisegate.wire import gate as wire

DRAWS_ON_LOOP_MAX = 40  # about a millisecond; more are drawn on a thread
ROWS_MAX = 10_000  # of a closed subquery

Values = tuple[tuple[str | None, ...], ...]


@dataclass
class Releasing:
    """One statement's run. types: of each given's columns. kinds: how expressions use each given, nothing where it is
    joined. joined_rows_max: the most rows of one that is joined."""

    split: Split
    plan: StatementPlan
    tables: Sequence[NoisyTable]
    types: Sequence[Sequence[OutputType]]
    kinds: Sequence[Collection[str]]
    hidden: wire.Hidden
    bind: bool
    joined_rows_max: int
    _values: dict[int, Values] = field(default_factory=dict)
    _rows: list[Rows] = field(default_factory=list)  # of each noisy table
    _computed: list[Sequence[Texts]] = field(default_factory=list)
    _asides: list[tuple[FragmentPlan, Release]] = field(default_factory=list)  # for the next noisy table

    async def prepare(self) -> None:
        """Evaluate what reads public tables alone. To be called before the charge.

        Raises TooManyRows, TooComplex; HiddenFailed where PostgreSQL raised, which the client then sees.
        """
        for i, given in enumerate(self.split.givens):
            if not given.noisy:
                self._values[i] = await self._evaluate(i)

    async def run(self, snapshot: EngineSnapshot, receipt: Receipt) -> str:
        """The statement that runs in place of the analyst's. Raises what EngineSnapshot.run and `prepare` do."""
        for plan in self.plan.fragments:
            for i in plan.givens:
                if i not in self._values:
                    self._values[i] = await self._evaluate(i)
            totals = await snapshot.run(plan, self._values)
            if draws(totals, plan) <= DRAWS_ON_LOOP_MAX:
                self._release(totals, plan, receipt)
            else:
                await asyncio.to_thread(self._release, totals, plan, receipt)
        return rewrite(remainder_of(self.split), self.tables, self._rows, self._computed)

    def _release(self, totals: Confidential, plan: FragmentPlan, receipt: Receipt) -> None:
        done = release(totals, plan, receipt)
        if plan.aside:
            self._asides.append((plan, done))
            return
        if plan.levels is not None:
            self._rows += done.levels
            self._computed += [() for _ in done.levels]
            return
        self._computed.append(computed(plan, self.tables[len(self._rows)], done, self._asides))
        self._rows.append(done.rows)
        self._asides = []

    async def _evaluate(self, index: int) -> Values:
        given = self.split.givens[index]
        if any(part.fragment >= len(self._rows) for i in given.noisy for part in self.split.answered[i].parts):
            raise Internal("a subquery was about to be evaluated before its answers were released")
        sql = given_select(
            Remainder(given.sql, given.with_at, given.with_more, stacks_of(self.split)),
            given.noisy,
            self.tables,
            self._rows,
            self._computed,
        )
        rows = await self.hidden.query(f"SELECT * FROM ({sql}) AS _ng_l LIMIT {ROWS_MAX + 1}", bind=self.bind)
        self._check_rows(index, len(rows))
        if not self.types[index]:
            return (("",) * len(rows),)
        bases = [target_of(t.sql)[0] for t in self.types[index]]
        return tuple(tuple(text_of(base, row[c]) for row in rows) for c, base in enumerate(bases))

    def _check_rows(self, index: int, rows: int) -> None:
        kinds = self.kinds[index]
        most = ROWS_MAX if kinds else min(ROWS_MAX, self.joined_rows_max)
        if rows > most:
            raise TooComplex(
                f"a subquery or function inside a private question has more than {most} rows",
                hint="Aggregate or filter it, or join the public table itself.",
            )
        if rows > 1 and "scalar" in kinds:
            raise TooManyRows("more than one row returned by a subquery used as an expression")


def stacks_of(split: Split) -> tuple[Stack, ...]:
    return tuple(Stack(tuple((p.fragment, p.keys) for p in a.parts), a.rolled) for a in split.answered)


def remainders_of(split: Split) -> list[tuple[Remainder, Sequence[int] | None]]:
    """All texts that the clean room is asked for a statement, each with the noisy tables that it reads (None: all)."""
    closed = [(Remainder(g.sql, g.with_at, g.with_more, stacks_of(split)), g.noisy) for g in split.givens]
    return [*closed, (remainder_of(split), None)]


def remainder_of(split: Split) -> Remainder:
    return Remainder(split.remainder, split.with_at, split.with_more, stacks_of(split))
