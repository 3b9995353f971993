"""`noisegate check`: policies against their live databases, before anything is served."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import psycopg
import typer
from psycopg import sql
from rich.console import Console
from rich.text import Text

from noisegate.cli.ledgers import BesideOption, shared_database
from noisegate.cli.state import LedgerOption
from noisegate.errors import PolicyError, Unavailable
from noisegate.policy.check import Finding
from noisegate.policy.check import check as check_one
from noisegate.policy.check_columns import element_base
from noisegate.policy.facts import ColumnFacts, ColumnName, DatabaseFacts, ForeignKeyFacts, TableFacts, TableName
from noisegate.policy.load import LoadedPolicy, load_text, policy_files, read_policy_file, same_names
from noisegate.policy.model import Policy
from noisegate.policy.names import split_table
from noisegate.policy.source import KeyPath
from noisegate.room.catalog_sql import COMMENTS_SQL, FACTS_SQL
from noisegate.room.source import load_snapshot

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

Connection = psycopg.Connection[Any]

_NAMES_SQL: Final = """
SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY 1, 2
"""
_RIGHTS_SQL: Final = """
SELECT has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT'),
       has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text AND c.relname = $2::text
"""
_USER_SQL: Final = "SELECT current_user::text, rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
_PG_INPUT_IS_VALID: Final = 160000  # the version of PostgreSQL that has this function
_STYLES: Final = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_PLACE: Final = re.compile(r"(?P<file>.*?):(?P<line>\d+): (?P<text>.*)", re.DOTALL)


@app.command()
def check(
    policies: Annotated[Path, typer.Argument(help="A policy file, or a folder of them.")] = Path("policies"),
    place: LedgerOption = None,
    beside_data: BesideOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare policies with their live databases. Ends with exit code 2 where a policy cannot be served.

    Where a ledger on PostgreSQL is named, it must be in none of these databases.
    """
    loaded, findings = check_policies(policies, os.environ)
    findings += shared_database(loaded, place, beside_data=beside_data)
    wrong = any(finding.severity == "error" for finding in findings)
    if as_json:
        typer.echo(json.dumps({"ok": not wrong, "findings": [_plain(finding) for finding in findings]}, indent=2))
    else:
        print_findings(findings, Console())
    if wrong:
        raise typer.Exit(2)


def check_policies(path: Path, env: Mapping[str, str]) -> tuple[tuple[LoadedPolicy, ...], list[Finding]]:
    """Every policy that could be read, and all that there is to say about any. A policy's faults raise nothing."""
    loaded: list[LoadedPolicy] = []
    findings: list[Finding] = []
    try:
        files = policy_files(path)
    except PolicyError as error:
        return (), list(_as_findings(error.problems))
    for file in files:
        one, problems = load_text(str(file), read_policy_file(file), env)
        findings += _as_findings(problems)
        if one is None:
            continue
        loaded.append(one)
        if not problems:
            findings += _against_database(one)
    findings += _as_findings(same_names(loaded))
    return tuple(loaded), findings


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """One paragraph per finding, and a last line that counts them."""
    for finding in findings:
        place = Text(f"{finding.file}:{finding.line}", style="bold")
        label = Text(f"{finding.severity}: ", style=_STYLES[finding.severity])
        console.print(Text.assemble(place, " ", label, finding.text), soft_wrap=True)
    counts = {name: sum(finding.severity == name for finding in findings) for name in ("error", "warning")}
    said = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items())
    style = "bold red" if counts["error"] else "bold green"
    console.print(Text(f"{said}: {'not served' if counts['error'] else 'can be served'}", style=style))


def read_facts(policy: Policy, dsn: str) -> DatabaseFacts:
    """What the server at `dsn` has of the tables that `policy` names. Blocking; reads catalogs only.

    Raises Unavailable: no connection, or the catalog cannot be read. The text is for the operator.
    """
    try:
        with psycopg.connect(dsn, connect_timeout=10, cursor_factory=psycopg.RawCursor) as connection:
            connection.read_only = True
            connection.execute("SELECT set_config('search_path', '', false)")
            return _read(policy, connection)
    except psycopg.ProgrammingError as error:
        if isinstance(error, psycopg.errors.Error) and error.sqlstate:
            raise Unavailable("the catalog cannot be read", detail=_first_line(error)) from error
        raise Unavailable("the DSN cannot be read") from None  # the driver would quote parts of it
    except psycopg.Error as error:
        raise Unavailable("the database cannot be reached", detail=_first_line(error)) from error


