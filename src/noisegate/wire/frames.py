"""Frames in a stream of bytes: gathering the last, incomplete one under a limit.

The loops over complete frames stand in roomside.py and clientside.py: one pass, contiguous ranges written once.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""Of one message that must be gathered whole: texts, Binds, hidden replies; not of the room's rows."""

LENGTH: Callable[[bytes | bytearray, int], tuple[int]] = struct.Struct("!I").unpack_from
"""The length that a frame gives itself (without its type byte), as a tuple of one."""


class Gatherer:
    """Keeps the incomplete frame between two reads. Amortized linear: the bytes are joined once per complete frame."""

    __slots__ = ("_needed", "_rest")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._needed = 0

    def add(self, data: bytes) -> bytes:
        """What can be worked on now: all bytes kept and new, or nothing while the first frame is incomplete."""
        if not self._rest:
            return data
        self._rest += data
        if len(self._rest) < self._needed:
            return b""
        joined = bytes(self._rest)
        self._rest = bytearray()
        return joined

    def keep(self, data: bytes, at: int) -> bool:
        """Keep what `add` returned from `at` on: an incomplete frame. False: its length is too long, or nonsense."""
        if not data:
            return True
        rest = data[at:]
        self._needed = 5
        if len(rest) >= 5:
            length = LENGTH(rest, 1)[0]
            if not 4 <= length <= MESSAGE_BYTES_MAX:
                return False
            self._needed = length + 1
        self._rest = bytearray(rest)
        return True
