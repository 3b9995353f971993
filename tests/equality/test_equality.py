"""At a price that leaves no noise, the gate's answer is PostgreSQL's: rows, names, types, typmods, formats, tags.

Claim: splitting, bounding, grids and recombination change nothing but what docs/exceptions.md names.
"""

from __future__ import annotations

import pytest

from equality.conftest import Pair
from equality.databases import FOLDER
from equality.runner import Case, cases_of, described, extended, simple

CASES = [case for path in sorted((FOLDER / "cases").glob("*.sql")) for case in cases_of(path)]


def named(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name.replace(" ", "-"))


def check(pair: Pair, case: Case) -> None:
    if not case.params:
        assert simple(pair.gate, case) == simple(pair.truth, case)
    for binary in (False, True):
        assert extended(pair.gate, case, binary) == extended(pair.truth, case, binary)
    assert described(pair.gate, case) == described(pair.truth, case)


@named([case for case in CASES if not case.name.startswith("flights")])
def test_product(product: Pair, case: Case) -> None:
    check(product, case)


@named([case for case in CASES if case.name.startswith("flights")])
def test_flights(flights: Pair, case: Case) -> None:
    check(flights, case)


def test_the_suite_is_as_large_as_promised() -> None:
    assert len(CASES) >= 160
    assert len({case.sql for case in CASES}) == len(CASES)
    assert sum(bool(case.params) for case in CASES) >= 25
