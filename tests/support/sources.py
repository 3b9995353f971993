"""The project's own files, as the tests of its structure read them."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "noisegate"
DOCS = ROOT / "docs"
WRITTEN = frozenset({".py", ".md", ".yaml", ".yml", ".toml", ".sql", ".sh", ".txt", ""})
_FOLDERS = ("src", "tests", "docs", "policies", "bench", ".ci")


@dataclass(frozen=True)
class Module:
    """One module of the package. `name` is without 'noisegate.', `room` its first part."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def room(self) -> str:
        return self.name.split(".")[0]


@dataclass(frozen=True)
class Import:
    """`target` is the module's full name; of `from noisegate.wire import gate` it is noisegate.wire.gate."""

    target: str
    line: int


@cache
def modules() -> tuple[Module, ...]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found.append(Module(name, path, ast.parse(path.read_text())))
    return tuple(found)


@cache
def written_files() -> tuple[Path, ...]:
    """Every text file that belongs to the project."""
    inside = [f for folder in _FOLDERS for f in (ROOT / folder).rglob("*")]
    here = [f for f in ROOT.iterdir() if f.name not in (".gitignore", "LICENSE")]
    return tuple(
        sorted(f for f in [*inside, *here] if f.is_file() and f.suffix in WRITTEN and "__pycache__" not in f.parts)
    )


def imports(module: Module) -> list[Import]:
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None, f"{module.name}:{node.lineno}: a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                is_module = (PACKAGE.parent / whole.replace(".", "/")).with_suffix(".py").exists()
                is_package = (PACKAGE.parent / whole.replace(".", "/")).is_dir()
                found.append(Import(whole if is_module or is_package else node.module, node.lineno))
    return found


def place(module: Module, line: int) -> str:
    return f"{module.path.relative_to(ROOT)}:{line}"
