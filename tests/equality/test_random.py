"""Statements that nobody thought of: each is answered as PostgreSQL answers it, or refused cleanly.

RANDOM_STATEMENTS sets how many (`make random`: 10,000, new ones each time); without it a few, the same each time.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equality.conftest import Pair
from equality.grammar import statements
from equality.grammar_nested import chain_statements, nested_statements

ASKED = int(os.environ.get("RANDOM_STATEMENTS", "0"))
IN_CI = {"product": 100, "tpch": 15}
REFUSALS = {"0A000", "42501", "22003"}  # not yet; never; not without bounds


def test_random_statements(product: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    ask(product, st.one_of(statements(), nested_statements()), ASKED or IN_CI["product"], capsys)


def test_random_statements_over_chains_of_keys(tpch: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    ask(tpch, chain_statements(), ASKED // 10 or IN_CI["tpch"], capsys)


def ask(pair: Pair, grammar: st.SearchStrategy[str], how_many: int, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes: Counter[str] = Counter()

    @settings(
        max_examples=how_many, derandomize=not ASKED, deadline=None, database=None, print_blob=False,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(grammar)
    def same_or_refused(sql: str) -> None:
        outcomes[compare(pair, sql)] += 1

    same_or_refused()
    with capsys.disabled():
        if ASKED:
            print(f"\n{dict(outcomes)}")
    assert outcomes["coarse"] <= 0.01 * outcomes.total(), outcomes
    assert outcomes["answered"] >= 0.8 * outcomes.total(), outcomes


def compare(pair: Pair, sql: str) -> str:
    """'answered', 'coarse' where it differs as sums over wide bounds do, or the SQLSTATE of the refusal. Raises
    AssertionError where the answers differ otherwise."""
    truth = pair.truth.execute(sql.encode()).fetchall()
    try:
        answer = pair.gate.execute(sql.encode()).fetchall()
    except psycopg.Error as refusal:
        assert refusal.sqlstate in REFUSALS, f"{refusal}\n{sql}"
        assert pair.gate.execute("SELECT 1").fetchone() == (1,)
        return str(refusal.sqlstate)
    if "ORDER BY" not in sql.rpartition(")")[2]:
        truth, answer = sorted(truth, key=repr_of), sorted(answer, key=repr_of)
    if len(answer) == len(truth) and all(map(alike, answer, truth)):
        return "answered"
    explained = [line for (line,) in pair.gate.execute(b"EXPLAIN " + sql.encode()).fetchall()]
    assert any("(coarse, for wide bounds)" in line for line in explained), f"{sql}\n{answer[:9]}\n{truth[:9]}"
    return "coarse"  # docs/exceptions.md


def repr_of(row: tuple[Any, ...]) -> str:
    """Rows in one order whatever the spelling of their numbers."""
    return repr([f"{float(x):.6g}" if isinstance(x, int | float | Decimal) else str(x) for x in row])


def alike(row: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(row) == len(other) and all(map(same, row, other))


def same(x: Any, y: Any) -> bool:
    """Values, not spellings: the case files compare bytes."""
    if isinstance(x, float | Decimal) or isinstance(y, float | Decimal):
        return x is not None and y is not None and math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-9)
    return bool(x == y)
