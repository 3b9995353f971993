"""The container, the make targets and the wheel, as far as they can be judged without running them."""

from __future__ import annotations

import re
import subprocess
import tomllib
from typing import Any

import pytest
from ruamel.yaml import YAML

from support.sources import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())


def lines(word: str) -> list[str]:
    return re.findall(rf"^{word} (.+)$", DOCKERFILE, re.MULTILINE)


def test_the_image_runs_as_an_ordinary_user() -> None:
    assert lines("USER") == ["noisegate"]
    assert DOCKERFILE.index("USER noisegate") > DOCKERFILE.rindex("\nRUN "), "nothing is built as the user that serves"
    assert re.search(r"useradd .*--uid 10001 noisegate", DOCKERFILE)


def test_the_image_keeps_its_state_in_a_volume() -> None:
    (volume,) = lines("VOLUME")
    assert lines("ENV") == [f"NOISEGATE_STATE={volume}"]
    assert f"-m 0700 {volume}" in DOCKERFILE
    for service in COMPOSE["services"].values():
        names = [v.split(":")[0] for v in service["volumes"] if v.split(":")[1] == volume]
        assert names and set(names) <= set(COMPOSE["volumes"])


def test_what_the_image_copies_exists_and_versions_are_pinned() -> None:
    for sources in lines("COPY"):
        for source in sources.split()[:-1]:
            assert (ROOT / source).exists(), source
    assert "-c constraints.txt" in DOCKERFILE
    assert not re.search(r":latest\b", DOCKERFILE)


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_services_may_do_little(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service


def test_the_gate_is_not_open_to_the_world() -> None:
    assert all(port.startswith("127.0.0.1:") for port in COMPOSE["services"]["gate"]["ports"])
    assert "password" not in (ROOT / "docker-compose.yml").read_text().lower()


@pytest.mark.parametrize("target", ["demo", "test", "lint", "test-slow", "bench"])
def test_make_knows_its_targets(target: str) -> None:
    done = subprocess.run(["make", "-n", "-C", str(ROOT), target], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^#   make {target}\b", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_ci_runs_everything_and_hides_no_failure() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    assert re.findall(r"^make -s (\w+) \|\| failed=1$", script, re.MULTILINE) == ["lint", "test"]
    assert script.rstrip().endswith('exit "$failed"')


def test_the_wheel_has_the_policies_of_the_demo() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included == {f"policies/{n}.yaml": f"noisegate/demo/policies/{n}.yaml" for n in ("demo", "flights")}


def test_privacy_comes_first_in_the_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert versions
    for version in versions:
        headings = re.findall(r"^### (.+)$", version, re.MULTILINE)
        assert headings[0] == "Privacy", version.splitlines()[0]
