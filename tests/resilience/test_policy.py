"""Several policies around each other, in any form of use."""

import asyncio
import functools
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ParamSpec, TypeVar, cast
from unittest.mock import AsyncMock

import pytest

from headwater import Policy as ExportedPolicy
from headwater.clock import ManualClock
from headwater.errors import BulkheadFullError, CircuitOpenError, ConfigurationError
from headwater.resilience import (
    BreakerState,
    Bulkhead,
    CircuitBreaker,
    Fallback,
    Guard,
    Policy,
    RateLimit,
    Retry,
    Timeout,
    attempt_subject,
)
from tests.resilience.driving import LeapingClock, Plan, ends, state_of

P = ParamSpec("P")
T = TypeVar("T")

EACH: list[Any] = [
    Retry(),
    CircuitBreaker(),
    Timeout(60),
    Bulkhead(100),
    RateLimit(1000),
    Fallback(lambda error: None, on=()),
    Policy(),
    Policy(Retry(), Policy(CircuitBreaker(), Timeout(60)), Bulkhead(100)),
]
each_guard = pytest.mark.parametrize("guard", EACH, ids=lambda guard: type(guard).__name__)


class Counting:
    """A guard as users write one."""

    def __init__(self, *breakers: CircuitBreaker) -> None:
        self.breakers = breakers
        self.calls = 0

    async def call(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        self.calls += 1
        return await function(*args, **kwargs)


# --------------------------------------------------------------------------------- order


async def test_the_first_is_outermost() -> None:
    inside, outside = CircuitBreaker(10), CircuitBreaker(10)
    counting_inside, counting_outside = Counting(), Counting()
    retry = Retry(clock=LeapingClock())

    policy = Policy(outside, counting_outside, retry, counting_inside, inside)
    with pytest.raises(ConnectionError):
        await policy.call(Plan(*ends(4)))

    assert (counting_outside.calls, counting_inside.calls) == (1, 4)


async def test_a_breaker_inside_a_retry_counts_each_attempt_and_an_event_once() -> None:
    breaker = CircuitBreaker(4)
    policy = Policy(Retry(clock=LeapingClock()), breaker)

    with attempt_subject("order-7"), pytest.raises(ConnectionError):
        await policy.call(Plan(*ends(4)))
    assert state_of(breaker) is BreakerState.CLOSED
    with pytest.raises(CircuitOpenError):
        await policy.call(Plan(*ends(4)))

    assert state_of(breaker) is BreakerState.OPEN


async def test_each_attempt_calls_the_function_anew_with_its_arguments() -> None:
    plan = Plan(*ends(2), "sent")
    policy = Policy(Retry(clock=LeapingClock()), Bulkhead(1), Timeout(60))

    assert await policy.call(plan, "anna", 7) == "sent"

    assert plan.calls == [("anna", 7)] * 3


async def test_its_breakers_are_found_however_deep() -> None:
    first, second, third = CircuitBreaker(), CircuitBreaker(), CircuitBreaker()
    inner = Policy(Retry(), Policy(second))

    assert Policy(first, inner, Counting(third)).breakers == (first, second, third)
    assert Policy(Retry()).breakers == ()


async def test_what_is_logged_is_the_function_not_the_guard_within(
    caplog: pytest.LogCaptureFixture,
) -> None:
    policy = Policy(Retry(2, clock=LeapingClock()), Policy(CircuitBreaker(), Bulkhead(1)))

    with caplog.at_level(logging.INFO, logger="headwater"), pytest.raises(ConnectionError):
        await policy.call(functools.partial(Plan(ConnectionError("no")), 7))

    assert caplog.messages[-1] == "plan: attempt 2 of 2 failed with ConnectionError: no; gave up"


def test_the_package_exports_it() -> None:
    assert ExportedPolicy is Policy


# ------------------------------------------------------------------- each form, each policy


@each_guard
async def test_each_is_a_guard_and_passes_arguments_and_results(guard: Guard) -> None:
    async def add(left: int, /, right: int, *, function: int = 0) -> int:
        return left + right + function

    assert isinstance(guard, Guard)
    assert await guard.call(add, 1, right=2, function=4) == 7


async def send(self: object, to: "Plan", times: int = 2) -> int:
    """Send it."""
    return times


@each_guard
async def test_each_decorates_methods_and_keeps_what_they_say(guard: Any) -> None:
    decorated = guard(send)
    mail: Any = type("Mail", (), {"send": decorated})()

    assert await mail.send(Plan(), times=3) == 3
    assert inspect.iscoroutinefunction(decorated)
    assert str(inspect.signature(decorated)) == "(self: object, to: 'Plan', times: int = 2) -> int"
    assert (decorated.__name__, decorated.__doc__) == ("send", "Send it.")


@each_guard
async def test_each_decorates_whatever_is_async(guard: Any) -> None:
    plan = Plan("fine")

    assert await guard(functools.partial(plan, 1))() == "fine"
    assert await guard(plan)(2) == "fine"
    assert await guard(AsyncMock(return_value="fine"))() == "fine"
    assert await guard(guard(guard.call))(plan, 3) == "fine"
    assert plan.calls == [(1,), (2,), (3,)]


def plain() -> str:
    return "nothing to await"


async def stream() -> AsyncIterator[int]:
    yield 1


@each_guard
@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (plain, "plain, which is a plain 'def'.*Write it as 'async def'"),
        (functools.partial(plain), "which is a plain 'def'"),
        (len, "len, which is a plain 'def'"),
        (stream, "stream, which is an async generator"),
        (Plan, "the class Plan"),
        (7, "stands around functions, not 7"),
    ],
)
def test_each_refuses_to_decorate_what_is_not_async(
    guard: Any, function: Any, problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        guard(function)


@each_guard
async def test_each_tells_a_call_of_what_is_not_async(guard: Any) -> None:
    calls: list[int] = []

    with pytest.raises(ConfigurationError, match="returned NoneType, nothing to await"):
        await guard.call(calls.append, 1)

    assert calls == [1]


@each_guard
@pytest.mark.parametrize("end", [asyncio.CancelledError("stop"), KeyboardInterrupt()])
async def test_each_lets_cancellation_through_untouched(guard: Guard, end: BaseException) -> None:
    plan = Plan(end)

    with pytest.raises(type(end)) as raised:
        await guard.call(plan)

    assert raised.value is end
    assert len(plan.calls) == 1


# --------------------------------------------------------------------------------- blocks


async def test_a_block_stands_under_all_of_them(clock: ManualClock) -> None:
    bulkhead, breaker = Bulkhead(1, queue_max=0), CircuitBreaker(1, clock=clock)
    policy = Policy(bulkhead, Policy(breaker, Timeout(5, clock=clock)), RateLimit(10))

    async def fail() -> None:
        async with policy:
            with pytest.raises(BulkheadFullError):
                async with policy:
                    pytest.fail("it was let in")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await fail()

    assert state_of(breaker) is BreakerState.OPEN
    with pytest.raises(CircuitOpenError):
        async with policy:
            pytest.fail("it was let in")
    assert bulkhead.running == 0


@pytest.mark.parametrize("guard", [Retry(), Fallback(lambda error: None), Counting()])
async def test_a_block_under_what_would_run_it_again_is_told_the_way_out(guard: Guard) -> None:
    bulkhead = Bulkhead(1)

    with pytest.raises(ConfigurationError, match=r"can't stand around an 'async with' block"):
        async with Policy(bulkhead, guard):
            pytest.fail("it was let in")

    assert bulkhead.running == 0


async def test_blocks_of_one_policy_overlap_in_tasks_and_generators(clock: ManualClock) -> None:
    breaker, other = CircuitBreaker(1, open_for=1, clock=clock), CircuitBreaker()

    async def numbers() -> AsyncIterator[int]:
        async with breaker:
            yield 1
            yield 2

    async with other:
        generator = numbers()
        assert await anext(generator) == 1
    assert [number async for number in generator] == [2]
    async with asyncio.TaskGroup() as tasks, breaker:
        for _ in range(3):
            tasks.create_task(_in_block(breaker))

    assert state_of(breaker) is BreakerState.CLOSED


async def _in_block(breaker: CircuitBreaker) -> None:
    async with breaker:
        await asyncio.sleep(0)


async def test_a_block_that_another_task_ends_is_told() -> None:
    breaker = CircuitBreaker()
    await asyncio.create_task(breaker.__aenter__())

    with pytest.raises(ConfigurationError, match="in the task that entered it"):
        await breaker.__aexit__(None, None, None)


# ----------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("guard", "problem"),
    [
        (Retry, r"Retry is a class: write Retry\(\)"),
        (plain, "is no guard: it has no 'async def call"),
        (None, "None is no guard"),
    ],
)
def test_a_wrong_argument_is_said(guard: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Policy(cast("Guard", guard))
