"""Only so many calls within some time."""

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headwater.clock import ManualClock
from headwater.errors import ConfigurationError, RateLimitExceededError
from headwater.resilience import RateLimit
from tests.resilience.driving import LeapingClock, Plan

TURNS = 8
COST = 2
"""Seconds between two calls that come evenly."""


class RateLimitMachine(RuleBasedStateMachine):
    """Calls that come, wait and are cancelled; the model is a bucket that fills by the second."""

    @initialize(burst=st.integers(1, 3), wait_max=st.integers(0, 12), queue_max=st.integers(0, 4))
    def build(self, burst: int, wait_max: int, queue_max: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.wait_max, self.queue_max = wait_max, queue_max
        self.limit = RateLimit(
            3,
            per=3 * COST,
            burst=burst,
            wait_max=wait_max,
            queue_max=queue_max,
            clock=self.clock,
        )
        self.full = self.credit = burst * COST
        self.waiting: list[asyncio.Task[str]] = []
        self.begun: list[asyncio.Task[str]] = []

    async def turn(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)

    def model_moves_up(self) -> None:
        while self.waiting and self.credit >= COST:
            self.credit -= COST
            self.begun.append(self.waiting.pop(0))

    @rule()
    def come(self) -> None:
        async def come() -> "asyncio.Task[str]":
            task = asyncio.create_task(self.limit.call(Plan("fine")))
            await self.turn()
            return task

        wait = (len(self.waiting) + 1) * COST - self.credit
        queued = len(self.waiting)

        task = self.loop.run_until_complete(come())

        if wait > 0 and (wait > self.wait_max or queued >= self.queue_max):
            error = task.exception()
            assert isinstance(error, RateLimitExceededError)
            assert error.retry_after == wait
        else:
            self.waiting.append(task)
            self.model_moves_up()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel_some(self, data: st.DataObject) -> None:
        chosen = st.lists(st.sampled_from(self.waiting), min_size=1, unique=True)

        async def cancel() -> None:
            for task in data.draw(chosen):
                task.cancel()
                self.waiting.remove(task)
            await self.turn()

        self.loop.run_until_complete(cancel())

    @rule(seconds=st.integers(1, 8))
    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            self.loop.run_until_complete(self.turn())
            self.credit = min(self.full, self.credit + 1)
            self.model_moves_up()
            self.who_has_begun_is_as_in_the_model()

    @invariant()
    def who_has_begun_is_as_in_the_model(self) -> None:
        assert all(task.done() and task.result() == "fine" for task in self.begun)
        assert not any(task.done() for task in self.waiting)
        assert self.limit.waiting == len(self.waiting)

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        for task in self.waiting:
            task.cancel()
        self.loop.run_until_complete(self.turn())
        assert self.limit.waiting == 0
        self.loop.close()


TestRateLimitModel = RateLimitMachine.TestCase
TestRateLimitModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


async def test_after_a_pause_a_burst_begins_at_once_then_they_come_evenly() -> None:
    clock = LeapingClock()
    limit = RateLimit(10, per=timedelta(seconds=1), clock=clock)
    began: list[float] = []

    async def work() -> None:
        began.append(clock.time)

    for _ in range(15):
        await limit.call(work)

    assert began[:10] == [0.0] * 10
    assert began[10:] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


async def test_thirds_of_seconds_do_not_hang_on_a_clock_of_microseconds(
    clock: ManualClock,
) -> None:
    limit = RateLimit(3, per=1, burst=1, clock=clock)
    plan = Plan("fine")
    task = asyncio.gather(limit.call(plan), limit.call(plan))
    for _ in range(TURNS):
        await asyncio.sleep(0)

    clock.advance(0.333333)

    assert list(await task) == ["fine", "fine"]


async def test_a_turn_that_is_too_far_off_is_told_at_once(clock: ManualClock) -> None:
    limit = RateLimit(2, per=10, burst=1, wait_max=0, name="crm", clock=clock)
    plan = Plan("fine")
    await limit.call(plan)
    clock.advance(1)

    with pytest.raises(RateLimitExceededError, match=r"'crm' is exceeded: .*\(wait_max\)") as told:
        await limit.call(plan)

    assert told.value.retry_after == 4.0
    assert len(plan.calls) == 1
    clock.advance(4)
    async with limit:
        assert limit.waiting == 0


async def test_one_limit_serves_the_loops_of_several_threads() -> None:
    limit = RateLimit(1000, per=1, burst=50)
    lock = threading.Lock()
    done = 0

    async def work() -> None:
        nonlocal done
        with lock:
            done += 1

    async def many() -> None:
        await asyncio.gather(*[limit.call(work) for _ in range(50)])

    await asyncio.gather(*[asyncio.to_thread(asyncio.run, many()) for _ in range(4)])

    assert done == 200
    assert limit.waiting == 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"calls": 0}, "calls must be"),
        ({"calls": 1, "per": 0}, "per must be"),
        ({"calls": 1, "burst": 0}, "burst must be"),
        ({"calls": 1, "wait_max": -1}, "wait_max must be"),
        ({"calls": 1, "queue_max": -1}, "queue_max must be"),
    ],
)
def test_a_wrong_argument_is_said(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        RateLimit(**options)
