"""Stalls: a subscription that is behind and comes no further is found, with the likely cause."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import msgspec

from headwater.clock import Clock
from headwater.errors import HeadwaterError
from headwater.subscriptions.detachment import context_of_no_message
from headwater.subscriptions.fronts import Front
from headwater.subscriptions.status import SubscriptionState, SubscriptionStatus

STALLED_SECONDS: Final = 60.0
"""How long a partition may be behind without coming further, unless told otherwise."""

LOOKS: Final = 10
"""How often within its limit a subscription is looked at."""

LOOK_SECONDS_MAX: Final = 5.0
"""How old is at most what is told of partitions that other processes work, and of what is held."""

_TROUBLE: Final = -1
"""Stands for the subscription as a whole, among partitions."""

_WORKING: Final = frozenset({SubscriptionState.CATCHING_UP, SubscriptionState.LIVE})

_log = logging.getLogger("headwater")


class _Seen(msgspec.Struct, frozen=True):
    """A partition that was seen to stand at *mark* since then."""

    mark: tuple[int, ...]
    since: float
    cause: str


class Watched(msgspec.Struct, frozen=True):
    """What is watched: what is known of each subscription, what the partitions of one that this
    process has are at, and how to find out what only the storage knows."""

    statuses: Callable[[], Iterable[SubscriptionStatus]]
    fronts: Callable[[str], Iterable[Front]]
    refresh: Callable[[], Awaitable[None]]


class StallWatch:
    """Looks again and again, and remembers since when each partition stands where it is."""

    def __init__(
        self, watched: Watched, *, limit_seconds: float = STALLED_SECONDS, clock: Clock
    ) -> None:
        self._watched, self._limit, self._clock = watched, limit_seconds, clock
        self._seen: dict[str, dict[int, _Seen]] = {}
        self._told: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def look(self) -> tuple[SubscriptionStatus, ...]:
        """Return what is known of each subscription.

        It is STALLED if a partition of this process stands for its limit although it is behind,
        or if nothing can be done for so long because of what it tries again.
        """
        return tuple(self._judged(status) for status in self._watched.statuses())

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
        pause = min(self._limit / LOOKS, LOOK_SECONDS_MAX)
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS_MAX):
                    await self._watched.refresh()
            except (HeadwaterError, TimeoutError) as error:
                # What is told is older then; what is wrong with the storage, others say.
                _log.debug("Monitoring: what the storage has is not known: %r", error)
            self.look()
            await self._clock.sleep(pause)

    def _judged(self, status: SubscriptionStatus) -> SubscriptionStatus:
        now, name = self._clock.monotonic(), status.name
        before = self._seen.get(name, {})
        seen: dict[int, _Seen] = {}
        for front in self._fronts(status):
            known = before.get(front.partition)
            since = known.since if known is not None and known.mark == front.mark else now
            seen[front.partition] = _Seen(front.mark, since, front.cause)
        self._seen[name] = seen
        longest = min(seen.values(), key=lambda one: one.since, default=None)
        if longest is None or now - longest.since < self._limit:
            if name in self._told:
                self._told.discard(name)
                _log.warning("Subscription %r goes on", name)
            return status
        problem = f"stands for {now - longest.since:.0f} s: {longest.cause}"
        if name not in self._told:
            self._told.add(name)
            _log.error("Subscription %r %s", name, problem)
        return msgspec.structs.replace(status, state=SubscriptionState.STALLED, error=problem)

    def _fronts(self, status: SubscriptionStatus) -> Iterable[Front]:
        """Return what may stand still; nothing where a state says why it does."""
        if status.state not in _WORKING:
            return
        yield from self._watched.fronts(status.name)
        if status.error is not None:
            yield Front(_TROUBLE, (), status.error)


def moved(
    before: Mapping[str, SubscriptionStatus], after: SubscriptionStatus, *, seconds: float
) -> SubscriptionStatus:
    """Return *after* with its rate since *before*, *seconds* ago."""
    earlier = before.get(after.name)
    if earlier is None or seconds <= 0:
        return after
    rate = max(0, after.position - earlier.position) / seconds
    return msgspec.structs.replace(after, events_per_second=rate)
