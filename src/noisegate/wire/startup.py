"""From an accepted connection to a session: encryption, protocol version, authentication, the clean room's login.

Invariant: nothing that depends on what exists (databases, analysts) is said before the password was proved.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from noisegate.errors import AuthenticationFailed, NoisegateError, Unsupported
from noisegate.wire import messages as m
from noisegate.wire import reports
from noisegate.wire.gate import Directory, Gate, Identity
from noisegate.wire.inbox import Inbox
from noisegate.wire.links import Link
from noisegate.wire.room import RoomConnection, RoomRefused, open_room
from noisegate.wire.roomside import ENCODINGS
from noisegate.wire.scram import ScramFailed, ScramServer, mock_verifier, offered
from noisegate.wire.session import Session
from noisegate.wire.tls import ALPN, SHUTDOWN_TIMEOUT_S, TlsIdentity

log = logging.getLogger(__name__)

_SECRET_BYTES, _SECRET_BYTES_LONG = 4, 32  # below protocol 3.2, and from it on
_OWN_PARAMETERS = frozenset({"user", "database", "replication"})


class Rejected(Exception):
    """The connection ends here; `message` is what the client is told."""

    def __init__(self, message: bytes = b"") -> None:
        super().__init__("rejected")
        self.message = message


@dataclass(slots=True)
class Sessions:
    """All sessions, by the pid that their clients know. Pids of different rooms may be equal."""

    by_pid: dict[int, list[Session]] = field(default_factory=dict)
    _empty: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, session: Session) -> None:
        self.by_pid.setdefault(session.identity.session, []).append(session)
        self._empty.clear()

    def remove(self, session: Session) -> None:
        same = self.by_pid.get(session.identity.session, [])
        if session in same:
            same.remove(session)
        if not same:
            self.by_pid.pop(session.identity.session, None)
        if not self.by_pid:
            self._empty.set()

    async def wait_empty(self) -> None:
        if self.by_pid:
            await self._empty.wait()

    def cancel(self, pid: int, secret: bytes) -> None:
        for session in self.by_pid.get(pid, ()):
            if secrets.compare_digest(session.secret, secret):
                session.cancel()

    def all(self) -> list[Session]:
        return [session for same in self.by_pid.values() for session in same]


@dataclass(frozen=True, slots=True)
class Door:
    """What every connection meets. `mock_secret` makes unknown analysts look like known ones."""

    gates: Mapping[str, Gate]
    directory: Directory
    tls: TlsIdentity | None
    tls_required: bool
    sessions: Sessions
    mock_secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))


@dataclass(slots=True)
class Knock:
    """One connection on its way in. `encrypted`: TLS is on; `local`: it came by the unix socket."""

    link: Link
    address: str
    local: bool
    encrypted: bool = False
    minor: int = 0
    parameters: dict[str, str] = field(default_factory=dict)


async def greet(door: Door, knock: Knock, authenticated: Callable[[], None]) -> None:
    """Walk one connection in; returns when a session has begun or the connection has been closed."""
    inbox = Inbox(knock.link)
    try:
        await _start_packets(door, knock, inbox)
        await _authenticate(door, knock, inbox)
        authenticated()
        await _begin_session(door, knock, inbox)
    except Rejected as rejected:
        knock.link.write(rejected.message)
    except NoisegateError as error:
        knock.link.write(reports.fatal(error.sqlstate, error.message, error.detail, error.hint))
    except m.ProtocolViolation as violation:
        knock.link.write(reports.fatal("08P01", str(violation)))
    except (EOFError, OSError):
        pass
    else:
        return
    knock.link.close()


# --- encryption and version ------------------------------------------------------------------------------------------


async def _start_packets(door: Door, knock: Knock, inbox: Inbox) -> None:
    """SSLRequest and GSSENCRequest, at most one each, then a CancelRequest or the start-up packet."""
    asked: set[int] = set()
    while True:
        packet = await inbox.startup_packet()
        code = int.from_bytes(packet[:4])
        if code == m.CANCEL_REQUEST:
            door.sessions.cancel(int.from_bytes(packet[4:8]), packet[8:])
            raise Rejected
        if code not in (m.SSL_REQUEST, m.GSSENC_REQUEST):
            break
        if code in asked or knock.encrypted:
            raise m.ProtocolViolation("unsupported request for encryption")
        asked.add(code)
        if code == m.SSL_REQUEST and door.tls is not None and not knock.local:
            await _start_tls(door.tls, knock, inbox)
        else:
            knock.link.write(b"N")
    _read_version(knock, code >> 16, code & 0xFFFF)
    _read_parameters(door, knock, packet[4:])


async def _start_tls(tls: TlsIdentity, knock: Knock, inbox: Inbox) -> None:
    link = knock.link
    if inbox.waiting():  # plain bytes behind the request could be taken for encrypted ones
        raise Rejected
    link.transport.pause_reading()
    link.write(b"S")
    loop = asyncio.get_running_loop()
    transport = await loop.start_tls(
        link.transport, link, tls.context, server_side=True, ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S
    )
    if transport is None:
        raise EOFError
    link.replace_transport(transport)
    transport.resume_reading()
    knock.encrypted = True


def check_direct_tls(link: Link) -> bool:
    """TLS without an SSLRequest must name the protocol."""
    ssl_object = link.transport.get_extra_info("ssl_object")
    return ssl_object is not None and ssl_object.selected_alpn_protocol() == ALPN


def _read_version(knock: Knock, major: int, minor: int) -> None:
    if major != m.PROTOCOL_MAJOR:
        text = f"unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{m.PROTOCOL_MINOR_MAX}"
        raise Unsupported(text)
    knock.minor = minor


def _read_parameters(door: Door, knock: Knock, body: bytes) -> None:
    parameters = m.decode_startup_parameters(body)
    unknown = [name for name in parameters if name.startswith("_pq_.")]
    if knock.minor > m.PROTOCOL_MINOR_MAX or unknown:
        knock.minor = min(knock.minor, m.PROTOCOL_MINOR_MAX)
        knock.link.write(m.negotiate_protocol_version(knock.minor, unknown))
    knock.parameters = {name: value for name, value in parameters.items() if name not in unknown}
    if not knock.parameters.get("user"):
        raise Rejected(reports.fatal("28000", "no PostgreSQL user name specified in startup packet"))
    if knock.parameters.get("replication", "false").lower() not in ("false", "off", "no", "0"):
        raise Unsupported("noisegate does not replicate")
    if door.tls_required and not (knock.encrypted or knock.local):
        raise Rejected(reports.fatal("28000", "this server requires TLS", hint="Connect with sslmode=require."))


# --- authentication --------------------------------------------------------------------------------------------------


async def _authenticate(door: Door, knock: Knock, inbox: Inbox) -> None:
    """SCRAM. Wrong password and unknown analyst are alike in every byte, and take the same work."""
    analyst = knock.parameters["user"]
    end_point = door.tls.end_point if door.tls is not None and knock.encrypted else None
    mock = mock_verifier(door.mock_secret, analyst)
    verifier = door.directory.verifier(analyst)
    knock.link.write(m.authentication_sasl(offered(end_point)))
    try:
        mechanism, first = m.decode_sasl_initial(await _password_message(inbox))
        server = ScramServer(mechanism, verifier or mock, end_point)
        knock.link.write(m.authentication_sasl_continue(server.first(first)))
        final = server.final(await _password_message(inbox))
        if verifier is None:
            raise ScramFailed("unknown analyst")
    except ScramFailed as failed:
        log.info("authentication failed: %s", failed)
        raise AuthenticationFailed(f'password authentication failed for user "{analyst}"') from None
    knock.link.write(m.authentication_sasl_final(final))


async def _password_message(inbox: Inbox) -> bytes:
    kind, body = await inbox.message()
    if kind == b"X":
        raise EOFError
    if kind != b"p":
        raise m.ProtocolViolation("expected SASL response")
    return body


# --- the session -----------------------------------------------------------------------------------------------------


async def _begin_session(door: Door, knock: Knock, inbox: Inbox) -> None:
    analyst = knock.parameters["user"]
    database = knock.parameters.get("database") or analyst
    gate = door.gates.get(database)
    if gate is None:
        raise Rejected(reports.fatal("3D000", f'database "{database}" does not exist'))
    identity = Identity(analyst, database, knock.address, knock.parameters.get("application_name", ""))
    address = await gate.admit(identity)
    native = {name: value for name, value in knock.parameters.items() if name not in _OWN_PARAMETERS}
    try:
        room = await open_room(address, native)
    except RoomRefused as refused:
        gate.left(identity)
        raise Rejected(refused.message) from None
    except BaseException:
        gate.left(identity)
        raise
    _start_session(door, knock, inbox, gate, replace(identity, session=room.pid), room)


def _start_session(
    door: Door, knock: Knock, inbox: Inbox, gate: Gate, identity: Identity, room: RoomConnection
) -> None:
    encoding = room.settings.get("client_encoding", "")
    if inbox.gone or encoding not in ENCODINGS:
        room.link.write(m.TERMINATE)
        room.link.close()
        gate.left(identity)
        text = f"client encoding {encoding} is not supported: noisegate reads UTF8"
        raise Rejected(reports.fatal("22023", text, hint="Set client_encoding to UTF8."))
    secret = secrets.token_bytes(_SECRET_BYTES_LONG if knock.minor >= m.PROTOCOL_MINOR_MAX else _SECRET_BYTES)
    session = Session(knock.link, room, gate, identity, secret, door.sessions.remove)
    door.sessions.add(session)
    key = m.backend_key_data(room.pid, secret)
    knock.link.write(m.AUTHENTICATION_OK + room.greeting + key + m.ready_for_query())
    session.start(inbox.rest())
