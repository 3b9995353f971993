"""SCRAM-SHA-256 and -PLUS, the server's side (RFC 5802, 7677, 5929), without sockets.

Written here because no release of `scramp` that could be tried accepts the empty user name that libpq always sends.
Unknown analysts get a verifier made from a secret of the gate, so that they look like known ones in text and time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

Verifier = tuple[bytes, bytes, bytes, int]  # salt, stored key, server key, iterations

MECHANISM = "SCRAM-SHA-256"
MECHANISM_PLUS = "SCRAM-SHA-256-PLUS"
ITERATIONS = 4096
MESSAGE_BYTES_MAX = 4096
_BINDING = "tls-server-end-point"


class ScramFailed(Exception):
    """The exchange is malformed, or the proof is wrong. The text says which, for the gate's log only."""


def make_verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> Verifier:
    """RFC 5802 section 3. The password is used as it is; salt: 16 random bytes by default."""
    salt = secrets.token_bytes(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored_key = hashlib.sha256(_mac(salted, b"Client Key")).digest()
    return salt, stored_key, _mac(salted, b"Server Key"), iterations


def mock_verifier(secret: bytes, analyst: str) -> Verifier:
    """The same for the same name as long as the secret lives; no password fits it."""
    salt = _mac(secret, b"salt" + analyst.encode())[:16]
    return salt, _mac(secret, b"stored" + analyst.encode()), _mac(secret, b"server" + analyst.encode()), ITERATIONS


class ScramServer:
    """One login: first(client-first) -> server-first, final(client-final) -> server-final, or ScramFailed.

    end_point: the hash of the server's certificate where TLS carries the session, else None.
    """

    def __init__(self, mechanism: str, verifier: Verifier, end_point: bytes | None) -> None:
        if mechanism not in offered(end_point):
            raise ScramFailed("mechanism")
        self._plus = mechanism == MECHANISM_PLUS
        self._salt, self._stored_key, self._server_key, self._iterations = verifier
        self._end_point = end_point
        self._gs2 = ""
        self._nonce = ""
        self._client_first_bare = ""
        self._server_first = ""

    def first(self, data: bytes) -> bytes:
        flag, authorization, bare = self._split(data, 2)
        self._check_binding_flag(flag)
        if authorization:
            raise ScramFailed("authorization identity")
        attributes = bare.split(",")
        if len(attributes) < 2 or not attributes[0].startswith("n=") or not attributes[1].startswith("r="):
            raise ScramFailed("client-first")  # m= and anything else unknown in the name's place is refused here
        if len(attributes[1]) < 3:
            raise ScramFailed("nonce")
        self._gs2 = f"{flag},,"
        self._client_first_bare = bare
        self._nonce = attributes[1][2:] + base64.b64encode(secrets.token_bytes(18)).decode()
        salt = base64.b64encode(self._salt).decode()
        self._server_first = f"r={self._nonce},s={salt},i={self._iterations}"
        return self._server_first.encode()

    def final(self, data: bytes) -> bytes:
        without_proof, separator, proof_text = _ascii(data).rpartition(",p=")
        attributes = without_proof.split(",")
        if not separator or len(attributes) < 2:
            raise ScramFailed("client-final")
        expected = base64.b64encode(self._gs2.encode() + (self._end_point or b"" if self._plus else b"")).decode()
        bound = hmac.compare_digest(attributes[0].encode(), f"c={expected}".encode())
        same_nonce = hmac.compare_digest(attributes[1].encode(), f"r={self._nonce}".encode())
        message = ",".join((self._client_first_bare, self._server_first, without_proof)).encode()
        if not (self._proves(message, _base64(proof_text)) and bound and same_nonce):
            raise ScramFailed("proof")
        return b"v=" + base64.b64encode(_mac(self._server_key, message))

    def _proves(self, message: bytes, proof: bytes) -> bool:
        signature = _mac(self._stored_key, message)
        if len(proof) != len(signature):
            return False
        client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        return hmac.compare_digest(hashlib.sha256(client_key).digest(), self._stored_key)

    def _check_binding_flag(self, flag: str) -> None:
        """'y' means that the client could bind but thinks that the gate cannot: somebody removed the offer."""
        unbound = ("n",) if self._end_point is not None else ("n", "y")
        if flag not in ((f"p={_BINDING}",) if self._plus else unbound):
            raise ScramFailed("channel binding")

    @staticmethod
    def _split(data: bytes, commas: int) -> tuple[str, str, str]:
        pieces = _ascii(data).split(",", commas)
        if len(pieces) != commas + 1:
            raise ScramFailed("client-first")
        return pieces[0], pieces[1], pieces[2]


def offered(end_point: bytes | None) -> tuple[str, ...]:
    """The mechanisms, best first."""
    return (MECHANISM,) if end_point is None else (MECHANISM_PLUS, MECHANISM)


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _ascii(data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ScramFailed("encoding") from None
    if len(data) > MESSAGE_BYTES_MAX or "\0" in text:
        raise ScramFailed("size")
    return text


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ScramFailed("base64") from None
