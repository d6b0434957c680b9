"""Which attempt is under way, and at what: known to whatever runs inside it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final

from headwater.clock import Clock

attempt_number: Final[ContextVar[int]] = ContextVar("headwater_attempt", default=1)
subject_keys: Final[ContextVar[tuple[str, ...]]] = ContextVar("headwater_subject", default=())
"""What the calls are tries at; if that is a part of something, then this too."""
time_limits: Final[ContextVar[tuple[tuple[Clock, float], ...]]] = ContextVar(
    "headwater_time_limits", default=()
)
"""The clock and monotonic time of each limit that was set around what runs here."""

answer_instead: Final[ContextVar[Callable[[], None] | None]] = ContextVar(
    "headwater_answer_instead", default=None
)
"""Is told that no call made so far is what is answered with."""


def current_attempt() -> int:
    """Return the number of the attempt under the innermost `Retry`: 1 the first, or without one."""
    return attempt_number.get()


def seconds_left() -> float | None:
    """Return how many seconds are left until a `Timeout` around this call ends it; None if none is.

    Of several the nearest; 0.0 if it has passed.
    """
    limits = time_limits.get()
    if not limits:
        return None
    return max(0.0, min(until - clock.monotonic() for clock, until in limits))


def attempt_subject(key: str, *, of: str | None = None) -> AbstractContextManager[None]:
    """Say that all calls in this block are tries at one thing, such as the handling of one event.

    A circuit breaker then counts a failure of *key* once until it changes its state or *key*
    succeeds, however often it is tried. A part *of* something that was tried as a whole is not
    counted if that is, whichever parts succeed. The innermost block holds.
    """
    return _Subject((key,) if of is None else (key, of))


class _Subject(AbstractContextManager[None]):
    __slots__ = ("_keys", "_token")

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._keys = keys
        self._token: Token[tuple[str, ...]] | None = None

    def __enter__(self) -> None:
        self._token = subject_keys.set(self._keys)

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._token is not None:
            subject_keys.reset(self._token)
            self._token = None
