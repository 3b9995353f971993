"""What the relay knows of a statement that is under way; runs.py has the kinds of it."""

from __future__ import annotations

from typing import Protocol

from noisegate.wire import messages as m


class Run(Protocol):
    """A statement that the client waits for, as the relay meets it."""

    def completed(self, kind: int, body: bytes) -> bytes | None:
        """CommandComplete, EmptyQueryResponse or PortalSuspended: what to send in its place, None for as it is."""
        ...

    def failed(self, fields: m.Fields) -> m.Fields | None:
        """ErrorResponse: what to send in its place, None for as it is."""
        ...

    def skipped(self) -> None:
        """An error in front of it: the room never began it."""
        ...

    def lost(self) -> None:
        """The session ended first."""
        ...
