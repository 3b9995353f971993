"""Asking the gate: the one place where a private statement leaves wire/, and how a cancel reaches it."""

from __future__ import annotations

import asyncio
import logging

from noisegate.errors import Canceled, NoisegateError
from noisegate.wire import messages as m
from noisegate.wire.gate import Answer, Gate, HiddenFailed, Question
from noisegate.wire.roomside import RoomError, RoomSide

log = logging.getLogger(__name__)

_QUERY = b"_ng_q"


class RoomQueries:
    """`Hidden` of gate.py: the session's clean-room connection, lent to the gate for one question."""

    def __init__(self, room: RoomSide, bind: m.Bind | None, param_types: tuple[int, ...]) -> None:
        self._room = room
        self._params = m.NO_PARAMS if bind is None else bind.params
        self._param_types = param_types
        self._returned = False
        self.failed: m.Fields | None = None

    async def query(self, sql: str, *, bind: bool = False) -> list[tuple[bytes | None, ...]]:
        if self._returned:
            raise HiddenFailed("55000")
        if self.failed is not None:
            raise HiddenFailed(self.failed.get("C", "XX000"))
        params, types = (self._params, self._param_types) if bind else (m.NO_PARAMS, ())
        try:
            replies = await self._room.exchange(
                m.close_statement(_QUERY),
                m.Parse(_QUERY, sql.encode(), types).encode(),
                m.Bind(_QUERY, _QUERY, params, m.ALL_BINARY).encode(),
                m.execute(_QUERY),
                m.close_portal(_QUERY),
                m.close_statement(_QUERY),
            )
        except RoomError as error:
            self.failed = error.fields
            raise HiddenFailed(error.fields.get("C", "XX000")) from None
        return [m.decode_data_row(body) for kind, body in replies if kind == ord("D")]

    def give_back(self) -> None:
        self._returned = True


class Asking:
    """The question that the gate works on, if any."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._task: asyncio.Task[Answer] | None = None
        self._reason = ""

    def cancel(self, reason: str) -> bool:
        """Cancel the engine's work. False: the gate works on nothing."""
        if self._task is None or self._task.done():
            return False
        self._reason = reason
        self._task.cancel()
        return True

    async def ask(self, question: Question, room: RoomSide, queries: RoomQueries) -> Answer:
        """The gate's answer. Raises NoisegateError (a refusal), or RoomError where a hidden statement failed."""
        self._task = asyncio.create_task(self._gate.answer(question, queries))
        try:
            answer = await self._outcome(self._task, room)
        except (NoisegateError, HiddenFailed):
            if queries.failed is not None:  # whatever the gate made of it: the room's state is what counts
                raise RoomError(queries.failed) from None
            raise
        finally:
            self._task = None
            queries.give_back()
        if queries.failed is not None:
            raise RoomError(queries.failed)
        return answer

    async def _outcome(self, task: asyncio.Task[Answer], room: RoomSide) -> Answer:
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise  # the session ends
            await room.drain()  # a hidden statement may still be under way
            orphan = room.take_orphan()
            if orphan is not None:
                raise RoomError(orphan) from None
            raise Canceled(self._reason) from None
