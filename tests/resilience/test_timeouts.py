"""A call that takes too long is cancelled."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from headwater.clock import ManualClock
from headwater.errors import CallTimeoutError, ConfigurationError
from headwater.resilience import Timeout


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Slow:
    """An async function that ends when it is told to, and counts its cancellations."""

    def __init__(self) -> None:
        self.cancellations = 0
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        try:
            return await self.end
        except asyncio.CancelledError:
            self.cancellations += 1
            raise


def in_call(limit: Timeout, slow: Slow) -> Coroutine[Any, Any, str]:
    return limit.call(slow)


async def in_block(limit: Timeout, slow: Slow) -> str:
    async with limit:
        return await slow()


forms = pytest.mark.parametrize("form", [in_call, in_block])
Form = Callable[[Timeout, Slow], Coroutine[Any, Any, str]]


@forms
async def test_a_call_that_takes_longer_is_cancelled(form: Form, clock: ManualClock) -> None:
    slow = Slow()
    task = asyncio.create_task(form(Timeout(timedelta(seconds=5), clock=clock), slow))
    await turns()

    clock.advance(4.999)
    await turns()
    assert slow.cancellations == 0
    clock.advance(0.001)
    with pytest.raises(CallTimeoutError, match="took longer than 5 s") as raised:
        await task

    assert slow.cancellations == 1
    assert isinstance(raised.value, TimeoutError)
    assert raised.value.seconds == 5.0
    assert task.cancelling() == 0


@forms
async def test_a_call_that_is_quick_enough_has_its_result(form: Form, clock: ManualClock) -> None:
    slow = Slow()
    task = asyncio.create_task(form(Timeout(5, clock=clock), slow))
    await turns()

    slow.end.set_result("done")

    assert await task == "done"
    clock.advance(10)
    await turns()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@forms
async def test_a_cancellation_from_outside_passes_through(form: Form, clock: ManualClock) -> None:
    slow = Slow()
    task = asyncio.create_task(form(Timeout(5, clock=clock), slow))
    await turns()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


@forms
async def test_a_cancellation_from_outside_at_the_same_time_wins(
    form: Form, clock: ManualClock
) -> None:
    slow = Slow()
    task = asyncio.create_task(form(Timeout(5, clock=clock), slow))
    await turns()

    clock.advance(5)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


@forms
async def test_a_timeout_error_of_the_calls_own_comes_out(form: Form, clock: ManualClock) -> None:
    slow = Slow()
    own = TimeoutError("of the database")
    slow.end.set_exception(own)

    with pytest.raises(TimeoutError) as raised:
        await form(Timeout(5, clock=clock), slow)

    assert raised.value is own


@forms
async def test_the_time_begins_with_the_call(form: Form, clock: ManualClock) -> None:
    slow = Slow()
    task = asyncio.create_task(form(Timeout(5, clock=clock), slow))
    await asyncio.sleep(0)

    clock.advance(5)

    with pytest.raises(CallTimeoutError):
        await task


@forms
async def test_the_event_loops_own_timer_does_it_too(form: Form) -> None:
    slow = Slow()

    with pytest.raises(CallTimeoutError):
        await form(Timeout(0.001), slow)

    assert slow.cancellations == 1


async def test_the_innermost_of_two_that_ends_first_is_told(clock: ManualClock) -> None:
    inner, outer = Timeout(3, clock=clock), Timeout(5, clock=clock)
    task = asyncio.create_task(outer.call(inner.call, Slow()))
    await turns()

    clock.advance(3)

    with pytest.raises(CallTimeoutError, match=r"Slow took longer than 3 s"):
        await task


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "5", None])
def test_a_wrong_argument_is_said(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="seconds must be seconds or a timedelta"):
        Timeout(seconds)
