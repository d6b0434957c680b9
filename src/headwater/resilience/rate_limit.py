"""Rate limit: only so many calls within some time."""

import logging
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, ParamSpec, TypeVar

from headwater.clock import Clock, Duration, SystemClock
from headwater.errors import RateLimitExceededError
from headwater.resilience.arguments import checked_count, checked_seconds, checked_text
from headwater.resilience.guards import COROUTINE, Decorating, check_awaitable
from headwater.resilience.waiting import Line, Waiter

P = ParamSpec("P")
T = TypeVar("T")

PER_SECONDS: Final = 1.0
WAIT_SECONDS_MAX: Final = 60.0
QUEUE_MAX: Final = 1000
TICK_SECONDS: Final = 1e-6
"""What is due within it is due now: clocks need not be finer."""

_log = logging.getLogger("headwater")


class RateLimit(Decorating):
    """Begins *calls* calls per *per* at most, evenly; the others wait, first come, first served.

    After a pause *burst* calls may begin at once, so within any time t there are never more than
    ``burst + t * calls / per``. A call that would have to wait longer than *wait_max*, as far as
    can be foreseen, or behind more than *queue_max* others, is rejected at once.

    Args:
        calls: 1 or more.
        per: seconds or timedelta, above 0.
        burst: 1 or more; *calls* if not given.
        wait_max: seconds or timedelta; 0 rejects whatever can't begin at once.
        queue_max: 0 or more.
        name: how it is called in errors and in the log.
        clock: what it takes the time from and waits by.

    Use it as a decorator, by `call`, or with ``async with``. One object, shared by all calls to
    the same thing, can be used from any tasks, event loops and threads.

    Raises:
        ConfigurationError: an argument is out of its range.

    Source: ITU-T I.371, the generic cell rate algorithm (virtual scheduling).
    """

    def __init__(
        self,
        calls: int,
        *,
        per: Duration = PER_SECONDS,
        burst: int | None = None,
        wait_max: Duration = WAIT_SECONDS_MAX,
        queue_max: int = QUEUE_MAX,
        name: str = "rate limit",
        clock: Clock | None = None,
    ) -> None:
        self._interval = checked_seconds("per", per) / checked_count("calls", calls, least=1)
        at_once = calls if burst is None else checked_count("burst", burst, least=1)
        self._ahead = (at_once - 1) * self._interval
        self._wait_max = checked_seconds("wait_max", wait_max, zero=True)
        self._queue_max = checked_count("queue_max", queue_max, least=0)
        self.name: Final = checked_text("name", name)
        self.clock: Clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._line = Line()
        self._next = float("-inf")
        """When the next call would begin if they all came evenly."""

    @property
    def waiting(self) -> int:
        """How many calls wait now."""
        return len(self._line)

    async def call(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await ``function(*args, **kwargs)`` when it is its turn.

        Raises:
            RateLimitExceededError: that is too far off; *function* was not called.
        """
        await self.__aenter__()
        pending = function(*args, **kwargs)
        if type(pending) is not COROUTINE:
            check_awaitable(pending, function)
        return await pending

    async def __aenter__(self) -> None:
        """Wait for the turn of a block.

        Raises:
            RateLimitExceededError: that is too far off.
        """
        with self._lock:
            if not self._line and self._begun():
                return
            waiter = self._joined()
        try:
            await self._turn(waiter)
        finally:
            with self._lock:
                self._line.leave(waiter)
                self._line.call_first()

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Do nothing: only beginnings are limited."""

    async def _turn(self, waiter: Waiter) -> None:
        """Wait until *waiter* is the first, then until a call may begin.

        Only the first sleeps. So who gives up leaves no gap, and nobody is overtaken.
        """
        if not waiter.called:
            await waiter.wait()
        while True:
            with self._lock:
                if self._begun():
                    return
                wait = self._wait(0)
            await self.clock.sleep(wait)

    def _begun(self) -> bool:
        """Let a call begin now if it may; return whether it did."""
        now = self.clock.monotonic()
        if self._next - self._ahead - now >= TICK_SECONDS:
            return False
        self._next = max(self._next, now) + self._interval
        return True

    def _wait(self, others: int) -> float:
        """Return the seconds until a call with *others* before it may begin."""
        return self._next + others * self._interval - self._ahead - self.clock.monotonic()

    def _joined(self) -> Waiter:
        wait = self._wait(len(self._line))
        if wait > self._wait_max:
            raise self._exceeded(wait, f"a turn is more than {self._wait_max:.3g} s off (wait_max)")
        if len(self._line) >= self._queue_max:
            raise self._exceeded(wait, f"{self._queue_max} calls wait (queue_max)")
        waiter = self._line.join()
        if self._line.is_first(waiter):
            waiter.called = True
        return waiter

    def _exceeded(self, wait: float, problem: str) -> RateLimitExceededError:
        error = RateLimitExceededError(self.name, retry_after=wait, problem=problem)
        _log.info("%s", error)
        return error
