"""mode() over values that nobody declared: they are selected from data, by a question of its own beside the fragment.

Claim: the answer costs what the question `SELECT keys, x, count(*) ... GROUP BY keys, x` costs, in epsilon and delta.
Because: it *is* that question, bounded, selected and measured as any other, and of each group the value with the
largest released count is shown, which is post-processing of two releases.
Checked by: tests/privacy/test_modes.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from noisegate.plan.measure import Largest
from noisegate.plan.reading import OutputType
from noisegate.privacy.totals import Answer, Aside
from noisegate.query.fragment import Fragment
from noisegate.query.tree import Call, Case, Expr, IsTest, Op

BESIDE = "values for mode(), selected from data: of each group the one with the largest noisy count is shown"


def asides_of(answers: Iterable[Answer]) -> list[Aside]:
    """The distinct asides of the answers, in order."""
    found: dict[tuple[str, ...], Aside] = {}
    for answer in answers:
        if answer.aside is not None:
            found.setdefault(answer.aside.identity, answer.aside)
    return list(found.values())


def beside(fragment: Fragment, outputs: Sequence[OutputType], aside: Aside) -> tuple[Fragment, list[OutputType]]:
    """The question for the rows of each value in each group, and the types of its outputs.

    The FILTER is a part of the value, CASE WHEN filter THEN x END, and rows where that is NULL are left out: so the
    other keys have the same values and spellings as in the fragment itself.
    """
    call = aside.call
    value: Expr = call.within[0].expr
    if call.filter is not None:
        value = Case(None, ((call.filter, value),), None, call.start, call.end)
    there: Expr = IsTest(value, "null", True, call.start, call.end)
    where = there if fragment.where is None else Op("and", (fragment.where, there), call.start, call.end)
    width = len(fragment.keys)
    made = replace(
        fragment,
        where=where,
        keys=(*fragment.keys, value),
        key_texts=(*fragment.key_texts, aside.text),
        aggregates=(Call("count", (), call.start, call.end, star=True),),
        aggregate_texts=("count(*)",),
        grouped=True,
        describe_sql="",
    )
    types = dict(zip((c.start for c in fragment.aggregates), outputs[width:], strict=True))
    return made, [*outputs[:width], types[call.start], OutputType("bigint", None)]


def largest_sql(text: str, answer: Answer, output: OutputType) -> str:
    """The first of the values in the array `text`, in PostgreSQL's own order of their type; the last where the order is
    descending, as in PostgreSQL's mode()."""
    assert isinstance(answer.computed, Largest)
    collate = f" COLLATE {output.collation}" if output.collation is not None else ""
    order = f"x.v{collate}{' DESC' if answer.computed.descending else ''}"
    return f"(SELECT x.v FROM pg_catalog.unnest(({text})::{output.sql}[]) AS x(v) ORDER BY {order} LIMIT 1)"
