"""The three types that carry trust. A test checks where each is made.

`Confidential` is made only in engine/, `Receipt` only in ledger/, `Release` only in mechanisms/.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from noisegate.errors import Internal
from noisegate.plan.measure import Charge


@dataclass(frozen=True, slots=True, repr=False)
class Confidential:
    """Exact bounded totals of one fragment, as the engine returned them. Never leaves the gate but through a release.

    rows: (canonical key texts, integer totals in the order of FragmentPlan.exact). leaves: of each further query that
    is a histogram, in order: (keys, leaf, count), each pair of keys and leaf once. rest: the totals of all groups below
    the minimum together, where a plan has a row for hidden groups.
    """

    digest: str  # of the FragmentPlan that was run
    rows: tuple[tuple[tuple[str | None, ...], tuple[int, ...]], ...]
    leaves: tuple[tuple[tuple[tuple[str | None, ...], int, int], ...], ...] = ()
    rest: tuple[int, ...] | None = None

    def __repr__(self) -> str:
        return "Confidential(...)"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A durable charge for exactly the fragments `digests`; each may be released once."""

    id: str
    accounts: tuple[str, ...]
    charge: Charge
    digests: tuple[str, ...]
    _unused: list[str] = field(default_factory=list, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._unused.extend(self.digests)

    def use(self, digest: str) -> None:
        """Spend the receipt for one fragment. Raises Internal if it was not bought, or was released already."""
        with self._lock:
            if digest not in self._unused:
                raise Internal("a fragment was about to be released without a receipt of its own")
            self._unused.remove(digest)


@dataclass(frozen=True, slots=True)
class Release:
    """Raw noisy totals under canonical keys: what may be shown. Before cuts at 0, ratios and types.

    rows: (canonical key texts, noisy integers in the order of FragmentPlan.released), sorted by key; Other's is the
    last. Of each row but that, in the same order: trees: the noisy counts of each tree's nodes, coarsest level first;
    choices: each choice's leaf; ranks: each rank's number of values and one leaf, or two.
    levels: instead of rows, those of each grouping set that was asked for, where they are made consistent.
    """

    digest: str
    rows: tuple[tuple[tuple[str | None, ...], tuple[int, ...]], ...]
    trees: tuple[tuple[tuple[int, ...], ...], ...] = ()
    choices: tuple[tuple[int, ...], ...] = ()
    levels: tuple[tuple[tuple[tuple[str | None, ...], tuple[int, ...]], ...], ...] = ()
    ranks: tuple[tuple[tuple[int, ...], ...], ...] = ()
