"""After which errors a call is made again, and blocks that are tried again by a loop."""

import asyncio
from datetime import timedelta

import pytest

from headwater.clock import ManualClock
from headwater.errors import BulkheadFullError, CircuitOpenError, ConfigurationError, RefusedError
from headwater.resilience import Retry, current_attempt
from tests.resilience.driving import LeapingClock, Plan, calls_of, ends


class NotFoundError(RefusedError):
    pass


class TooManyRequestsError(Exception):
    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(f"come back in {retry_after} s")


# ------------------------------------------------------------------------------ which errors


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (ConnectionError(), 4),
        (ConnectionResetError(), 1),
        (LookupError(), 1),
        (NotFoundError("no such order"), 1),
        (ExceptionGroup("", [ConnectionError(), NotFoundError("no")]), 4),
        (ExceptionGroup("", [ConnectionError(), ExceptionGroup("", [LookupError()])]), 1),
        (ExceptionGroup("", [NotFoundError("no")]), 1),
    ],
)
async def test_what_is_retried_is_said_by_the_class_nearest_to_an_error(
    error: Exception, calls: int, leaping: LeapingClock
) -> None:
    retry = Retry(on=(OSError,), never=ConnectionResetError, clock=leaping)

    assert await calls_of(retry, error) == calls


async def test_an_open_circuit_and_a_wrong_call_are_retried_only_if_named(
    leaping: LeapingClock,
) -> None:
    is_open = CircuitOpenError("mail", until=leaping.now(), seconds=1, reason="down")
    full = BulkheadFullError("mail", concurrency_max=1, queue_max=0)

    assert await calls_of(Retry(clock=leaping), is_open) == 1
    assert await calls_of(Retry(clock=leaping), ConfigurationError("wrong")) == 1
    assert await calls_of(Retry(clock=leaping), full) == 4
    named = Retry(on=(Exception, CircuitOpenError), clock=leaping)
    assert await calls_of(named, is_open) == 4


async def test_a_class_of_errors_may_have_a_wait_of_its_own(leaping: LeapingClock) -> None:
    retry = Retry(
        delays={
            TooManyRequestsError: lambda error: error.retry_after,
            TimeoutError: timedelta(minutes=5),
        },
        on=(),
        clock=leaping,
    )
    group = ExceptionGroup("", [TooManyRequestsError(9), TimeoutError()])

    with pytest.raises(ConnectionError):
        await retry.call(Plan(TooManyRequestsError(70), TimeoutError(), group, ConnectionError()))

    assert leaping.slept == [70, 300, 300]


@pytest.mark.parametrize("end", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit()])
async def test_cancellation_is_not_retried(end: BaseException, leaping: LeapingClock) -> None:
    plan = Plan(end)

    with pytest.raises(type(end)):
        await Retry(clock=leaping).call(plan)

    assert len(plan.calls) == 1


async def test_a_cancellation_ends_the_wait(clock: ManualClock) -> None:
    plan = Plan(OSError())
    task = asyncio.create_task(Retry(jitter=False, clock=clock).call(plan))
    await asyncio.sleep(0)
    assert len(plan.calls) == 1

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert len(plan.calls) == 1


# --------------------------------------------------------------------------------- attempts


async def test_a_block_is_tried_again_by_a_loop_around_it(leaping: LeapingClock) -> None:
    plan = Plan(*ends(2), "sent")
    numbers: list[tuple[int, int]] = []
    answer = None

    async for attempt in Retry(jitter=False, clock=leaping):
        async with attempt:
            numbers.append((attempt.number, current_attempt()))
            answer = await plan()

    assert answer == "sent"
    assert numbers == [(1, 1), (2, 2), (3, 3)]
    assert leaping.slept == [1.0, 2.0]
    assert current_attempt() == 1


@pytest.mark.parametrize(
    ("error", "attempts"),
    [(OSError(), 4), (NotFoundError("no"), 1), (asyncio.CancelledError(), 1)],
)
async def test_the_error_of_the_last_attempt_comes_out_of_its_block(
    error: BaseException, attempts: int, leaping: LeapingClock
) -> None:
    numbers: list[int] = []

    async def fail() -> None:
        async for attempt in Retry(clock=leaping):
            async with attempt:
                numbers.append(attempt.number)
                raise error

    with pytest.raises(type(error)) as raised:
        await fail()

    assert raised.value is error
    assert numbers == list(range(1, attempts + 1))


async def test_a_loop_that_enters_no_attempt_is_told_so() -> None:
    with pytest.raises(ConfigurationError, match="async with attempt"):
        async for _ in Retry():
            pass
