"""A session's own connection to the clean room: start-up and cancel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from noisegate.errors import Unavailable
from noisegate.wire import messages as m
from noisegate.wire.gate import RoomAddress
from noisegate.wire.inbox import Inbox
from noisegate.wire.links import Link

ROOM_START_TIMEOUT_S = 30.0
CANCEL_TIMEOUT_S = 5.0


class RoomRefused(Exception):
    """The room's own error at start-up (a bad setting, too many connections ...): `message` is for the client."""

    def __init__(self, message: bytes) -> None:
        super().__init__("the clean room refused the session")
        self.message = message


@dataclass(slots=True)
class RoomConnection:
    address: RoomAddress
    link: Link
    inbox: Inbox
    pid: int = 0
    secret: bytes = b""
    greeting: bytes = b""  # ParameterStatus and notices, for the client
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """Major version."""
        digits = self.settings.get("server_version", "").split(".")[0].split(" ")[0]
        return int("".join(c for c in digits if c.isdigit()) or 0)

    async def cancel(self) -> None:
        await send_cancel(self.address, self.pid, self.secret)


async def open_room(address: RoomAddress, parameters: Mapping[str, str]) -> RoomConnection:
    """Log in. Raises RoomRefused (the room's own words) or Unavailable."""
    link = Link()
    try:
        async with asyncio.timeout(ROOM_START_TIMEOUT_S):
            await asyncio.get_running_loop().create_unix_connection(lambda: link, address.socket)
            connection = RoomConnection(address, link, Inbox(link))
            link.write(m.startup({**parameters, "user": address.role, "database": address.database}))
            await _greeting(connection)
    except (OSError, EOFError, TimeoutError, m.ProtocolViolation):
        link.abort()
        raise Unavailable("the clean room cannot be reached") from None
    except BaseException:
        link.abort()
        raise
    return connection


async def _greeting(connection: RoomConnection) -> None:
    while True:
        kind, body = await connection.inbox.message()
        match kind:
            case b"R":
                if body != b"\0\0\0\0":
                    raise m.ProtocolViolation("the clean room asks for a password")
            case b"S":
                name, value = m.decode_parameter_status(body)
                connection.settings[name] = value
                connection.greeting += m.frame(b"S", body)
            case b"K":
                connection.pid, connection.secret = m.decode_backend_key_data(body)
            case b"N":
                connection.greeting += m.frame(b"N", body)
            case b"E":
                raise RoomRefused(m.frame(b"E", body))
            case b"Z":
                return
            case _:
                raise m.ProtocolViolation("unexpected message of the clean room")


async def send_cancel(address: RoomAddress, pid: int, secret: bytes) -> None:
    """Ask the room to cancel what the session runs; returns when it has taken note. Never raises."""
    link = Link()
    with contextlib.suppress(OSError, EOFError, TimeoutError):
        async with asyncio.timeout(CANCEL_TIMEOUT_S):
            await asyncio.get_running_loop().create_unix_connection(lambda: link, address.socket)
            inbox = Inbox(link)
            link.write(m.cancel_request(pid, secret))
            await inbox.message()  # the room closes the connection when it has sent the signal
    link.abort()
