"""Builds the gate's objects from policies and a state folder, and takes them down again."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from noisegate.cli.state import USERS_FILE, place_of
from noisegate.engine.postgres import PostgresEngine
from noisegate.errors import Unavailable
from noisegate.gateway import Gateway
from noisegate.ledger.asynchronous import AsyncLedger
from noisegate.ledger.opening import open_ledger
from noisegate.ledger.users import UserStore
from noisegate.planning.pool import PlanningPool
from noisegate.policy.model import Policy
from noisegate.room.catalog_sql import FINGERPRINTS_SQL
from noisegate.room.checker import Checker
from noisegate.room.cluster import CleanRoom
from noisegate.room.source import load_snapshot
from noisegate.wire.server import Server, ServerConfig, serve

SWITCH_SECONDS = 0.0005  # the event loop shares the interpreter with the ledger's thread: wait less for it


class House:
    """One running gate: ledger, clean room, and for each policy a checker, an engine, planning workers, a gateway.

    `ledger`: a URL or a path, where it is not in the state folder (ledger.opening). Use as an asynchronous context
    manager. Nothing listens until everything else is up.
    """

    def __init__(
        self, policies: Sequence[Policy], state: Path, config: ServerConfig, ledger: str | None = None
    ) -> None:
        self._policies = policies
        self._state = state
        self._place = place_of(state, ledger)
        self._config = config
        self._stack = contextlib.AsyncExitStack()
        self.gateways: dict[str, Gateway] = {}
        self.room = CleanRoom()
        self.users = UserStore(state / USERS_FILE)

    async def __aenter__(self) -> House:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            self._state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"the state folder {self._state} cannot be made: {error.strerror}") from None
        ledger = AsyncLedger(await asyncio.to_thread(open_ledger, self._place, create=True))
        self._stack.push_async_callback(ledger.close)
        self.ledger = ledger
        snapshots = [await asyncio.to_thread(load_snapshot, p, p.dsn) for p in self._policies]
        await asyncio.to_thread(self.room.start, self._state, snapshots)
        self._stack.push_async_callback(asyncio.to_thread, self.room.stop)
        for snapshot in snapshots:
            database = snapshot.policy.database
            checker = Checker(self.room.checker_dsn(database))
            self._stack.push_async_callback(checker.close)
            engine = PostgresEngine(
                snapshot.policy.dsn,
                fingerprints_sql=FINGERPRINTS_SQL,
                timeout_s=snapshot.policy.answers.engine_timeout_s,
            )
            self._stack.push_async_callback(engine.close)
            pool = PlanningPool(snapshot)
            self._stack.callback(pool.close)
            await pool.start()
            self.gateways[database] = Gateway(snapshot, self.room, checker, engine, ledger, pool)
        self.server = await self._listen()

    async def _listen(self) -> Server:
        """Raises Unavailable where an address cannot be had."""
        try:
            server = await serve(self._config, self.gateways, self.users)
        except OSError as error:
            raise Unavailable(
                f"cannot listen on {', '.join(self._config.hosts)}, port {self._config.port}: "
                f"{(error.strerror or str(error)).lower()}",
                hint="Choose another address with --host and --port.",
            ) from None
        self._stack.push_async_callback(server.close)
        return server


def server_config(
    policies: Sequence[Policy], host: str, port: int, certificate: Path | None, key: Path | None
) -> ServerConfig:
    """The strictest of the policies' access rules, which hold for the whole server."""
    access = [p.access for p in policies]
    return ServerConfig(
        hosts=tuple(h.strip() for h in host.split(",")),
        port=port,
        certificate=certificate,
        key=key,
        tls_required=any(a.tls == "require" for a in access),
        statement_timeout_s=min(a.statement_timeout_s for a in access),
        idle_in_transaction_timeout_s=min(a.idle_in_transaction_timeout_s for a in access),
    )
