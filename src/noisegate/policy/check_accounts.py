"""Rules of `check` about the DSN's user and the budgets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from noisegate.policy.facts import DatabaseFacts
from noisegate.policy.model import Budget, Policy
from noisegate.policy.source import KeyPath
from noisegate.policy.walk import LiveRule, Said, Says, tables


def user_is_modest(policy: Policy, facts: DatabaseFacts) -> Says:
    if facts.superuser:
        yield Said(
            "warning",
            ("dsn",),
            f"the DSN's user '{facts.user}' is a superuser; name a role that may only SELECT these tables",
        )
        return
    writable = [key for key, _, there in tables(policy, facts) if there.writable]
    if writable:
        yield Said(
            "warning",
            ("dsn",),
            f"the DSN's user '{facts.user}' may write {', '.join(writable)}; a role that may only SELECT is enough",
        )


def budgets_make_sense(policy: Policy, facts: DatabaseFacts) -> Says:
    whole, price = policy.budgets.dataset, policy.price
    for path, budget in _analyst_budgets(policy):
        if budget.epsilon > whole.epsilon or budget.delta > whole.delta:
            yield Said(
                "warning", path, "this budget is larger than the data set's, which ends first; write a smaller one"
            )
        if 0 < budget.epsilon < price.epsilon:
            yield Said(
                "warning", path, f"no statement at the default price ({price.epsilon}) fits; write a larger budget"
            )


def what_budgets_buy(policy: Policy, facts: DatabaseFacts) -> Says:
    price = policy.price
    accounts: list[tuple[KeyPath, str, Budget]] = [(("budgets", "dataset"), "the data set", policy.budgets.dataset)]
    accounts += [
        (path, f"'{path[2]}'" if len(path) > 2 else "an analyst", budget) for path, budget in _analyst_budgets(policy)
    ]
    for path, whose, budget in accounts:
        grouped = "any number" if price.delta == 0 else str(int(budget.delta / price.delta))
        yield Said(
            "note",
            path,
            f"the budget of {whose} buys {int(budget.epsilon / price.epsilon)} statements at the default price; "
            f"its delta is enough for {grouped} groupings by keys that are read from data",
        )


ACCOUNT_RULES: Final[tuple[LiveRule, ...]] = (
    user_is_modest,
    budgets_make_sense,
    what_budgets_buy,
)


def _analyst_budgets(policy: Policy) -> Iterator[tuple[KeyPath, Budget]]:
    yield ("budgets", "analyst"), policy.budgets.analyst
    for name, budget in policy.budgets.analysts.items():
        yield ("budgets", "analysts", name), budget
