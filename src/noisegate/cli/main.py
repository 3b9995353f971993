"""The command `noisegate`."""

from __future__ import annotations

from typing import Annotated

import typer

from noisegate import __version__
from noisegate.cli import audit, budget, users
from noisegate.cli.check import check
from noisegate.cli.demo import demo
from noisegate.cli.serve import serve
from noisegate.cli.state import Commands

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Differentially private answers to ordinary SQL, behind an unchanged PostgreSQL client.",
    epilog="Begin with: noisegate demo",
)
app.command()(demo)
app.command()(serve)
app.command()(check)
app.add_typer(users.app, name="user")
app.add_typer(budget.app, name="budget")
app.add_typer(audit.app, name="audit")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"noisegate {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


def main() -> None:
    app()
