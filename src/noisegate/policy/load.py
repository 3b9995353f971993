"""Policy files to checked policies, in four steps: YAML, environment, schema (pydantic), rules.

Everything that is wrong in any file is raised at once, each as 'file:line: what is wrong; what to write'.
"""

from __future__ import annotations

import hashlib
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from noisegate.errors import PolicyError
from noisegate.policy.model import Policy
from noisegate.policy.rules import RULES
from noisegate.policy.source import KeyPath, Problem, Source, did_you_mean, read_source

FILE_BYTES_MAX: Final = 1_000_000
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

# What to write, by the last key of a wrong value's path.
HINTS: Final[Mapping[str, str]] = {
    "accounting": "write 'accounting: basic'",
    "analyst": "write 'analyst: {epsilon: 10, delta: 1e-6}'",
    "analysts": "write one line per analyst, like 'alice: {epsilon: 20, delta: 1e-6}'",
    "bounds": "write two numbers, dates or timestamps, like 'bounds: [0, 100]' or 'bounds: [2020-01-01, 2025-12-31]'",
    "budgets": "write 'dataset: {epsilon: 100, delta: 1e-5}' and 'analyst: {epsilon: 10, delta: 1e-6}' below it",
    "ceiling": "write the most that grants may ever reach, like '{epsilon: 20, delta: 2e-6}'",
    "columns": "write one line per column, like 'age: {bounds: [0, 120]}' or 'plan: {}'",
    "database": "write the name that clients connect to, like 'database: demo'",
    "dataset": "write 'dataset: {epsilon: 100, delta: 1e-5}'",
    "delta": "write a number from 0 up to, but not including, 1, like '1e-9'",
    "domain": "write a list of values, like '[free, pro]', or a public table's column, like 'countries.code'",
    "dsn": "write the DSN of your database, like 'dsn: ${DATABASE_DSN}'",
    "epsilon": "write a number above 0, like '0.1'",
    "epsilon_max": "write a number above 0, like '1'",
    "grid": "write the step of the values, like '0.01'",
    "key": "write the column that names a unit, like 'key: id'",
    "length_max": "write how many of an array's elements unnest() may show, a whole number from 1 to 10000, like '10'",
    "limits": "write 'groups_per_unit_max', 'rows_per_group_max' or 'group_size_min' below it",
    "price": "write 'epsilon', 'epsilon_max' or 'delta' below it",
    "table": "write the table whose rows are the units, like 'table: users'",
    "tables": "write one entry per table, like 'users: {unit: id, columns: {age: {}}}'",
    "tls": "write 'tls: require' or 'tls: allow'",
    "typical": "write a number inside the bounds",
    "unit": "write a column, like 'unit: user_id', or a chain, like 'unit: order_id -> orders.user_id'",
    "unit_total": "write the most that one unit adds to one group's sum, like '2000'",
    "unit_total_overall": "write the most that one unit adds to the sums of all groups, like '5000'",
    "views": "write a list of the data server's views, like 'views: [active_users, web.visits]'",
    "unprotected_units": "write a list of columns, like 'unprotected_units: [receiver_id]'",
}
_HINTS_BY_TYPE: Final[Mapping[str, str]] = {
    "bool_parsing": "write 'true' or 'false'",
    "bool_type": "write 'true' or 'false'",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
}


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy and the file it stands in."""

    policy: Policy
    source: Source


def load_policies(folder_or_file: Path, env: Mapping[str, str]) -> tuple[Policy, ...]:
    """All policies of a folder (*.yaml, *.yml, by name), or of one file. Raises PolicyError with every problem."""
    return tuple(loaded.policy for loaded in load_files(folder_or_file, env))


def load_files(folder_or_file: Path, env: Mapping[str, str]) -> tuple[LoadedPolicy, ...]:
    """Like load_policies, with the lines that things stand on. Raises PolicyError."""
    loaded: list[LoadedPolicy] = []
    problems: list[str] = []
    for file in policy_files(folder_or_file):
        one, wrong = load_text(str(file), read_policy_file(file), env)
        problems.extend(wrong)
        if one is not None:
            loaded.append(one)
    problems.extend(same_names(loaded))
    if problems:
        raise PolicyError(problems)
    return tuple(loaded)


def load_text(file: str, text: str | None, env: Mapping[str, str]) -> tuple[LoadedPolicy | None, list[str]]:
    """One file's text to its policy (None if it has none that can be looked at) and its problems, by line."""
    if text is None:
        return None, [f"{file}:1: the file cannot be read; write UTF-8 text of at most {FILE_BYTES_MAX} bytes"]
    source = read_source(file, text)
    problems = list(source.problems)
    policy: Policy | None = None
    if source.values:
        values = _with_empty_entries(source.values)
        problems.extend(_fill_in_environment(values, env))
        policy, wrong = _validate(values, source)
        seen = {problem.path for problem in problems}
        problems.extend(p for p in wrong if p.path not in seen)
    if policy is not None:
        marked = [source.known(problem.path) for problem in problems]
        found = (problem for rule in RULES for problem in rule(policy))
        problems.extend(p for p in found if not any(_overlap(source.known(p.path), path) for path in marked))
    problems.sort(key=lambda problem: source.line(problem.path))
    lines = list(dict.fromkeys(source.show(problem) for problem in problems))
    return (LoadedPolicy(policy, source) if policy is not None else None), lines


