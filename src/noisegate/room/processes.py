"""Processes of an embedded server: found through its data directory, never by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PORT = 5432  # only a suffix of the socket's name
STOP_TIMEOUT_S = 10.0


class PidFile:
    """postmaster.pid: process id, data directory, start time, port, socket directory, ... one per line."""

    def __init__(self, pid: int, socket_dir: Path) -> None:
        self.pid = pid
        self.socket_dir = socket_dir

    @classmethod
    def read(cls, data_dir: Path) -> PidFile | None:
        try:
            lines = (data_dir / "postmaster.pid").read_text().splitlines()
            return cls(int(lines[0]), Path(lines[4]))
        except (OSError, ValueError, IndexError):
            return None


def end_left_over(data_dir: Path, left_over: PidFile | None) -> None:
    """End what an earlier process left in this data directory, and its pid file.

    A number in a stale pid file may by now belong to anybody: only a process whose working directory is this
    data directory (every PostgreSQL process keeps it there) is signalled.
    """
    for pid in inhabitants(data_dir):
        end(pid, first=signal.SIGQUIT)
    (data_dir / "postmaster.pid").unlink(missing_ok=True)
    if left_over is not None and left_over.socket_dir != Path():
        for leaf in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
            (left_over.socket_dir / leaf).unlink(missing_ok=True)
        if left_over.socket_dir.parent != data_dir.parent:
            remove_empty(left_over.socket_dir)


def inhabitants(data_dir: Path) -> list[int]:
    """Processes whose working directory is the data directory: a postmaster first, or its orphans."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "cwd") == str(data_dir):
                found.append(int(entry.name))
        except OSError:
            continue
    return sorted(found)


def end(pid: int, child: subprocess.Popen[bytes] | None = None, *, first: signal.Signals = signal.SIGINT) -> None:
    """Signal a server's process with rising force until it is gone. SIGINT is the fast shutdown, SIGQUIT the
    immediate one; after the last signal the process may still be on its way out."""
    for step in (first, signal.SIGQUIT, signal.SIGKILL):
        try:
            os.kill(pid, step)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            if not alive(pid, child):
                return
            time.sleep(0.01)


def alive(pid: int, child: subprocess.Popen[bytes] | None = None) -> bool:
    """Whether the process exists; a zombie counts as gone, and is fetched where it is our own child."""
    if child is not None:
        return child.poll() is None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not sys.platform.startswith("linux")


def remove_empty(folder: Path) -> None:
    """Remove a folder; one that is not empty, or gone already, is left as it is."""
    try:
        folder.rmdir()
    except OSError:
        return
