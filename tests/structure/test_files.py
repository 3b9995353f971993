"""Files stay readable, and say nothing about the machine they were written on."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from support.sources import PACKAGE, ROOT, Module, modules, place, written_files

LINES_MAX = 400
FUNCTION_LINES_MAX = 90
FORBIDDEN = re.compile(
    r"(?<![\w.])/(?:work|home/\w|root|Users)/|/tmp/ng/|\bTODO\b|\bFIXME\b|pypi\.org|files\.pythonhosted|--index-url|"
    r"\b(?:AI|LLM)[ -](?:assistant|agent|generated)\b",
)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("module", modules(), ids=lambda m: m.name)
def test_short_enough_to_read(module: Module) -> None:
    lines = len(module.path.read_text().splitlines())
    assert lines <= LINES_MAX, f"{relative(module.path)} has {lines} lines"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < FUNCTION_LINES_MAX, f"{place(module, node.lineno)} {node.name}"


@pytest.mark.parametrize("module", modules(), ids=lambda m: m.name)
def test_every_module_says_what_it_is(module: Module) -> None:
    if module.path.name != "__init__.py" or module.path.read_text().strip():
        assert ast.get_docstring(module.tree), relative(module.path)


@pytest.mark.parametrize("path", written_files(), ids=relative)
def test_no_word_that_does_not_belong(path: Path) -> None:
    if path == Path(__file__):
        return
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        found = FORBIDDEN.search(line)
        assert found is None, f"{relative(path)}:{number}: {found and found[0]}"


def test_every_room_has_a_readme() -> None:
    rooms = {f.parent for f in PACKAGE.glob("*/__init__.py")}
    assert len(rooms) > 10
    for room in rooms:
        text = (room / "README.md").read_text()
        assert re.search(r"\binvariant\b", text, re.IGNORECASE), f"{room.name}/README.md names no invariant"


def test_exact_versions_only() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line), line


def test_no_two_test_files_share_a_name() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names)), "pytest cannot import both"
