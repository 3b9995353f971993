"""Golden files: cases under headings, each with the statement and, below a line of dashes, what came of it.

    === why
    > a statement that prepares the session, if any
    SELECT * FROM users
    ---
    42501 at 8 (*): rows of table users are private
    DETAIL: ...
    HINT: ...

Answers have the EXPLAIN lines that matter below the dashes, and their file starts with a title and a few sentences, of
which docs/sql.md is made. `as poor` at the end of a heading, behind a bar, names the analyst who asks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import pq

FOLDER = Path(__file__).parent
RULE = "---"
ANSWERED = "answered"
_HEADING = re.compile(r"^=== (.*)\n", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    why: str
    analyst: str
    setup: tuple[str, ...]
    sql: str
    expected: str

    def text(self, outcome: str) -> str:
        heading = self.why + (f" | as {self.analyst}" if self.analyst != "alice" else "")
        setup = "".join(f"> {line}\n" for line in self.setup)
        return f"=== {heading}\n{setup}{self.sql}\n{RULE}\n{outcome}\n"


def preface_of(path: Path) -> str:
    """What stands above the first case: a title, and sentences; in files of answers only."""
    return _HEADING.split(path.read_text())[0]


def cases_of(path: Path) -> list[Case]:
    pieces = _HEADING.split(path.read_text())
    assert not pieces[0].strip() or pieces[0].startswith("# "), f"{path.name} starts without a heading"
    return [_case(*pair) for pair in zip(pieces[1::2], pieces[2::2], strict=True)]


def _case(heading: str, body: str) -> Case:
    why, _, analyst = heading.partition(" | as ")
    asked, _, expected = body.partition(f"\n{RULE}\n")
    lines = asked.rstrip("\n").split("\n")
    setup = [line[2:] for line in lines if line.startswith("> ")]
    sql = "\n".join(line for line in lines if not line.startswith("> "))
    return Case(why, analyst or "alice", tuple(setup), sql, expected.strip("\n"))


def refusal(connection: psycopg.Connection, case: Case) -> str:
    """Run the case; its error as text, or ANSWERED."""
    for statement in case.setup:
        connection.execute(statement.encode())
    result = connection.pgconn.exec_(case.sql.encode())
    if result.status != pq.ExecStatus.FATAL_ERROR:
        return ANSWERED

    def field(which: pq.DiagnosticField) -> str:
        return (result.error_field(which) or b"").decode()

    place = field(pq.DiagnosticField.STATEMENT_POSITION)
    head = field(pq.DiagnosticField.SQLSTATE) + (f" at {word_at(case.sql, int(place))}" if place else "")
    lines = [f"{head}: {field(pq.DiagnosticField.MESSAGE_PRIMARY)}"]
    for label, which in (
        ("DETAIL", pq.DiagnosticField.MESSAGE_DETAIL),
        ("HINT", pq.DiagnosticField.MESSAGE_HINT),
    ):
        if field(which):
            lines.append(f"{label}: {field(which)}")
    return "\n".join(lines)


def word_at(sql: str, position: int) -> str:
    """Where psql shows its caret: the position, and the word there."""
    found = re.compile(r'\w+|"[^"]*"|\S').search(sql, position - 1)
    return f"{position} ({found[0] if found else ''})"


def plan(connection: psycopg.Connection, case: Case) -> str:
    """EXPLAIN of the case."""
    for statement in case.setup:
        connection.execute(statement.encode())
    return "\n".join(row[0] for row in connection.execute(f"EXPLAIN {case.sql}".encode()))


_LEFT_OUT = ("Private statement", "Group key:", "Expected error", "Budget left")


def digest(connection: psycopg.Connection, case: Case) -> str:
    """What EXPLAIN says of units, bounds, groups and measurements, once the case is answered; else its refusal."""
    refused = refusal(connection, case)
    if refused != ANSWERED:
        return refused
    found: list[str] = []
    in_sql = False
    for line in plan(connection, case).splitlines():
        text = line.strip()
        in_sql = text.startswith("Engine SQL") or (in_sql and line.startswith("      "))
        if not in_sql and not text.startswith(_LEFT_OUT):
            found.append(" " * (2 if line.startswith("      ") else 0) + _PRICES.sub("", text))
    fragments = [line for line in found if line.startswith("Fragment")]
    return "\n".join(line for line in found if len(fragments) > 1 or not line.startswith("Fragment"))


_PRICES = re.compile(r"  \(epsilon .*|[,;] epsilon .*|, \d+% of the price| and a noisy (?:count|weight) of .*")


def rewrite(path: Path, outcomes: list[str]) -> None:
    """Write the file anew, with these outcomes."""
    cases = cases_of(path)
    texts = [case.text(outcome) for case, outcome in zip(cases, outcomes, strict=True)]
    path.write_text(preface_of(path) + "\n".join(texts))
