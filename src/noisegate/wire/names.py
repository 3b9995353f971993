"""Prepared statements and portals as the clean room holds them.

Invariant: this changes only when the room has confirmed the message (or reported a command) that changes it, so a
name here always means what it means there. What is not known here is `None`: never taken for something harmless.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from noisegate.wire import messages as m
from noisegate.wire.gate import ColumnDescription, Statement, all_relayed
from noisegate.wire.run import Run

RESERVED = b"_ng"
"""Statement and portal names of the gate itself begin so."""

_ENDS_PORTALS = frozenset({b"ROLLBACK", b"COMMIT", b"PREPARE TRANSACTION", b"CLOSE CURSOR", b"CLOSE CURSOR ALL"})
_ENDS_STATEMENTS = frozenset({b"DEALLOCATE", b"DEALLOCATE ALL", b"DISCARD ALL"})
_ENDS_NAMES = _ENDS_PORTALS | _ENDS_STATEMENTS


@dataclass(slots=True)
class Prepared:
    """A statement prepared by a Parse message. Types and columns are the room's, known once it has described them."""

    name: bytes
    text: str
    statements: tuple[Statement, ...]
    param_types: tuple[int, ...] = ()
    columns: tuple[ColumnDescription, ...] = ()
    sent: float = 0.0  # loop seconds

    relayed: bool = field(init=False)  # nothing in it names a private table

    def __post_init__(self) -> None:
        self.relayed = all_relayed(self.statements)

    def commit(self, names: Names) -> None:
        names.statements[self.name] = self


@dataclass(slots=True)
class Portal:
    """A Bind message. `body` is kept only where a private statement may be meant."""

    name: bytes
    statement: bytes
    sent: float = 0.0  # loop seconds
    body: bytes | None = None
    prepared: Prepared | None = None  # what the statement's name meant when the room confirmed the Bind
    reported: bool = False
    run: Run | None = None  # of the rewritten statement, once the portal was bound to it

    def bind(self) -> m.Bind | None:
        return None if self.body is None else m.Bind.decode(self.body)

    def commit(self, names: Names) -> None:
        self.prepared = names.statements.get(self.statement)
        names.portals[self.name] = self


@dataclass(frozen=True, slots=True)
class Closed:
    target: bytes  # b'S' or b'P'
    name: bytes

    def commit(self, names: Names) -> None:
        if self.target == b"S":
            names.statements.pop(self.name, None)
        else:
            names.portals.pop(self.name, None)


Change = Prepared | Portal | Closed


@dataclass(slots=True)
class Names:
    statements: dict[bytes, Prepared] = field(default_factory=dict)
    portals: dict[bytes, Portal] = field(default_factory=dict)

    def simple_query(self) -> None:
        """A simple Query destroys the unnamed statement and portal."""
        self.statements.pop(b"", None)
        self.portals.pop(b"", None)

    def transaction_ended(self) -> None:
        self.portals.clear()

    def completed(self, tag: bytes) -> None:
        """A command that changes names behind the protocol's back. What may be gone is forgotten: then it is asked
        of the room again, or the tripwire stands behind."""
        if tag not in _ENDS_NAMES:
            return
        if tag in _ENDS_PORTALS:
            self.portals.clear()
        elif tag in _ENDS_STATEMENTS:
            unnamed = self.statements.get(b"")
            self.statements.clear()
            if unnamed is not None and tag == b"DEALLOCATE":
                self.statements[b""] = unnamed
            if tag == b"DISCARD ALL":
                self.portals.clear()
