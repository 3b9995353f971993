"""A gate in the foreground: it stands until the operator ends it, and nothing of it is left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import uvloop

from noisegate.cli.house import House, server_config
from noisegate.errors import BadSetting, Unavailable
from noisegate.policy.model import Policy
from noisegate.wire.tls import load as load_tls
from noisegate.wire.tls import make_self_signed

_log = logging.getLogger("noisegate")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
OnUp = Callable[[House], Awaitable[None]]


def log_to_stderr(level: int = logging.INFO) -> None:
    """One line per event, with its time. No line of noisegate's holds data, passwords or an analyst's text."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    root = logging.getLogger("noisegate")
    root.handlers = [handler]
    root.setLevel(level)
    root.propagate = False


def certificate_of(folder: Path, certificate: Path | None, key: Path | None) -> tuple[Path, Path]:
    """The files to show clients: those given, else a self-signed pair in `folder`, made at the first start.

    Raises BadSetting for files that are missing or do not fit each other, Unavailable where none can be made.
    """
    if (certificate is None) != (key is None):
        raise BadSetting("--certificate and --key go together")
    if certificate is None or key is None:
        return _self_signed(folder)
    try:
        load_tls(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        reason = "they do not fit each other" if isinstance(error, ssl.SSLError) else error.strerror or "unreadable"
        raise BadSetting(f"the certificate {certificate} and the key {key} cannot be used: {reason}") from None
    except ValueError:
        raise BadSetting(f"the certificate {certificate} cannot be read", hint="Write PEM files.") from None
    return certificate, key


def _self_signed(folder: Path) -> tuple[Path, Path]:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return make_self_signed(folder)
    except OSError as error:
        raise Unavailable(f"the state folder {folder.parent} cannot be written: {error.strerror}") from None


def run_gate(
    policies: Sequence[Policy],
    state: Path,
    host: str,
    port: int,
    files: tuple[Path, Path],
    on_up: OnUp,
    ledger: str | None = None,
) -> None:
    """Open a house, run `on_up`, and close the house when that returns or SIGINT or SIGTERM comes.

    `ledger`: a URL or a path, where it is not in the state folder.
    Raises NoisegateError where the house cannot be opened.
    """
    config = server_config(policies, host, port, *files)
    uvloop.run(_live(partial(House, policies, state, config, ledger), state, on_up))


async def _live(build: Callable[[], House], state: Path, on_up: OnUp) -> None:
    asked = asyncio.Event()
    _end_on_signals(asked)
    _log.info("starting: state in %s", state)
    async with build() as house:
        leave_out_of_collections()
        await _first_of(on_up(house), asked)


def leave_out_of_collections() -> None:
    """What was made until now stays to the end: collections of garbage need not walk through it (tens of ms each)."""
    gc.collect()
    gc.freeze()


async def _first_of(work: Awaitable[None], asked: asyncio.Event) -> None:
    """Until `work` ends (its error is raised) or the operator asks to stop (`work` is cancelled)."""
    running = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(asked.wait())
    try:
        await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        if not running.done():
            running.cancel()
    if not running.cancelled() and running.done():
        running.result()


def _end_on_signals(asked: asyncio.Event) -> None:
    """The first signal asks for an orderly end, also while the house is still being opened; the second has its usual
    force."""
    loop = asyncio.get_running_loop()

    def ask() -> None:
        asked.set()
        for each in _SIGNALS:
            loop.remove_signal_handler(each)

    for each in _SIGNALS:
        loop.add_signal_handler(each, ask)


async def forever() -> None:
    """Ends by being cancelled only."""
    await asyncio.Event().wait()
