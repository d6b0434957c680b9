"""A call that failed is made again, later."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import CircuitOpenError, ConfigurationError, RefusedError
from headwater.resilience import Retry, current_attempt
from headwater.resilience.failures import REASON_LENGTH_MAX
from tests.resilience.driving import LeapingClock, Plan, calls_of, ends


class NotFoundError(RefusedError):
    pass


class TooManyRequestsError(Exception):
    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(f"come back in {retry_after} s")


# ------------------------------------------------------------------------ how often and when


async def test_four_attempts_in_all_by_default_and_the_last_ones_own_error_comes_out(
    leaping: LeapingClock,
) -> None:
    failures = ends(4)
    plan = Plan(*failures)

    with pytest.raises(ConnectionError) as raised:
        await Retry(clock=leaping, jitter=False).call(plan, "anna")

    assert raised.value is failures[3]
    assert raised.value.__context__ is None
    assert plan.calls == [("anna",)] * 4
    assert leaping.slept == [1.0, 2.0, 4.0]


async def test_a_success_ends_it_with_the_result(leaping: LeapingClock) -> None:
    plan = Plan(*ends(2), "sent")

    assert await Retry(clock=leaping).call(plan) == "sent"

    assert len(plan.calls) == 3


async def test_the_wait_grows_up_to_its_limit(leaping: LeapingClock) -> None:
    retry = Retry(
        6,
        delay=timedelta(seconds=2),
        factor=3,
        delay_max=timedelta(minutes=1),
        jitter=False,
        clock=leaping,
    )

    await calls_of(retry, OSError())

    assert leaping.slept == [2.0, 6.0, 18.0, 54.0, 60.0]


async def test_the_wait_is_drawn_from_all_that_is_allowed_and_a_seed_repeats_it() -> None:
    drawn: list[Sequence[float]] = []
    for _ in range(2):
        clock = LeapingClock()
        await calls_of(Retry(clock=clock, uniform=Random(7).uniform), OSError())
        drawn.append(clock.slept)

    assert drawn[0] == drawn[1]
    assert drawn[0] == [Random(7).uniform(0, 1), *drawn[0][1:]]


@given(
    attempts=st.integers(1, 6),
    delay=st.floats(0, 1e6),
    factor=st.floats(1, 1000),
    delay_max=st.floats(0, 1e6),
    seed=st.integers(),
)
def test_the_wait_is_never_longer_than_the_formula_says(
    attempts: int, delay: float, factor: float, delay_max: float, seed: int
) -> None:
    clock = LeapingClock()
    retry = Retry(
        attempts,
        delay=delay,
        factor=factor,
        delay_max=delay_max,
        clock=clock,
        uniform=Random(seed).uniform,
    )

    assert asyncio.run(calls_of(retry, OSError())) == attempts

    assert len(clock.slept) == attempts - 1
    for n, slept in enumerate(clock.slept, start=1):
        assert 0 <= slept <= min(delay_max, delay * factor ** (n - 1))


async def test_very_many_attempts_wait_their_longest(leaping: LeapingClock) -> None:
    retry = Retry(1200, delay=1, delay_max=1, jitter=False, clock=leaping)

    assert await calls_of(retry, OSError()) == 1200

    assert set(leaping.slept) == {1.0}


@pytest.mark.parametrize(("total", "calls"), [(2.9, 2), (3.0, 3), (6.9, 3), (7.0, 4)])
async def test_no_attempt_begins_after_the_time_in_all(
    total: float, calls: int, leaping: LeapingClock
) -> None:
    retry = Retry(total_max=total, jitter=False, clock=leaping)

    assert await calls_of(retry, OSError()) == calls


async def test_the_time_in_all_has_the_attempts_themselves_in_it(leaping: LeapingClock) -> None:
    calls = 0

    async def slow() -> None:
        nonlocal calls
        calls += 1
        leaping.time += 10
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await Retry(total_max=12, jitter=False, clock=leaping).call(slow)

    assert calls == 2


# ------------------------------------------------------------------------- which attempt it is


async def test_the_attempt_is_known_inside_and_forgotten_outside(leaping: LeapingClock) -> None:
    seen: list[tuple[int, int]] = []
    before = 0
    inner, outer = Retry(2, clock=leaping), Retry(2, clock=leaping)

    async def work() -> None:
        seen.append((before, current_attempt()))
        raise ConnectionError

    async def nested() -> None:
        nonlocal before
        before = current_attempt()
        await inner.call(Plan("fine"))
        assert current_attempt() == before
        try:
            await inner.call(work)
        finally:
            assert current_attempt() == before

    with pytest.raises(ConnectionError):
        await outer.call(nested)

    assert seen == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert current_attempt() == 1


# ---------------------------------------------------------------------------------- the log


async def test_each_failed_attempt_and_each_wait_is_logged_with_type_and_reason(
    leaping: LeapingClock, caplog: pytest.LogCaptureFixture
) -> None:
    retry = Retry(2, jitter=False, never=LookupError, total_max=60, clock=leaping)
    until = datetime(2024, 1, 1, tzinfo=UTC)
    open_until = CircuitOpenError("mail", until=until, seconds=0.0, reason="it broke")
    with caplog.at_level(logging.INFO, logger="headwater"):
        await retry.call(Plan(OSError("no\n  route."), "fine"))
        await calls_of(retry, OSError("gone"))
        await calls_of(retry, KeyError("key"))
        await calls_of(retry, NotFoundError("no"))
        await calls_of(retry, open_until)
        await calls_of(Retry(total_max=0.5, jitter=False, clock=leaping), OSError("gone"))

    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("INFO", "plan: attempt 1 of 2 failed with OSError: no route; again in 1 s"),
        ("INFO", "plan: attempt 2 of 2 succeeded"),
        ("INFO", "plan: attempt 1 of 2 failed with OSError: gone; again in 1 s"),
        ("WARNING", "plan: attempt 2 of 2 failed with OSError: gone; gave up"),
        (
            "INFO",
            "plan: attempt 1 of 2 failed with KeyError: 'key'; that is not retried on the spot",
        ),
        (
            "INFO",
            (
                "plan: attempt 1 of 2 was not let through (CircuitOpenError: 'mail' is open at "
                "2024-01-01 00:00:00+00:00, being probed: it broke. Nothing was called); that is "
                "not retried on the spot"
            ),
        ),
        (
            "WARNING",
            (
                "plan: attempt 1 of 4 failed with OSError: gone; gave up, because 0 s and a wait "
                "of 1 s are more than 0.5 s in all"
            ),
        ),
    ]


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise LookupError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError("x" * 10_000), "OSError: xxx"),
        (UnreadableError(), "UnreadableError: (its text can't be read)"),
        (OSError(), "OSError; again"),
    ],
)
async def test_the_log_bears_any_error(
    error: Exception, told: str, leaping: LeapingClock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="headwater"):
        await calls_of(Retry(clock=leaping), error)

    assert told in caplog.text
    assert max(len(record.getMessage()) for record in caplog.records) < REASON_LENGTH_MAX + 100


# ----------------------------------------------------------------------------- its arguments


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"attempts": 0}, "attempts must be a whole number of 1 or more, not 0"),
        ({"attempts": calls_of}, "write @Retry"),
        ({"delay": -1}, "delay must be seconds or a timedelta, 0 or more"),
        ({"delay": True}, "delay must be"),
        ({"delay": "1"}, "delay must be"),
        ({"delay_max": float("inf")}, "delay_max must be"),
        ({"factor": 0.5}, "factor must be from 1 to 1000"),
        ({"total_max": 0}, "total_max must be seconds or a timedelta, above 0"),
        ({"on": NotFoundError}, "on names NotFoundError, a refusal"),
        ({"never": 7}, "never must name classes"),
        ({"delays": {OSError: -1}}, r"delays\[OSError\] must be"),
        ({"on": OSError, "never": (OSError,)}, "OSError is named twice"),
        ({"on": OSError, "delays": {OSError: 1}}, "OSError is named twice"),
    ],
)
def test_a_wrong_argument_is_said(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Retry(**options)


async def test_a_wait_that_a_function_gets_wrong_is_said(leaping: LeapingClock) -> None:
    retry = Retry(delays={TooManyRequestsError: lambda error: -error.retry_after}, clock=leaping)

    with pytest.raises(ConfigurationError, match="the delay must be") as raised:
        await retry.call(Plan(TooManyRequestsError(3)))

    assert isinstance(raised.value.__context__, TooManyRequestsError)
