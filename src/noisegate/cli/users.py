"""noisegate user: the analysts who may log in."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.table import Table

from noisegate.cli.state import (
    Commands,
    JsonOption,
    LedgerOption,
    StateOption,
    console,
    ledger_at,
    operator,
    plain,
    print_json,
    users_at,
)
from noisegate.errors import BadSetting
from noisegate.ledger import audit
from noisegate.ledger.audit import AuditEntry
from noisegate.ledger.users import check_name, generate_password

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Analysts who may log in: add, passwd, list, remove.")

NameArgument = Annotated[str, typer.Argument(metavar="ANALYST", help="Name the analyst logs in with.")]
StdinOption = Annotated[bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")]
GenerateOption = Annotated[bool, typer.Option("--generate", help="Make a random password and print it, once.")]


@app.command()
def add(
    analyst: NameArgument,
    state: StateOption,
    place: LedgerOption = None,
    password_stdin: StdinOption = False,
    generate: GenerateOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let an analyst in. Only a verifier (SCRAM-SHA-256) is stored, never the password.

    What an analyst of this name has spent before is spent still.
    """
    check_name(analyst)
    password = _password(analyst, password_stdin, generate)
    ledger = ledger_at(state, place, create=True)
    users_at(state).add(analyst, password)
    ledger.record([_entry("add", analyst)])
    _tell("added", analyst, password if generate else None, as_json)


@app.command()
def passwd(
    analyst: NameArgument,
    state: StateOption,
    place: LedgerOption = None,
    password_stdin: StdinOption = False,
    generate: GenerateOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give an analyst a new password. Sessions that are open stay open."""
    password = _password(analyst, password_stdin, generate)
    ledger = ledger_at(state, place, create=True)
    users_at(state).passwd(analyst, password)
    ledger.record([_entry("passwd", analyst)])
    _tell("changed", analyst, password if generate else None, as_json)


@app.command()
def remove(analyst: NameArgument, state: StateOption, place: LedgerOption = None, as_json: JsonOption = False) -> None:
    """Let an analyst in no more. The analyst's account stays as it is: adding the name again renews nothing."""
    ledger = ledger_at(state, place, create=True)
    users_at(state).remove(analyst)
    ledger.record([_entry("remove", analyst)])
    _tell("removed", analyst, None, as_json)


@app.command("list")
def list_(state: StateOption, as_json: JsonOption = False) -> None:
    """List the analysts."""
    users = users_at(state).users()
    if as_json:
        print_json([{"analyst": u.name, "added": u.added, "password_changed": u.password_changed} for u in users])
        return
    if not users:
        print("no analysts; add one with: noisegate user add NAME")
        return
    table = Table("analyst", "added", "password changed")
    for user in users:
        table.add_row(plain(user.name), _minute(user.added), _minute(user.password_changed))
    console().print(table)


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def _password(analyst: str, from_stdin: bool, generate: bool) -> str:
    """The new password, from where the options say. Raises BadSetting where that is nowhere or two places."""
    if from_stdin and generate:
        raise BadSetting("--password-stdin and --generate exclude each other")
    if generate:
        return generate_password()
    if from_stdin:
        return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    if not sys.stdin.isatty():
        raise BadSetting("there is no terminal to ask for a password on", hint="Use --password-stdin or --generate.")
    password: str = typer.prompt(f"Password for {analyst}", hide_input=True, confirmation_prompt=True, err=True)
    return password


def _entry(decision: str, analyst: str) -> AuditEntry:
    return AuditEntry(audit.USER, analyst=analyst, decision=decision, operator=operator())


def _tell(done: str, analyst: str, password: str | None, as_json: bool) -> None:
    if as_json:
        print_json({"analyst": analyst, "done": done} | ({} if password is None else {"password": password}))
        return
    console().print(plain(f"{done} {analyst}"))
    if password is not None:
        print(f"password: {password}")
        print("It is not stored and will not be shown again.")
