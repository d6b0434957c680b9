"""Slow-handler log: a warning for what takes longer than it should."""

import logging
from typing import Any, Final

from headwater.clock import Clock, Duration, SystemClock, seconds_of
from headwater.mediator.chains import Next

SLOW_AFTER: Final = 1.0

_log = logging.getLogger("headwater")


class SlowHandlerLog:
    """Logs a warning when a message took *threshold* (seconds or timedelta) or longer.

    It says so whether the handler returned, failed or was cancelled.
    """

    order = -500

    def __init__(self, *, threshold: Duration = SLOW_AFTER, clock: Clock | None = None) -> None:
        self._threshold = seconds_of(threshold)
        self._clock: Clock = clock or SystemClock()

    async def __call__(self, message: object, next: Next[object, Any]) -> Any:
        started = self._clock.monotonic()
        try:
            return await next(message)
        finally:
            took = self._clock.monotonic() - started
            if took >= self._threshold:
                _log.warning(
                    "%s took %.3f s; %.3f s is slow", type(message).__name__, took, self._threshold
                )
