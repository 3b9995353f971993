"""The docs describe what there is: every function, error, setting and command, and every page that the code cites."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from noisegate import errors
from noisegate.cli.main import app
from noisegate.errors import NoisegateError
from noisegate.policy.load import load_text
from noisegate.query.statements import SETTINGS
from noisegate.query.total import ROWS
from noisegate.query.words import ANSWERED_AGGREGATES
from structure.pages import RULES, SQL_PAGE, spelled_names, with_generated
from support.sources import DOCS, PACKAGE, ROOT, written_files

PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted(PACKAGE.glob("*/README.md"))]
CITATION = re.compile(r"docs/(?P<page>[\w-]+\.md)(?:, (?P<section>[a-z][a-z -]*[a-z])\))?")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_page_of_sql_is_made_from_code_and_golden_files() -> None:
    page = SQL_PAGE.read_text()
    assert page == with_generated(page), "run: PYTHONPATH=tests python tests/structure/pages.py"
    assert set(RULES) == {path.stem for path in (ROOT / "tests" / "golden" / "answers").glob("*.txt")}
    assert {row.name for row in ROWS} <= spelled_names(page)


def test_aggregates_and_settings_are_described() -> None:
    page = SQL_PAGE.read_text()
    for name in ANSWERED_AGGREGATES:
        assert re.search(rf"`{name}\(", page), name
    for setting in SETTINGS:
        assert setting in page, setting


def error_classes(kind: type[NoisegateError] = NoisegateError) -> Iterator[type[NoisegateError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from error_classes(below)


def test_every_error_is_described() -> None:
    described = re.findall(r"^\| (\w{5}) \| `(\w+)` \| (.+?) \|", (DOCS / "errors.md").read_text(), re.MULTILINE)
    told = {name: state for state, name, _ in described}
    own = {k.__name__: k.sqlstate for k in error_classes() if k.__module__ == errors.__name__}
    assert told == own
    assert len(set(own) - {"NoisegateError"}) > 10


def commands(command: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    command = command if command is not None else typer.main.get_command(app)
    names = command.list_commands(None) if hasattr(command, "list_commands") else []
    if not names:
        yield words
    for name in names:
        yield from commands(command.get_command(None, name), (*words, name))


def test_every_command_is_described() -> None:
    page = (DOCS / "operations.md").read_text()
    found = list(commands())
    assert ("audit", "verify") in found and ("serve",) in found
    for words in found:
        line = next((row for row in page.splitlines() if row.startswith(f"| `noisegate {words[0]}")), "")
        assert line and words[-1] in line, " ".join(words)


@pytest.mark.parametrize("path", written_files(), ids=relative)
def test_cited_pages_and_sections_exist(path: Path) -> None:
    for cited in CITATION.finditer(path.read_text()):
        page = DOCS / cited["page"]
        assert page.is_file(), f"{relative(path)} cites {cited[0]}"
        if cited["section"] and path.suffix == ".py":
            headings = [h.lower() for h in re.findall(r"^#+ (?:\d+\. )?(.+)$", page.read_text(), re.MULTILINE)]
            assert cited["section"] in headings, f"{relative(path)} cites {cited[0]}"


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), f"{relative(page)} links to {target}"


def test_paths_of_the_architecture_exist() -> None:
    """Also: every invariant names a test, and the test is there."""
    text = (DOCS / "architecture.md").read_text()
    for path in re.findall(r"`((?:tests|src|docs)/[\w/.-]+)`", text):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"`((?:policy|plan|query|privacy|mechanisms|ledger|engine|room|wire|cli)/[\w/.]*)`", text):
        assert (PACKAGE / path).exists(), path
    rows = re.findall(r"^\| (I\d) \| .+ \| (.+) \|$", text, re.MULTILINE)
    assert [number for number, _ in rows] == [f"I{i}" for i in range(1, 7)]
    assert all("tests/" in tests for _, tests in rows)


def test_the_policy_of_the_readme_is_one() -> None:
    example = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert example is not None
    assert len(example[1].splitlines()) == 10, "ten lines were promised"
    loaded, problems = load_text("shop.yaml", example[1], {"SHOP_DSN": "postgresql:///shop"})
    assert problems == [] and loaded is not None
    assert set(loaded.policy.tables) == {"users", "orders", "products"}
