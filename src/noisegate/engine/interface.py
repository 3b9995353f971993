"""What an engine is: the one signature by which measurement plans meet private rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from noisegate.plan.measure import FragmentPlan
from noisegate.plan.trust import Confidential

Table = tuple[str, str, str]  # schema, name, fingerprint
Givens = Mapping[int, Sequence[Sequence[str | None]]]
NOTHING: Givens = {}


def tables_of(plans: Iterable[FragmentPlan]) -> frozenset[Table]:
    """What plans rely on."""
    return frozenset(table for plan in plans for table in plan.tables)


class EngineSnapshot(Protocol):
    """One state of the data, open for the plans that it has accepted."""

    async def accept(self, plans: Sequence[FragmentPlan]) -> None:
        """Have the generated SQL of all fragments of one statement parsed, before the charge. The snapshot was opened
        on their tables.

        Raises Internal if the data server refuses the SQL, or returns other columns than the plan's; Unavailable.
        """
        ...

    async def run(self, plan: FragmentPlan, givens: Givens = NOTHING) -> Confidential:
        """The plan's exact bounded totals. To be called after the charge only. givens: for each of the plan's, its
        columns, each a text (or NULL) per row.

        Raises EngineFailed whatever the data server said; Canceled when it took longer than the policy allows;
        Internal when the result does not have the plan's shape. All three texts are constant.
        """
        ...


class Engine(Protocol):
    """A data owner's database."""

    def snapshot(self, plans: Sequence[FragmentPlan]) -> AbstractAsyncContextManager[EngineSnapshot]:
        """Get ready to run all fragments of one statement on one state of the data: `on` their tables, and `accept`.

        Entering reads catalogs, never a private row, and is meant to come before the charge. It waits for a free
        connection for as long as the caller does. Raises, and then nothing needs to be charged: Unavailable;
        SchemaChanged if the tables are not those of the plans; Internal if the data server refuses the generated SQL.
        """
        ...

    def on(self, tables: Iterable[Table]) -> AbstractAsyncContextManager[EngineSnapshot]:
        """One state of these tables; nothing is accepted yet. Raises as `snapshot`."""
        ...

    @property
    def busy(self) -> bool:
        """Whether entering now would wait for another statement to end."""
        ...

    async def close(self) -> None:
        """Give all connections back. Running plans fail."""
        ...
