"""Every refusal has its exact words, place and code in a golden file, and every rule of a plan has its EXPLAIN in one.

`pytest tests/golden --update-golden` writes the files anew; the change is then read line by line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from golden.files import ANSWERED, FOLDER, Case, cases_of, digest, plan, preface_of, refusal, rewrite
from noisegate.room.embedded import EmbeddedServer
from support.gates import RunningGate, policy_from, running_gate
from support.servers import new_database

REFUSALS = sorted((FOLDER / "refusals").glob("*.txt"))
ANSWERS = sorted((FOLDER / "answers").glob("*.txt"))
PLANS = sorted((FOLDER / "plans").glob("*.txt"))


@pytest.fixture(scope="module")
def gate(data_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGate]:
    dsn = new_database(data_server, (FOLDER / "shop.sql").read_text())
    policy = policy_from((FOLDER / "shop.yaml").read_text(), dsn)
    with running_gate(policy, tmp_path_factory.mktemp("state"), ("alice", "poor", "pure")) as running:
        yield running


@pytest.fixture(scope="module")
def cheap(data_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGate]:
    """The same shop, where a statement costs little of what there is."""
    text = (FOLDER / "shop.yaml").read_text().replace("epsilon: 10,", "epsilon: 100000,")
    text = text.replace("dataset: {epsilon: 100,", "dataset: {epsilon: 100000,")
    policy = policy_from(text, new_database(data_server, (FOLDER / "shop.sql").read_text()))
    with running_gate(policy, tmp_path_factory.mktemp("state")) as running:
        yield running


def check(gate: RunningGate, path: Path, outcome: Callable[[psycopg.Connection, Case], str], update: bool) -> None:
    cases = cases_of(path)
    found = []
    with ExitStack() as stack:
        sessions: dict[str, psycopg.Connection] = {}
        for case in cases:
            if case.setup or case.analyst not in sessions:
                sessions[case.analyst] = stack.enter_context(gate.connect(case.analyst))
            found.append(outcome(sessions[case.analyst], case))
            if case.setup:
                del sessions[case.analyst]
    if update:
        rewrite(path, found)
    assert ANSWERED not in found
    assert found == [case.expected for case in cases_of(path)]


@pytest.mark.parametrize("path", REFUSALS, ids=lambda path: path.stem)
def test_refusals(gate: RunningGate, path: Path, update_golden: bool) -> None:
    check(gate, path, refusal, update_golden)


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.stem)
def test_answers(cheap: RunningGate, path: Path, update_golden: bool) -> None:
    """Each is answered in fact, at a small price; the refusals of the rule stand beside them."""
    check(cheap, path, digest, update_golden)


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plans(gate: RunningGate, path: Path, update_golden: bool) -> None:
    check(gate, path, plan, update_golden)


WHOLE = re.compile(r"\bSELECT .* FROM [^;]*[^.;]")


def test_hints_that_are_statements_pass(cheap: RunningGate) -> None:
    """SQL that a refusal names is answered, where it is a whole statement."""
    refused = [case for path in (*REFUSALS, *ANSWERS) for case in cases_of(path) if "HINT:" in case.expected]
    hinted = {(WHOLE.findall(c.expected.partition("HINT:")[2]) or [""])[0]: c for c in refused}
    whole = [s for s in hinted if s and "..." not in s and "(the " not in s and s.count("(") == s.count(")")]
    assert len(whole) >= 7
    with cheap.connect() as connection:
        for sql in whole:
            assert refusal(connection, replace(hinted[sql], setup=(), sql=sql)) == ANSWERED, sql


def test_there_are_as_many_as_promised() -> None:
    refused = [case for path in REFUSALS for case in cases_of(path)]
    assert len(refused) >= 100
    assert len({(case.analyst, case.setup, case.sql) for case in refused}) == len(refused)
    assert sum(len(cases_of(path)) for path in PLANS) >= 15
    answered = [case for path in ANSWERS for case in cases_of(path) if "private table" in case.expected]
    assert len(answered) >= 80
    assert all(preface_of(path).startswith("# ") for path in ANSWERS)


def test_no_refusal_charges(gate: RunningGate) -> None:
    """Everything in these files is decided from text, policy and catalog: nobody has paid for it."""
    with gate.connect("pure") as connection:
        first = connection.execute("EXPLAIN SELECT count(*) FROM users").fetchall()[-1]
    assert first == ("Budget left after it: epsilon 9.5, delta 0",)
