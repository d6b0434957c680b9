"""A retry does what a plain model of it says, whatever happens in its attempts."""

import asyncio
from dataclasses import dataclass, field
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import CircuitOpenError, RefusedError
from headwater.resilience import Retry, current_attempt
from tests.resilience.driving import LeapingClock

NOW = LeapingClock().now()


class BusyError(Exception):
    """Has a wait of its own, 7 s."""


ENDS = st.sampled_from(
    [
        None,
        OSError(),
        OSError(),
        ConnectionError(),
        TimeoutError(),
        BusyError(),
        RefusedError("no"),
        CircuitOpenError("mail", until=NOW, seconds=1, reason="down"),
        asyncio.CancelledError(),
        ExceptionGroup("", [OSError(), RefusedError("no")]),
        ExceptionGroup("", [BusyError(), OSError()]),
        ExceptionGroup("", [BusyError(), TimeoutError()]),
    ]
)
RETRIED = (OSError, BusyError)
"""And not `TimeoutError`, which is an `OSError` too."""


@dataclass
class Run:
    """What came of a call: its waits, the numbers of its attempts, and its end."""

    waits: list[float] = field(default_factory=list[float])
    numbers: list[int] = field(default_factory=list[int])
    end: BaseException | None = None


def wait_after(error: BaseException, attempt: int) -> float | None:
    """Return the wait as the documentation tells it, None if there is no other attempt."""
    members = cast("BaseExceptionGroup[BaseException]", error)
    parts = members.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
    parts = tuple(part for part in parts if not isinstance(part, RefusedError))
    if not parts or any(
        isinstance(part, TimeoutError) or not isinstance(part, RETRIED) for part in parts
    ):
        return None
    return (
        7.0 if any(isinstance(part, BusyError) for part in parts) else min(4, 2.0 ** (attempt - 1))
    )


def model(ends: list[tuple[BaseException | None, int]], attempts: int, total_max: int) -> Run:
    """Return what should come of attempts that take a while and end so."""
    run, time = Run(), 0.0
    for number, (error, took) in enumerate(ends, start=1):
        run.numbers.append(number)
        time += took
        wait = None if error is None else wait_after(error, number)
        if wait is None or number == attempts or time + wait > total_max:
            run.end = error
            break
        run.waits.append(wait)
        time += wait
    return run


@given(
    ends=st.lists(st.tuples(ENDS, st.integers(0, 5)), min_size=5, max_size=5),
    attempts=st.integers(1, 5),
    total_max=st.integers(1, 30),
    by_loop=st.booleans(),
)
def test_a_retry_does_what_the_model_says(
    *, ends: list[tuple[BaseException | None, int]], attempts: int, total_max: int, by_loop: bool
) -> None:
    clock, run = LeapingClock(), Run()
    retry = Retry(
        attempts,
        delay_max=4,
        jitter=False,
        total_max=total_max,
        on=OSError,
        never=TimeoutError,
        delays={BusyError: 7},
        clock=clock,
    )

    async def work() -> None:
        error, took = ends[len(run.numbers)]
        run.numbers.append(current_attempt())
        clock.time += took
        if error is not None:
            raise error

    async def call() -> None:
        if not by_loop:
            await retry.call(work)
            return
        async for attempt in retry:
            async with attempt:
                await work()

    try:
        call().send(None)  # it never waits for anything, so it needs no event loop
    except StopIteration:
        run.end = None
    except BaseException as error:  # noqa: BLE001 - what comes out is what is tested
        run.end = error
    run.waits = clock.slept

    expected = model(ends, attempts, total_max)
    assert (run.waits, run.numbers) == (expected.waits, expected.numbers)
    assert run.end is expected.end
