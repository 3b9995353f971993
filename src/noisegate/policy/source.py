"""A policy file's YAML as plain values, with the line of every key and entry.

Numbers keep their written text (as int or Decimal, never float), so that a bound or a price is exactly what the file
says. Problems are collected, not raised: a file shows all of them at once.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

KeyPath = tuple[str | int, ...]  # keys and positions from the top of the file, e.g. ('tables', 'users', 'unit')

DEPTH_MAX: Final = 12
MAGNITUDE_MAX: Final = Decimal("1e30")
MAGNITUDE_MIN: Final = Decimal("1e-30")
_TAG: Final = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at `path`: 'what is wrong; what to write'."""

    path: KeyPath
    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """One file: plain values (dict, list, str, int, Decimal, bool, date, datetime, None) and where they stand."""

    file: str
    values: dict[str, Any]
    lines: Mapping[KeyPath, int]  # 1-based
    problems: tuple[Problem, ...] = ()

    def line(self, path: KeyPath) -> int:
        """The line of `path`, or of the nearest thing around it that the file has."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def known(self, path: KeyPath) -> KeyPath:
        """The longest part of `path` that stands in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return path

    def show(self, problem: Problem) -> str:
        return f"{self.file}:{self.line(problem.path)}: {problem.text}"


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant, or None."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(name: str, names: Iterable[str], otherwise: str) -> str:
    """The second half of a message about an unknown name."""
    close = nearest(name, names)
    return f"did you mean '{close}'?" if close else otherwise


def read_source(file: str, text: str) -> Source:
    """Parse one file. Never raises for anything that stands in `text`."""
    reader = _Reader()
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        return _broken(file, line, f"not valid YAML: {error.problem or error.context}; correct the syntax here")
    except (YAMLError, RecursionError, ValueError):
        return _broken(file, 1, "not valid YAML; write plain text in UTF-8, without control characters")
    if not isinstance(node, MappingNode):
        return _broken(
            file, 1, "the file holds no policy; write 'database:', 'dsn:', 'unit:', 'tables:' and 'budgets:'"
        )
    values = reader.value((), node)
    return Source(file, values, reader.lines, tuple(reader.problems))


def _broken(file: str, line: int, text: str) -> Source:
    return Source(file, {}, {(): line}, (Problem((), text),))


@dataclass(slots=True)
class _Reader:
    """Walks one file's nodes; `lines` and `problems` fill up on the way."""

    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def value(self, path: KeyPath, node: Node) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if len(path) > DEPTH_MAX:  # also ends a structure that contains itself
            return self.problem(path, "nested too deeply; a policy has at most six levels")
        if isinstance(node, MappingNode):
            return self.mapping(path, node)
        if isinstance(node, SequenceNode):
            return [self.value((*path, i), item) for i, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self.scalar(path, node)
        return self.problem(path, "not plain YAML; write a value, a list or a mapping")

    def mapping(self, path: KeyPath, node: MappingNode) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode) or key_node.tag == _TAG + "merge":
                self.lines.setdefault((*path, "<<"), line)
                self.problem((*path, "<<"), "a key must be a plain name; write the keys out")
                continue
            key = str(key_node.value)
            if key in found:
                first, here = self.lines[(*path, key)], (*path, key, "again", line)
                self.lines[here] = line
                self.problem(here, f"'{key}' stands here a second time (first on line {first}); write it once")
                continue
            self.lines[(*path, key)] = line
            found[key] = self.value((*path, key), value_node)
        return found

    def scalar(self, path: KeyPath, node: ScalarNode) -> Any:
        if "domain" in path[4:5] and node.tag != _TAG + "null":
            return str(node.value)  # values of a list domain are texts: 1 and '1' name the same value
        read = _SCALARS.get(str(node.tag).removeprefix(_TAG))
        if read is None:
            return self.problem(path, f"the YAML tag {node.tag} is not used here; write the plain value")
        try:
            return read(str(node.value))
        except (ValueError, ArithmeticError):
            return self.problem(
                path,
                f"'{node.value[:40]}' is not a value that can be used; write a finite number between 1e-30 and 1e30, "
                "or a date like 2024-01-31",
            )

    def problem(self, path: KeyPath, text: str) -> None:
        self.problems.append(Problem(path, text))


def _bool(text: str) -> bool:
    return text.lower() == "true"


def _number(text: str) -> Decimal:
    number = Decimal(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    if not number.is_finite() or (number and not MAGNITUDE_MIN <= abs(number) <= MAGNITUDE_MAX):
        raise ValueError("out of range")
    return number


def _integer(text: str) -> int:
    plain = text.replace("_", "").lower()
    based = plain.lstrip("+-").startswith(("0x", "0o"))
    number = int(plain, 0 if based else 10)
    if abs(number) > MAGNITUDE_MAX:
        raise ValueError("out of range")
    return number


def _moment(text: str) -> dt.date | dt.datetime:
    """A date, or a timestamp with or without a zone ('2024-01-31 08:00:00+01')."""
    return dt.date.fromisoformat(text) if len(text) <= 10 else dt.datetime.fromisoformat(text)


_SCALARS: Final[Mapping[str, Callable[[str], Any]]] = {
    "str": str,
    "bool": _bool,
    "null": lambda _: None,
    "int": _integer,
    "float": _number,
    "timestamp": _moment,
}
