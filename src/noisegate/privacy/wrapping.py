"""Lines of generated SQL for people. One search per line: the standard library's wrapping looks at every word."""

from __future__ import annotations

_BLANKS = {ord(c): " " for c in "\t\n\v\f\r"}


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """`text` in indented lines of at most `width` characters, broken at blanks only; a longer word has its own line."""
    text = text.translate(_BLANKS)
    room, start, lines = width - len(indent), 0, []
    while len(text) - start > room:
        end = text.rfind(" ", start + 1, start + room + 1)
        if end < 0:
            end = text.find(" ", start + room)
        if end < 0:
            break
        lines.append(indent + text[start:end].rstrip())
        while text.startswith(" ", end):
            end += 1
        start = end
    return [*lines, indent + text[start:]] if text[start:] else lines
