"""The seam between the protocol and everything else: the one signature by which private statements leave wire/.

wire/ never imports the gateway; the gateway satisfies `Gate`.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from noisegate.errors import NoisegateError


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking. `application_name` is the client's own word at start-up."""

    analyst: str
    database: str
    client_address: str
    application_name: str = ""
    session: int = 0  # the clean-room backend's pid, as pg_backend_pid() shows it


@dataclass(frozen=True, slots=True)
class RoomAddress:
    """Where a session's clean-room connection goes. No password: the socket's directory is the gate's own."""

    socket: str  # path of the unix socket
    database: str
    role: str


class Verdict(enum.Enum):
    RELAY = "relay"  # no private table is named: pass the bytes on
    PRIVATE = "private"  # may concern private tables: ask the gate
    REFUSE = "refuse"  # a kind of statement that is never run


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a text. `text` is the slice without the separating semicolon; `offset` is its start in
    characters of the whole text; `refusal` is set iff verdict is REFUSE."""

    text: str
    offset: int
    verdict: Verdict
    refusal: NoisegateError | None = None


def all_relayed(statements: Sequence[Statement]) -> bool:
    for statement in statements:  # noqa: SIM110 - asked of every text, and `all` takes three times as long
        if statement.verdict is not Verdict.RELAY:
            return False
    return True


@dataclass(frozen=True, slots=True)
class ColumnDescription:
    """One field of a RowDescription of the statement as written."""

    name: str
    type_oid: int
    typmod: int


@dataclass(frozen=True, slots=True)
class Question:
    """A private statement that the clean room has accepted as written."""

    identity: Identity
    text: str
    columns: tuple[ColumnDescription, ...]
    param_types: tuple[int, ...] = ()
    has_params: bool = False  # parameters were bound: Hidden.query(..., bind=True) sends the same ones
    parameters: tuple[str | None, ...] = ()  # for the audit log only: as text, binary ones in hex
    in_transaction: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    message: str
    detail: str = ""
    hint: str = ""
    sqlstate: str = "00000"


@dataclass(frozen=True, slots=True)
class Answer:
    """The statement to run instead, in the client's own place. Its columns have the types of the question's.

    `sql` may use the question's parameters by their numbers. `tag` replaces the command tag. `relay`: run the original.
    """

    sql: str
    notices: tuple[Notice, ...] = ()
    tag: str | None = None
    relay: bool = False
    token: object = None  # handed back to Gate.finished


class Hidden(Protocol):
    """The session's own clean-room connection, while the client waits."""

    async def query(self, sql: str, *, bind: bool = False) -> list[tuple[bytes | None, ...]]:
        """Run one statement that cannot raise, in the session's transaction state; rows in binary format.

        bind: bind the question's parameters (their types declared by Parse). Raises HiddenFailed if the room
        answered with an error; the session has then dealt with the protocol, and the caller only has to unwind.
        """
        ...


class HiddenFailed(Exception):
    """The clean room refused a hidden statement (failed transaction, cancel). Carries the SQLSTATE only."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


class Gate(Protocol):
    """One policy's database, as the protocol sees it."""

    def classify(self, text: str) -> Sequence[Statement]:
        """Split a text into statements and judge each. Pure, cached by text, never raises; an empty text gives ()."""
        ...

    async def admit(self, identity: Identity) -> RoomAddress:
        """Let a session in. Raises TooManyConnections, Unavailable."""
        ...

    async def answer(self, question: Question, hidden: Hidden) -> Answer:
        """Plan, charge, run and release. Raises NoisegateError to refuse; cancelling the task cancels the engine."""
        ...

    def finished(self, question: Question, answer: Answer | None, outcome: str, seconds: float) -> None:
        """The statement is over for the client: 'ok', or an SQLSTATE. Never blocks."""
        ...

    def relayed(self, identity: Identity, text: str, outcome: str, seconds: float) -> None:
        """For the audit: a relayed or refused statement. Never blocks."""
        ...

    def left(self, identity: Identity) -> None:
        """The session is over."""
        ...


class Directory(Protocol):
    """The analysts who may log in."""

    def verifier(self, analyst: str) -> tuple[bytes, bytes, bytes, int] | None:
        """(salt, stored key, server key, iterations) of SCRAM-SHA-256, or None for an unknown analyst."""
        ...
