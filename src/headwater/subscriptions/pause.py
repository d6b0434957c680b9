"""Pauses of a runner, which end as soon as it is to stop."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class Pause:
    """Waits for one thing at a time until `end` is called; `ended` from then on."""

    def __init__(self) -> None:
        self.ended = False
        self._waiting: asyncio.Task[Any] | None = None

    def end(self) -> None:
        """End the wait that is under way, and all that would come."""
        self.ended = True
        if self._waiting is not None:
            self._waiting.cancel()

    def allow(self) -> None:
        """Let waits last again."""
        self.ended = False

    async def wait(self, event: Coroutine[Any, Any, _T]) -> _T | None:
        """Return what *event* returns, None as soon as waiting is ended."""
        self._waiting = waiting = asyncio.ensure_future(event)
        try:
            if self.ended:
                return None
            await asyncio.wait((waiting,))
            return None if waiting.cancelled() else waiting.result()
        finally:
            waiting.cancel()
            self._waiting = None
