"""docs/policy.md describes every key of the policy, with its default."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from noisegate.policy.load import HINTS, load_text
from noisegate.policy.model import Policy

PAGE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()
DESCRIBED = dict(re.findall(r"^\| `([^`]+)` \| ([^|]+?) \|", PAGE, re.MULTILINE))


def models(kind: object) -> Iterator[type[BaseModel]]:
    """The models within an annotation: dict[str, Table] has Table."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for inner in typing.get_args(kind):
        yield from models(inner)


def fields() -> Iterator[tuple[str, str, FieldInfo]]:
    """(model, key, field) of everything that a policy can hold."""
    seen: list[type[BaseModel]] = [Policy]
    for model in seen:
        for key, field in model.model_fields.items():
            yield model.__name__, key, field
            seen += [inner for inner in models(field.annotation) if inner not in seen]


@pytest.mark.parametrize(("model", "key", "field"), [pytest.param(*f, id=f"{f[0]}.{f[1]}") for f in fields()])
def test_every_key_is_described(model: str, key: str, field: FieldInfo) -> None:
    sections = [name for name in DESCRIBED if name.split(".")[-1] == key]
    has_a_section = bool(re.search(rf"^## .*`{key}`", PAGE, re.MULTILINE))
    assert sections or has_a_section, f"{model}.{key} is not in docs/policy.md"
    if sections and not field.is_required() and isinstance(field.default, (int, str)):
        shown = [DESCRIBED[name].strip("`") for name in sections]
        assert str(field.default).lower() in shown, f"{model}.{key}: the default is {field.default}"


def test_nothing_is_described_that_is_not_there() -> None:
    known = {key for _, key, _ in fields()}
    assert {name.split(".")[-1] for name in DESCRIBED} <= known


def test_the_example_is_a_policy() -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    loaded, problems = load_text("example.yaml", example[1], {"SHOP_DSN": "postgresql://localhost/shop"})
    assert problems == []
    assert loaded is not None
    assert set(loaded.policy.tables) == {"users", "orders"}


def test_hints_are_for_keys_that_exist() -> None:
    assert set(HINTS) <= {key for _, key, _ in fields()}
