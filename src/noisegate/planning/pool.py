"""Worker processes for planning: warm, bounded in time and memory, replaced when they overrun."""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import struct
import subprocess
import sys
from typing import Any, cast

from noisegate.errors import Internal, Unavailable
from noisegate.plan.catalog import Snapshot
from noisegate.planning.jobs import Cut, CutJob, Failure, Job, PlanJob, Planned, overrun, raise_failure

JOB_SECONDS = 3.0
START_SECONDS = 30.0
MEMORY_BYTES = 1 << 30
ANSWER_BYTES_MAX = 64 << 20
_LENGTH = struct.Struct("!i")

# Not a multiprocessing.Process: that would load the parent's main module, and with it the ledger, into the worker.
_COMMAND = "from noisegate.planning.worker import main; main()"
_ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")  # not the data server's password


class _Worker(asyncio.Protocol):
    """One process and our end of its pipe, read and written by the event loop itself: a thread in between would cost
    more than the work. Frames as multiprocessing's: the length (int32, network order), a pickle."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _COMMAND, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                start_new_session=True,  # Ctrl-C is for the gate; a worker ends when its pipe closes
            )
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answer: asyncio.Future[bytes] | None = None
        self._ready = False

    async def ask(self, job: Job) -> Any:
        """Raises TimeoutError, EOFError, OSError, MemoryError: then the worker must be ended."""
        await self.warm()
        return await self._exchange(job, JOB_SECONDS)

    async def warm(self) -> None:
        if not self._ready:
            await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=self._socket)
            await self._exchange((self._snapshot, MEMORY_BYTES), START_SECONDS)
            self._ready = True

    async def _exchange(self, message: object, seconds: float) -> Any:
        if self._transport is None or self._transport.is_closing():
            raise EOFError
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(_LENGTH.pack(len(data)) + data)
        async with asyncio.timeout(seconds):
            return pickle.loads(await self._answer)

    def end(self) -> None:
        self._process.kill()
        self._process.wait(5)
        self._abort()
        self._socket.close()

    # -- asyncio.Protocol -----------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._answer is None or self._answer.done():
            self._abort()  # nothing was asked
        elif len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            end = _LENGTH.size + length
            if not 0 <= length <= ANSWER_BYTES_MAX or len(self._buffer) > end:
                self._abort()
            elif len(self._buffer) == end:
                self._answer.set_result(bytes(self._buffer[_LENGTH.size :]))
                self._buffer.clear()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(EOFError())


class PlanningPool:
    """A few workers for one snapshot; jobs wait for a free one."""

    def __init__(self, snapshot: Snapshot, size: int = 2) -> None:
        self._snapshot = snapshot
        self._free: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        self._all: set[_Worker] = set()
        self._size = size
        self._closed = False

    async def start(self) -> None:
        """Start all workers and wait until they are warm. Raises Unavailable."""
        for _ in range(self._size):
            self._free.put_nowait(self._new())
        try:
            await asyncio.gather(*(w.warm() for w in self._all))
        except (TimeoutError, EOFError, OSError):
            self.close()
            raise Unavailable("the planning workers did not start") from None

    def _new(self) -> _Worker:
        worker = _Worker(self._snapshot)
        self._all.add(worker)
        return worker

    async def cut(self, job: CutJob) -> Cut:
        """The pieces of a deparse. Raises what splitting (and planning) it raises, TooComplex."""
        answer = await self._run(job)
        if isinstance(answer, Cut):
            return answer
        raise Internal("a planning worker answered something else")

    async def plan(self, job: PlanJob) -> Planned:
        """Raises what planning raises, TooComplex."""
        answer = await self._run(job)
        if isinstance(answer, Planned):
            return answer
        raise Internal("a planning worker answered something else")

    async def _run(self, job: Job) -> Any:
        """Run a job on a free worker. Raises the worker's refusal, or TooComplex when it overran or died."""
        worker = await self._free.get()
        task = asyncio.create_task(worker.ask(job))
        try:
            answer = await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda _: self._put_back(worker, _failed(task)))
            raise
        except (TimeoutError, EOFError, OSError, MemoryError):
            self._put_back(worker, failed=True)
            raise overrun() from None
        self._put_back(worker, failed=False)
        if isinstance(answer, Failure):
            raise raise_failure(answer)
        return answer

    def _put_back(self, worker: _Worker, failed: bool) -> None:
        if failed or self._closed:
            self._all.discard(worker)
            worker.end()
            if self._closed:
                return
            worker = self._new()
        self._free.put_nowait(worker)

    def close(self) -> None:
        self._closed = True
        for worker in self._all:
            worker.end()
        self._all.clear()


def _failed(task: asyncio.Future[Any]) -> bool:
    return task.cancelled() or task.exception() is not None