def policy_files(folder_or_file: Path) -> list[Path]:
    """The policy files that a path stands for. Raises PolicyError when there is none."""
    if folder_or_file.is_dir():
        files = sorted(f for f in folder_or_file.iterdir() if f.suffix in (".yaml", ".yml") and f.is_file())
        if not files:
            raise PolicyError([f"{folder_or_file}:1: the folder has no policy; write one in a file '<database>.yaml'"])
        return files
    if not folder_or_file.is_file():
        raise PolicyError([f"{folder_or_file}:1: no such file or folder; write the path of your policies"])
    return [folder_or_file]


def policy_hash(policy: Policy) -> str:
    """Identifies what a policy promises: every key but the DSN, whose password may change without a new promise."""
    return hashlib.sha256(policy.model_dump_json(exclude={"dsn"}).encode()).hexdigest()


def read_policy_file(file: Path) -> str | None:
    """The text of a policy file; None when it cannot be read as UTF-8 or is too large."""
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            return None
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def same_names(loaded: Sequence[LoadedPolicy]) -> Iterator[str]:
    """Problems of policies that would serve one database name."""
    first: dict[str, LoadedPolicy] = {}
    for one in loaded:
        name = one.policy.database
        if name in first:
            there = first[name].source
            yield one.source.show(
                Problem(
                    ("database",),
                    f"database '{name}' has a policy already ({there.file}:{there.line(('database',))}); "
                    "write another name: one policy is one database",
                )
            )
        first.setdefault(name, one)


def _with_empty_entries(values: dict[str, Any]) -> dict[str, Any]:
    """'age:' with nothing after it, in `columns`, is a column without properties."""
    tables = values.get("tables")
    if not isinstance(tables, dict):
        return dict(values)
    return {**values, "tables": {name: _with_empty_columns(table) for name, table in tables.items()}}


def _with_empty_columns(table: Any) -> Any:
    if not isinstance(table, dict) or not isinstance(table.get("columns"), dict):
        return table
    return {**table, "columns": {name: {} if c is None else c for name, c in table["columns"].items()}}


def _fill_in_environment(values: dict[str, Any], env: Mapping[str, str]) -> Iterator[Problem]:
    """Replace ${NAME} in the DSN. What a variable holds never stands in a message: it may be a password."""
    text = values.get("dsn")
    if not isinstance(text, str):
        return
    for name in dict.fromkeys(_VARIABLE.findall(text)):
        if not env.get(name):
            yield Problem(
                ("dsn",), f"the environment variable {name} is not set; set it to the DSN of your database, or write it"
            )
    if "${" in _VARIABLE.sub("", text):
        yield Problem(("dsn",), "a '${' is not followed by a name and '}'; write ${NAME}")
    if not text.strip():
        yield Problem(("dsn",), f"the DSN is empty; {HINTS['dsn']}")
    values["dsn"] = _VARIABLE.sub(lambda found: env.get(found[1], ""), text)


