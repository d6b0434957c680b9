"""Only so many calls at once."""

import asyncio
import threading
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headwater.errors import BulkheadFullError, ConfigurationError
from headwater.resilience import Bulkhead
from tests.resilience.driving import Plan

TURNS = 6


class Job:
    """A call under a bulkhead that ends when it is told to."""

    def __init__(self, bulkhead: Bulkhead) -> None:
        self.began = False
        self._end = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(bulkhead.call(self._run))

    async def _run(self) -> None:
        self.began = True
        await self._end.wait()

    def end(self) -> None:
        self._end.set()


class BulkheadMachine(RuleBasedStateMachine):
    """Calls that come, end and are cancelled, several of them before the loop turns."""

    @initialize(concurrency_max=st.integers(1, 3), queue_max=st.integers(0, 3))
    def build(self, concurrency_max: int, queue_max: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.concurrency_max, self.queue_max = concurrency_max, queue_max
        self.bulkhead = Bulkhead(concurrency_max, queue_max=queue_max)
        self.running: list[Job] = []
        self.waiting: list[Job] = []

    async def turn(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)

    def model_moves_up(self) -> None:
        while self.waiting and len(self.running) < self.concurrency_max:
            self.running.append(self.waiting.pop(0))

    @rule()
    def come(self) -> None:
        async def come() -> Job:
            job = Job(self.bulkhead)
            await self.turn()
            return job

        job = self.loop.run_until_complete(come())

        if len(self.running) < self.concurrency_max:
            self.running.append(job)
        elif len(self.waiting) < self.queue_max:
            self.waiting.append(job)
        else:
            assert isinstance(job.task.exception(), BulkheadFullError)

    @precondition(lambda self: self.running or self.waiting)
    @rule(data=st.data())
    def end_or_cancel_some(self, data: st.DataObject) -> None:
        chosen = st.lists(st.sampled_from([*self.running, *self.waiting]), min_size=1, unique=True)
        jobs: list[tuple[Job, bool]] = [
            (job, data.draw(st.booleans())) for job in data.draw(chosen)
        ]

        async def end() -> None:
            for job, cancelled in jobs:
                if cancelled:
                    job.task.cancel()
                elif job in self.running:
                    job.end()
            await self.turn()

        self.loop.run_until_complete(end())

        for job, cancelled in jobs:
            if job in self.running:
                self.running.remove(job)
                assert job.task.done()
            elif cancelled:
                self.waiting.remove(job)
                assert not job.began
        self.model_moves_up()

    @invariant()
    def who_runs_and_who_waits_is_as_in_the_model(self) -> None:
        assert all(job.began and not job.task.done() for job in self.running)
        assert not any(job.began or job.task.done() for job in self.waiting)
        assert self.bulkhead.running == len(self.running)
        assert self.bulkhead.waiting == len(self.waiting)

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        for job in [*self.waiting, *self.running]:
            job.task.cancel()
        self.loop.run_until_complete(self.turn())
        assert (self.bulkhead.running, self.bulkhead.waiting) == (0, 0)
        self.loop.close()


TestBulkheadModel = BulkheadMachine.TestCase
TestBulkheadModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


async def test_a_full_one_says_its_limits_and_calls_nothing() -> None:
    bulkhead = Bulkhead(1, queue_max=0, name="crm")
    plan = Plan("fine")

    async with bulkhead:
        with pytest.raises(BulkheadFullError, match="'crm' is full: 1 calls run") as raised:
            await bulkhead.call(plan)

    assert (raised.value.concurrency_max, raised.value.queue_max) == (1, 0)
    assert plan.calls == []
    assert await bulkhead.call(plan) == "fine"


@pytest.mark.parametrize("error", [ConnectionError(), asyncio.CancelledError()])
async def test_a_call_that_fails_leaves_its_place(error: BaseException) -> None:
    bulkhead = Bulkhead(1)

    with pytest.raises(type(error)):
        await bulkhead.call(Plan(error))

    assert bulkhead.running == 0


async def test_who_is_cancelled_when_its_turn_has_come_passes_it_on() -> None:
    bulkhead = Bulkhead(1)
    async with bulkhead:
        second, third = Job(bulkhead), Job(bulkhead)
        await asyncio.sleep(0)

    second.task.cancel()
    third.end()
    await third.task

    assert third.began
    assert not second.began
    assert bulkhead.running == 0


async def test_one_bulkhead_serves_the_loops_of_several_threads() -> None:
    bulkhead = Bulkhead(2, queue_max=1000)
    lock = threading.Lock()
    running, most, done = 0, 0, 0

    async def work() -> None:
        nonlocal running, most, done
        with lock:
            running += 1
            most = max(most, running)
        await asyncio.sleep(0)
        with lock:
            running -= 1
            done += 1

    async def many() -> None:
        await asyncio.gather(*[bulkhead.call(work) for _ in range(100)])

    await asyncio.gather(*[asyncio.to_thread(asyncio.run, many()) for _ in range(4)])

    assert (done, most) == (400, 2)
    assert (bulkhead.running, bulkhead.waiting) == (0, 0)


async def test_who_waited_in_a_loop_that_was_closed_holds_nobody_up() -> None:
    bulkhead = Bulkhead(1)
    left: list[Any] = []

    def abandon() -> None:
        loop = asyncio.new_event_loop()

        async def start() -> None:
            left.append(Job(bulkhead))
            await asyncio.sleep(0)

        loop.run_until_complete(start())
        loop.close()

    async with bulkhead:
        await asyncio.to_thread(abandon)
        assert bulkhead.waiting == 1

    assert (bulkhead.running, bulkhead.waiting) == (0, 0)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"concurrency_max": 0}, "concurrency_max must be"),
        ({"concurrency_max": 1, "queue_max": -1}, "queue_max must be"),
        ({"concurrency_max": 1, "name": 7}, "name must be"),
    ],
)
def test_a_wrong_argument_is_said(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Bulkhead(**options)
