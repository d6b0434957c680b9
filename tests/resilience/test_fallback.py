"""Something else in place of a failure."""

import asyncio
import logging
from typing import Any, cast

import pytest

from headwater.errors import BulkheadFullError, ConfigurationError, RefusedError
from headwater.resilience import Bulkhead, Fallback, Policy
from tests.resilience.driving import Plan


def empty(error: Exception) -> list[str]:
    return []


async def test_a_failure_is_answered_for_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="headwater"):
        assert await Fallback(empty).call(Plan(ConnectionError("no route"))) == []

    assert caplog.messages == ["plan failed with ConnectionError: no route; its fallback answers"]
    assert await Fallback(empty).call(Plan(["tea"])) == ["tea"]


async def test_it_may_be_async_and_gets_the_error() -> None:
    async def stale(error: Exception) -> str:
        return f"stale, for {error}"

    @Fallback(stale)
    async def price() -> str:
        raise ConnectionError("no route")

    assert await price() == "stale, for no route"


@pytest.mark.parametrize(
    ("error", "answered"),
    [
        (ConnectionError(), True),
        (ConnectionResetError(), False),
        (LookupError(), False),
        (RefusedError("no"), False),
        (ExceptionGroup("", [ConnectionError(), RefusedError("no")]), True),
        (ExceptionGroup("", [ConnectionError(), LookupError()]), False),
        (ExceptionGroup("", [RefusedError("no")]), False),
        (asyncio.CancelledError(), False),
        (KeyboardInterrupt(), False),
    ],
)
async def test_what_it_answers_for_is_said_by_the_class_nearest_to_an_error(
    error: BaseException, *, answered: bool
) -> None:
    fallback = Fallback(empty, on=OSError, never=(ConnectionResetError,))

    if answered:
        assert await fallback.call(Plan(error)) == []
        return
    with pytest.raises(type(error)) as raised:
        await fallback.call(Plan(error))
    assert raised.value is error


async def test_it_answers_for_calls_that_were_rejected_but_not_for_wrong_ones() -> None:
    full = BulkheadFullError("crm", concurrency_max=1, queue_max=0)

    assert await Fallback(empty).call(Plan(full)) == []
    with pytest.raises(ConfigurationError):
        await Fallback(empty).call(Plan(ConfigurationError("wrong")))


async def test_its_own_failure_comes_out_with_the_first_as_its_context() -> None:
    def broken(error: Exception) -> None:
        raise LookupError("no stale price")

    first = ConnectionError()
    with pytest.raises(LookupError) as raised:
        await Policy(Fallback(broken), Bulkhead(1)).call(Plan(first))

    assert raised.value.__context__ is first


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Fallback(cast("Any", [])), r"not \[\]. For a fixed value write"),
        (lambda: Fallback(empty, on=RefusedError), "a refusal"),
        (lambda: Fallback(empty, on=OSError, never=OSError), "named twice"),
    ],
)
def test_a_wrong_argument_is_said(make: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        make()
