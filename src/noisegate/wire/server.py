"""The server: listening sockets, the queue of connections that are not authenticated yet, the clocks, the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from noisegate.wire import reports, tls
from noisegate.wire.faults import fault
from noisegate.wire.gate import Directory, Gate
from noisegate.wire.links import Link
from noisegate.wire.runs import now
from noisegate.wire.startup import Door, Knock, Sessions, check_direct_tls, greet

log = logging.getLogger(__name__)

UNAUTHENTICATED_MAX = 200
AUTHENTICATION_TIMEOUT_S = 10.0
LISTEN_BACKLOG = 512
CLOCK_INTERVAL_S = 0.1
CLOSE_TIMEOUT_S = 10.0
_ACCEPT_PAUSE_S = 0.1  # when the process has no file descriptor left
_CLIENT_HELLO = b"\x16"
_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6))


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where and how to listen. port 0: any free one. Timeouts of None: no limit.

    unix_socket: path of a socket to listen on as well. certificate, key: PEM files; both or none.
    """

    hosts: Sequence[str] = ("127.0.0.1",)
    port: int = 6432
    unix_socket: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    tls_required: bool = False
    statement_timeout_s: float | None = None
    idle_in_transaction_timeout_s: float | None = None
    unauthenticated_max: int = UNAUTHENTICATED_MAX
    authentication_timeout_s: float = AUTHENTICATION_TIMEOUT_S


class Server:
    """Made by `serve`."""

    def __init__(self, config: ServerConfig, door: Door) -> None:
        self._config = config
        self._door = door
        self._sockets: list[socket.socket] = []
        self._loops: list[asyncio.Task[None]] = []
        self._knocks: dict[asyncio.Task[None], None] = {}  # oldest first
        self._entering: set[asyncio.Task[None]] = set()  # authenticated, the room's login is under way
        self.port = config.port

    @property
    def session_count(self) -> int:
        return len(self._door.sessions.all())

    def listen(self) -> None:
        """Raises OSError when an address cannot be had."""
        try:
            for host in self._config.hosts:
                self._sockets.append(self._tcp(host))
            if self._config.unix_socket is not None:
                self._sockets.append(_unix(self._config.unix_socket))
        except BaseException:
            self._close_sockets()
            raise
        loop = asyncio.get_running_loop()
        self._loops = [loop.create_task(self._accept(listening)) for listening in self._sockets]
        self._loops.append(loop.create_task(self._clocks()))

    async def close(self) -> None:
        """End every session with 57P01 and wait for what they had under way."""
        for task in [*self._loops, *self._knocks, *self._entering]:
            task.cancel()
        self._close_sockets()
        for session in self._door.sessions.all():
            session.end(reports.fatal("57P01", "terminating connection due to administrator command"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._door.sessions.wait_empty()
                await asyncio.gather(*self._knocks, *self._entering, return_exceptions=True)

    def _tcp(self, host: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        address = socket.getaddrinfo(host, self.port, family=family, type=socket.SOCK_STREAM)[0][4]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            listening.bind(address)
        except OSError:
            listening.close()
            raise
        self.port = listening.getsockname()[1]
        return _listening(listening)

    def _close_sockets(self) -> None:
        for listening in self._sockets:
            listening.close()
        self._sockets.clear()
        if self._config.unix_socket is not None:
            self._config.unix_socket.unlink(missing_ok=True)

    # --- coming in ---------------------------------------------------------------------------------------------------

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("cannot accept a connection: %s", error.strerror)
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            task = loop.create_task(self._enter(connection, address))
            self._knocks[task] = None
            task.add_done_callback(self._gone)
            if len(self._knocks) > self._config.unauthenticated_max:
                oldest = next(iter(self._knocks))
                del self._knocks[oldest]
                oldest.cancel()

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._knocks.pop(task, None)
        self._entering.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a connection failed: %s", fault(error))

    async def _enter(self, connection: socket.socket, address: object) -> None:
        link = Link()
        try:
            async with asyncio.timeout(self._config.authentication_timeout_s) as deadline:
                knock = await self._connect(connection, address, link)
                if knock is None:
                    return

                def authenticated() -> None:
                    deadline.reschedule(None)
                    task = asyncio.current_task()
                    if task is not None and task in self._knocks:
                        del self._knocks[task]
                        self._entering.add(task)

                await greet(self._door, knock, authenticated)
        except (TimeoutError, OSError, ssl.SSLError):
            _drop(connection, link)
        except BaseException:
            _drop(connection, link)
            raise

    async def _connect(self, connection: socket.socket, address: object, link: Link) -> Knock | None:
        """The connection as a link, with TLS already when its first byte is a ClientHello."""
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        local = connection.family == socket.AF_UNIX
        if not local:
            _set_options(connection)
        identity = None if local else self._door.tls
        direct = identity is not None and await _peek(connection) == _CLIENT_HELLO
        shutdown_s = tls.SHUTDOWN_TIMEOUT_S if direct else None
        context = identity.context if identity is not None and direct else None
        await loop.connect_accepted_socket(lambda: link, connection, ssl=context, ssl_shutdown_timeout=shutdown_s)
        if direct and not check_direct_tls(link):
            link.abort()
            return None
        shown = "local" if local or not isinstance(address, tuple) else str(address[0])
        return Knock(link, shown, local, encrypted=direct)

    # --- clocks ------------------------------------------------------------------------------------------------------

    async def _clocks(self) -> None:
        statement_s, idle_s = self._config.statement_timeout_s, self._config.idle_in_transaction_timeout_s
        if statement_s is None and idle_s is None:
            return
        while True:
            await asyncio.sleep(CLOCK_INTERVAL_S)
            moment = now()
            for session in self._door.sessions.all():
                session.check_clocks(moment, statement_s, idle_s)


async def serve(config: ServerConfig, gates: Mapping[str, Gate], directory: Directory) -> Server:
    """Listen. gates: by database name. Raises OSError (address, files) and ssl.SSLError (certificate)."""
    identity = None
    if config.certificate is not None and config.key is not None:
        identity = tls.load(config.certificate, config.key)
    elif config.tls_required:
        raise ValueError("tls_required needs a certificate and its key")
    server = Server(config, Door(gates, directory, identity, config.tls_required, Sessions()))
    server.listen()
    return server


def _unix(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        os.chmod(path, 0o666)  # as PostgreSQL does: the password is the door
    except OSError:
        listening.close()
        raise
    return _listening(listening)


def _listening(made: socket.socket) -> socket.socket:
    made.listen(LISTEN_BACKLOG)
    made.setblocking(False)
    return made


def _set_options(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def _peek(connection: socket.socket) -> bytes:
    """The first byte, left in the socket: asyncio cannot be given bytes that were already read."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(connection.fileno(), _wake, readable)
    try:
        await readable
    finally:
        loop.remove_reader(connection.fileno())
    return connection.recv(1, socket.MSG_PEEK)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _drop(connection: socket.socket, link: Link) -> None:
    link.abort()
    with contextlib.suppress(OSError):
        connection.close()
