"""Accounts: their names, their limits, and the one rule that decides whether they can pay. Pure; no I/O.

Invariant: a statement is charged to all of its accounts or to none, and no account's spending ever passes its limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from noisegate.errors import BadSetting, BudgetExceeded, Internal, LedgerFailed
from noisegate.ledger.amounts import checked, checked_charge, minus, plus, shown_charge
from noisegate.plan.measure import Charge
from noisegate.policy.model import Budget, Policy

Owner = Literal["analyst", "group", "dataset"]
WHOSE = {"analyst": "your", "group": "your group's", "dataset": "the data set's"}


@dataclass(frozen=True, slots=True)
class AccountLimit:
    """An account as the policy sees it. `ceiling` is what grants may raise the limit to, and what the guarantee in
    every text is about; without one, it is the limit itself, so that nothing can be granted.

    Raises BadSetting where an amount is none, or the ceiling is below the limit.
    """

    name: str
    owner: Owner
    limit: Charge
    ceiling: Charge | None = None

    def __post_init__(self) -> None:
        for part, charge in (("limit", self.limit), ("ceiling", self.top)):
            checked(charge.epsilon, f"the {part} of epsilon of {self.name}")
            checked(charge.delta, f"the {part} of delta of {self.name}")
        if self.top.kind != self.limit.kind:
            raise BadSetting(f"limit and ceiling of {self.name} are of different kinds")
        if self.top.epsilon < self.limit.epsilon or self.top.delta < self.limit.delta:
            raise BadSetting(f"the ceiling of {self.name} is below its limit")

    @property
    def top(self) -> Charge:
        return self.limit if self.ceiling is None else self.ceiling


@dataclass(frozen=True, slots=True)
class Spent:
    """An account as the ledger sees it: exact sums over all charges and all grants, ever. Nothing resets them."""

    account: str
    epsilon: Decimal = Decimal(0)
    delta: Decimal = Decimal(0)
    granted_epsilon: Decimal = Decimal(0)
    granted_delta: Decimal = Decimal(0)
    kind: str | None = None  # of accounting; None: never charged and nothing granted

    def plus(self, charge: Charge) -> Spent:
        return Spent(
            self.account,
            plus(self.epsilon, charge.epsilon),
            plus(self.delta, charge.delta),
            self.granted_epsilon,
            self.granted_delta,
            charge.kind,
        )

    def granted(self, amount: Charge) -> Spent:
        return Spent(
            self.account,
            self.epsilon,
            self.delta,
            plus(self.granted_epsilon, amount.epsilon),
            plus(self.granted_delta, amount.delta),
            amount.kind,
        )


def analyst_account(analyst: str, database: str) -> str:
    """'analyst:alice@demo'. The database is escaped, so that the last '@' always separates."""
    return f"analyst:{analyst}@{_escaped(database)}"


def analyst_of(account: str) -> str | None:
    """The analyst whose account it is, or None."""
    kind, _, rest = account.partition(":")
    return rest.rpartition("@")[0] if kind == "analyst" else None


def dataset_account(database: str) -> str:
    return f"dataset:{_escaped(database)}"


def _escaped(database: str) -> str:
    return database.replace("%", "%25").replace("@", "%40")


def accounts_of(policy: Policy, analyst: str) -> tuple[AccountLimit, ...]:
    """The accounts that pay for one analyst's statements: the analyst's own, then the data set's."""
    own = policy.budgets.analysts.get(analyst, policy.budgets.analyst)
    return (
        _account(analyst_account(analyst, policy.database), "analyst", own, policy.accounting),
        dataset_limit(policy),
    )


def dataset_limit(policy: Policy) -> AccountLimit:
    return _account(dataset_account(policy.database), "dataset", policy.budgets.dataset, policy.accounting)


def _account(name: str, owner: Owner, budget: Budget, kind: str) -> AccountLimit:
    top = budget.ceiling
    ceiling = None if top is None else Charge(top.epsilon, top.delta, kind)
    return AccountLimit(name, owner, Charge(budget.epsilon, budget.delta, kind), ceiling)


def in_force(account: AccountLimit, spent: Spent) -> Charge:
    """The limit that counts now: the policy's, raised by the grants, never above the policy's ceiling."""
    top = account.top
    return Charge(
        min(plus(account.limit.epsilon, spent.granted_epsilon), top.epsilon),
        min(plus(account.limit.delta, spent.granted_delta), top.delta),
        account.limit.kind,
    )


