"""The three types of trust are each made in one room, and randomness of answers comes from one."""

from __future__ import annotations

import ast

import pytest

from support.sources import Module, imports, modules, place

MADE_IN = {"Confidential": "engine", "Receipt": "ledger", "Release": "mechanisms"}
OPENED_IN = {"Confidential": {"mechanisms"}, "Release": {"room"}}  # who reads `.rows`


def calls(module: Module, name: str) -> list[int]:
    """Lines that call `name`, as itself, as an attribute or through replace(), copy or __new__."""
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == name:
                found.append(node.lineno)
            if called == "__new__" and any(getattr(a, "id", "") == name for a in node.args):
                found.append(node.lineno)
    return found


@pytest.mark.parametrize(("name", "room"), MADE_IN.items())
def test_made_in_one_room(name: str, room: str) -> None:
    places = [(m.room, place(m, line)) for m in modules() for line in calls(m, name)]
    assert [p for p in places if p[0] != room] == []
    assert len(places) == 1, places


@pytest.mark.parametrize("name", MADE_IN)
def test_no_other_name_for_it(name: str) -> None:
    """An alias would hide a place where it is made from the test above."""
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom):
                assert not [a for a in node.names if a.name == name and a.asname], place(module, node.lineno)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
                assert node.value.id != name, place(module, node.lineno)


def test_nobody_has_a_second_source_of_noise() -> None:
    for module in modules():
        for one in imports(module):
            assert one.target.split(".")[0] != "random" and "numpy.random" not in one.target, place(module, one.line)
        for node in ast.walk(module.tree):
            assert not (isinstance(node, ast.Attribute) and node.attr == "random"), place(module, node.lineno)


def test_the_receipt_is_used_by_the_release_gate_only() -> None:
    users = {m.name for m in modules() if calls(m, "use")}
    assert users <= {"mechanisms.gate"}
