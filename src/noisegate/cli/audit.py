"""noisegate audit: read and check the log."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from noisegate.cli.state import (
    FAILED,
    Commands,
    JsonOption,
    LedgerOption,
    StateOption,
    console,
    ledger_at,
    plain,
    print_json,
)
from noisegate.errors import BadSetting, LedgerFailed
from noisegate.ledger import audit
from noisegate.ledger.audit import Head, Problem, Record
from noisegate.ledger.interface import Ledger

app = typer.Typer(cls=Commands, no_args_is_help=True, help="The audit log: read it and check that it is whole.")

FOLLOW_EVERY_S = 0.5
STYLES = {"asked": "green", "ended": "dim", "refused": "yellow", "grant": "magenta", "user": "magenta"}


@app.command()
def tail(
    state: StateOption,
    place: LedgerOption = None,
    number: Annotated[int, typer.Option("--number", "-n", min=0, help="How many records.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing records as they come.")] = False,
    analyst: Annotated[str | None, typer.Option("--analyst", help="Only this analyst's records.")] = None,
    event: Annotated[
        str | None, typer.Option("--event", help="Only asked, ended, relayed, refused, grant or user.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for programs.")] = False,
) -> None:
    """Print the last records, one line each."""
    ledger = ledger_at(state, place)
    wanted = {name: value for name, value in (("analyst", analyst), ("event", event)) if value is not None}
    last = ledger.head().count
    records = deque(_matching(ledger, 0 if wanted else max(last - number, 0), wanted), maxlen=number)
    seen = max(last, records[-1].id if records else 0)
    _print_lines(records, as_json)
    while follow:
        time.sleep(FOLLOW_EVERY_S)
        for record in _matching(ledger, seen, wanted):
            _print_lines([record], as_json)
        seen = max(seen, ledger.head().count)


@app.command()
def show(
    record: Annotated[int, typer.Argument(metavar="RECORD", min=1, help="Number of the record.")],
    state: StateOption,
    place: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print one record with its text, parameters, plan and price, and the other record of its statement."""
    ledger = ledger_at(state, place)
    first = next(ledger.records(after=record - 1), None)
    if first is None or first.id != record:
        raise BadSetting(f"there is no record {record}")
    receipt = _read(first).get("receipt")
    records = [first, *(r for r in ledger.related(receipt) if r.id != record)] if receipt else [first]
    if as_json:
        print_json([_read(r) | {"hash": r.hash.hex()} for r in records])
        return
    for one in records:
        table = Table("field", "value", title=f"record {one.id}", show_header=False, title_justify="left")
        for name, value in _fields(_read(one) | {"hash": one.hash.hex()}):
            table.add_row(name, plain(value))
        console().print(table)


@app.command()
def verify(
    state: StateOption,
    place: LedgerOption = None,
    head: Annotated[
        str | None,
        typer.Option(
            "--head", metavar="COUNT:HASH", help="A head that an earlier verify printed; it must still stand."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that no record was changed, removed or moved, and that the accounts are the sums of their charges.

    Prints the head of the log. Noted elsewhere and given back as --head, it shows whether the end was cut off later.
    Exit code 1 where anything is wrong.
    """
    noted = None if head is None else _parse_head(head)
    ledger = ledger_at(state, place)
    problems = _verify(ledger)
    if noted is not None and not problems and not audit.holds(ledger.records(), noted):
        problems.append(Problem(None, f"the log does not pass through the head {noted}"))
    now = None if problems else ledger.head()
    if as_json:
        found = [{"record": p.record, "what": p.what} for p in problems]
        print_json({"whole": not problems, "head": None if now is None else str(now), "problems": found})
    else:
        for problem in problems:
            console().print(plain(str(problem), "red"))
        console().print(
            plain(f"{len(problems)} problems", "bold red")
            if now is None
            else plain(f"whole: {now.count} records\nhead {now}", "green")
        )
    if problems:
        raise typer.Exit(FAILED)


def _verify(ledger: Ledger) -> list[Problem]:
    try:
        return ledger.verify()
    except LedgerFailed as failure:
        return [Problem(None, f"{failure.message}: {failure.detail}")]


def _parse_head(text: str) -> Head:
    if not re.fullmatch(r"[0-9]{1,18}:[0-9a-f]{64}", text):
        raise BadSetting("--head must be a head that verify printed, COUNT:HASH")
    count, digest = text.split(":")
    return Head(int(count), bytes.fromhex(digest))


def _matching(ledger: Ledger, after: int, wanted: Mapping[str, str]) -> Iterator[Record]:
    for record in ledger.records(after):
        values = _read(record) if wanted else {}
        if all(values.get(name) == value for name, value in wanted.items()):
            yield record


def _read(record: Record) -> dict[str, Any]:
    """The fields; of a record that was damaged, that it was."""
    try:
        return record.values
    except ValueError:
        return {"id": record.id, "event": "damaged", "sql": record.body}


def _print_lines(records: Iterator[Record] | deque[Record] | list[Record], as_json: bool) -> None:
    if as_json:
        for record in records:
            print(audit.canonical(_read(record) | {"hash": record.hash.hex()}), flush=True)
        return
    out = console()
    for record in records:
        values = _read(record)
        event = str(values.get("event", ""))
        line = plain(f"{record.id:>7} {str(values.get('time', ''))[:19]} ")
        line.append_text(plain(f"{event:<8}", STYLES.get(event, "")))
        line.append_text(plain(f"{values.get('analyst') or values.get('operator', '')} ", "cyan"))
        line.append_text(plain(_summary(values)))
        out.print(line, no_wrap=True, overflow="ellipsis", crop=True)


def _summary(values: Mapping[str, Any]) -> str:
    price = values.get("price") or {}
    parts = (
        f"epsilon {price.get('epsilon')}" if price else "",
        ", ".join(values.get("accounts", ())) if values.get("event") == "grant" else "",
        values.get("decision", ""),
        values.get("outcome", ""),
        f"{values['duration_us'] / 1000:.1f} ms" if "duration_us" in values else "",
        " ".join(str(values.get("sql", "")).split()),
        values.get("reason", ""),
    )
    return "  ".join(str(part) for part in parts if part)


def _fields(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    order = ("id", "time", "event", "analyst", "operator", "database", "client_address", "application_name", "decision")
    for name in (*order, *sorted(values.keys() - set(order))):
        if name in values:
            yield name, _shown(values[name])


def _shown(value: Any) -> str:
    match value:
        case dict():
            return ", ".join(f"{name} {part}" for name, part in sorted(value.items()))
        case list():
            return "\n".join("NULL" if part is None else str(part) for part in value)
    return str(value)
