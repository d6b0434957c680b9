"""What fails again and again is left alone for a while."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headwater.clock import ManualClock
from headwater.errors import CircuitOpenError, ConfigurationError, RefusedError
from headwater.resilience import (
    BreakerChange,
    BreakerState,
    CircuitBreaker,
    FailureCount,
    FailureRate,
)
from tests.resilience.driving import Plan, RunningCall, failing, opened, state_of


class OutOfStockError(RefusedError):
    pass


# -------------------------------------------------------------------------------- opening


async def test_five_failures_in_a_row_open_it_for_a_minute_by_default(clock: ManualClock) -> None:
    breaker = CircuitBreaker(clock=clock)

    await failing(breaker, 4)
    assert await breaker.call(Plan("fine")) == "fine"
    await failing(breaker, 4)
    assert state_of(breaker) is BreakerState.CLOSED
    await failing(breaker, 1)

    assert (breaker.state, breaker.open_until) == (BreakerState.OPEN, 60.0)


async def test_while_it_is_open_nothing_is_called_and_the_error_says_until_when(
    clock: ManualClock,
) -> None:
    breaker = await opened(clock, name="mail")
    clock.advance(15)
    plan = Plan("fine")

    with pytest.raises(CircuitOpenError) as rejected:
        await breaker.call(plan)

    assert plan.calls == []
    assert rejected.value.until == datetime(2024, 1, 1, 0, 1, tzinfo=UTC)
    assert rejected.value.seconds == 45.0
    assert str(rejected.value) == (
        "'mail' is open until 2024-01-01 00:01:00+00:00 (for 45 s): 1 failures in a row, the last "
        "with ConnectionError: no route. Nothing was called."
    )


async def test_a_window_forgets_old_failures_and_no_success_does(clock: ManualClock) -> None:
    breaker = CircuitBreaker(FailureCount(2, window=timedelta(seconds=10)), clock=clock)

    await failing(breaker, 1)
    clock.advance(10.1)
    await failing(breaker, 1)
    assert state_of(breaker) is BreakerState.CLOSED
    await breaker.call(Plan("fine"))
    clock.advance(10)
    await failing(breaker, 1)

    assert state_of(breaker) is BreakerState.OPEN


async def test_a_rate_of_failures_needs_calls_enough_to_be_one(clock: ManualClock) -> None:
    breaker = CircuitBreaker(FailureRate(0.5, window=10, calls_min=6), clock=clock)

    for _ in range(2):
        await breaker.call(Plan("fine"))
        await failing(breaker, 1)
    assert state_of(breaker) is BreakerState.CLOSED
    await breaker.call(Plan("fine"))
    await failing(breaker, 1)

    assert state_of(breaker) is BreakerState.OPEN


@pytest.mark.parametrize(("at", "state"), [(9.9, BreakerState.OPEN), (10, BreakerState.CLOSED)])
async def test_the_window_of_a_rate_is_its_last_ten_tenths(
    at: float, state: BreakerState, clock: ManualClock
) -> None:
    breaker = CircuitBreaker(FailureRate(1, window=10, calls_min=2), clock=clock)
    clock.advance(0.9)
    await failing(breaker, 1)

    clock.advance(at - 0.9)
    await failing(breaker, 1)

    assert breaker.state is state


# ------------------------------------------------------------------------------- half-open


async def test_when_its_time_is_up_it_is_half_open_for_all_who_ask(clock: ManualClock) -> None:
    breaker = await opened(clock)

    clock.advance(59.999999)
    assert state_of(breaker) is BreakerState.OPEN
    clock.advance(0.000001)

    assert (breaker.state, breaker.open_until) == (BreakerState.HALF_OPEN, None)


async def test_only_so_many_probes_are_let_through_and_the_error_says_so(
    clock: ManualClock,
) -> None:
    breaker = await opened(clock, probes=2)
    clock.advance(60)
    probes = [RunningCall(breaker) for _ in range(2)]

    with pytest.raises(CircuitOpenError, match="being probed: 1 failures in a row"):
        RunningCall(breaker)

    probes[0].end()
    assert state_of(breaker) is BreakerState.CLOSED
    probes[1].end(ConnectionError())
    assert state_of(breaker) is BreakerState.CLOSED


async def test_a_probe_that_fails_opens_it_anew_for_the_whole_time(clock: ManualClock) -> None:
    breaker = await opened(clock)
    clock.advance(100)

    await failing(breaker, 1)

    assert breaker.open_until == 160.0


@pytest.mark.parametrize("end", [asyncio.CancelledError(), KeyboardInterrupt(), GeneratorExit()])
async def test_a_probe_that_is_cancelled_gives_its_place_back(
    end: BaseException, clock: ManualClock
) -> None:
    breaker = await opened(clock)
    clock.advance(60)

    for _ in range(3):
        RunningCall(breaker).end(end)
        assert state_of(breaker) is BreakerState.HALF_OPEN
    await breaker.call(Plan("fine"))

    assert state_of(breaker) is BreakerState.CLOSED


# --------------------------------------------------------------------------- other forms


async def test_a_block_is_a_call(clock: ManualClock) -> None:
    breaker = CircuitBreaker(1, open_for=60, clock=clock)

    async with breaker:
        async with breaker:
            pass
        assert state_of(breaker) is BreakerState.CLOSED
    with pytest.raises(ConnectionError):
        async with breaker:
            raise ConnectionError
    with pytest.raises(CircuitOpenError):
        async with breaker:
            pytest.fail("it was let in")
    clock.advance(60)
    async with breaker:
        assert state_of(breaker) is BreakerState.HALF_OPEN

    assert state_of(breaker) is BreakerState.CLOSED


async def test_a_function_under_it_fails_at_once_while_it_is_open(clock: ManualClock) -> None:
    breaker = CircuitBreaker(1, clock=clock)

    @breaker
    async def send(to: str) -> str:
        raise ConnectionError(to)

    with pytest.raises(ConnectionError):
        await send("anna")

    with pytest.raises(CircuitOpenError):
        await send("anna")


async def test_one_breaker_serves_the_loops_of_several_threads(clock: ManualClock) -> None:
    threads_count, calls = 8, 250
    breaker = CircuitBreaker(threads_count * calls, clock=clock)
    told: list[BreakerChange] = []
    breaker.add_listener(told.append)
    start = threading.Barrier(threads_count, timeout=10)

    def work() -> None:
        start.wait()
        asyncio.run(failing(breaker, calls))

    threads = [threading.Thread(target=work) for _ in range(threads_count)]
    for thread in threads:
        thread.start()
    await asyncio.gather(*[asyncio.to_thread(thread.join) for thread in threads])

    assert [change.after for change in told] == [BreakerState.OPEN]


async def test_threads_that_ask_at_once_get_no_more_places_than_there_are(
    clock: ManualClock,
) -> None:
    threads_count = 4  # fewer than the threads that asyncio has, or they wait for each other
    breaker = await opened(clock, probes=2)
    clock.advance(60)
    start = threading.Barrier(threads_count, timeout=10)

    def ask() -> RunningCall | None:
        start.wait()
        try:
            return RunningCall(breaker)
        except CircuitOpenError:
            return None

    asked = await asyncio.gather(*[asyncio.to_thread(ask) for _ in range(threads_count)])
    probes = [probe for probe in asked if probe is not None]

    assert len(probes) == 2
    for probe in probes:
        probe.end()
    assert state_of(breaker) is BreakerState.CLOSED


# --------------------------------------------------------------------------- its arguments


async def listening(change: BreakerChange) -> None:
    """Stands for a listener that would never be awaited."""


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"failures": 0}, "failures must be a whole number of 1 or more, not 0"),
        ({"failures": True}, "failures must be a whole number"),
        ({"failures": listening}, "before it decorates: write @Retry"),
        ({"open_for": 0}, "open_for must be seconds or a timedelta, above 0"),
        ({"open_for": float("nan")}, "open_for must be"),
        ({"open_for": timedelta(days=40_000)}, "at most a hundred years"),
        ({"probes": 0}, "probes must be"),
        ({"successes": 1.5}, "successes must be"),
        ({"counts": "OSError"}, "counts must name classes of exceptions, not 'OSError'"),
        ({"counts": asyncio.CancelledError}, "Cancellation"),
        ({"counts": OutOfStockError}, "counts names OutOfStockError, a refusal"),
        ({"counts": OSError, "ignores": OSError}, "OSError is named twice"),
        ({"listeners": [listening]}, "A listener is a plain function"),
        ({"name": ""}, "name must be a text"),
    ],
)
def test_a_wrong_argument_is_said(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        CircuitBreaker(**options)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: FailureCount(0, window=1), "failures must be"),
        (lambda: FailureCount(1, window=0), "window must be"),
        (lambda: FailureRate(0, window=1), "rate must be from 0.001 to 1, not 0"),
        (lambda: FailureRate(1.1, window=1), "rate must be"),
        (lambda: FailureRate(0.5, window=1, calls_min=0), "calls_min must be"),
    ],
)
def test_a_wrong_threshold_is_said(make: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        make()
