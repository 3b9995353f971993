"""The clean room: one embedded cluster, one database per policy, one role per analyst."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psycopg

from noisegate.errors import Unavailable, UnknownDatabase
from noisegate.plan.catalog import Snapshot
from noisegate.room import roles
from noisegate.room.build import ADMIN_DATABASE, ensure_database, read_copied_at, refresh_public_rows
from noisegate.room.embedded import EmbeddedServer, InUse
from noisegate.room.rights import CHECKER
from noisegate.wire.gate import RoomAddress

MEMORY_BYTES_MAX: Final = 3 << 29  # address space of each process: 1.5 GiB
SPARE_SESSIONS: Final = 4  # per analyst, for sessions that the gate has ended and the server has not yet

# A session's own settings are no limit (analysts can SET them); these are the server's.
SETTINGS: Final[dict[str, str]] = {
    "max_connections": "400",
    "superuser_reserved_connections": "3",
    "reserved_connections": "12",
    "shared_buffers": "32MB",
    "temp_file_limit": "1GB",
    "track_activities": "off",
    "lc_messages": "C",
    "max_worker_processes": "0",
    "io_method": "sync",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "synchronous_commit": "off",
    # The log is for the operator; what analysts write stays in the audit log.
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}

_log = logging.getLogger(__name__)


class CleanRoom:
    """A PostgreSQL that holds the schema and the public rows, and never a private row.

    Methods block (use a thread from an event loop) and may be called from several threads.
    """

    def __init__(self, settings: dict[str, str] | None = None) -> None:
        """`settings` add to SETTINGS or replace them."""
        self._settings = {**SETTINGS, **(settings or {})}
        self._server: EmbeddedServer | None = None
        self._snapshots: dict[str, Snapshot] = {}
        self._known_roles: set[str] = set()
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None

    @property
    def server(self) -> EmbeddedServer:
        if self._server is None:
            raise Unavailable("the clean room is not running")
        return self._server

    def start(self, state_dir: Path, snapshots: Iterable[Snapshot]) -> None:
        """Start the server in `state_dir` and bring every policy's database up to date.

        Raises Unavailable and PolicyError; the server does not run then.
        """
        self._server = _started(state_dir / "room", self._settings)
        try:
            with self._admin() as admin:
                roles.ensure_groups(admin)
            for snapshot in snapshots:
                self.update(snapshot)
        except BaseException:
            self.stop()
            raise

    def update(self, snapshot: Snapshot) -> bool:
        """Build the database of a policy whose snapshot has changed, else refresh its public rows.

        Returns whether it was built anew; its sessions and checkers are disconnected then.
        """
        with self._lock:
            built = ensure_database(self.server, snapshot)
            self._snapshots[snapshot.policy.database] = snapshot
            return built

    def refresh(self, database: str) -> None:
        """Copy the public tables' rows from the data server again."""
        with self._lock:
            refresh_public_rows(self.server, self._snapshot(database))

    def copied_at(self, database: str) -> datetime:
        """When the public tables' rows were last copied."""
        self._snapshot(database)
        return read_copied_at(self.server, database)

    def address(self, database: str, analyst: str) -> RoomAddress:
        """Where a session of this analyst connects. Raises UnknownDatabase, and BadSetting for a reserved name."""
        self._snapshot(database)
        self.ensure_role(analyst)
        return RoomAddress(str(self.server.socket), database, analyst)

    def checker_dsn(self, database: str) -> str:
        """For Checker: the same database under the role that may look at a statement's reading only."""
        self._snapshot(database)
        return self.server.dsn(database, CHECKER)

    def ensure_role(self, analyst: str) -> None:
        """Make the analyst's role. A role that was made before costs nothing. Raises BadSetting."""
        roles.check_analyst_name(analyst)
        if analyst in self._known_roles:
            return
        with self._admin() as admin:
            roles.ensure_role(admin, analyst, self._sessions_max() + SPARE_SESSIONS)
        self._known_roles.add(analyst)

    def drop_role(self, analyst: str) -> None:
        """End the analyst's sessions and remove the role."""
        self._known_roles.discard(analyst)
        with self._admin() as admin:
            roles.drop_role(admin, analyst)

    def stop(self) -> None:
        with self._lock:
            self._close()
        self._known_roles.clear()
        if self._server is not None:
            self._server.stop()

    def _sessions_max(self) -> int:
        """Roles are the cluster's: the limits of all policies together."""
        return sum(snapshot.policy.access.sessions_per_analyst_max for snapshot in self._snapshots.values())

    def _snapshot(self, database: str) -> Snapshot:
        try:
            return self._snapshots[database]
        except KeyError:
            raise UnknownDatabase(f'database "{database}" does not exist') from None

    @contextmanager
    def _admin(self) -> Iterator[psycopg.Connection[Any]]:
        """The superuser's connection, one at a time; a broken one is opened again at the next use."""
        with self._lock:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = psycopg.connect(self.server.dsn(ADMIN_DATABASE), autocommit=True)
                yield self._connection
            except psycopg.OperationalError as error:
                self._close()
                raise Unavailable("the clean room does not answer") from error

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _started(folder: Path, settings: dict[str, str]) -> EmbeddedServer:
    """The running server. A cluster that does not start is thrown away: all it holds can be made again."""
    data = folder / "data"
    server = EmbeddedServer(data, name="room", settings=settings, memory_limit_bytes=MEMORY_BYTES_MAX)
    try:
        server.start()
    except InUse:
        raise
    except Unavailable:
        if not (data / "PG_VERSION").exists():
            raise
        _log.warning("the clean room's cluster does not start; it is made anew")
        shutil.rmtree(data)
        server.start()
    return server