def left(account: AccountLimit, spent: Spent) -> Charge:
    """What may still be spent: (0, 0) at least, also where the policy was lowered below what is spent."""
    limit = in_force(account, spent)
    return Charge(
        max(minus(limit.epsilon, spent.epsilon), Decimal(0)),
        max(minus(limit.delta, spent.delta), Decimal(0)),
        limit.kind,
    )


def check_request(accounts: Sequence[AccountLimit], charge: Charge, digests: Sequence[str]) -> None:
    """What no ledger may accept, whatever is left. Raises BadSetting (the price), Internal (the request)."""
    checked_charge(charge)
    if not accounts or len({a.name for a in accounts}) != len(accounts):
        raise Internal("a charge must name each of its accounts once")
    if any(a.limit.kind != charge.kind for a in accounts):
        raise Internal("a charge must be of its accounts' kind of accounting")
    if not digests:
        raise Internal("a charge must say what it buys")


def pay(accounts: Sequence[AccountLimit], spent: Sequence[Spent], charge: Charge) -> tuple[Spent, ...]:
    """The accounts after the charge. Raises BudgetExceeded where one of them cannot pay: the first in order, so that
    an analyst hears of their own account before a shared one. LedgerFailed: the ledger holds another accounting.

    Claim: no account's sums pass the limit in force. Because: amounts are exact, added and compared without rounding
    (ledger.amounts), and the caller stores all results in the transaction that read `spent`, or none.
    Checked by: laws.no_overspend, laws.exact.
    """
    after = tuple(s.plus(charge) for s in spent)
    for account, before, then in zip(accounts, spent, after, strict=True):
        check_kind(account, before)
        limit = in_force(account, before)
        if then.epsilon > limit.epsilon or then.delta > limit.delta:
            raise _exceeded(account, before, charge)
    return after


def check_kind(account: AccountLimit, spent: Spent) -> None:
    """Sums of different accountings cannot be added. Raises LedgerFailed."""
    if spent.kind is not None and spent.kind != account.limit.kind:
        raise LedgerFailed(
            f"the ledger keeps this account as '{spent.kind}' accounting, the policy says '{account.limit.kind}'",
            hint="An account cannot change its accounting; the data owner must set the policy back.",
        )


def give(account: AccountLimit, spent: Spent, amount: Charge) -> Spent:
    """The account after a grant. Raises BadSetting for an amount that is none, or that would pass the ceiling."""
    checked(amount.epsilon, "a grant's epsilon")
    checked(amount.delta, "a grant's delta")
    if not amount.epsilon and not amount.delta:
        raise BadSetting("a grant must be above 0")
    check_kind(account, spent)
    after = spent.granted(amount)
    top = account.top
    if (
        plus(account.limit.epsilon, after.granted_epsilon) > top.epsilon
        or plus(account.limit.delta, after.granted_delta) > top.delta
    ):
        now = in_force(account, spent)
        raise BadSetting(
            f"the grant would raise {account.name} above its ceiling",
            detail=f"The limit is {shown_charge(now)}, the ceiling {shown_charge(top)}.",
            hint="The ceiling stands in the policy (budgets, ceiling); without one, it is the budget itself.",
        )
    return after


def _exceeded(account: AccountLimit, spent: Spent, charge: Charge) -> BudgetExceeded:
    message = f"{WHOSE[account.owner]} budget cannot pay for this statement"
    limit = in_force(account, spent)
    with_delta = bool(limit.delta or charge.delta)
    price = f"It costs {shown_charge(charge, with_delta=with_delta)}."
    if account.owner != "analyst":  # what others spent depends on the answers that others got
        return BudgetExceeded(
            message, detail=f"{price} What is left of a shared budget is not shown.", hint="Ask the data owner."
        )
    has = left(account, spent)
    rest = shown_charge(has, with_delta=with_delta)
    cheaper = "Ask at a smaller price (SET noisegate.epsilon)"
    if charge.epsilon <= has.epsilon:  # delta is what is missing
        cheaper = "Group only by columns with declared values, which costs no delta"
    return BudgetExceeded(
        message,
        detail=f"{price} You have {rest} left, of {shown_charge(limit, with_delta=with_delta)}.",
        hint=f"{cheaper}, or ask the data owner for a grant.",
    )
