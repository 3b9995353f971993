"""The tour as it is shown: each question's SQL, its true answer beside its private one, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import psycopg
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from noisegate.cli.state import plain
from noisegate.demo.tour import Question, Tour

Row = tuple[Any, ...]
NOT_SHOWN = "not shown"


def show_tour(tour: Tour, true_dsn: str, private_dsn: str, out: Console) -> None:
    """Ask every question twice: the data itself, which the demo owns, and the gate. Blocking.

    Raises psycopg.Error where the gate does not answer.
    """
    with psycopg.connect(true_dsn, autocommit=True) as true, psycopg.connect(private_dsn, autocommit=True) as private:
        notices: list[str] = []
        private.add_notice_handler(lambda d: notices.append(d.message_primary or ""))
        for number, question in enumerate(tour.questions, start=1):
            notices.clear()
            _show_question(number, question, _ask(true, question.sql), _ask(private, question.sql), out)
            for notice in notices:
                out.print(plain(f"NOTICE:  {notice}", "cyan"), soft_wrap=True)
            out.print()
        _show_refusal(tour.refused, private, out)


def _ask(connection: psycopg.Connection[Row], query: str) -> tuple[list[str], list[Row]]:
    cursor = connection.execute(query.encode())
    return [c.name for c in cursor.description or ()], cursor.fetchall()


def _show_question(
    number: int,
    question: Question,
    true: tuple[list[str], list[Row]],
    private: tuple[list[str], list[Row]],
    out: Console,
) -> None:
    out.print(Text(f"{number}. {question.title}", style="bold"))
    _show_sql(question.sql, out)
    out.print(_table(question.keys, true[0], true[1], private[1]))
    out.print(Text(question.look, style="italic"), soft_wrap=True)


def _show_sql(query: str, out: Console) -> None:
    text = Syntax(query, "sql", theme="ansi_dark").highlight(query.rstrip() + ";")
    text.rstrip()
    for line in text.split("\n"):
        out.print(Text("  ") + line, soft_wrap=True)


def _table(keys: int, names: Sequence[str], true: Sequence[Row], private: Sequence[Row]) -> Table:
    """One row per group that the true answer has, in its order, then groups that only noise put there."""
    table = Table(box=None, padding=(0, 1), show_edge=False, pad_edge=True)
    for name in names[:keys]:
        table.add_column(name, no_wrap=True)
    for name in names[keys:]:
        table.add_column(f"{name}, true", justify="right", style="dim", no_wrap=True)
        table.add_column("private", justify="right", style="green", no_wrap=True)
    shown = {row[:keys]: row[keys:] for row in private}
    real = {row[:keys]: row[keys:] for row in true}
    for key in [*real, *(key for key in shown if key not in real)]:
        cells = [_cell(part) for part in key]
        for i in range(len(names) - keys):
            cells.append(_cell(real[key][i]) if key in real else "")
            cells.append(_cell(shown[key][i]) if key in shown else NOT_SHOWN)
        table.add_row(*(plain(cell) for cell in cells))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    return f"{value:,}" if isinstance(value, int | Decimal) else str(value)


def _show_refusal(query: str, private: psycopg.Connection[Row], out: Console) -> None:
    out.print(Text("And rows? Never.", style="bold"))
    _show_sql(query, out)
    try:
        private.execute(query.encode())
    except psycopg.Error as error:
        out.print(plain(f"ERROR:  {error.diag.message_primary}", "red"), soft_wrap=True)
        if error.diag.message_hint:
            out.print(plain(f"HINT:  {error.diag.message_hint}"), soft_wrap=True)
        out.print()
    else:
        raise AssertionError("a question about rows was answered")
