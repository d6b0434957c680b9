"""Suspension: while what the events of a subscription need is away, nobody's attempts are used up.

A circuit breaker around a handler says when that is so. The lanes of a subscription then stand
still; when the breaker may close, one of them hands over one event to find out, the others go on
waiting.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from headwater.clock import Clock
from headwater.errors import CircuitOpenError
from headwater.resilience.breaker_states import BreakerState
from headwater.resilience.circuit_breaker import CircuitBreaker
from headwater.resilience.failures import leaves_of
from headwater.subscriptions.failure import Suspend

PROBE_AGAIN_SECONDS: Final = 1.0
"""How long to wait before the next probe, where a breaker does not say it: others probe it."""

RECENT_MAX: Final = 1000
"""Of so many last failures it is known that they are to be taken back if a breaker opens."""


class Suspended(Protocol):
    """A lane, as the others see it."""

    def take_back(self, id: str, *, due_in: float) -> None:
        """Give the held delivery back the attempt it has used, and try it in *due_in* seconds."""
        ...

    def wake(self) -> None:
        """Look again what is due."""
        ...


class Opened(msgspec.Struct, frozen=True):
    """A failure for which no event is to blame. `probe`: it was found out by trying one event."""

    suspend: Suspend
    seconds: float
    probe: bool


class Suspension:
    """Whether the events of one subscription are suspended in this process, and whose turn it is.

    Without breakers in the handler's policy only a `CircuitOpenError` of another one suspends.
    """

    def __init__(self, breakers: Sequence[CircuitBreaker], clock: Clock) -> None:
        self._breakers, self._clock = breakers, clock
        self._until: float | None = None
        self._why = ""
        self._prober: Suspended | None = None
        self._waiting: deque[Suspended] = deque()
        self._recent: deque[tuple[Suspended, str]] = deque(maxlen=RECENT_MAX)
        self._changed = asyncio.Event()
        self._lanes: dict[Suspended, None] = {}
        self._redelivered_last = False

    # -------------------------------------------------------------------------- looking

    @property
    def suspend(self) -> Suspend | None:
        """What lanes say while the events are suspended; None while they are not."""
        return None if self._until is None else Suspend(self._until, self._why)

    def may_go(self, lane: Suspended) -> bool:
        """Return whether *lane* may redeliver now; while all are suspended, it goes alone then."""
        if self._until is None or self._prober is lane:
            return True
        if self._prober is not None or self._clock.monotonic() < self._until:
            return False
        if self._redelivered_last and self._waiting:
            return False
        self._prober, self._redelivered_last = lane, True
        return True

    async def ready(self, lane: Suspended) -> None:
        """Return when *lane* may hand over a batch; while all are suspended, it goes alone."""
        if self._until is None:
            return
        self._waiting.append(lane)
        try:
            while self._until is not None and self._prober is not lane:
                seconds = self._until - self._clock.monotonic()
                first = self._prober is None and self._waiting[0] is lane
                if first and seconds <= 0:
                    self._prober, self._redelivered_last = lane, False
                    return
                await self._wait(seconds if first else None)
        finally:
            self._waiting.remove(lane)
            self._tell(self._changed)

    # ------------------------------------------------------------------------- changing

    def join(self, lane: Suspended) -> None:
        """Take *lane* in."""
        self._lanes[lane] = None

    def leave(self, lane: Suspended) -> None:
        """Let *lane* go; if it was its turn, another one has it."""
        self._lanes.pop(lane, None)
        self._recent = deque((one for one in self._recent if one[0] is not lane), RECENT_MAX)
        self.end_turn(lane)

    def end_turn(self, lane: Suspended) -> None:
        """Let the next one try, if it is the turn of *lane*."""
        if self._prober is lane:
            self._prober = None
            self._wake_all()

    def used(self, lane: Suspended, id: str, error: BaseException) -> None:
        """Note that *error* used up an attempt of a held delivery, for now."""
        if any(breaker.counts(error) for breaker in self._breakers):
            self._recent.append((lane, id))

    def succeeded(self, lane: Suspended) -> None:
        """Note that an event was handled: what failed before it has failed by itself."""
        if self._recent:
            self._recent.clear()
        if self._until is None:
            return
        if all(breaker.state is BreakerState.CLOSED for breaker in self._breakers) and (
            self._breakers or self._prober is lane
        ):
            self._until, self._prober = None, None
            self._wake_all()
        else:
            self.end_turn(lane)

    def judge(self, lane: Suspended, error: BaseException) -> Opened | None:
        """Return what *error* says if no event is to blame for it; None if one is."""
        rejected = [one for one in leaves_of(error) if isinstance(one, CircuitOpenError)]
        away = [
            breaker
            for breaker in self._breakers
            if breaker.state is not BreakerState.CLOSED and (rejected or breaker.counts(error))
        ]
        if not rejected and not away:
            self.end_turn(lane)
            return None
        seconds = [breaker.open_until - breaker.clock.monotonic() for breaker in away]
        return self._opened(lane, rejected, away)

    def _opened(
        self,
        lane: Suspended,
        rejected: Sequence[CircuitOpenError],
        away: Sequence[CircuitBreaker],
    ) -> Opened:
        left = [_seconds_open(breaker) for breaker in away] + [one.seconds for one in rejected]
        seconds = max(left) if max(left) > 0 else PROBE_AGAIN_SECONDS
        name = away[0].name if away else rejected[0].breaker
        # A call that its own breaker has rejected says nothing: somebody else probes it.
        probe = self._prober is lane and not (rejected and away)
        self._until = round(self._clock.monotonic() + seconds, 6)
        self._why = f"waits until what {name!r} guards is there again"
        self._prober = None
        taken_back, self._recent = self._recent, deque(maxlen=RECENT_MAX)
        for other, id in taken_back:
            other.take_back(id, due_in=seconds)
        self._wake_all()
        return Opened(Suspend(self._until, self._why), seconds, probe)

    def _wake_all(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        self._tell(changed)
        for lane in self._lanes:
            lane.wake()

    def _tell(self, changed: asyncio.Event) -> None:
        changed.set()

    async def _wait(self, seconds: float | None) -> None:
        """Return when something has changed, or after *seconds* of the clock."""
        changed = asyncio.ensure_future(self._changed.wait())
        tasks: set[asyncio.Future[object]] = {changed}
        if seconds is not None:
            tasks.add(asyncio.ensure_future(self._clock.sleep(seconds)))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()


def _seconds_open(breaker: CircuitBreaker) -> float:
    until = breaker.open_until
    return 0.0 if until is None else until - breaker.clock.monotonic()
