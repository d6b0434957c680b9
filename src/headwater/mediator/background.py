"""Work that nobody waits for: owned, limited, reported when it fails, drained at the end."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from headwater.clock import Duration, seconds_of
from headwater.errors import ConfigurationError, LimitExceededError
from headwater.mediator.scopes import Call

_log = logging.getLogger("headwater")

OnError = Callable[[Exception, object, str], object]
"""Called with an error that no caller sees, the message, and the name of the handler."""


class Background:
    """Owns the tasks of handlers that run in the background."""

    def __init__(self, *, tasks_max: int, on_error: OnError | None) -> None:
        self._tasks_max = tasks_max
        self._on_error = on_error
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Start *work*, which must raise nothing.

        Raises:
            LimitExceededError: *tasks_max* tasks are running.
            ConfigurationError: `drain` has ended.
        """
        running = len(self._tasks)
        if self._closed:
            work.close()
            raise ConfigurationError("The mediator is closed; nothing more can be started.")
        if running >= self._tasks_max:
            work.close()
            raise LimitExceededError(
                "background handlers", limit=self._tasks_max, actual=running + 1
            )
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def guarded(self, call: Call, name: str) -> Call:
        """Return *call* with its failures reported instead of raised."""

        async def guarded(message: Any) -> None:
            try:
                await call(message)
            except Exception as error:  # noqa: BLE001 - nobody else will ever see it
                self.report(error, message, name)

        return guarded

    def started(self, call: Call) -> Call:
        """Return what starts *call*, which raises nothing, and does not wait for it."""

        async def start(message: Any) -> None:
            self.start(call(message))

        return start

    def report(self, error: Exception, message: object, name: str) -> None:
        """Log *error* and hand it to the hook; a hook that fails is logged too."""
        _log.error("%s failed on %s", name, type(message).__name__, exc_info=error)
        if self._on_error is None:
            return
        try:
            self._on_error(error, message, name)
        except Exception:  # noqa: BLE001 - a hook for reporting must not fail what it reports
            _log.exception("on_error failed")

    async def drain(self, *, timeout: Duration | None) -> None:  # noqa: ASYNC109 - a promise of its own: what is left is cancelled
        """Wait for all tasks, also those they start; after *timeout* cancel what is left."""
        limit = seconds_of(timeout) if timeout is not None else None
        deadline = asyncio.get_running_loop().time() + limit if limit is not None else None
        while self._tasks:
            left = deadline - asyncio.get_running_loop().time() if deadline is not None else None
            if left is not None and left <= 0:
                await self._cancel()
                break
            await asyncio.wait(tuple(self._tasks), timeout=left)
        self._closed = True

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            _log.warning("A background handler was cancelled before its end")

    async def _cancel(self) -> None:
        tasks = tuple(self._tasks)
        _log.warning("%d background handler(s) did not end in time and are cancelled", len(tasks))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
