"""At a price that leaves no noise, the gate's answer is PostgreSQL's: rows, names, types, typmods, formats, tags.

Claim: splitting, bounding, grids and recombination change nothing but what docs/exceptions.md names.
A case marked `[later]` must be refused cleanly; one that is answered and differs fails. Marked `[wrong]`, it has to
differ. `pytest tests/equality --update-golden` takes the marks off those that have become answered and equal.
"""

from __future__ import annotations

import pytest

from equality.conftest import Pair
from equality.databases import FOLDER
from equality.runner import Case, answered_now, cases_of, described, extended, refusal, simple

CASES = [case for path in sorted((FOLDER / "cases").glob("*.sql")) for case in cases_of(path)]
REFUSALS = {"0A000", "42501", "22003"}  # not yet; never; not without bounds


@pytest.fixture
def pair(case: Case, request: pytest.FixtureRequest) -> Pair:
    found = request.getfixturevalue(case.database)
    assert isinstance(found, Pair)
    return found


def named(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name.replace(" ", "-"))


def check(pair: Pair, case: Case) -> None:
    if not case.params:
        assert simple(pair.gate, case) == simple(pair.truth, case)
    for binary in (False, True):
        assert extended(pair.gate, case, binary) == extended(pair.truth, case, binary)
    assert described(pair.gate, case) == described(pair.truth, case)


@named([case for case in CASES if not case.mark])
def test_answered(pair: Pair, case: Case) -> None:
    check(pair, case)


@named([case for case in CASES if case.mark == "later"])
def test_refused_so_far(pair: Pair, case: Case, update_golden: bool) -> None:
    assert extended(pair.truth, case, binary=False).rows, "the case should have an answer"
    sqlstate = refusal(pair.gate, case)
    if sqlstate is None:
        check(pair, case)
        unmarked(case, update_golden)
        return
    assert sqlstate in REFUSALS
    assert pair.gate.execute("SELECT 1").fetchone() == (1,), "the session should go on"


@named([case for case in CASES if case.mark == "wrong"])
def test_wrong_so_far(pair: Pair, case: Case, update_golden: bool) -> None:
    assert refusal(pair.gate, case) is None, "refused now: the mark is [later]"
    try:
        check(pair, case)
    except AssertionError as difference:
        pytest.xfail(str(difference).partition("\n")[0])
    unmarked(case, update_golden)


def unmarked(case: Case, update_golden: bool) -> None:
    if not update_golden:
        pytest.fail(f"answered and equal now: --update-golden takes [{case.mark}] off its heading")
    answered_now(FOLDER / "cases", case)


def test_the_suite_is_as_large_as_promised() -> None:
    assert len(CASES) >= 400
    assert len({case.sql for case in CASES}) == len(CASES)
    assert sum(bool(case.params) for case in CASES) >= 25
