"""Whatever fails, is asked for, or dies midway: in order per key, nothing lost, nothing doubled."""

import asyncio
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock
from headwater.operations.dead_letters.deliveries import DELIVERIES, DeliveryState
from headwater.operations.dead_letters.requests import RequestAction
from headwater.ports.changes import Changes, Committed
from headwater.subscriptions.failures.policy import FailurePolicy
from tests.subscriptions.failures.asks import ask, held
from tests.subscriptions.failures.lane import Lane, Sent, effects, prepared, send

DEAD = DeliveryState.DEAD
KEYS = st.sampled_from(["a", "b", "c"])


class Died(BaseException):
    """The process ends before or after a commit."""


class Mortal(MemoryStorage):
    """A storage whose process dies at a commit."""

    commits_left: int | None = None
    dies_after = False

    async def commit(self, changes: Changes) -> Committed:
        if self.commits_left is None or not changes.checkpoints:
            return await super().commit(changes)
        self.commits_left -= 1
        if self.commits_left > 0:
            return await super().commit(changes)
        self.commits_left = None
        if self.dies_after:
            await super().commit(changes)
        raise Died


class Parking(RuleBasedStateMachine):
    """One partition with three keys, worked by one worker after another."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.storage = Mortal(clock=self.clock)
        self.sent: list[tuple[str, int]] = []
        self.poison: set[int] = set()
        self.discarded: set[int] = set()
        self.workers = 0

    def do(self, work: Any) -> Any:
        return self.runner.run(work)

    @initialize(
        delays=st.sampled_from([(), (5.0,), (5.0, 20.0)]), waiting_max=st.sampled_from([2, 50])
    )
    def begin(self, delays: tuple[float, ...], waiting_max: int) -> None:
        self.policy = FailurePolicy(delays, waiting_max=waiting_max)
        self.do(self.storage.open())
        self.do(prepared(self.storage))
        self.take_over()

    def take_over(self) -> None:
        self.clock.advance(61)
        self.workers += 1
        self.lane = Lane(
            self.storage, self.clock, policy=self.policy, worker=str(self.workers), batch_events=4
        )
        self.lane.consumer.fails = self.fails
        self.do(self.lane.begin())

    def fails(self, event: Sent) -> Exception | None:
        return ValueError(f"{event.number}") if event.number in self.poison else None

    @rule(key=KEYS, poison=st.booleans())
    def append(self, *, key: str, poison: bool) -> None:
        number = len(self.sent) + 1
        self.sent.append((key, number))
        if poison:
            self.poison.add(number)
        self.do(send(self.storage, (key, number)))

    @rule()
    def work(self) -> None:
        try:
            self.do(self.lane.run())
        except Died:
            self.take_over()
        self.check()

    @rule(commits=st.integers(1, 5), after=st.booleans())
    def will_die(self, *, commits: int, after: bool) -> None:
        self.storage.commits_left, self.storage.dies_after = commits, after

    @rule()
    def hand_over(self) -> None:
        self.do(self.lane.end())
        self.take_over()

    @rule(seconds=st.sampled_from([1, 5, 30]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.poison)
    @rule(data=st.data())
    def mend(self, data: st.DataObject) -> None:
        self.poison.remove(data.draw(st.sampled_from(sorted(self.poison))))

    @rule(data=st.data(), action=st.sampled_from(RequestAction))
    def ask(self, data: st.DataObject, action: RequestAction) -> None:
        if not any(spec.name == DELIVERIES.name for spec in self.do(self.storage.collections())):
            return
        # What is dead stays until somebody does something: nobody else changes it meanwhile.
        dead = [one for one in self.do(held(self.storage)).values() if one.state is DEAD]
        if not dead:
            return
        one = data.draw(st.sampled_from(sorted(dead, key=lambda each: each.position)))
        self.do(ask(self.storage, action, one))
        if action is RequestAction.DISCARD:
            self.discarded.add(one.position)
        else:
            self.discarded.discard(one.position)

    def check(self) -> None:
        done = self.do(effects(self.storage))
        for key in "abc":
            of_key = [number for each, number in done if each == key]
            assert of_key == sorted(of_key)
            # Nothing overtakes: what is missing before the last one that was done was discarded.
            sent = [number for each, number in self.sent if each == key]
            expected = [n for n in sent if not of_key or n <= of_key[-1]]
            assert set(expected) - set(of_key) <= self.discarded if of_key else True

    def teardown(self) -> None:
        try:
            if hasattr(self, "lane"):
                self.mend_all()
        finally:
            self.runner.close()

    def mend_all(self) -> None:
        """Mend all that is broken, replay all that is dead: then everything is done."""
        self.poison.clear()
        self.storage.commits_left = None
        self.take_over()
        for _ in range(len(self.sent) + 2):
            self.clock.advance(61)
            self.do(self.lane.run())
            dead = [one for one in self.do(held(self.storage)).values() if one.state is DEAD]
            self.do(ask(self.storage, RequestAction.REPLAY, *dead))
        self.check()
        done = self.do(effects(self.storage))
        assert {number for _, number in done} >= {n for _, n in self.sent} - self.discarded
        assert len(set(done)) == len(done)
        assert self.do(held(self.storage)) == {}
        self.do(self.storage.close())


TestParking = Parking.TestCase
TestParking.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
