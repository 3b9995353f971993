"""Rooms import one way, and each third-party package is used where it belongs."""

from __future__ import annotations

import ast
import graphlib
import sys

import pytest

from support.sources import Module, imports, modules, place

# What each room may import besides itself. A new edge is a decision: change it here, with its reason in the commit.
ROOMS: dict[str, set[str]] = {
    "__init__": set(),
    "errors": set(),
    "policy": {"errors"},
    "plan": {"errors", "policy"},
    "query": {"errors", "plan"},
    "mechanisms": {"errors", "plan"},
    "ledger": {"errors", "plan", "policy"},
    "engine": {"errors", "plan"},
    "wire": {"errors", "plan"},
    "room": {"errors", "plan", "policy", "wire"},
    "privacy": {"errors", "mechanisms", "plan", "policy", "query"},
    "planning": {"errors", "plan", "privacy", "query"},
    "demo": {"errors"},
    "settings": {"errors", "plan", "policy", "query", "wire"},
    "releasing": {"engine", "errors", "mechanisms", "plan", "query", "room", "wire"},
    "preparing": {"plan", "planning", "query", "releasing", "room", "settings", "wire"},
    "gateway": {
        "engine", "errors", "ledger", "mechanisms", "plan", "planning", "preparing", "privacy", "query", "releasing",
        "room", "settings", "wire",
    },
    "cli": {
        "__init__", "demo", "engine", "errors", "gateway", "ledger", "mechanisms", "plan", "planning", "policy",
        "query", "room", "wire",
    },
}  # fmt: skip

# Where a room may import only parts of another.
PARTS: dict[tuple[str, str], set[str]] = {
    ("room", "wire"): {"noisegate.wire.gate", "noisegate.wire.messages"},
    ("settings", "wire"): {"noisegate.wire.gate"},
    ("gateway", "wire"): {"noisegate.wire.gate"},
    ("preparing", "wire"): {"noisegate.wire.gate"},
    ("releasing", "wire"): {"noisegate.wire.gate"},
    ("releasing", "mechanisms"): {"noisegate.mechanisms.computed", "noisegate.mechanisms.gate"},
    ("privacy", "mechanisms"): {  # light ones: neither numpy nor the sampler
        f"noisegate.mechanisms.{name}"
        for name in ("allocation", "clip", "ranking", "scale", "sets", "shape", "threshold")
    },
    ("gateway", "mechanisms"): {"noisegate.mechanisms.gate"},
}

BORDERS: dict[str, set[str]] = {
    "asyncpg": {"engine"},
    "cryptography": {"wire"},
    "numpy": {"mechanisms"},
    "opendp": {"mechanisms"},
    "psycopg": {"cli", "demo", "ledger", "query", "room"},  # query: the decoders of binary values, without a connection
    "pydantic": {"policy"},
    "rich": {"cli"},
    "ruamel": {"policy"},
    "scramp": {"ledger", "wire"},
    "sqlite3": {"ledger"},
    "typer": {"cli"},
    "uvloop": {"cli"},
}
# Standard modules that would break a room's invariant.
PURE = {"policy", "plan", "query", "privacy"}
EFFECTS = {"asyncio", "http", "multiprocessing", "os", "random", "secrets", "socket", "sqlite3", "subprocess", "time",
           "urllib"}  # fmt: skip


def by_name(module: Module) -> str:
    return module.name


def room_of(target: str) -> str:
    parts = target.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@pytest.mark.parametrize("module", modules(), ids=by_name)
def test_one_way(module: Module) -> None:
    for one in imports(module):
        if one.target.split(".")[0] != "noisegate":
            continue
        room = room_of(one.target)
        assert room == module.room or room in ROOMS[module.room], f"{place(module, one.line)} imports {one.target}"
        allowed = PARTS.get((module.room, room))
        assert allowed is None or one.target in allowed, f"{place(module, one.line)} imports {one.target}"


@pytest.mark.parametrize("module", modules(), ids=by_name)
def test_borders(module: Module) -> None:
    for one in imports(module):
        top = one.target.split(".")[0]
        if top == "noisegate":
            continue
        known = top in BORDERS or top in sys.stdlib_module_names
        assert known, f"{place(module, one.line)}: {top} has no place yet"
        assert module.room in BORDERS.get(top, {module.room}), f"{place(module, one.line)} imports {top}"
        assert module.room not in PURE or top not in EFFECTS, f"{place(module, one.line)}: {module.room} is pure"


def test_no_room_depends_on_itself_by_way_of_others() -> None:
    order = list(graphlib.TopologicalSorter(ROOMS).static_order())
    assert order[-1] == "cli"


def test_no_cycle_of_modules() -> None:
    names = {f"noisegate.{m.name}": m for m in modules()}
    graph = {
        name: {i.target for i in imports(m) if i.target in names and i.target != name} for name, m in names.items()
    }
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(names)


def test_the_table_names_the_rooms_that_there_are() -> None:
    assert {m.room for m in modules()} == set(ROOMS)


@pytest.mark.parametrize("module", modules(), ids=by_name)
def test_imports_stand_at_the_top(module: Module) -> None:
    for function in ast.walk(module.tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = [n.lineno for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom)]
            assert not inner, place(module, inner[0])
