"""Bulkhead: only so many calls at once."""

import logging
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, ParamSpec, TypeVar

from headwater.errors import BulkheadFullError
from headwater.resilience.arguments import checked_count, checked_text
from headwater.resilience.guards import COROUTINE, Decorating, check_awaitable
from headwater.resilience.waiting import Line

P = ParamSpec("P")
T = TypeVar("T")

QUEUE_MAX: Final = 100

_log = logging.getLogger("headwater")


class Bulkhead(Decorating):
    """Lets *concurrency_max* calls run at once; *queue_max* more wait, first come, first served.

    Args:
        concurrency_max: 1 or more.
        queue_max: 0 or more. How long a call waits has no limit here; put a `Timeout` outside.
        name: how it is called in errors and in the log.

    Use it as a decorator, by `call`, or with ``async with``. One object, shared by all calls to
    the same thing, can be used from any tasks, event loops and threads.

    Raises:
        ConfigurationError: an argument is out of its range.
    """

    def __init__(
        self, concurrency_max: int, *, queue_max: int = QUEUE_MAX, name: str = "bulkhead"
    ) -> None:
        self._concurrency_max = checked_count("concurrency_max", concurrency_max, least=1)
        self._queue_max = checked_count("queue_max", queue_max, least=0)
        self.name: Final = checked_text("name", name)
        self._lock = threading.Lock()
        self._running = 0
        self._line = Line()

    @property
    def running(self) -> int:
        """How many calls run now."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many calls wait now."""
        return len(self._line)

    async def call(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await ``function(*args, **kwargs)`` when there is room.

        Raises:
            BulkheadFullError: there is not even room to wait; *function* was not called.
        """
        await self.__aenter__()
        try:
            pending = function(*args, **kwargs)
            if type(pending) is not COROUTINE:
                check_awaitable(pending, function)
            return await pending
        finally:
            self._leave()

    async def __aenter__(self) -> None:
        """Wait for room for a block.

        Raises:
            BulkheadFullError: there is not even room to wait.
        """
        with self._lock:
            # A place is handed over, so there is none free while somebody waits.
            if self._running < self._concurrency_max:
                self._running += 1
                return
            if len(self._line) >= self._queue_max:
                raise self._full()
            waiter = self._line.join()
        try:
            await waiter.wait()
        except BaseException:
            with self._lock:
                self._line.leave(waiter)
            if waiter.called:
                self._leave()
            raise

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            if not self._line.take_first():
                self._running -= 1

    def _full(self) -> BulkheadFullError:
        error = BulkheadFullError(
            self.name, concurrency_max=self._concurrency_max, queue_max=self._queue_max
        )
        _log.info("%s", error)
        return error
