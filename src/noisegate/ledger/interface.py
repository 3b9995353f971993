"""What every ledger does, whatever stores it. `tests/ledger/laws.py` is the same contract, executed.

Invariant (I3): a receipt exists only after its charge is durable. There are no refunds; any failure of storage raises
LedgerFailed and gives no receipt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from noisegate.errors import NoisegateError
from noisegate.ledger.accounts import AccountLimit, Spent
from noisegate.ledger.audit import AuditEntry, Entry, Head, Problem, Record
from noisegate.plan.measure import Charge
from noisegate.plan.trust import Receipt


@dataclass(frozen=True, slots=True)
class Request:
    """One statement that wants to be paid: all of its accounts pay `charge`, or none does."""

    analyst: str
    accounts: tuple[AccountLimit, ...]
    charge: Charge
    digests: tuple[str, ...]  # of the fragments that are bought
    asked: AuditEntry


class Ledger(Protocol):
    """Charges, balances and the audit log. Safe to call from several threads; several processes may share one store.

    Every method raises LedgerFailed when the store does not answer, is full, or is not what was opened.
    """

    def charge(
        self,
        analyst: str,
        accounts: Sequence[AccountLimit],
        charge: Charge,
        digests: Sequence[str],
        asked: AuditEntry,
    ) -> Receipt:
        """Charge all accounts and write the `asked` record, in one durable transaction.

        Raises BudgetExceeded where an account cannot pay (nothing is written), BadSetting where the price is none.
        """
        ...

    def transact(self, requests: Sequence[Request], entries: Sequence[Entry] = ()) -> list[Receipt | NoisegateError]:
        """Write `entries`, then charge `requests` in order, with one durable commit for all of them together.

        Each request gets its receipt or its own refusal, as `charge` would raise it. When the commit fails nothing of
        all this happened, and LedgerFailed is raised.
        """
        ...

    def record(self, entries: Sequence[Entry]) -> None:
        """Chain records of statements that cost nothing, durably, in one transaction."""
        ...

    def ended(self, receipt: Receipt, asked: AuditEntry, outcome: str, seconds: float) -> None:
        """Chain the record that closes a charged statement: 'ok' or an SQLSTATE, and how long it took."""
        ...

    def balance(self, account: str) -> Spent:
        """What an account has spent and was granted; an unknown account has spent nothing."""
        ...

    def balances(self) -> list[Spent]:
        """Every account that was ever charged or granted something, by name."""
        ...

    def grant(self, account: AccountLimit, amount: Charge, reason: str, by: str) -> Spent:
        """Raise an account's limit by `amount`, and write who did so and why. Raises BadSetting above the ceiling."""
        ...

    def head(self) -> Head:
        """The end of the chain."""
        ...

    def records(self, after: int = 0) -> Iterator[Record]:
        """The audit log in order, from the record after number `after`. Holds no lock between two records."""
        ...

    def related(self, receipt: str) -> list[Record]:
        """The records of one charged statement: asked, and ended where it did."""
        ...

    def verify(self) -> list[Problem]:
        """Everything wrong with chain, head and accounts, read in one snapshot."""
        ...

    def close(self) -> None: ...
