"""A circuit breaker does what a plain model of it says, whatever calls overlap and how they end."""

import asyncio
import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headwater.clock import ManualClock
from headwater.errors import BulkheadFullError, CircuitOpenError, RefusedError
from headwater.resilience import (
    BreakerChange,
    BreakerState,
    CircuitBreaker,
    FailureCount,
    FailureRate,
    attempt_subject,
)
from tests.resilience.driving import RunningCall

OPEN_FOR, WINDOW = 10, 20

FAILED, ANSWERED, NOTHING = "failed", "answered", "nothing"
ENDS: dict[str, list[BaseException | None]] = {
    FAILED: [ConnectionError("down"), TimeoutError(), ExceptionGroup("", [OSError()])],
    ANSWERED: [None, RefusedError("no"), ValueError("ignored")],
    NOTHING: [
        asyncio.CancelledError(),
        KeyboardInterrupt(),
        BulkheadFullError("b", concurrency_max=1, queue_max=0),
    ],
}


class Model:
    """The breaker as its docstring tells it, with whole histories instead of tallies."""

    def __init__(self, threshold: Any, probes: int, successes: int) -> None:
        self.threshold, self.probes_max, self.successes_needed = threshold, probes, successes
        self.time = 0
        self.changes = [BreakerState.CLOSED]
        self.opened_at = 0
        self.forget()

    def forget(self) -> None:
        self.history: list[tuple[int, bool]] = []
        self.counted: set[str] = set()
        self.probes = self.successes = 0

    @property
    def epoch(self) -> int:
        return len(self.changes)

    @property
    def state(self) -> BreakerState:
        state = self.changes[-1]
        over = self.time >= self.opened_at + OPEN_FOR
        return BreakerState.HALF_OPEN if state is BreakerState.OPEN and over else state

    def change(self, state: BreakerState) -> None:
        self.forget()
        self.changes.append(state)
        self.opened_at = self.time

    def begin(self) -> bool:
        if self.state is BreakerState.OPEN:
            return False
        if self.state is BreakerState.HALF_OPEN:
            if self.changes[-1] is BreakerState.OPEN:
                self.change(BreakerState.HALF_OPEN)
            if self.probes == self.probes_max:
                return False
            self.probes += 1
        return True

    def end(self, epoch: int, how: str, subject: str | None) -> None:
        if epoch != self.epoch:
            return
        half_open = self.changes[-1] is BreakerState.HALF_OPEN
        self.probes -= half_open
        if how == FAILED and half_open:
            self.change(BreakerState.OPEN)
        elif how == FAILED and subject not in self.counted:
            if subject is not None:
                self.counted.add(subject)
            self.history.append((self.time, True))
            if self.too_many():
                self.change(BreakerState.OPEN)
        elif how == ANSWERED and half_open:
            self.successes += 1
            if self.successes == self.successes_needed:
                self.change(BreakerState.CLOSED)
        elif how == ANSWERED:
            self.counted.discard(subject or "")
            self.history.append((self.time, False))

    def too_many(self) -> bool:
        if isinstance(self.threshold, int):
            last = self.history[-self.threshold :]
            return len(last) == self.threshold and all(failed for _, failed in last)
        if isinstance(self.threshold, FailureCount):
            recent = [f for t, f in self.history if f and t >= self.time - WINDOW]
            return len(recent) >= self.threshold.failures
        this = math.floor(self.time / (WINDOW / 10))
        calls = [f for t, f in self.history if math.floor(t / (WINDOW / 10)) > this - 10]
        rate: FailureRate = self.threshold
        return len(calls) >= rate.calls_min and sum(calls) >= rate.rate * len(calls)


def under(subject: str | None) -> AbstractContextManager[None]:
    return nullcontext() if subject is None else attempt_subject(subject)


class CircuitBreakerMachine(RuleBasedStateMachine):
    """Overlapping calls, begun and ended in any order, and time that passes."""

    @initialize(
        threshold=st.sampled_from(
            [
                1,
                3,
                FailureCount(3, window=WINDOW),
                FailureRate(0.5, window=WINDOW, calls_min=4),
            ]
        ),
        probes=st.integers(1, 2),
        successes=st.integers(1, 3),
    )
    def build(self, threshold: Any, probes: int, successes: int) -> None:
        self.clock = ManualClock()
        self.told: list[BreakerChange] = []
        self.breaker = CircuitBreaker(
            threshold,
            open_for=OPEN_FOR,
            probes=probes,
            successes=successes,
            ignores=ValueError,
            listeners=[self.told.append],
            clock=self.clock,
        )
        self.model = Model(threshold, probes, successes)
        self.running: list[tuple[RunningCall, int]] = []

    @rule()
    def begin(self) -> None:
        admitted = self.model.begin()

        if admitted:
            self.running.append((RunningCall(self.breaker), self.model.epoch))
            return
        with pytest.raises(CircuitOpenError) as rejected:
            RunningCall(self.breaker)
        is_open = self.model.state is BreakerState.OPEN
        until = self.model.opened_at + OPEN_FOR - self.model.time if is_open else 0
        assert rejected.value.seconds == until

    @precondition(lambda self: self.running)
    @rule(
        data=st.data(),
        how=st.sampled_from([FAILED, FAILED, FAILED, ANSWERED, ANSWERED, NOTHING]),
        subject=st.sampled_from([None, None, "a", "b"]),
    )
    def end(self, data: st.DataObject, how: str, subject: str | None) -> None:
        call, epoch = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))

        with under(subject):
            call.end(data.draw(st.sampled_from(ENDS[how])))
        self.model.end(epoch, how, subject)

    @rule(seconds=st.integers(1, OPEN_FOR))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.model.time += seconds

    @invariant()
    def the_state_is_that_of_the_model(self) -> None:
        assert self.breaker.state is self.model.state
        is_open = self.model.state is BreakerState.OPEN
        assert self.breaker.open_until == (self.model.opened_at + OPEN_FOR if is_open else None)

    @invariant()
    def listeners_were_told_every_change_in_order(self) -> None:
        assert [BreakerState.CLOSED, *(change.after for change in self.told)] == self.model.changes
        assert [change.number for change in self.told] == list(range(1, len(self.told) + 1))

    def teardown(self) -> None:
        for call, _ in getattr(self, "running", []):
            call.end()


TestCircuitBreaker = CircuitBreakerMachine.TestCase
TestCircuitBreaker.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
