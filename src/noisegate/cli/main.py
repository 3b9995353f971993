"""The command `noisegate`."""

from __future__ import annotations

import typer

from noisegate.cli import audit, budget, users
from noisegate.cli.state import Commands

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Differentially private answers behind plain PostgreSQL.")
app.add_typer(users.app, name="user")
app.add_typer(budget.app, name="budget")
app.add_typer(audit.app, name="audit")


def main() -> None:
    app()
