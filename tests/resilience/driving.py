"""What tests of policies use: a clock that leaps, functions that fail by plan, calls by hand."""

import types
from collections.abc import Coroutine, Generator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headwater.clock import Clock
from headwater.resilience import BreakerState, CircuitBreaker, Guard, Retry


class LeapingClock:
    """A clock on which every sleep is over at once: it moves the time on."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.time = 0.0

    def now(self) -> datetime:
        return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=self.time)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


class Plan:
    """An async function that ends as planned: errors are raised, anything else is returned.

    After the last end it goes on with it. `calls` has the arguments of each call.
    """

    def __init__(self, *ends: object) -> None:
        self.__name__ = self.__qualname__ = "plan"
        self._ends = ends
        self.calls: list[tuple[Any, ...]] = []

    async def __call__(self, *args: Any) -> Any:
        end = self._ends[min(len(self.calls), len(self._ends) - 1)]
        self.calls.append(args)
        if isinstance(end, BaseException):
            raise end
        return end


def ends(count: int, error: type[Exception] = ConnectionError) -> Sequence[Exception]:
    """Return *count* failures that can be told apart."""
    return [error(f"failure {number}") for number in range(1, count + 1)]


async def failing(breaker: CircuitBreaker, times: int, error: Exception | None = None) -> None:
    """Let *times* calls under *breaker* fail."""
    error = error or ConnectionError("no route")
    for _ in range(times):
        with pytest.raises(type(error)):
            await breaker.call(Plan(error))


async def opened(clock: Clock, **options: Any) -> CircuitBreaker:
    """Return a breaker that one failure has opened for a minute."""
    breaker = CircuitBreaker(1, open_for=60, clock=clock, **options)
    await failing(breaker, 1)
    return breaker


async def calls_of(retry: Retry, error: Exception) -> int:
    """Return how often a function is called under *retry* that always fails with *error*."""
    plan = Plan(error)
    with pytest.raises(type(error)) as raised:
        await retry.call(plan)
    assert raised.value is error
    return len(plan.calls)


def state_of(breaker: CircuitBreaker) -> BreakerState:
    """Return its state; the type checker thinks that the attribute stays as a test has seen it."""
    return breaker.state


@types.coroutine
def _suspended() -> Generator[None, None, None]:
    yield


class RunningCall:
    """A call under a guard that has begun, and ends when the test says how; without a loop.

    What a guard raises instead of beginning comes out of the constructor.
    """

    def __init__(self, guard: Guard) -> None:
        self._coroutine: Coroutine[Any, Any, None] = guard.call(self._run)
        self._coroutine.send(None)

    async def _run(self) -> None:
        await _suspended()

    def end(self, error: BaseException | None = None) -> None:
        """End the call with *error*, or with a result."""
        if error is None:
            with pytest.raises(StopIteration):
                self._coroutine.send(None)
            return
        with pytest.raises(type(error)) as raised:
            self._coroutine.throw(error)
        assert raised.value is error
