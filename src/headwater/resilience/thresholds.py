"""Thresholds: at which failures a circuit breaker opens, and the tallies that count them.

A tally is not safe to use from several threads: its breaker holds a lock.
"""

import math
from collections import deque
from typing import Final, Protocol, TypeAlias

from headwater.clock import Duration
from headwater.resilience.arguments import checked_count, checked_number, checked_seconds

CALLS_MIN: Final = 10
WINDOW_PARTS: Final = 10
"""In so many parts a window of `FailureRate` is counted, and so it moves on."""


class Tally(Protocol):
    """Counts the calls of one time of being closed."""

    @property
    def watches_successes(self) -> bool:
        """Whether a success would change anything now."""
        ...

    def failed(self, now: float) -> str | None:
        """Count a failure at *now*; return why the breaker opens, None if it stays closed."""
        ...

    def succeeded(self, now: float) -> None:
        """Count a success at *now*."""
        ...


class FailureCount:
    """So many failures, whatever succeeds between them, within the last *window*.

    Args:
        failures: how many open the breaker; 1 or more.
        window: seconds or timedelta, above 0. A failure exactly that old still counts.

    Raises:
        ConfigurationError: an argument is out of its range.
    """

    def __init__(self, failures: int, *, window: Duration) -> None:
        self.failures: Final = checked_count("failures", failures, least=1)
        self.window: Final = checked_seconds("window", window)

    def tally(self) -> Tally:
        """Return a tally that begins at nothing."""
        return _Recent(self.failures, self.window)


class FailureRate:
    """So large a part of the calls within the last *window* failed, *calls_min* calls at least.

    The window moves on by tenths of itself: calls of the tenth that is under way and of the nine
    before it count. It is looked at whenever a call fails.

    Args:
        rate: from 0.001 to 1, all calls.
        window: seconds or timedelta, above 0.
        calls_min: with fewer calls in the window the breaker stays closed; 1 or more.

    Raises:
        ConfigurationError: an argument is out of its range.
    """

    def __init__(self, rate: float, *, window: Duration, calls_min: int = CALLS_MIN) -> None:
        self.rate: Final = checked_number("rate", rate, least=0.001, most=1)
        self.window: Final = checked_seconds("window", window)
        self.calls_min: Final = checked_count("calls_min", calls_min, least=1)

    def tally(self) -> Tally:
        """Return a tally that begins at nothing."""
        return _Rate(self)


Threshold: TypeAlias = int | FailureCount | FailureRate
"""So many failures in a row, so many within a window, or a part of all calls within one."""


def tally_of(threshold: Threshold) -> Tally:
    """Return a new tally for *threshold*.

    Raises:
        ConfigurationError: it is none.
    """
    if isinstance(threshold, FailureCount | FailureRate):
        return threshold.tally()
    return _InARow(checked_count("failures", threshold, least=1))


class _InARow:
    def __init__(self, failures: int) -> None:
        self._failures, self._count = failures, 0

    @property
    def watches_successes(self) -> bool:
        return self._count > 0

    def failed(self, now: float) -> str | None:
        self._count += 1
        return f"{self._count} failures in a row" if self._count >= self._failures else None

    def succeeded(self, now: float) -> None:
        self._count = 0


class _Recent:
    """Remembers as many failures as open the breaker, so the oldest tells whether they did."""

    watches_successes = False

    def __init__(self, failures: int, window: float) -> None:
        self._window = window
        self._times: deque[float] = deque(maxlen=failures)

    def failed(self, now: float) -> str | None:
        self._times.append(now)
        # Rounded as the manual clock counts: differences of floats are off by a little.
        span = round(now - self._times[0], 6)
        if len(self._times) < (self._times.maxlen or 0) or span > self._window:
            return None
        return f"{len(self._times)} failures within {self._window:.3g} s"

    def succeeded(self, now: float) -> None:
        """Pass over it: successes between failures change nothing."""


class _Rate:
    watches_successes = True

    def __init__(self, threshold: FailureRate) -> None:
        self._threshold = threshold
        self._parts: deque[list[int]] = deque()  # number of the part, its calls, its failures

    def failed(self, now: float) -> str | None:
        self._count(now, failures=1)
        calls = sum(part[1] for part in self._parts)
        failures = sum(part[2] for part in self._parts)
        if calls < self._threshold.calls_min or failures < self._threshold.rate * calls:
            return None
        return f"{failures} of {calls} calls failed within {self._threshold.window:.3g} s"

    def succeeded(self, now: float) -> None:
        self._count(now, failures=0)

    def _count(self, now: float, *, failures: int) -> None:
        number = math.floor(now * WINDOW_PARTS / self._threshold.window)
        while self._parts and self._parts[0][0] <= number - WINDOW_PARTS:
            self._parts.popleft()
        if not self._parts or self._parts[-1][0] != number:
            self._parts.append([number, 0, 0])
        self._parts[-1][1] += 1
        self._parts[-1][2] += failures
