"""The parts of the docs that are made from the code. To write them: python tests/structure/pages.py"""

from __future__ import annotations

import re
from pathlib import Path

from noisegate.query.total import ROWS

SQL_PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
_START = "<!-- total functions: written by tests/structure/pages.py -->\n"
_END = "<!-- end -->"


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


def with_table(page: str) -> str:
    """Raises ValueError where the page has no place for it."""
    head, found, rest = page.partition(_START)
    _, end, tail = rest.partition(_END)
    if not found or not end:
        raise ValueError("docs/sql.md has no place for the table of total functions")
    return f"{head}{_START}\n{total_functions()}\n{_END}{tail}"


def spelled_names(page: str) -> set[str]:
    return {name.replace("\\|", "|") for name in re.findall(r"`([^`\n]+)`", page)}


if __name__ == "__main__":
    SQL_PAGE.write_text(with_table(SQL_PAGE.read_text()))
