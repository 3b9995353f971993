"""What the flows of a held client work with."""

from __future__ import annotations

from dataclasses import dataclass

from noisegate.wire import messages as m
from noisegate.wire.asking import Asking
from noisegate.wire.gate import Gate, Identity
from noisegate.wire.links import Link
from noisegate.wire.roomside import RoomSide


class Failed(Exception):
    """The client's statement failed; it gets these fields, and the room's state is already right."""

    def __init__(self, fields: m.Fields) -> None:
        super().__init__(fields.get("C", "XX000"))
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Context:
    """What a flow works with: the two halves, the gate, and who asks."""

    room: RoomSide
    client: Link
    gate: Gate
    identity: Identity
    asking: Asking
    server_version: int
