"""Who runs the embedded server, and which folders it can reach. PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from noisegate.errors import Unavailable

USER = "noisegate"
SOCKET_PATH_BYTES_MAX = 107  # sockaddr_un.sun_path, without its final zero
_LEAF = "/.s.PGSQL.5432.lock"


@dataclass(frozen=True, slots=True)
class Account:
    uid: int
    gid: int


def server_account() -> Account | None:
    """The account to run as: None for one's own, a system user where one is root. Raises Unavailable."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        entry = _make_user()
    return Account(entry.pw_uid, entry.pw_gid)


def _make_user() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", USER]
    try:
        subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)
        return pwd.getpwnam(USER)  # looked up whatever useradd said: another process may have made it meanwhile
    except (OSError, KeyError):
        raise Unavailable(
            f"PostgreSQL does not run as root, and the system user {USER} could not be made",
            hint=f"Make a system user named {USER}, or run noisegate as an ordinary user.",
        ) from None


def open_way(*folders: Path) -> None:
    """Let others pass through `folders` and all folders above them: x is added, r never.

    Raises Unavailable where that is not permitted.
    """
    for folder in folders:
        for step in (folder, *folder.parents):
            mode = stat.S_IMODE(step.stat().st_mode)
            if mode & stat.S_IXOTH:
                continue
            try:
                step.chmod(mode | stat.S_IXOTH)
            except OSError:
                raise Unavailable(f"the system user {USER} cannot pass through {step}") from None


def socket_directory(data_dir: Path, name: str, account: Account | None) -> Path:
    """A folder that only the server's account (and root) can enter: beside the data directory where the path of
    a socket in it is short enough, else a new one in the system's folder for temporary files."""
    beside = data_dir.parent / f"{name}.socket"
    if len(os.fsencode(beside)) + len(_LEAF) <= SOCKET_PATH_BYTES_MAX:
        beside.mkdir(mode=0o700, exist_ok=True)
        folder = beside
    else:
        folder = Path(tempfile.mkdtemp(prefix="ng-", dir=_short_temporary()))
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    folder.chmod(0o700)
    return folder


def _short_temporary() -> str:
    given = tempfile.gettempdir()
    return given if len(os.fsencode(given)) + len("/ng-12345678") + len(_LEAF) <= SOCKET_PATH_BYTES_MAX else "/tmp"
