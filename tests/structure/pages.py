"""The parts of the docs that are made from the code and the golden files.

To write them: PYTHONPATH=tests python tests/structure/pages.py
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from textwrap import wrap

from golden.files import FOLDER, Case, cases_of, preface_of
from noisegate.query.total import ROWS

SQL_PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
_START = "<!-- total functions: written by tests/structure/pages.py -->\n"
_EXAMPLES = "<!-- examples: written by tests/structure/pages.py from tests/golden -->\n"
_END = "<!-- end -->"
RULES = (
    "aggregates quantiles keys expressions joins chains nested per_unit windows predicates lateral givens "
    "set_operations grouping_sets clients"
).split()
_ERROR = re.compile(r"(?P<code>[0-9A-Z]{5})(?: at \d+ \((?P<word>.*?)\))?: (?P<message>.*)")
_OWN = frozenset(("42501", "0A000", "22003", "54001"))
_CLAUSE = re.compile(r" (?=(?:FROM|WHERE|GROUP BY|HAVING|ORDER BY|LIMIT|UNION|(?:LEFT |NATURAL |CROSS )?JOIN|SELECT) )")
_WIDTH = 116  # of the lines of the page


def total_functions() -> str:
    """The table of total functions; names that mean the same under the same conditions share a line."""
    rows: dict[tuple[str, str], list[str]] = {}
    for row in ROWS:
        names = rows.setdefault((row.arguments, row.guard), [])
        if row.name not in names:
            names.append(row.name)
    lines = ["| | arguments | in which form |", "|---|---|---|"]
    for (arguments, guard), names in rows.items():
        lines.append(f"| {' '.join(f'`{_cell(n)}`' for n in names)} | {_cell(arguments)} | {_cell(guard)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def examples() -> str:
    """For each rule a title, sentences, what is answered, and what is refused and why."""
    return "\n".join(_rule(FOLDER / "answers" / f"{name}.txt") for name in RULES)


def _rule(path: Path) -> str:
    title, _, text = preface_of(path).strip().partition("\n")
    blocks = [_answered(c) if _refused(c) is None else _explained(c) for c in cases_of(path)]
    code = "```sql\n" + "\n\n".join(blocks) + "\n```"
    return f"### {title.removeprefix('# ')}\n\n{text}\n\n{code}\n"


def _refused(case: Case) -> re.Match[str] | None:
    return _ERROR.match(case.expected)


def _answered(case: Case) -> str:
    return "\n".join([*_comment(case.why), *_statement(case.sql)])


def _explained(case: Case) -> str:
    """The statement, then its error as psql shows it, in comments."""
    error = _refused(case)
    assert error is not None
    place = f" at {error['word']}" if error["word"] else ""
    lines = [f"{error['code']}{place}: {error['message']}", *case.expected.splitlines()[1:]]
    return "\n".join(
        [*_comment(case.why), *_statement(case.sql), *(x for line in lines for x in _comment(line, "-->"))]
    )


def _comment(text: str, mark: str = "--") -> list[str]:
    return wrap(text, _WIDTH, initial_indent=f"{mark} ", subsequent_indent=f"{mark}   ", break_long_words=False)


def _statement(sql: str) -> list[str]:
    """The statement; where it is long, its clauses stand on lines of their own."""
    if len(sql) < _WIDTH:
        return [f"{sql};"]
    ends = [0, *(m.start() for m in _CLAUSE.finditer(sql) if _depth(sql[: m.start()]) == 0), len(sql)]
    clauses = [sql[a:b].strip() for a, b in pairwise(ends) if a < b]
    lines = [
        line
        for c in clauses
        for line in wrap(c, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    ]
    return [*lines[:-1], f"{lines[-1]};"]


def _depth(text: str) -> int:
    return text.count("(") - text.count(")")


def refusals() -> str:
    """Every other refusal of noisegate's own, one line for each reason."""
    lines = ["| asked | refused, because | instead |", "|---|---|---|"]
    seen = {_reason(c) for name in RULES for c in cases_of(FOLDER / "answers" / f"{name}.txt")}
    for path in sorted((FOLDER / "refusals").glob("*.txt")):
        for case in cases_of(path):
            error = _refused(case)
            if error is not None and error["code"] in _OWN and _reason(case) not in seen and len(case.sql) <= 200:
                seen.add(_reason(case))
                lines.append(_row(case))
    return "\n".join(lines) + "\n"


def _reason(case: Case) -> str:
    """The words of an error that the statement does not have: one line stands for all names."""
    asked = set(re.findall(r"\w+", case.sql.lower()))
    message = case.expected.splitlines()[0].partition(": ")[2]
    return " ".join(w for w in re.findall(r"\w+", message.lower()) if w not in asked and not w.isdigit())


def _row(case: Case) -> str:
    error = _refused(case)
    assert error is not None
    rest = dict(line.split(": ", 1) for line in case.expected.splitlines()[1:])
    why = f"{error['message']} ({error['code']})" + (f". {rest['DETAIL']}" if "DETAIL" in rest else "")
    asked = " ".join([*(f"{s};" for s in case.setup), case.sql.replace("\n", " ")])
    return f"| `{_cell(asked)}` | {_cell(why)} | {_cell(rest.get('HINT', ''))} |"


def with_generated(page: str) -> str:
    """Raises ValueError where the page has no place for a generated part."""
    page = _between(page, _EXAMPLES, f"{examples()}\n### All other refusals\n\n{refusals()}")
    return _between(page, _START, total_functions())


def _between(page: str, start: str, text: str) -> str:
    head, found, rest = page.partition(start)
    _, end, tail = rest.partition(_END)
    if not found or not end:
        raise ValueError(f"docs/sql.md has no place for: {start}")
    return f"{head}{start}\n{text}\n{_END}{tail}"


def spelled_names(page: str) -> set[str]:
    return {name.replace("\\|", "|") for name in re.findall(r"`([^`\n]+)`", page)}


if __name__ == "__main__":
    SQL_PAGE.write_text(with_generated(SQL_PAGE.read_text()))
