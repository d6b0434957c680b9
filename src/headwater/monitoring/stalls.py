"""Stalls: a subscription that is behind and comes no further is found, with the likely cause."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from headwater.clock import Clock
from headwater.subscriptions.detachment import context_of_no_message
from headwater.subscriptions.status import HeldCounts, SubscriptionState, SubscriptionStatus

STALLED_SECONDS: Final = 60.0
"""How long a subscription may be behind without coming further, unless told otherwise."""

LOOKS: Final = 10
"""How often within its limit a subscription is looked at."""

_WORKING: Final = frozenset({SubscriptionState.CATCHING_UP, SubscriptionState.LIVE})

_log = logging.getLogger("headwater")


class _Place(msgspec.Struct, frozen=True):
    """What changes when a subscription comes further."""

    checkpoints: tuple[int, ...]
    position: int
    events_done: int
    held: HeldCounts


class _Seen(msgspec.Struct):
    place: _Place
    since: float
    told: bool = False


class StallWatch:
    """Looks again and again, and remembers since when each subscription stands where it is.

    *causes* gives the likely cause for the name of a subscription, as far as anything is known.
    """

    def __init__(
        self,
        statuses: Callable[[], Iterable[SubscriptionStatus]],
        *,
        causes: Callable[[str], str | None] = lambda _: None,
        limit_seconds: float = STALLED_SECONDS,
        clock: Clock,
    ) -> None:
        self._statuses, self._causes = statuses, causes
        self._limit, self._clock = limit_seconds, clock
        self._seen: dict[str, _Seen] = {}
        self._task: asyncio.Task[None] | None = None

    def look(self) -> tuple[SubscriptionStatus, ...]:
        """Return what is known of each subscription, STALLED where it stands for its limit."""
        return tuple(self._judged(status) for status in self._statuses())

    def start(self) -> None:
        """Look from now on also when nobody asks, and log what stalls."""
        self._task = asyncio.create_task(
            self._run(), name="headwater stalls", context=context_of_no_message()
        )

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    async def _run(self) -> None:
        while True:
            self.look()
            await self._clock.sleep(self._limit / LOOKS)

    def _judged(self, status: SubscriptionStatus) -> SubscriptionStatus:
        now, name = self._clock.monotonic(), status.name
        place = _Place(status.checkpoints, status.position, status.events_done, status.held)
        seen = self._seen.get(name)
        standing = status.state in _WORKING and status.lag_events > 0
        if seen is None or not standing or seen.place != place:
            if seen is not None and seen.told:
                _log.warning("Subscription %r goes on", name)
            self._seen[name] = _Seen(place, now)
            return status
        stands_for = now - seen.since
        if stands_for < self._limit:
            return status
        cause = self._causes(name) or status.error or "nothing is known of it"
        problem = f"stands at position {status.position} for {stands_for:.0f} s: {cause}"
        if not seen.told:
            _log.error("Subscription %r %s", name, problem)
            seen.told = True
        return msgspec.structs.replace(status, state=SubscriptionState.STALLED, error=problem)


def moved(
    before: Mapping[str, SubscriptionStatus], after: SubscriptionStatus, *, seconds: float
) -> SubscriptionStatus:
    """Return *after* with its rate since *before*, *seconds* ago."""
    earlier = before.get(after.name)
    if earlier is None or seconds <= 0:
        return after
    rate = max(0, after.position - earlier.position) / seconds
    return msgspec.structs.replace(after, events_per_second=rate)
