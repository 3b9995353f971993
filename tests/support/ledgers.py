"""A PostgreSQL server for ledgers, which is killed, and a wire that loses the answer to a commit."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from noisegate.room.embedded import EmbeddedServer
from noisegate.room.processes import inhabitants

# fsync stays on
SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "16MB",
    "autovacuum": "off",
} | ({"recovery_init_sync_method": "syncfs"} if sys.platform == "linux" else {})
COMMIT, COMMITTED = b"COMMIT\0", b"C\0\0\0\x0bCOMMIT\0"  # on the way there, and back


def ledger_server(folder: Path) -> EmbeddedServer:
    """Started, with fsync on; to be stopped by the caller."""
    server = EmbeddedServer(folder / "data", name="ledger", settings=SETTINGS)
    server.start()
    return server


def kill_server(server: EmbeddedServer) -> None:
    """SIGKILL for each of its processes, as in a crash of its machine, but for what the kernel still writes."""
    for pid in inhabitants(server.data_dir):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.stop()


class Wire:
    """A unix socket before a server's. Armed, it cuts the connection on whose way the next COMMIT comes: before the
    server hears of it, or, with `late`, when the server has answered."""

    def __init__(self, server: EmbeddedServer, folder: Path) -> None:
        self.armed = False
        self.late = False
        self._target = str(server.socket)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / server.socket.name))
        self._listener.listen()
        self._folder = folder
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self._folder), safe='')}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._target)
                threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
                threading.Thread(target=self._back, args=(server, client), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self.armed and not self.late and COMMIT in data:
                    self.armed = False
                    break
                server.sendall(data)
        _cut(server)
        _cut(client)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if self.armed and self.late and data.startswith(COMMITTED):
                    self.armed = False
                    break
                client.sendall(data)
        _cut(client)
        _cut(server)


def _cut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def wire_to(server: EmbeddedServer, folder: Path) -> Iterator[Wire]:
    wire = Wire(server, folder)
    try:
        yield wire
    finally:
        wire.close()
