"""Where in the analyst's text an error belongs: errors know characters of PostgreSQL's deparse of it.

The two are aligned word by word. Only a position comes out of it: a wrong guess shows the caret at a wrong word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from noisegate.errors import NoisegateError
from noisegate.query.lexer import Kind, Token, tokenize
from noisegate.query.statements import locate

CELLS_MAX = 150_000  # of the alignment's table: some hundredths of a second

_WORDS = frozenset({Kind.NAME, Kind.QUOTED, Kind.STRING, Kind.NUMBER, Kind.PARAM, Kind.OP})


@contextmanager
def read_as(sql: str) -> Iterator[None]:
    """What is refused inside is about this deparse."""
    try:
        yield
    except NoisegateError as error:
        error.reading = sql
        raise


def place(tokens: Sequence[Token], error: NoisegateError) -> int:
    """1-based position in characters of the text with these tokens.

    Of the identifier that the error names, in the part of the deparse that it is about, or nearest to it; else of that
    part's first word that the text has; else as `locate` has it.
    """
    if error.span is None or not error.reading:
        return locate(tokens, error.name)
    own = [t for t in tokens if _spelled(t)]
    read = [t for t in tokenize(error.reading) if _spelled(t)]
    here = [i for i, t in enumerate(read) if error.span[0] <= t.start < error.span[1]]
    if not own or not here or len(own) * len(read) > CELLS_MAX:
        return locate(tokens, error.name)
    return own[_word(own, read, here, align(own, read), _names(error))].start + 1


def _word(
    own: Sequence[Token], read: Sequence[Token], here: Sequence[int], pairs: Mapping[int, int], names: Sequence[str]
) -> int:
    """Index into `own`. `here`: the words of the deparse that it is about."""
    matched = [pairs[i] for i in here if i in pairs]
    first = min(matched) if matched else _between(here[0], pairs, own)
    for name in names:
        same = [i for i in here if _spelled(read[i]) == name]
        exact = next((pairs[i] for i in same if i in pairs), None)
        if exact is not None:
            return exact
        spelled = [i for i, t in enumerate(own) if _spelled(t) == name]
        if spelled:
            return min(spelled, key=lambda i: (not first <= i <= max(matched, default=first), abs(i - first)))
        if same:
            return _between(same[0], pairs, own)
    return first


def _between(at: int, pairs: Mapping[int, int], own: Sequence[Token]) -> int:
    """What stands in the text where the deparse has a word that the text has not: a star, an ordinal, an alias."""
    before = max((pairs[i] for i in pairs if i < at), default=-1)
    after = min((pairs[i] for i in pairs if i > at), default=len(own))
    gap = range(before + 1, after)
    return next((i for i in gap if own[i].value == "*"), gap[0] if gap else max(before, 0))


def align(own: Sequence[Token], read: Sequence[Token]) -> dict[int, int]:
    """The longest common subsequence of two texts' words: indexes into `read` -> indexes into `own`."""
    a, b = [_spelled(t) for t in read], [_spelled(t) for t in own]
    best = [[0] * (len(b) + 1)]  # best[i][j]: of the last i and the last j words
    for word in reversed(a):
        below, row = best[-1], [0]
        for j, other in enumerate(reversed(b)):
            row.append(below[j] + 1 if word == other else max(below[j + 1], row[j]))
        best.append(row)
    pairs: dict[int, int] = {}
    i, j = len(a), len(b)
    while i and j:
        if a[-i] == b[-j]:
            pairs[len(a) - i] = len(b) - j
            i, j = i - 1, j - 1
        elif best[i - 1][j] >= best[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return pairs


def _names(error: NoisegateError) -> list[str]:
    names = () if error.name is None else (error.name,) if isinstance(error.name, str) else error.name
    return [_MEANING.get(n.lower(), n.lower()) for n in names]


_MEANING = {"!=": "<>"}  # two spellings of one word


def _spelled(token: Token) -> str:
    """A word as both texts have it; '' for marks."""
    if token.kind not in _WORDS:
        return ""
    return _MEANING.get(token.value, token.value.lower())
