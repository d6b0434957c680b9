"""Time comes in from outside: the clock port, the system's, and one that tests move by hand."""

import asyncio
import heapq
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Protocol, TypeAlias

from headwater.errors import MomentError

Duration: TypeAlias = float | timedelta
"""Seconds, or a timedelta."""


class Positioned(Protocol):
    """What stands at a position of the log: a receipt, or an event that was recorded."""

    @property
    def position(self) -> int:
        """The position."""
        ...


Moment: TypeAlias = int | datetime | Positioned
"""A place in the past: the version of a stream (for what is computed from the whole log, a position
of it), an aware datetime, or what stands at a position of the log."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def seconds_of(duration: Duration) -> float:
    """Return *duration* in seconds."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def microseconds_since_epoch(moment: datetime) -> int:
    """Return *moment* in whole microseconds since 1970-01-01 UTC.

    Raises:
        ValueError: *moment* has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; use an aware datetime such as UTC")
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_microseconds(microseconds: int) -> datetime:
    """Return the UTC datetime *microseconds* after 1970-01-01."""
    return EPOCH + timedelta(microseconds=microseconds)


def checked_moment(moment: Moment, *, first: int) -> Moment:
    """Return *moment*; a number must be *first* or more.

    Raises:
        MomentError: it can't name a place in the past.
    """
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise MomentError(moment, "it has no time zone")
    elif isinstance(moment, bool) or not isinstance(
        moment if isinstance(moment, int) else getattr(moment, "position", None), int
    ):
        raise MomentError(moment, f"it is a {type(moment).__name__}")
    elif isinstance(moment, int) and moment < first:
        raise MomentError(moment, f"numbers count from {first}")
    return moment


def moment_text(moment: Moment, *, unit: str) -> str:
    """Return *moment* as it stands in an error, a number with its *unit*."""
    if isinstance(moment, datetime):
        return str(moment)
    return f"{unit} {moment}" if isinstance(moment, int) else f"position {moment.position}"


class Clock(Protocol):
    """Where the library gets the time from and how it waits."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never fall back; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after *seconds*; at once for zero or less."""
        ...


class SystemClock:
    """The machine's clock and the event loop's timers."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that stands still until `advance` moves it; sleepers wake in due order."""

    def __init__(self, start: datetime = datetime(2024, 1, 1, tzinfo=UTC)) -> None:
        if start.tzinfo is None:
            raise ValueError(f"{start!r} has no time zone; use an aware datetime such as UTC")
        self._start = start.astimezone(UTC)
        # Whole microseconds: ten steps of 0.1 s are then 1 s, which they are not as floats.
        self._elapsed = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    def now(self) -> datetime:
        return self._start + timedelta(microseconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed / 1_000_000

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        due = self._elapsed + round(seconds * 1_000_000)
        heapq.heappush(self._sleepers, (due, next(self._order), woken))
        await woken

    def advance(self, by: Duration) -> None:
        """Move time forward by *by* (seconds or timedelta) and wake whoever is due.

        Raises:
            ValueError: *by* is negative.
        """
        seconds = seconds_of(by)
        if seconds < 0:
            raise ValueError(f"time does not go back; advance by 0 or more, not {seconds} s")
        self._elapsed += round(seconds * 1_000_000)
        while self._sleepers and self._sleepers[0][0] <= self._elapsed:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)
