"""Reads the suite's statements and compares the gate's answers with PostgreSQL's, byte by byte.

A file holds cases, each under a heading `=== name | $1 int4 = 30 | $2 text = free`. Rows are compared in order where
the statement ends in an ORDER BY of its own, as a bag otherwise. A heading `=== [later] name` marks a case that is to
be answered and is refused so far; `[wrong]` one whose answer differs so far, which is a defect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import generators, pq, waiting

TYPES = {"bool": 16, "int8": 20, "int2": 21, "int4": 23, "text": 25, "float8": 701, "date": 1082, "timestamp": 1114,
         "timestamptz": 1184, "interval": 1186, "numeric": 1700, "uuid": 2950, "_int4": 1007, "_text": 1009,
         "unknown": 0}  # fmt: skip
FIRST_USER_OID = 16384
_MARK = re.compile(r"\[(later|wrong)\] ")
_HEADING = re.compile(r"^=== (.*)\n", re.MULTILINE)
_PARAMETER = re.compile(r"\$(\d+) (\w+) = (.*)\Z", re.DOTALL)


@dataclass(frozen=True)
class Case:
    name: str
    sql: str
    params: tuple[tuple[int, str | None], ...]  # (type's object id, text)
    mark: str = ""  # later, wrong

    @property
    def database(self) -> str:
        """The fixture of its data, by the name of its file."""
        theme = self.name.partition(":")[0]
        return next((known for known in ("flights", "tpch") if theme.startswith(known)), "product")

    @property
    def ordered(self) -> bool:
        return bool(re.search(r"\border\s+by\b", _outermost(self.sql), re.IGNORECASE))


@dataclass(frozen=True)
class Answer:
    """Everything of a result that a client sees: per column (name, type, typmod, format), rows as bytes, the tag.

    A type is its object id; a user's own type is its name, since its object id is each database's own.
    """

    columns: tuple[tuple[str, int | str, int, int], ...]
    rows: tuple[tuple[bytes | None, ...], ...]
    tag: str


def cases_of(path: Path) -> list[Case]:
    pieces = _HEADING.split(path.read_text())
    assert not pieces[0].strip(), f"{path.name} starts without a heading"
    return [_case(path.stem, *pair) for pair in zip(pieces[1::2], pieces[2::2], strict=True)]


def _case(theme: str, heading: str, sql: str) -> Case:
    name, *rest = heading.split(" | ")
    params = []
    for i, part in enumerate(rest, start=1):
        found = _PARAMETER.match(part)
        assert found is not None and int(found[1]) == i, f"{theme}: {heading}"
        params.append((TYPES[found[2]], None if found[3] == "NULL" else found[3]))
    mark = _MARK.match(name)
    name = _MARK.sub("", name, count=1)
    return Case(f"{theme}: {name}", sql.rstrip("\n"), tuple(params), mark[1] if mark else "")


def answered_now(folder: Path, case: Case) -> None:
    """Take the mark off the case's heading in its file."""
    theme, name = case.name.split(": ", 1)
    path = folder / f"{theme}.sql"
    path.write_text(path.read_text().replace(f"=== [{case.mark}] {name}", f"=== {name}", 1))


def _outermost(sql: str) -> str:
    """The text outside of brackets and quotes."""
    sql = re.sub(r"'[^']*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/", "", sql, flags=re.DOTALL)
    before = ""
    while sql != before:
        before, sql = sql, re.sub(r"\([^()]*\)", "", sql)
    return sql


def simple(connection: psycopg.Connection, case: Case) -> Answer:
    """The simple protocol; text only, no parameters."""
    return _answer(connection, connection.pgconn.exec_(case.sql.encode()), case)


def extended(connection: psycopg.Connection, case: Case, binary: bool) -> Answer:
    return _answer(connection, _extended(connection, case, binary), case)


def refusal(connection: psycopg.Connection, case: Case) -> str | None:
    """The SQLSTATE that the case meets; None where it is answered."""
    result = _extended(connection, case, binary=False)
    code = result.error_field(pq.DiagnosticField.SQLSTATE)
    return None if code is None else code.decode()


def _extended(connection: psycopg.Connection, case: Case, binary: bool) -> pq.abc.PGresult:
    return connection.pgconn.exec_params(
        case.sql.encode(),
        [None if text is None else text.encode() for _, text in case.params],
        param_types=[oid for oid, _ in case.params],
        result_format=pq.Format.BINARY if binary else pq.Format.TEXT,
    )


def described(connection: psycopg.Connection, case: Case) -> tuple[tuple[str, int | str, int], ...]:
    """The columns as Describe of a prepared statement gives them."""
    types = [oid for oid, _ in case.params]
    made = connection.pgconn.prepare(b"described", case.sql.encode(), types)
    assert made.status == pq.ExecStatus.COMMAND_OK, made.error_message.decode()
    connection.pgconn.send_describe_prepared(b"described")  # the blocking call would hold up a gate in this process
    result = waiting.wait(generators.execute(connection.pgconn), connection.pgconn.socket)[-1]
    columns = tuple(
        (_name(result, i), _type(connection, result.ftype(i)), result.fmod(i)) for i in range(result.nfields)
    )
    connection.pgconn.exec_(b"DEALLOCATE described")
    return columns


def _name(result: pq.abc.PGresult, i: int) -> str:
    return (result.fname(i) or b"").decode()


def _type(connection: psycopg.Connection, oid: int) -> int | str:
    if oid < FIRST_USER_OID:
        return oid
    row = connection.execute("SELECT format_type(%s, NULL)", [oid]).fetchone()
    return str(row[0]) if row is not None else oid


def _answer(connection: psycopg.Connection, result: pq.abc.PGresult, case: Case) -> Answer:
    assert result.status == pq.ExecStatus.TUPLES_OK, result.error_message.decode()
    width = range(result.nfields)
    columns = tuple(
        (_name(result, i), _type(connection, result.ftype(i)), result.fmod(i), int(result.fformat(i))) for i in width
    )
    rows = [tuple(result.get_value(r, i) for i in width) for r in range(result.ntuples)]
    if not case.ordered:
        rows.sort(key=repr)
    return Answer(columns, tuple(rows), (result.command_status or b"").decode())