def _read(policy: Policy, connection: Connection) -> DatabaseFacts:
    user = connection.execute(_USER_SQL).fetchone() or ("", False)
    found: dict[TableName, TableFacts] = {}
    for key in policy.tables:
        name = split_table(key)
        row = connection.execute(FACTS_SQL, name).fetchone()
        if row is not None:
            found[name] = _table(connection, name, row[0])
    names = tuple((schema, table) for schema, table in connection.execute(_NAMES_SQL))
    return DatabaseFacts(str(user[0]), bool(user[1]), found, names, _refused_values(policy, connection, found))


def _table(connection: Connection, name: TableName, facts: dict[str, Any]) -> TableFacts:
    types = {row[0]: row[3] for row in connection.execute(COMMENTS_SQL, name)}
    rights = connection.execute(_RIGHTS_SQL, name).fetchone() or (False, False)
    return TableFacts(
        columns={column["name"]: _column(column, types[column["name"]]) for column in facts["columns"]},
        keys=tuple(tuple(key["columns"]) for key in facts["keys"]),
        primary=next((tuple(key["columns"]) for key in facts["keys"] if key["primary"]), None),
        foreign_keys=tuple(
            ForeignKeyFacts(
                tuple(key["columns"]), tuple(key["target"]), tuple(key["target_columns"]), bool(key["validated"])
            )
            for key in facts["foreign_keys"]
        ),
        kind=facts["kind"],
        row_security=facts["row_security"],
        readable=rights[0],
        writable=rights[1],
    )


def _column(column: dict[str, Any], type_sql: str) -> ColumnFacts:
    schema, name = column["base"]
    plain = column["kind"] == "b" and schema == "pg_catalog" and not column["array"]
    base = "enum" if column["kind"] == "e" else name if plain else "other"
    typmod = column["typmod"]
    # numeric's typmod: 16 bits of precision above 11 bits of scale, in two's complement, plus 4
    scale = (((typmod - 4) & 0x7FF) ^ 1024) - 1024 if base == "numeric" and typmod >= 4 else None
    return ColumnFacts(base, type_sql, column["not_null"], column["deterministic"], scale)


def _refused_values(
    policy: Policy, connection: Connection, tables: Mapping[TableName, TableFacts]
) -> dict[ColumnName, tuple[str, ...]]:
    """Values of list domains that their column's type does not take."""
    found: dict[ColumnName, tuple[str, ...]] = {}
    for key, promise in policy.tables.items():
        name = split_table(key)
        for column, said in promise.columns.items():
            there = tables[name].columns.get(column) if name in tables else None
            if there is None or not isinstance(said.domain, tuple):
                continue
            type_sql = there.type_sql.removesuffix("[]") if element_base(there) else there.type_sql
            refused = tuple(value for value in said.domain if not _is_value(connection, value, type_sql))
            if refused:
                found[*name, column] = refused
    return found


def _is_value(connection: Connection, value: str, type_sql: str) -> bool:
    if connection.info.server_version >= _PG_INPUT_IS_VALID:
        row = connection.execute(
            "SELECT pg_catalog.pg_input_is_valid($1::text, $2::text)", (value, type_sql)
        ).fetchone()
        return row is not None and bool(row[0])
    try:
        with connection.transaction():  # type_sql was written by format_type()
            connection.execute(sql.SQL("SELECT {}::text::" + type_sql).format(sql.Literal(value)))
    except psycopg.Error:
        return False
    return True


def _against_database(loaded: LoadedPolicy) -> list[Finding]:
    policy, source = loaded.policy, loaded.source
    try:
        findings = check_one(loaded, read_facts(policy, policy.dsn))
    except Unavailable as error:
        text = f"{error.message}{f' ({error.detail})' if error.detail else ''}; correct the DSN, or start the server"
        return [Finding("error", source.file, source.line(("dsn",)), text)]
    if any(finding.severity == "error" for finding in findings):
        return findings
    try:
        load_snapshot(policy, policy.dsn)
    except PolicyError as error:
        findings += [Finding("error", source.file, source.line(_place(policy, p)), p) for p in error.problems]
    except Unavailable as error:
        findings.append(Finding("error", source.file, source.line(("dsn",)), f"{error.message}; see the server's log"))
    return findings


def _place(policy: Policy, problem: str) -> KeyPath:
    """Where in the policy a problem of its snapshot stands."""
    views = (i for i, view in enumerate(policy.views) if problem.startswith(f"view {view}: "))
    return next((("views", i) for i in views), ("tables",))


def _as_findings(problems: Sequence[str] | Iterator[str]) -> Iterator[Finding]:
    for problem in problems:
        place = _PLACE.fullmatch(problem)
        if place is None:
            yield Finding("error", "", 1, problem)
        else:
            yield Finding("error", place["file"], int(place["line"]), place["text"])


def _plain(finding: Finding) -> dict[str, Any]:
    return {"severity": finding.severity, "file": finding.file, "line": finding.line, "text": finding.text}


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else ""
