"""Timeout: a call that takes too long is cancelled."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, ParamSpec, TypeVar

from headwater.clock import Clock, Duration, SystemClock
from headwater.errors import CallTimeoutError
from headwater.resilience import blocks
from headwater.resilience.arguments import checked_seconds
from headwater.resilience.attempts import time_limits
from headwater.resilience.guards import COROUTINE, Decorating, check_awaitable, name_of

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger("headwater")


class Timeout(Decorating):
    """Cancels a call after *seconds* and raises `CallTimeoutError`, a `TimeoutError`.

    It ends as soon as the call has dealt with its cancellation; a call that blocks the event loop
    can't be ended. A cancellation from outside is none of its business and passes through. A
    result that comes in spite of the cancellation is returned. Policies inside of it see its
    cancellation as any other: put it inside of the breaker that is to count it, and of the retry
    that is to try again.

    Args:
        seconds: above 0, or a timedelta.
        clock: what it takes the time from.

    Use it as a decorator, by `call`, or with ``async with``. It keeps no state, so one object can
    be shared by any tasks and threads.

    Raises:
        ConfigurationError: *seconds* is out of its range.
    """

    def __init__(self, seconds: Duration, *, clock: Clock | None = None) -> None:
        self.seconds: Final = checked_seconds("seconds", seconds)
        self.clock: Clock = clock or SystemClock()

    async def call(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await ``function(*args, **kwargs)`` for that long at most.

        Raises:
            CallTimeoutError: it took longer and was cancelled.
        """
        limit = _Limit(self)
        try:
            async with limit.scope:
                pending = function(*args, **kwargs)
                if type(pending) is not COROUTINE:
                    check_awaitable(pending, function)
                return await pending
        except TimeoutError as error:
            if not limit.scope.expired():
                raise
            raise limit.error(name_of(function, args)) from error
        finally:
            limit.end()

    async def __aenter__(self) -> None:
        limit = _Limit(self)
        await limit.scope.__aenter__()
        blocks.enter(self, limit)

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        limit: _Limit = blocks.leave(self)
        try:
            await limit.scope.__aexit__(error_type, error, traceback)
        except TimeoutError as expired:
            raise limit.error("a block") from expired
        finally:
            limit.end()


class _Limit:
    """The time limit of one call, by the event loop's timers or by a clock that is not its own."""

    __slots__ = ("_mine", "_seconds", "_watch", "scope")

    def __init__(self, timeout: Timeout) -> None:
        self._seconds = timeout.seconds
        self._watch: asyncio.Task[None] | None = None
        until = timeout.clock.monotonic() + self._seconds
        self._mine = (timeout.clock, until)
        time_limits.set((*time_limits.get(), self._mine))
        if type(timeout.clock) is SystemClock:
            self.scope = asyncio.timeout(self._seconds)
        else:
            self.scope = asyncio.timeout(None)
            self._watch = asyncio.create_task(self._expire(timeout.clock, until))

    async def _expire(self, clock: Clock, until: float) -> None:
        await clock.sleep(until - clock.monotonic())
        self.scope.reschedule(asyncio.get_running_loop().time())

    def error(self, what: str) -> CallTimeoutError:
        error = CallTimeoutError(what, seconds=self._seconds)
        _log.info("%s", error)
        return error

    def end(self) -> None:
        limits = time_limits.get()
        if limits and limits[-1] is self._mine:
            time_limits.set(limits[:-1])
        else:  # an async generator leaves its block while a later one is open
            time_limits.set(tuple(limit for limit in limits if limit is not self._mine))
        if self._watch is not None:
            self._watch.cancel()
