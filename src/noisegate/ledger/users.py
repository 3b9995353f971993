"""The analysts who may log in: SCRAM-SHA-256 verifiers in one file of mode 0600, never a password.

Invariant: removing and adding an analyst changes this file only; what the analyst has spent stands in the ledger under
the analyst's name, and nothing here reaches it.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scramp import ScramException
from scramp.core import saslprep

from noisegate.errors import BadSetting, LedgerFailed
from noisegate.ledger.audit import now

ITERATIONS = 4096  # PostgreSQL's own default; a verifier for unknown analysts must use the same number
SALT_BYTES = 16
NAME_BYTES_MAX = 63  # an identifier of PostgreSQL: the analyst's role in the clean room has this name
PASSWORD_BYTES_MAX = 1024
RESERVED = frozenset({"postgres", "public", "none", "user", "current_user", "current_role", "session_user"})
RESERVED_PREFIXES = ("pg_", "noisegate")
FORMAT = 1

Verifier = tuple[bytes, bytes, bytes, int]  # salt, stored key, server key, iterations


@dataclass(frozen=True, slots=True)
class User:
    """One analyst as listed. Times are ISO 8601, UTC."""

    name: str
    added: str
    password_changed: str


@dataclass(frozen=True, slots=True)
class _Entry:
    verifier: Verifier
    added: str
    changed: str


class UserStore:
    """Analysts in the file `path` (made on the first change). Satisfies wire.gate.Directory.

    Several processes may share it: changes take a lock and replace the file; `verifier` reads it anew when it changed.
    Raises LedgerFailed when the file cannot be read or written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._read_as: tuple[int, int, int] | None = None  # inode, size, mtime: a change replaces the inode
        self._entries: Mapping[str, _Entry] = {}

    def verifier(self, analyst: str) -> Verifier | None:
        """(salt, stored key, server key, iterations), or None for an unknown analyst."""
        entry = self._load().get(analyst)
        return None if entry is None else entry.verifier

    def users(self) -> list[User]:
        return [User(name, e.added, e.changed) for name, e in sorted(self._load().items())]

    def add(self, analyst: str, password: str) -> None:
        """Raises BadSetting for a name or password that cannot be used, or a name that exists."""
        check_name(analyst)
        verifier = make_verifier(password)
        with self._changing() as entries:
            if analyst in entries:
                raise BadSetting(f'analyst "{analyst}" exists', hint="Use passwd for a new password.")
            entries[analyst] = _Entry(verifier, now(), now())

    def passwd(self, analyst: str, password: str) -> None:
        """Raises BadSetting for a password that cannot be used, or an unknown analyst."""
        verifier = make_verifier(password)
        with self._changing() as entries:
            entries[analyst] = _Entry(verifier, _known(entries, analyst).added, now())

    def remove(self, analyst: str) -> None:
        """Raises BadSetting for an unknown analyst."""
        with self._changing() as entries:
            _known(entries, analyst)
            del entries[analyst]

    def _load(self) -> Mapping[str, _Entry]:
        with _failing_closed("read"):
            try:
                found = os.stat(self.path)
            except FileNotFoundError:
                return {}
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
            if stamp != self._read_as:
                self._entries, self._read_as = _parse(self.path.read_bytes()), stamp
        return self._entries

    @contextmanager
    def _changing(self) -> Iterator[dict[str, _Entry]]:
        """The entries, to be changed in place; written when the block ends, unless it raises."""
        with _failing_closed("written"):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                entries = dict(self._load())
                yield entries
                _replace(self.path, _spell(entries))
            finally:
                os.close(lock)


def check_name(analyst: str) -> None:
    """An analyst is a role of the clean room. Raises BadSetting for a name that cannot be one."""
    if not analyst or len(analyst.encode("utf-8", "surrogatepass")) > NAME_BYTES_MAX:
        raise BadSetting(f"an analyst's name has 1 to {NAME_BYTES_MAX} bytes")
    if any(unicodedata.category(c) in ("Cc", "Cs", "Cf", "Zl", "Zp") for c in analyst) or analyst != analyst.strip():
        raise BadSetting("an analyst's name has no control characters and no spaces around it")
    if analyst.lower() in RESERVED or analyst.lower().startswith(RESERVED_PREFIXES):
        raise BadSetting(f'the name "{analyst}" is reserved')


def make_verifier(password: str, *, iterations: int = ITERATIONS, salt: bytes | None = None) -> Verifier:
    """The SCRAM-SHA-256 verifier (RFC 5802, RFC 7677) of a password. Raises BadSetting for one that cannot be used."""
    raw = _prepared(password)
    if not raw or len(raw) > PASSWORD_BYTES_MAX:
        raise BadSetting(f"a password has 1 to {PASSWORD_BYTES_MAX} bytes")
    if b"\0" in raw or b"\n" in raw or b"\r" in raw:
        raise BadSetting("a password has no line breaks and no zero bytes")
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", raw, salt, iterations)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return salt, stored_key, hmac.digest(salted, b"Server Key", "sha256"), iterations


def generate_password() -> str:
    """A password of 144 random bits, in letters, digits, '-' and '_'."""
    return secrets.token_urlsafe(18)


def _prepared(password: str) -> bytes:
    """As libpq and PostgreSQL do: SASLprep where it accepts the password, the raw bytes where it does not."""
    try:
        raw = password.encode()
    except UnicodeEncodeError:
        raise BadSetting("a password must be UTF-8") from None
    try:
        return str(saslprep(password)).encode()
    except ScramException:
        return raw


def _known(entries: Mapping[str, _Entry], analyst: str) -> _Entry:
    if analyst not in entries:
        raise BadSetting(f'there is no analyst "{analyst}"')
    return entries[analyst]


@contextmanager
def _failing_closed(verb: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LedgerFailed(
            f"the analysts' file could not be {verb}", detail=f"{type(error).__name__}: {error}"
        ) from None


def _parse(content: bytes) -> dict[str, _Entry]:
    document = json.loads(content)
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']} is not known; use a newer noisegate")
    return {name: _parse_entry(values) for name, values in document["analysts"].items()}


def _parse_entry(values: Mapping[str, str]) -> _Entry:
    """The verifier is spelled as in pg_authid: SCRAM-SHA-256$iterations:salt$stored key:server key."""
    method, cost, keys = values["verifier"].split("$")
    if method != "SCRAM-SHA-256":
        raise ValueError("an analyst has another kind of verifier")
    iterations, salt = cost.split(":")
    stored_key, server_key = (_decode(part) for part in keys.split(":"))
    if len(stored_key) != 32 or len(server_key) != 32 or int(iterations) < ITERATIONS:
        raise ValueError("an analyst's verifier is damaged")
    return _Entry((_decode(salt), stored_key, server_key, int(iterations)), values["added"], values["changed"])


def _decode(part: str) -> bytes:
    return base64.b64decode(part, validate=True)


def _spell(entries: Mapping[str, _Entry]) -> bytes:
    analysts = {
        name: {"verifier": _spell_verifier(e.verifier), "added": e.added, "changed": e.changed}
        for name, e in sorted(entries.items())
    }
    return json.dumps({"format": FORMAT, "analysts": analysts}, indent=1).encode() + b"\n"


def _spell_verifier(verifier: Verifier) -> str:
    salt, stored_key, server_key = (base64.b64encode(part).decode() for part in verifier[:3])
    return f"SCRAM-SHA-256${verifier[3]}:{salt}${stored_key}:{server_key}"


def _replace(path: Path, content: bytes) -> None:
    """Durably and at once: a reader sees the old file or the new one."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    os.replace(new, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
