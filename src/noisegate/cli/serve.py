"""noisegate serve: the gate itself."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from noisegate.cli.check import check_policies, print_findings
from noisegate.cli.house import House
from noisegate.cli.ledgers import BesideOption, shared_database
from noisegate.cli.running import certificate_of, forever, log_to_stderr, run_gate
from noisegate.cli.state import WRONG_INPUT, LedgerOption, StateOption, place_of
from noisegate.ledger.opening import shown
from noisegate.plan.catalog import Snapshot

_log = logging.getLogger("noisegate")

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

PoliciesArgument = Annotated[Path, typer.Argument(help="A policy file, or a folder of them: one file per database.")]
HostOption = Annotated[str, typer.Option("--host", help="Addresses to listen on, separated by commas.")]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 for any free one.")]
CertificateOption = Annotated[
    Path | None,
    typer.Option("--certificate", help="TLS certificate with its chain, PEM. Without: a self-signed one is made."),
]
KeyOption = Annotated[Path | None, typer.Option("--key", help="Private key of the certificate, PEM.")]


@app.command()
def serve(
    state: StateOption,
    policies: PoliciesArgument = Path("policies"),
    place: LedgerOption = None,
    beside_data: BesideOption = False,
    host: HostOption = "127.0.0.1",
    port: PortOption = 6432,
    certificate: CertificateOption = None,
    key: KeyOption = None,
) -> None:
    """Answer analysts, until Ctrl-C or SIGTERM.

    The policies are compared with their live databases first; where one has an error nothing starts (exit code 2).
    Analysts are let in with: noisegate user add NAME
    """
    loaded, findings = check_policies(policies, os.environ)
    findings += shared_database(loaded, place, beside_data=beside_data)
    serious = [finding for finding in findings if finding.severity != "note"]
    if serious:
        print_findings(serious, Console(stderr=True))
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(WRONG_INPUT)
    files = certificate_of(state / "tls", certificate, key)
    log_to_stderr()

    async def up(house: House) -> None:
        _log.info("ledger: %s", shown(place_of(state, place)))
        _announce(house, host, certificate is None)
        await forever()

    run_gate([one.policy for one in loaded], state, host, port, files, up, place)
    _log.info("stopped")


def _announce(house: House, host: str, self_signed: bool) -> None:
    for database, gateway in sorted(house.gateways.items()):
        _log.info("database %s: %s", database, _tables(gateway.snapshot))
    analysts = len(house.users.users())
    if not analysts:
        _log.warning("no analyst can log in yet; add one with: noisegate user add NAME")
    _log.info(
        "listening on %s, port %d, with TLS%s",
        host,
        house.server.port,
        " (self-signed certificate: it encrypts, and proves nothing)" if self_signed else "",
    )


def _tables(snapshot: Snapshot) -> str:
    private = sum(snapshot.is_private(name) for name in snapshot.tables)
    return f"{private} private and {len(snapshot.tables) - private} public tables, policy {snapshot.version[:12]}"
