"""Every way to fail: one tree, one SQLSTATE each.

Invariant: no text here or raised through here contains anything read from the engine. Messages are functions of
the analyst's text, the policy, the catalog and the account.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Self


class NoisegateError(Exception):
    """Base of all errors that a client, an operator or an analyst may see.

    `name` is the identifier (or keyword) of the analyst's text that the error is about, or several, the best first; the
    gate turns it into `position`, a 1-based offset in characters of that text. `span`: the characters of PostgreSQL's
    deparse of that text, `reading`, that the error is about.
    """

    sqlstate: ClassVar[str] = "XX000"

    def __init__(
        self,
        message: str,
        *,
        detail: str = "",
        hint: str = "",
        position: int | None = None,
        name: str | tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        self.position = position
        self.name = name
        self.span: tuple[int, int] | None = None
        self.reading = ""

    def about(self, start: int, end: int) -> Self:
        """Say what it is about, unless a closer place is known."""
        if self.span is None:
            self.span = (start, end)
        return self


@contextmanager
def about(start: int, end: int) -> Iterator[None]:
    """What is refused inside is about these characters of PostgreSQL's deparse."""
    try:
        yield
    except NoisegateError as error:
        error.about(start, end)
        raise


class Refused(NoisegateError):
    """The statement asks for something that is never answered: rows of people, forbidden statement kinds."""

    sqlstate = "42501"


class Unsupported(NoisegateError):
    """The statement may have a private meaning, but this version does not answer it."""

    sqlstate = "0A000"


class MissingBounds(NoisegateError):
    """A summed expression has no interval: the policy bounds no column of it."""

    sqlstate = "22003"


class BadSetting(NoisegateError):
    """A noisegate.* setting, or a value of a request, is outside what the policy allows."""

    sqlstate = "22023"


class BudgetExceeded(NoisegateError):
    """An account cannot pay; the message says what is left and what the statement would cost."""

    sqlstate = "53400"


class TooManyConnections(NoisegateError):
    """A cap on sessions is reached."""

    sqlstate = "53300"


class TextTooLong(NoisegateError):
    """The text of a statement exceeds the gate's limit."""

    sqlstate = "54000"


class TooComplex(NoisegateError):
    """A statement is nested too deeply, or needs more memory to plan than a worker may use."""

    sqlstate = "54001"


class TooManyRows(NoisegateError):
    """A scalar subquery has more than one row, as PostgreSQL says."""

    sqlstate = "21000"


class Canceled(NoisegateError):
    """The client cancelled, or a clock of the gate did."""

    sqlstate = "57014"


class Unavailable(NoisegateError):
    """A server that the gate needs cannot be reached."""

    sqlstate = "08006"


class EngineFailed(NoisegateError):
    """The engine raised an error. The text is constant: what the engine said may be about a person's row."""

    sqlstate = "XX000"

    def __init__(self) -> None:
        super().__init__(
            "the data server could not run this question",
            detail="The charge stands. What the data server said is not shown, because it may be about a person.",
        )


class SchemaChanged(NoisegateError):
    """The data server's schema is not the one the plan was made for; nothing was charged."""

    sqlstate = "55000"


class LedgerFailed(NoisegateError):
    """The ledger could not make a charge durable; nothing was asked of the engine."""

    sqlstate = "58030"


class Internal(NoisegateError):
    """A check of the gate itself failed; nothing was released."""

    sqlstate = "XX000"


class UnknownDatabase(NoisegateError):
    """The client named a database that no policy serves."""

    sqlstate = "3D000"


class AuthenticationFailed(NoisegateError):
    """Wrong password and unknown user alike."""

    sqlstate = "28P01"


class PolicyError(NoisegateError):
    """A policy file is wrong. `problems` are lines of the form 'file:line: what is wrong; what to write'."""

    sqlstate = "F0000"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
