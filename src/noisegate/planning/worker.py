"""The life of a planning worker: limits first, then job after job until the pipe closes."""

from __future__ import annotations

import resource
import sys
from multiprocessing.connection import Connection

from noisegate.planning.jobs import Failure, run_job


def main() -> None:
    """The process's only argument is the descriptor of its end of the pipe; (snapshot, bytes of memory) comes first."""
    with Connection(int(sys.argv[1])) as pipe:
        try:
            snapshot, memory = pipe.recv()
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
            pipe.send("ready")
            while True:
                answer = run_job(pipe.recv(), snapshot)
                try:
                    pipe.send(answer)
                except MemoryError:
                    pipe.send(Failure("TooComplex", "the statement is too complex to plan", "", "", None))
        except (EOFError, OSError):
            return
