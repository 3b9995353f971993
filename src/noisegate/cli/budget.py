"""noisegate budget: what accounts have spent, and grants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from noisegate.cli.state import (
    Commands,
    JsonOption,
    LedgerOption,
    StateOption,
    console,
    ledger_at,
    one_policy_at,
    operator,
    place_of,
    plain,
    policies_at,
    print_json,
    users_at,
)
from noisegate.errors import BadSetting
from noisegate.ledger.accounts import AccountLimit, Spent, accounts_of, analyst_of, dataset_limit, in_force, left
from noisegate.ledger.amounts import shown, shown_charge, text
from noisegate.ledger.opening import has_ledger
from noisegate.plan.measure import Charge
from noisegate.policy.model import Policy

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Privacy budgets: show what is spent, grant more.")

DatabaseOption = Annotated[str | None, typer.Option("--database", help="Database, where there are several policies.")]
POLICY_HELP = "Policy file, or folder of policies."


@dataclass(frozen=True, slots=True)
class Line:
    """An account as the ledger and, where a policy was given, the policy see it."""

    spent: Spent
    limit: AccountLimit | None

    def values(self) -> dict[str, Any]:
        spent = self.spent
        values: dict[str, Any] = {
            "account": spent.account,
            "spent": _values(spent.epsilon, spent.delta),
            "granted": _values(spent.granted_epsilon, spent.granted_delta),
        }
        if self.limit is not None:
            named = {"limit": in_force(self.limit, spent), "left": left(self.limit, spent), "ceiling": self.limit.top}
            values |= {name: _values(c.epsilon, c.delta) for name, c in named.items()}
        return values


@app.command()
def show(
    state: StateOption,
    place: LedgerOption = None,
    analyst: Annotated[str | None, typer.Argument(metavar="ANALYST", help="Only this analyst's accounts.")] = None,
    policy: Annotated[Path | None, typer.Option("--policy", envvar="NOISEGATE_POLICY", help=POLICY_HELP)] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what each account has spent and, with --policy, its limit, what is left and its ceiling.

    The ceiling is what the guarantee is about. Amounts are exact.
    """
    policies = () if policy is None else policies_at(policy, database)
    lines = _lines(state, place, policies, analyst)
    if as_json:
        print_json([line.values() for line in lines])
        return
    if not lines:
        print("no account has spent anything yet" + ("" if policies else "; give --policy to see limits"))
        return
    console().print(_table(lines, with_limits=bool(policies)))


@app.command()
def grant(
    state: StateOption,
    policy: Annotated[Path, typer.Option("--policy", envvar="NOISEGATE_POLICY", help=POLICY_HELP)],
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the audit log.")],
    place: LedgerOption = None,
    analyst: Annotated[str | None, typer.Argument(metavar="ANALYST", help="Whose limit is raised.")] = None,
    dataset: Annotated[bool, typer.Option("--dataset", help="Raise the data set's limit instead.")] = False,
    epsilon: Annotated[str, typer.Option("--epsilon", help="Epsilon to add to the limit.")] = "0",
    delta: Annotated[str, typer.Option("--delta", help="Delta to add to the limit.")] = "0",
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Raise an account's limit, up to the ceiling that the policy states.

    A grant cannot be taken back. It counts at once, in running sessions too, and is recorded with its reason.
    """
    if (analyst is None) != dataset:
        raise BadSetting("name an analyst, or give --dataset")
    if not reason.strip():
        raise BadSetting("a grant needs a reason")
    chosen = one_policy_at(policy, database)
    account = dataset_limit(chosen) if analyst is None else _known_account(state, chosen, analyst)
    amount = Charge(_amount(epsilon, "--epsilon"), _amount(delta, "--delta"), account.limit.kind)
    ledger = ledger_at(state, place, create=True)
    line = Line(ledger.grant(account, amount, reason.strip(), operator()), account)
    if as_json:
        print_json(line.values())
        return
    now = in_force(account, line.spent)
    console().print(plain(f"granted: the limit of {account.name} is now {shown_charge(now)}"))


def _known_account(state: Path, policy: Policy, analyst: str) -> AccountLimit:
    """Raises BadSetting for a name that nobody logs in with: most likely a slip of the pen."""
    if users_at(state).verifier(analyst) is None:
        raise BadSetting(f'there is no analyst "{analyst}"')
    return accounts_of(policy, analyst)[0]


def _lines(state: Path, place: str | None, policies: Iterable[Policy], analyst: str | None) -> list[Line]:
    """Accounts that the policies give to somebody, then what else the ledger holds."""
    spent = ledger_at(state, place).balances() if has_ledger(place_of(state, place)) else []
    known = {one.account: one for one in spent}
    limits = {limit.name: limit for policy in policies for limit in _accounts(state, policy)}
    names = [*limits, *(name for name in known if name not in limits)]
    lines = [Line(known.get(name, Spent(name)), limits.get(name)) for name in names]
    return [line for line in lines if analyst in (None, analyst_of(line.spent.account))]


def _accounts(state: Path, policy: Policy) -> Iterator[AccountLimit]:
    yield dataset_limit(policy)
    names = {user.name for user in users_at(state).users()} | policy.budgets.analysts.keys()
    for name in sorted(names):
        yield accounts_of(policy, name)[0]


def _table(lines: Iterable[Line], *, with_limits: bool) -> Table:
    table = Table("account")
    for name in ("spent", "limit", "left", "ceiling") if with_limits else ("spent", "granted"):
        table.add_column(name, justify="right")
    for line in lines:
        spent = _short(line.spent.epsilon, line.spent.delta)
        if not with_limits:
            table.add_row(
                plain(line.spent.account), spent, _short(line.spent.granted_epsilon, line.spent.granted_delta)
            )
        elif line.limit is None:
            table.add_row(plain(line.spent.account, "dim"), spent, "not in the policy")
        else:
            amounts = (in_force(line.limit, line.spent), left(line.limit, line.spent), line.limit.top)
            table.add_row(plain(line.spent.account), spent, *(_short(a.epsilon, a.delta) for a in amounts))
    table.caption = "epsilon, delta"
    return table


def _short(epsilon: Decimal, delta: Decimal) -> str:
    return f"{shown(epsilon)}, {shown(delta)}"


def _values(epsilon: Decimal, delta: Decimal) -> dict[str, str]:
    """Exact amounts, as text: a JSON number would be rounded by its reader."""
    return {"epsilon": text(epsilon), "delta": text(delta)}


def _amount(value: str, option: str) -> Decimal:
    try:
        return Decimal(value)
    except InvalidOperation:
        raise BadSetting(f"{option} must be a number, like 0.5") from None
