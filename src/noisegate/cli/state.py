"""What the commands share: the state folder, how errors end a command, and how things are printed."""

from __future__ import annotations

import getpass
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from noisegate.errors import BadSetting, NoisegateError, PolicyError
from noisegate.ledger.interface import Ledger
from noisegate.ledger.opening import open_ledger
from noisegate.ledger.users import UserStore
from noisegate.policy.load import load_policies
from noisegate.policy.model import Policy

FAILED, WRONG_INPUT = 1, 2  # exit codes
LEDGER_FILE, USERS_FILE = "ledger.sqlite", "users.json"
WIDTH_WITHOUT_TERMINAL = 200


def default_state_dir() -> Path:
    """$XDG_STATE_HOME/noisegate, by default ~/.local/state/noisegate."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "noisegate"


StateOption = Annotated[
    Path,
    typer.Option(
        "--state",
        envvar="NOISEGATE_STATE",
        default_factory=default_state_dir,
        show_default="~/.local/state/noisegate",
        help="Folder of the ledger and the analysts.",
    ),
]
LedgerOption = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        envvar="NOISEGATE_LEDGER",
        metavar="URL|PATH",
        show_default="ledger.sqlite in the state folder",
        help="The ledger, where it is not in the state folder: postgresql://user@host/database, or a path.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


class Commands(TyperGroup):
    """A group of commands in which an error of noisegate's is one clear line and an exit code, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except NoisegateError as error:
            raise typer.Exit(report(error)) from None


def report(error: NoisegateError) -> int:
    """Print an error to stderr and return the exit code: 2 where the input was wrong, 1 where something failed."""
    if isinstance(error, PolicyError):
        print("\n".join(error.problems), file=sys.stderr)
        return WRONG_INPUT
    parts = (part.rstrip(".") for part in (error.message, error.detail, error.hint) if part)
    print(visible(f"noisegate: {'. '.join(parts)}"), file=sys.stderr)
    return WRONG_INPUT if isinstance(error, BadSetting) else FAILED


def place_of(state: Path, place: str | None) -> str:
    """Where the ledger is: what --ledger says, else a file in the state folder."""
    return place or str(state / LEDGER_FILE)


def ledger_at(state: Path, place: str | None, *, create: bool = False) -> Ledger:
    """Raises LedgerFailed where there is none."""
    return open_ledger(place_of(state, place), create=create)


def users_at(state: Path) -> UserStore:
    return UserStore(state / USERS_FILE)


def operator() -> str:
    """The operating system's name of whoever runs the command, for the audit log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


class _Environment(dict[str, str]):
    """The environment; a variable that is not set has a value all the same: no DSN is used here."""

    def get(self, name: str, default: str | None = None) -> str:  # type: ignore[override]
        return os.environ.get(name) or default or "unused"


def policies_at(path: Path, database: str | None = None) -> tuple[Policy, ...]:
    """The policies of a folder or file, of one database if it is named. Raises PolicyError, BadSetting."""
    policies = load_policies(path, _Environment())
    chosen = tuple(p for p in policies if database in (None, p.database))
    if not chosen:
        raise BadSetting(f'no policy in {path} is about the database "{database}"')
    return chosen


def one_policy_at(path: Path, database: str | None) -> Policy:
    """Raises BadSetting where there are several and none is named."""
    policies = policies_at(path, database)
    if len(policies) > 1:
        names = ", ".join(p.database for p in policies)
        raise BadSetting("there are several policies", hint=f"Choose with --database: {names}.")
    return policies[0]


def console() -> Console:
    """Colours and the terminal's width on a terminal; plain and wide elsewhere."""
    return Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)


def visible(text: str) -> str:
    """Text of an analyst's, safe on a terminal: control characters are spelled out, line breaks and tabs are not."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def plain(text: str, style: str = "") -> Text:
    """Safe text for a table: no markup, no control characters."""
    return Text(visible(text), style=style)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2 if sys.stdout.isatty() else None))
