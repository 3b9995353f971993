"""How one request is decided, whatever stores the accounts.

Invariant: a receipt is made here only, from a sale; a store hands it out after the sale is durable.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from noisegate.errors import NoisegateError
from noisegate.ledger import audit
from noisegate.ledger.accounts import Spent, check_request, pay
from noisegate.ledger.audit import AuditEntry, Entry, Head
from noisegate.ledger.interface import Request
from noisegate.plan.trust import Receipt


@dataclass(frozen=True, slots=True)
class Sale:
    """A request that its accounts can pay: their sums after it, in the request's order, and its receipt's number."""

    request: Request
    number: str
    after: tuple[Spent, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(account.name for account in self.request.accounts)

    def entry(self) -> AuditEntry:
        """The `asked` record, to be written together with the sums."""
        return replace(
            self.request.asked,
            event=audit.ASKED,
            analyst=self.request.analyst,
            receipt=self.number,
            price=self.request.charge,
            accounts=self.names,
            digests=self.request.digests,
        )

    def receipt(self) -> Receipt:
        """To be called when sums and record are durable, not before."""
        return Receipt(self.number, self.names, self.request.charge, self.request.digests)


def sell(request: Request, spent: Sequence[Spent]) -> Sale:
    """Decide a request of accounts that have `spent`, in its order. Raises what Ledger.charge raises."""
    check_request(request.accounts, request.charge, request.digests)
    return Sale(request, secrets.token_hex(16), pay(request.accounts, spent, request.charge))


@dataclass
class Page:
    """What one transaction has read of a ledger that nobody else can write meanwhile, and what it is going to write."""

    head: Head
    spent: dict[str, Spent]
    entries: list[Entry] = field(default_factory=list)
    sales: list[tuple[int, Sale]] = field(default_factory=list)  # with the place of its record in `entries`
    changed: dict[str, Spent] = field(default_factory=dict)

    def of(self, name: str) -> Spent:
        return self.spent.get(name, Spent(name))

    def set(self, spent: Spent) -> None:
        self.spent[spent.account] = self.changed[spent.account] = spent

    def charge(self, request: Request) -> Sale | NoisegateError:
        """The sale, noted here, or the refusal, which has changed nothing."""
        try:
            sale = sell(request, [self.of(account.name) for account in request.accounts])
        except NoisegateError as refusal:
            return refusal
        for spent in sale.after:
            self.set(spent)
        self.sales.append((len(self.entries), sale))
        self.entries.append(sale.entry())
        return sale
