"""Turns: a call that a policy had no room for says nothing about its event, which waits."""

from typing import Final

from headwater.errors import BulkheadFullError, RateLimitExceededError
from headwater.resilience.failures import leaves_of
from headwater.subscriptions.failure import Suspend

TURN_SECONDS_MIN: Final = 0.01
"""The shortest wait, whatever is said about the next turn."""

ROOM_SECONDS: Final = 1.0
"""How long to wait for room, of which nobody knows when there is some."""


def turn_after(error: BaseException, now: float) -> tuple[Suspend, float] | None:
    """Return until when an event waits that was rejected with *error*, and for how many seconds.

    None if *error* says more than that there is no room yet. *now* is the monotonic time.
    """
    waits: list[float] = []
    names: list[str] = []
    for one in leaves_of(error):
        if isinstance(one, RateLimitExceededError):
            waits.append(one.retry_after)
            names.append(one.limit)
        elif isinstance(one, BulkheadFullError):
            waits.append(ROOM_SECONDS)
            names.append(one.bulkhead)
        else:
            return None
    seconds = max(TURN_SECONDS_MIN, *waits)
    return Suspend(round(now + seconds, 6), f"waits for its turn at {names[0]!r}"), seconds
