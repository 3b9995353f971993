"""Times the steps of private statements in a running gate, by wrapping the gateway's rooms from outside."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from noisegate import gateway as module
from noisegate import releasing
from noisegate.gateway import Gateway

now = time.perf_counter


class Stopwatch:
    def __init__(self) -> None:
        self._laps: list[tuple[str, float]] = []

    def take(self) -> list[tuple[str, float]]:
        taken, self._laps = self._laps, []
        return taken

    def around(self, gateway: Gateway) -> None:
        """Wrap every collaborator of `gateway`. For its process only."""
        rooms = {
            gateway._checker: {"read": "read", "describe": "describe", "accepts": "accepts"},
            gateway._pool: {"cut": "split", "plan": "plan"},
            gateway._ledger: {"charge": "charge", "balance": "balance"},
            gateway: {"answer": "gateway, all"},
        }
        for owner, methods in rooms.items():
            for method, step in methods.items():
                setattr(owner, method, self._awaited(getattr(owner, method), step))
        for function in ("second_road", "sketch", "judge"):
            setattr(module, function, self._called(getattr(module, function), function))
        for function in ("release", "computed", "rewrite"):
            setattr(releasing, function, self._called(getattr(releasing, function), function))
        self._around_hidden(gateway)
        self._around_engine(gateway)

    def _awaited(self, function: Callable[..., Awaitable[Any]], step: str) -> Callable[..., Awaitable[Any]]:
        async def timed(*args: Any, **kwargs: Any) -> Any:
            started = now()
            try:
                return await function(*args, **kwargs)
            finally:
                self._laps.append((step, now() - started))

        return timed

    def _called(self, function: Callable[..., Any], step: str) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = now()
            try:
                return function(*args, **kwargs)
            finally:
                self._laps.append((step, now() - started))

        return timed

    def _around_hidden(self, gateway: Gateway) -> None:
        answer = gateway.answer

        class Hidden:
            def __init__(self, inner: Any, watch: Stopwatch) -> None:
                self.query = watch._awaited(inner.query, "session (settings, constants)")

        async def timed(question: Any, hidden: Any) -> Any:
            return await answer(question, Hidden(hidden, self))  # type: ignore[arg-type]

        gateway.answer = timed  # type: ignore[method-assign]

    def _around_engine(self, gateway: Gateway) -> None:
        """Opening waits together with other steps; accepting with that of the remainder."""
        on = gateway._engine.on

        @asynccontextmanager
        async def timed(tables: Any) -> Any:
            opened = now()
            async with on(tables) as inner:
                self._laps.append(("engine: open", now() - opened))

                class Snapshot:
                    accept = staticmethod(self._awaited(inner.accept, "engine: accept"))
                    run = staticmethod(self._awaited(inner.run, "engine: run"))

                yield Snapshot
                closing = now()
            self._laps.append(("engine: close", now() - closing))

        gateway._engine.on = timed  # type: ignore[method-assign]
