"""Amounts are exact and have one spelling; account names never meet; limits come from the policy."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import laws
from noisegate.errors import BadSetting, BudgetExceeded
from noisegate.ledger.accounts import (
    AccountLimit,
    Spent,
    accounts_of,
    analyst_account,
    analyst_of,
    dataset_account,
    in_force,
    left,
    pay,
)
from noisegate.ledger.amounts import CONTEXT, checked, minus, plus, shown, text
from noisegate.ledger.sqlite import SqliteLedger
from noisegate.plan.measure import Charge
from noisegate.policy.model import Budget, Budgets, Ceiling, Policy, Table, Unit

amounts = st.decimals(min_value=0, max_value=Decimal("9e23"), places=40, allow_nan=False, allow_infinity=False) | (
    st.decimals(min_value=0, max_value=10, places=3)
)


@given(amounts)
def test_one_spelling(amount: Decimal) -> None:
    assert Decimal(text(amount)) == amount == Decimal(shown(amount)) == checked(amount, "it")
    assert text(CONTEXT.quantize(amount, Decimal("1e-40"))) == text(amount)
    assert "e" not in text(amount).lower()


@given(st.lists(amounts, max_size=20))
def test_sums_do_not_depend_on_order(several: list[Decimal]) -> None:
    forward = backward = Decimal(0)
    for amount in several:
        forward = plus(forward, amount)
    for amount in reversed(several):
        backward = plus(backward, amount)
    assert forward == backward
    assert CONTEXT.scaleb(forward, 40) == sum(int(CONTEXT.scaleb(amount, 40)) for amount in several)


def test_for_people() -> None:
    shown_as = {"0.1": "0.1", "1e-9": "1e-9", "0.00010": "0.0001", "1E+2": "100", "-0": "0", "9.80E-8": "9.8e-8"}
    assert {given: shown(Decimal(given)) for given in shown_as} == shown_as


def test_charges_in_any_order_leave_the_same_account(tmp_path: Path) -> None:
    prices = ("0.1", "0.02", "0.003", "1e-12")
    totals = set()
    for number, order in enumerate(permutations(prices)):
        ledger = SqliteLedger(tmp_path / f"{number}.sqlite")
        for epsilon in order:
            laws.pay(ledger, epsilon)
        totals.add(text(ledger.balance(laws.OWN).epsilon))
        ledger.close()
    assert totals == {"0.123000000001"}


NAMES = st.text(st.sampled_from("a@%4025:é"), min_size=1, max_size=6)


@given(NAMES, NAMES, NAMES, NAMES)
def test_two_accounts_never_share_a_name(analyst: str, database: str, other: str, elsewhere: str) -> None:
    one, two = analyst_account(analyst, database), analyst_account(other, elsewhere)
    assert (one == two) == ((analyst, database) == (other, elsewhere))
    assert (dataset_account(database) == dataset_account(elsewhere)) == (database == elsewhere)
    assert one != dataset_account(elsewhere)
    assert analyst_of(one) == analyst and analyst_of(dataset_account(database)) is None


def test_limits_come_from_the_policy() -> None:
    budgets = Budgets(
        dataset=Budget(epsilon=Decimal(20), delta=Decimal("1e-6")),
        analyst=Budget(epsilon=Decimal(1)),
        analysts={"bob": Budget(epsilon=Decimal(2), ceiling=Ceiling(epsilon=Decimal(3)))},
    )
    policy = Policy(
        database="shop", dsn="", unit=Unit(table="users", key="id"), tables={"users": Table(unit="id")}, budgets=budgets
    )
    alice, shared = accounts_of(policy, "alice")
    assert (alice.name, alice.owner, alice.limit, alice.top) == (
        "analyst:alice@shop",
        "analyst",
        laws.price("1"),
        laws.price("1"),
    )
    assert (shared.name, shared.owner, shared.limit) == ("dataset:shop", "dataset", laws.price("20", "1e-6"))
    bob, again = accounts_of(policy, "bob")
    assert (bob.limit.epsilon, bob.top.epsilon) == (2, 3) and again == shared


@pytest.mark.parametrize("limit", ["-1", "NaN", "Infinity", "1e24", "1e-41"])
def test_a_limit_must_be_an_amount(limit: str) -> None:
    with pytest.raises(BadSetting):
        AccountLimit("a", "analyst", laws.price(limit))
    with pytest.raises(BadSetting):
        AccountLimit("a", "analyst", laws.price("0"), laws.price(limit))


def test_a_ceiling_is_not_below_the_limit() -> None:
    for ceiling in (laws.price("0.9"), laws.price("1"), laws.price("2", "1e-7", "zcdp")):
        with pytest.raises(BadSetting):
            AccountLimit("a", "analyst", laws.price("1", "1e-9"), ceiling)


@given(amounts, amounts, amounts, amounts, amounts)
def test_paying_never_passes_the_limit(
    limit: Decimal, extra: Decimal, granted: Decimal, before: Decimal, price: Decimal
) -> None:
    """Whatever was granted and spent: what is paid stays below the limit in force, and that below the ceiling."""
    top = min(plus(limit, extra), Decimal("9e23"))
    account = AccountLimit("a", "group", Charge(min(limit, top), Decimal(0)), Charge(top, Decimal(0)))
    spent = Spent("a", before, Decimal(0), granted, Decimal(0), "basic")
    most = in_force(account, spent).epsilon
    assert account.limit.epsilon <= most <= top
    try:
        [after] = pay([account], [spent], Charge(price, Decimal(0)))
    except BudgetExceeded as refusal:
        assert plus(before, price) > most
        assert "your group's budget" in refusal.message and " left" not in refusal.detail.split("What is left")[0]
    else:
        assert after.epsilon == plus(before, price) <= most
        assert left(account, after).epsilon == minus(most, after.epsilon)
