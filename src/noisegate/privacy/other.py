"""Whether an answer with selected groups has one further row for the groups not shown, and how it is marked."""

from __future__ import annotations

import re
from dataclasses import replace

from noisegate.privacy.planner import Analysis
from noisegate.privacy.totals import Answer

OTHER = "(other)"
_TEXT = re.compile(r"(text|character varying)(?:\((\d+)\))?\Z")


def adds_up(answer: Answer) -> bool:
    """Whether an answer over several groups is made of the sums of their totals. A number of units is then one of
    (unit, group) pairs."""
    return answer.leaves is None and answer.aside is None and all(t.distinct is None for t in answer.totals)


def with_other(a: Analysis) -> Analysis:
    """The analysis with such a row, where groups are selected. Whether there is one is a function of the text, the
    policy and the types: never of what is hidden."""
    if not a.selects:
        return a
    if not any(adds_up(answer) and answer.totals for answer in a.answers):
        return replace(a, explain=(*a.explain, "no row for other groups: nothing that is asked adds up over groups"))
    key = _key(a)
    if key is None:
        line = "no row for other groups: no key could mark it (cast one to text)"
        return replace(a, explain=(*a.explain, line))
    return replace(a, other=key)


def _key(a: Analysis) -> tuple[str | None, ...] | None:
    """OTHER in text keys, NULL in others; None where that could be a group of its own: all NULL, and all may be."""
    key = tuple(OTHER if _holds(output.sql) else None for output in a.outputs[: len(a.keys)])
    marked = any(key) or any(not k.null for k in a.keys)
    return key if marked else None


def _holds(type_sql: str) -> bool:
    found = _TEXT.match(type_sql)
    return found is not None and (found[2] is None or int(found[2]) >= len(OTHER))
