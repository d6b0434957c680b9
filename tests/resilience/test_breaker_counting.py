"""What a circuit breaker counts, and whom it tells."""

import asyncio
import logging
from datetime import UTC, datetime

import pytest

from headwater.clock import ManualClock
from headwater.errors import (
    CallRejectedError,
    ConfigurationError,
    RefusedError,
    UncertainEffectError,
)
from headwater.resilience import (
    BreakerChange,
    BreakerState,
    CircuitBreaker,
    FailureCount,
    attempt_subject,
)
from headwater.resilience.breaker_states import SUBJECTS_MAX
from tests.resilience.driving import Plan, failing, opened, state_of


class OutOfStockError(RefusedError):
    pass


# ------------------------------------------------------------------- failures and answers


async def test_cancellation_from_outside_is_not_counted(clock: ManualClock) -> None:
    breaker = CircuitBreaker(1, clock=clock)
    task = asyncio.create_task(breaker.call(asyncio.Event().wait))
    await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert state_of(breaker) is BreakerState.CLOSED


async def test_a_refusal_is_an_answer_and_closes_what_was_half_open(clock: ManualClock) -> None:
    breaker = await opened(clock)
    clock.advance(60)

    await failing(breaker, 1, OutOfStockError("none left"))

    assert state_of(breaker) is BreakerState.CLOSED


def test_which_errors_count_is_said_by_the_class_nearest_to_them() -> None:
    breaker = CircuitBreaker(counts=(OSError, ValueError), ignores=ConnectionError)
    refusals = ExceptionGroup("", [OutOfStockError("no"), OutOfStockError("no")])

    assert breaker.counts(OSError())
    assert breaker.counts(TimeoutError())
    assert breaker.counts(UnicodeError())
    assert not breaker.counts(ConnectionResetError())
    assert not breaker.counts(LookupError())
    assert not breaker.counts(asyncio.CancelledError())
    assert breaker.counts(ExceptionGroup("", [LookupError(), OSError()]))
    assert not CircuitBreaker().counts(refusals)


def test_what_called_nothing_is_no_failure_unless_it_is_named() -> None:
    rejected = CallRejectedError("full")

    assert not CircuitBreaker().counts(rejected)
    assert not CircuitBreaker().counts(ConfigurationError("wrong"))
    uncertain = UncertainEffectError("pay", "7", begun_at=datetime.now(UTC), problem="")
    assert not CircuitBreaker().counts(uncertain)
    assert CircuitBreaker(counts=(Exception, CallRejectedError)).counts(rejected)


# -------------------------------------------------------------------------------- subjects


async def test_an_event_counts_once_however_often_it_is_tried(clock: ManualClock) -> None:
    breaker = CircuitBreaker(3, clock=clock)

    with attempt_subject("order-7"):
        await failing(breaker, 10)
    with attempt_subject("order-8"):
        await failing(breaker, 10)
    assert state_of(breaker) is BreakerState.CLOSED
    await failing(breaker, 1)

    assert state_of(breaker) is BreakerState.OPEN


async def test_an_event_counts_again_after_its_own_success(clock: ManualClock) -> None:
    breaker = CircuitBreaker(FailureCount(2, window=60), clock=clock)

    with attempt_subject("order-7"):
        await failing(breaker, 2)
        await breaker.call(Plan("fine"))
        assert state_of(breaker) is BreakerState.CLOSED
        await failing(breaker, 1)

    assert state_of(breaker) is BreakerState.OPEN


async def test_an_event_counts_again_after_a_change_of_state(clock: ManualClock) -> None:
    breaker = CircuitBreaker(1, open_for=60, clock=clock)
    with attempt_subject("order-7"):
        await failing(breaker, 1)
        clock.advance(60)
        await failing(breaker, 1)
    assert breaker.open_until == 120.0
    clock.advance(60)
    await breaker.call(Plan("fine"))

    with attempt_subject("order-7"):
        await failing(breaker, 1)

    assert breaker.open_until == 180.0


async def test_a_part_counts_with_the_whole_that_it_is_of(clock: ManualClock) -> None:
    breaker = CircuitBreaker(FailureCount(2, window=60), clock=clock)

    with attempt_subject("orders 1 to 4"):
        await failing(breaker, 1)
        for part in ("orders 1 to 2", "order 1"):
            with attempt_subject(part, of="orders 1 to 4"):
                await failing(breaker, 1)
        with attempt_subject("order 2", of="orders 1 to 4"):
            await breaker.call(Plan("fine"))
        with attempt_subject("orders 3 to 4", of="orders 1 to 4"):
            await failing(breaker, 1)
    with attempt_subject("order 1"):
        await failing(breaker, 1)
    assert state_of(breaker) is BreakerState.CLOSED

    with attempt_subject("order 3"):
        await failing(breaker, 1)

    assert state_of(breaker) is BreakerState.OPEN


async def test_the_subjects_that_are_remembered_have_a_limit(clock: ManualClock) -> None:
    breaker = CircuitBreaker(SUBJECTS_MAX + 2, clock=clock)
    for number in range(SUBJECTS_MAX + 1):
        with attempt_subject(f"order-{number}"):
            await failing(breaker, 1)

    with attempt_subject("order-0"):
        await failing(breaker, 1)

    assert state_of(breaker) is BreakerState.OPEN


# ------------------------------------------------------------------------ telling of it


async def test_each_change_is_told_and_logged_with_its_reason(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[BreakerChange] = []
    with caplog.at_level(logging.INFO, logger="headwater"):
        breaker = await opened(clock, name="mail", listeners=[told.append])
        clock.advance(60)
        await breaker.call(Plan("fine"))

    assert [(c.before.value, c.after.value, c.number) for c in told] == [
        ("closed", "open", 1),
        ("open", "half-open", 2),
        ("half-open", "closed", 3),
    ]
    assert told[0].until == datetime(2024, 1, 1, 0, 1, tzinfo=UTC)
    assert [record.getMessage() for record in caplog.records] == [
        (
            "'mail' is open until 2024-01-01 00:01:00+00:00: 1 failures in a row, the last with "
            "ConnectionError: no route"
        ),
        "'mail' is half-open: its 60 s are over",
        "'mail' is closed: 1 successful probe(s)",
    ]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO"]


async def test_a_listener_that_fails_harms_neither_the_call_nor_the_others(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[BreakerChange] = []

    def broken(change: BreakerChange) -> None:
        raise LookupError("no pager")

    breaker = await opened(clock, listeners=[broken, told.append])

    assert state_of(breaker) is BreakerState.OPEN
    assert len(told) == 1
    assert "a listener of 'circuit breaker' failed" in caplog.text
    assert "LookupError: no pager" in caplog.text


async def test_a_listener_may_ask_the_breaker(clock: ManualClock) -> None:
    seen: list[BreakerState] = []
    breaker = CircuitBreaker(1, clock=clock)
    breaker.add_listener(lambda change: seen.append(breaker.state))

    await failing(breaker, 1)

    assert seen == [BreakerState.OPEN]
