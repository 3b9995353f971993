"""The 22 queries of TPC-H in their own words: answered and equal to PostgreSQL, relayed, or kept back with a reason.

The customer is the privacy unit. A query in NOT_YET that begins to pass fails the suite until it leaves the list.
"""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from equality.conftest import Pair
from equality.runner import Case, described
from support.tpch_queries import Outcome, Query, queries

PAGE = Path(__file__).parents[2] / "docs" / "tpch.md"
START, END = "<!-- queries: written by tests/equality/test_tpch.py -->", "<!-- end -->"
WORDS = {Outcome.PUBLIC: "relayed", Outcome.ANSWERED: "answered", Outcome.PRIVATE: "kept back"}
TOLERANCE = 1e-6  # of sums on a grid coarser than their decimals
# What keeps each from its outcome.
NOT_YET: dict[int, str] = {}


def cases() -> list[Any]:
    return [
        pytest.param(
            query,
            id=f"Q{query.number}",
            marks=[pytest.mark.xfail(strict=True, reason=NOT_YET[query.number])] if query.number in NOT_YET else [],
        )
        for query in queries()
    ]


@pytest.mark.parametrize("query", cases())
def test_query(tpch: Pair, query: Query) -> None:
    if query.outcome is Outcome.PRIVATE:
        nothing_about_one_customer(tpch, query)
        return
    truth, asked = tpch.truth.execute(query.truth.encode()), tpch.gate.execute(query.sql.encode())
    assert asked.statusmessage == truth.statusmessage
    case = Case(f"Q{query.number}", query.sql, ())
    assert described(tpch.gate, case) == described(tpch.truth, case)
    wanted, got = truth.fetchall(), asked.fetchall()
    assert wanted, "the query should have an answer here"
    if query.coarse:
        assert len(got) == len(wanted) and all(map(alike, got, wanted)), (got, wanted)
    else:
        assert got == wanted


def alike(got: tuple[Any, ...], wanted: tuple[Any, ...]) -> bool:
    return all(map(same, got, wanted))


def same(got: Any, wanted: Any) -> bool:
    if isinstance(got, Decimal) and isinstance(wanted, Decimal):
        return math.isclose(got, wanted, rel_tol=TOLERANCE)
    return bool(got == wanted)


def nothing_about_one_customer(tpch: Pair, query: Query) -> None:
    """Refused for privacy, or no row; either way the session goes on."""
    assert tpch.truth.execute(query.sql.encode()).fetchall(), "PostgreSQL should have something to hide"
    try:
        rows = tpch.gate.execute(query.sql.encode()).fetchall()
    except psycopg.Error as refusal:
        assert refusal.sqlstate == "42501", refusal
        assert refusal.diag.message_hint, "a refusal names a way out"
    else:
        assert rows == []
    assert tpch.gate.execute("SELECT 1").fetchone() == (1,)


def test_the_page_says_what_becomes_of_each(update_golden: bool) -> None:
    head, _, rest = PAGE.read_text().partition(START)
    _, _, tail = rest.partition(END)
    wanted = f"{head}{START}{table()}{END}{tail}"
    if update_golden:
        PAGE.write_text(wanted)
    assert PAGE.read_text() == wanted, "pytest tests/equality/test_tpch.py --update-golden writes the table"
    assert NOT_YET.keys() <= {query.number for query in queries()}


def table() -> str:
    rows = [f"| {query.number} | {WORDS[query.outcome]} | {query.why} | {so_far(query)} |" for query in queries()]
    return "\n\n| query | | why | so far |\n|---|---|---|---|\n" + "\n".join(rows) + "\n\n"


def so_far(query: Query) -> str:
    return f"refused: {NOT_YET[query.number]}" if query.number in NOT_YET else ""
