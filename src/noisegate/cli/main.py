"""The command `noisegate`."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Final

import typer

from noisegate import __version__
from noisegate.cli.state import Commands

# Each module's `app` is the command; loaded when it is needed, because a gate is heavy and `noisegate user` is not.
MODULES: Final = {
    "demo": "noisegate.cli.demo",
    "serve": "noisegate.cli.serve",
    "check": "noisegate.cli.check",
    "user": "noisegate.cli.users",
    "budget": "noisegate.cli.budget",
    "audit": "noisegate.cli.audit",
}


class _Loaded(Commands):
    """The commands of MODULES, in its order."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(MODULES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in MODULES:
            return None
        command = typer.main.get_command(import_module(MODULES[cmd_name]).app)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_Loaded,
    no_args_is_help=True,
    add_completion=False,
    help="Differentially private answers to ordinary SQL, behind an unchanged PostgreSQL client.",
    epilog="Begin with: noisegate demo",
)


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
