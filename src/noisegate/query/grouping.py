"""Reads a GROUP BY clause: its expressions, and the sets that GROUPING SETS, ROLLUP and CUBE mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from noisegate.errors import Unsupported
from noisegate.query.lexer import Token
from noisegate.query.sections import Range, spell, split_commas

SETS_MAX = 32

_Sets = list[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Grouping:
    """`ranges`: the tokens of each distinct expression. `sets`: indexes into them; None for a plain GROUP BY."""

    ranges: tuple[Range, ...]
    sets: tuple[tuple[int, ...], ...] | None


def read_grouping(tokens: Sequence[Token], close: Mapping[int, int], first: int, last: int) -> Grouping:
    """The grouping in tokens [first, last), after GROUP BY. Raises Unsupported past SETS_MAX sets."""
    return _Reader(tokens, close).read(first, last)


class _Reader:
    def __init__(self, tokens: Sequence[Token], close: Mapping[int, int]) -> None:
        self._tokens, self._close = tokens, close
        self._keys: dict[tuple[str, ...], int] = {}
        self._ranges: list[Range] = []
        self._special = False

    def read(self, first: int, last: int) -> Grouping:
        distinct = first < last and self._tokens[first].is_name("distinct")
        first += distinct or (first < last and self._tokens[first].is_name("all"))
        found: _Sets = [()]
        for element in split_commas(self._tokens, first, last):
            found = _checked([_joined(a + b) for a, b in product(found, self._element(*element))])
        if distinct:
            found = list({frozenset(s): s for s in reversed(found)}.values())[::-1]
        plain = not self._special or (len(found) == 1 and len(found[0]) == len(self._ranges))
        return Grouping(tuple(self._ranges), None if plain else tuple(found))

    def _element(self, first: int, last: int) -> _Sets:
        """The sets that one element of GROUP BY means."""
        word = self._tokens[first]
        if self._holds_rest(first + 1, last) and (word.is_name("rollup") or word.is_name("cube")):
            self._special = True
            parts = [self._set(*r) for r in split_commas(self._tokens, first + 2, last - 1)]
            return _rollup(parts) if word.is_name("rollup") else _cube(parts)
        if word.is_name("grouping") and self._holds_rest(first + 2, last) and self._tokens[first + 1].is_name("sets"):
            self._special = True
            elements = split_commas(self._tokens, first + 3, last - 1)
            return _checked([s for element in elements for s in self._element(*element)])
        return [self._set(first, last)]

    def _holds_rest(self, at: int, last: int) -> bool:
        """A bracket at token `at` that ends where the element does."""
        return at < last and self._tokens[at].is_punct("(") and self._close.get(at) == last - 1

    def _set(self, first: int, last: int) -> tuple[int, ...]:
        """`expression`, `(expression, ...)` or `()`."""
        if self._holds_rest(first, last):
            if last - first == 2:
                self._special = True
                return ()
            parts = split_commas(self._tokens, first + 1, last - 1)
            if len(parts) > 1:
                return _joined(tuple(self._key(*p) for p in parts))
        return (self._key(first, last),)

    def _key(self, first: int, last: int) -> int:
        first, last = without_brackets(self._tokens, self._close, first, last)
        spelled = spell(self._tokens, first, last)
        if spelled not in self._keys:
            self._keys[spelled] = len(self._ranges)
            self._ranges.append((first, last))
        return self._keys[spelled]


def without_brackets(tokens: Sequence[Token], close: Mapping[int, int], first: int, last: int) -> Range:
    """Without the brackets around the whole, but for those of a query."""
    while last - first > 2 and tokens[first].is_punct("(") and close.get(first) == last - 1:
        if tokens[first + 1].is_name("select") or tokens[first + 1].is_name("with"):
            break
        first, last = first + 1, last - 1
    return first, last


def _joined(keys: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(keys))


def _rollup(parts: _Sets) -> _Sets:
    return _checked([_joined(sum(parts[:n], ())) for n in range(len(parts), -1, -1)])


def _cube(parts: _Sets) -> _Sets:
    if 2 ** len(parts) > SETS_MAX:
        raise _too_many()
    chosen = [c for n in range(len(parts), -1, -1) for c in combinations(range(len(parts)), n)]
    return [_joined(sum((parts[i] for i in c), ())) for c in chosen]


def _checked(sets: _Sets) -> _Sets:
    if len(sets) > SETS_MAX:
        raise _too_many()
    return sets


def _too_many() -> Unsupported:
    return Unsupported(f"a private question may have at most {SETS_MAX} grouping sets", name="group")
