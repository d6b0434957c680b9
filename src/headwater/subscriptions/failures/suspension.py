"""Suspension: while what the events of a subscription need is away, nobody's attempts are used up.

A circuit breaker around a handler says when that is so. The lanes of a subscription then stand
still; when the breaker may close, one of them hands over one event to find out, the others go on
waiting.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from headwater.clock import Clock
from headwater.errors import CircuitOpenError
from headwater.resilience.breaker_states import BreakerChange, BreakerState
from headwater.resilience.circuit_breaker import CircuitBreaker
from headwater.resilience.failures import leaves_of
from headwater.subscriptions.failure import Suspend
from headwater.subscriptions.failures.turns import turn_after

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
        self._loop: asyncio.AbstractEventLoop | None = None
        for breaker in breakers:
            breaker.add_listener(self._heard)
        self._until: float | None = None
        self._why = ""
        self._prober: Suspended | None = None
        self._waiting: deque[Suspended] = deque()
        self._recent: deque[tuple[Suspended, str]] = deque(maxlen=RECENT_MAX)
        self._changed = asyncio.Event()
        self._lanes: dict[Suspended, None] = {}
        self._turns: dict[Suspended, float] = {}
        self._redelivered_last = False

    # -------------------------------------------------------------------------- looking

    @property
    def suspend(self) -> Suspend | None:
        """What lanes say while the events are suspended; None while they are not."""
        return None if self._until is None else Suspend(self._until, self._why)

    def due_at(self, lane: Suspended, due: float) -> float | None:
        """Return when *lane* may redeliver what is due at *due*; None: it is woken then."""
        due = max(due, self._turns.get(lane, due))
        if self._until is None or self._prober is lane:
            return due
        if self._prober is not None or (self._redelivered_last and self._waiting):
            return None
        return max(due, self._until)

    def may_go(self, lane: Suspended) -> bool:
        """Return whether *lane* may redeliver now; while all are suspended, it goes alone then."""
        if self._clock.monotonic() < self._turns.get(lane, 0.0):
            return False
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
        while (seconds := self._turns.get(lane, 0.0) - self._clock.monotonic()) > 0:
            await self._wait(seconds)
        if self._until is None or self._prober is lane:
            return
        self._waiting.append(lane)
        try:
            while (suspend := self.suspend) is not None:
                seconds = suspend.until - self._clock.monotonic()
                first = self._prober is None and self._waiting[0] is lane
                if first and seconds <= 0:
                    self._prober, self._redelivered_last = lane, False
                    return
                await self._wait(seconds if first else None)
        finally:
            self._waiting.remove(lane)
            self._change()

    # ------------------------------------------------------------------------- changing

    def join(self, lane: Suspended) -> None:
        """Take *lane* in."""
        self._lanes[lane] = None
        self._loop = asyncio.get_running_loop()

    def leave(self, lane: Suspended) -> None:
        """Let *lane* go; if it was its turn, another one has it."""
        self._lanes.pop(lane, None)
        self._turns.pop(lane, None)
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
        if self._closed and (bool(self._breakers) or self._prober is lane):
            self._lift()
        else:
            self.end_turn(lane)

    def judge(self, lane: Suspended, error: BaseException) -> Opened | None:
        """Return what *error* says if no event is to blame for it; None if one is.

        If there was only no room for it yet, *lane* waits for its turn, and the others go on.
        """
        rejected = [one for one in leaves_of(error) if isinstance(one, CircuitOpenError)]
        away = [
            breaker
            for breaker in self._breakers
            if breaker.state is not BreakerState.CLOSED and (rejected or breaker.counts(error))
        ]
        if not rejected and not away:
            self.end_turn(lane)
            turn = turn_after(error, self._clock.monotonic())
            if turn is None:
                return None
            suspend, seconds = turn
            self._turns[lane] = suspend.until
            return Opened(suspend, seconds, probe=False)
        if self._until is not None and self._prober not in (None, lane):
            # It was handed over before; somebody else finds out already.
            seconds = max(0.0, self._until - self._clock.monotonic())
            return Opened(Suspend(self._until, self._why), seconds, probe=False)
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

    @property
    def _closed(self) -> bool:
        return all(breaker.state is BreakerState.CLOSED for breaker in self._breakers)

    def _heard(self, change: BreakerChange) -> None:
        """Hear, in any thread, that a breaker has changed, also because of other subscriptions."""
        loop = self._loop
        if change.after is BreakerState.CLOSED and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        if self._until is not None and self._closed:
            self._lift()

    def _lift(self) -> None:
        self._until, self._prober = None, None
        self._wake_all()

    def _wake_all(self) -> None:
        self._change()
        for lane in self._lanes:
            lane.wake()

    def _change(self) -> None:
        """Let all who wait look again."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _wait(self, seconds: float | None) -> None:
        """Return when something has changed, or after *seconds* of the clock."""
        tasks: set[asyncio.Task[Any]] = {asyncio.create_task(self._changed.wait())}
        if seconds is not None:
            tasks.add(asyncio.create_task(self._clock.sleep(seconds)))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()


def _seconds_open(breaker: CircuitBreaker) -> float:
    until = breaker.open_until
    return 0.0 if until is None else until - breaker.clock.monotonic()
