"""A gate that ends itself by SIGKILL just before the n-th line that it runs of gateway.py's charged part.

Run as a program: doomed.py POLICY STATE LINE [LEDGER]. Prints the port when it listens. LINE 0: it lives on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import uvloop

from noisegate import gateway
from noisegate.cli.house import House, server_config
from noisegate.policy.load import load_policies

WATCHED = {"_answer", "_ask", "_release", "_notice", "finished"}


class Death:
    """Counts lines of the watched functions of gateway.py, in every thread."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.seen = 0

    def trace(self, frame: FrameType, event: str, _arg: Any) -> Any:
        code = frame.f_code
        if code.co_filename != gateway.__file__ or code.co_name not in WATCHED:
            return None
        if event == "line":
            self.seen += 1
            if self.seen == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.trace


async def live(policy: Path, state: Path, death: Death, ledger: str | None) -> None:
    policies = load_policies(policy, os.environ)
    async with House(policies, state, server_config(policies, "127.0.0.1", 0, None, None), ledger) as house:
        if house.users.verifier("alice") is None:
            house.users.add("alice", "analyst's password")
        print(house.server.port, flush=True)
        threading.settrace(death.trace)
        sys.settrace(death.trace)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(
        live(Path(sys.argv[1]), Path(sys.argv[2]), Death(int(sys.argv[3])), sys.argv[4] if sys.argv[4:] else None)
    )
