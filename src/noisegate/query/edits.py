"""Replaced ranges of the deparse, and the texts that come of them. Nothing between the ranges is touched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from noisegate.errors import Unsupported


@dataclass(frozen=True, slots=True)
class Edit:
    """Characters [start, end) become `text`. `noisy`: the noisy table that the text reads, if any."""

    start: int
    end: int
    text: str
    noisy: int | None = None


class Edits:
    """All replacements of a statement."""

    def __init__(self, sql: str, edits: Iterable[Edit] = ()) -> None:
        self._sql = sql
        self._edits = sorted(edits, key=lambda e: (e.start, -e.end))

    def inside(self, start: int, end: int) -> list[Edit]:
        """Those of characters [start, end). One that stands inside another is part of what that one replaces."""
        found: list[Edit] = []
        for edit in self._edits:
            if edit.start < start or edit.end > end:
                if max(edit.start, start) < min(edit.end, end) and not (edit.start <= start and end <= edit.end):
                    raise _unsplittable()
                continue
            if not found or edit.start >= found[-1].end:
                found.append(edit)
            elif edit.end > found[-1].end:
                raise _unsplittable()
        return found

    def apply(self, start: int, end: int) -> tuple[str, frozenset[int]]:
        """Characters [start, end), replaced, and the noisy tables that they read."""
        out: list[str] = []
        noisy: set[int] = set()
        at = start
        for edit in self.inside(start, end):
            out += (self._sql[at : edit.start], edit.text)
            at = edit.end
            if edit.noisy is not None:
                noisy.add(edit.noisy)
        return "".join((*out, self._sql[at:end])), frozenset(noisy)


def _unsplittable() -> Unsupported:
    return Unsupported("the statement could not be split")
