"""What the clean room still owes: one entry per message sent to it, in order. Pure; the table is WIRE's.

Invariant: the head entry is the one that the room's next reply belongs to. What a message changes (names, the end of
a statement) is carried by its entry and happens when the room confirms it, never when the message is sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from noisegate.wire import messages as m
from noisegate.wire.names import Change
from noisegate.wire.run import Run

PARSE, BIND, CLOSE, DESCRIBE, EXECUTE, SYNC, QUERY = b"PBCDESQ"
COPY_END = ord("c")  # a CopyDone or CopyFail was sent here; nothing answers it

LOOK, PASS, END, DONE, READY = range(5)
"""What a reply of some type does to the head entry. PASS: nothing. END: it ends the entry and says no more than that.
DONE: a statement's end. READY: ReadyForQuery where it is due. LOOK: all others."""

_PASSED: dict[int, bytes] = {DESCRIBE: b"t", EXECUTE: b"DdHc", QUERY: b"TDdHc"}
_BARE_ENDS: dict[int, bytes] = {PARSE: b"1", BIND: b"2", CLOSE: b"3", DESCRIBE: b"Tn"}
_STATEMENT_ENDS: dict[int, bytes] = {EXECUTE: b"CIs", QUERY: b"CIs"}
_READY: dict[int, bytes] = {SYNC: b"Z", QUERY: b"Z"}


def _steps(kind: int) -> bytes:
    steps = bytearray(256)
    for step, replies in ((PASS, _PASSED), (END, _BARE_ENDS), (DONE, _STATEMENT_ENDS), (READY, _READY)):
        for reply in replies.get(kind, b""):
            steps[reply] = step
    return bytes(steps)


STEPS: dict[int, bytes] = {kind: _steps(kind) for kind in (PARSE, BIND, CLOSE, DESCRIBE, EXECUTE, SYNC, QUERY)}
"""By the entry's kind, then by the reply's type."""

ENDS: dict[int, bytes] = {**_BARE_ENDS, **_READY, EXECUTE: _STATEMENT_ENDS[EXECUTE]}
"""Reply types that end an entry; everything else (t, D, d, H, G, and C or I inside a Query) comes before the end."""


@dataclass(slots=True)
class Exchange:
    """Collects the replies of hidden entries. `done` is called once, when the last of them is answered or dropped."""

    done: Callable[[], None] | None = None
    replies: list[tuple[int, bytes]] = field(default_factory=list)
    error: m.Fields | None = None
    remaining: int = 0
    dropped: bool = False

    def settle(self) -> None:
        self.remaining -= 1
        if self.remaining == 0 and self.done is not None:
            self.done()


@dataclass(slots=True)
class Entry:
    kind: int
    change: Change | None = None
    run: Run | None = None
    hidden: Exchange | None = None
    doubtful: bool = False  # an unconfirmed Parse or Bind that may concern private tables


DESCRIBED, SYNCED = Entry(DESCRIBE), Entry(SYNC)  # visible ones carry nothing: one of each serves everybody


class Expect:
    """The queue. `doubts` counts the doubtful entries in it."""

    __slots__ = ("add", "doubts", "entries")

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.add = self.entries.append
        """`push` for an entry that is neither hidden nor doubtful: most are."""
        self.doubts = 0

    def push(self, entry: Entry) -> None:
        self.entries.append(entry)
        if entry.doubtful:
            self.doubts += 1
        if entry.hidden is not None:
            entry.hidden.remaining += 1

    def pop(self) -> Entry:
        """The head is answered. Ends of COPY data behind it have no answer of their own."""
        entries = self.entries
        entry = entries.popleft()
        if entry.doubtful:
            self.doubts -= 1
        while entries and entries[0].kind == COPY_END:
            entries.popleft()
        return entry

    def fail(self) -> tuple[list[Entry], bool]:
        """The head's error: (entries that are never answered, whether the room now discards until a Sync to come).

        A Query or Sync stays: its ReadyForQuery still comes. Else everything up to the next Sync goes, Query too.
        """
        if not self.entries or self.entries[0].kind in (SYNC, QUERY):
            return [], False
        dropped = []
        while self.entries and self.entries[0].kind != SYNC:
            entry = self.entries.popleft()
            self.doubts -= entry.doubtful
            dropped.append(entry)
        return dropped, not self.entries

    def copy_in(self) -> None:
        """The head began COPY FROM STDIN: the room ignores Syncs that were sent before the data's end."""
        head = self.entries.popleft()
        while self.entries and self.entries[0].kind == SYNC:
            self.entries.popleft()
        if self.entries and self.entries[0].kind == COPY_END:
            self.entries.popleft()
        self.entries.appendleft(head)