def _validate(values: dict[str, Any], source: Source) -> tuple[Policy | None, list[Problem]]:
    """The policy, and what the schema says. Where only details are wrong, the policy without them, for the rules."""
    try:
        return Policy.model_validate(values), []
    except ValidationError as error:
        problems = _translated(error, source)
    paths = [source.known(problem.path) for problem in problems]
    if not all(_detail(path) for path in paths):
        return None, problems
    try:
        return Policy.model_validate(_without(values, paths)), problems
    except ValidationError:
        return None, problems


def _detail(path: KeyPath) -> bool:
    """Whether the rest of the policy means the same without `path`: a detail of a table, or an unknown key."""
    if not path:
        return False
    return len(path) > 2 if path[0] == "tables" else path[0] not in Policy.model_fields


def _without(values: dict[str, Any], paths: Sequence[KeyPath]) -> dict[str, Any]:
    """A copy of nested mappings that lacks `paths`."""
    here = {path[0] for path in paths if len(path) == 1}
    kept: dict[str, Any] = {}
    for key, value in values.items():
        if key in here:
            continue
        deeper = [path[1:] for path in paths if len(path) > 1 and path[0] == key]
        if deeper and not isinstance(value, dict):
            continue  # a wrong entry of a list: the list goes
        kept[key] = _without(value, deeper) if deeper else value
    return kept


def _overlap(one: KeyPath, other: KeyPath) -> bool:
    short = min(len(one), len(other))
    return one[:short] == other[:short]


def _translated(error: ValidationError, source: Source) -> list[Problem]:
    found: dict[KeyPath, Problem] = {}
    for item in error.errors(include_url=False, include_context=True, include_input=False):
        problem = _translate(item["type"], item["loc"], item.get("ctx", {}), source)
        found.setdefault(problem.path, problem)
    return list(found.values())


def _translate(kind: str, loc: KeyPath, context: Mapping[str, Any], source: Source) -> Problem:
    """One pydantic error in the policy's own words."""
    if kind == "missing":
        key = str(loc[-1])
        where = ".".join(str(part) for part in loc[:-1])
        text = f"'{key}' is missing{f' in {where}' if where else ''}; {HINTS.get(key, f'write {key}')}"
        return Problem(loc, text)
    if kind == "extra_forbidden":
        names = sorted(_fields_at(loc[:-1]))
        return Problem(
            loc, f"unknown key '{loc[-1]}'; {did_you_mean(str(loc[-1]), names, 'write one of ' + ', '.join(names))}"
        )
    path = source.known(loc)
    if kind == "value_error":
        return Problem(path, str(context["error"]))
    named = [part for part in path if isinstance(part, str)]
    key = named[-1] if named else ""
    limits = " and ".join(f"{_COMPARISONS[k]} {v}" for k, v in context.items() if k in _COMPARISONS)
    if limits:
        return Problem(path, f"'{key}' is out of range; write a whole number {limits}")
    hint = _HINTS_BY_TYPE.get(kind) or HINTS.get(key) or _container_hint(path)
    return Problem(path, f"'{key}' has a value that cannot be used; {hint}")


_COMPARISONS: Final[Mapping[str, str]] = {"ge": "of at least", "le": "of at most", "gt": "above", "lt": "below"}


def _container_hint(path: KeyPath) -> str:
    """For entries that the owner names: tables, columns, analysts."""
    holder = str(path[-2]) if len(path) > 1 else ""
    return HINTS.get(holder) or f"write {', '.join(sorted(_fields_at(path))) or 'another value'}"


def _fields_at(path: KeyPath) -> set[str]:
    """The keys that the policy's models know at `path`."""
    kind: Any = Policy
    for part in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(part)].annotation if str(part) in kind.model_fields else None
        elif typing.get_origin(kind) is dict:
            kind = typing.get_args(kind)[1]
        else:
            kind = None
    if isinstance(kind, types.GenericAlias):
        return set()
    return set(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else set()
