"""Handlers that run isolated, or in the background."""

import asyncio

import pytest

from headwater.errors import (
    ConfigurationError,
    LimitExceededError,
)
from headwater.mediator import Handlers, Limits, Mediator, Strategy
from tests.mediator.listening import listening
from tests.mediator.shop import (
    OrderPlaced,
)


@pytest.mark.parametrize("strategy", [Strategy.ISOLATED, Strategy.BACKGROUND])
@pytest.mark.parametrize("registered", [True, False])
async def test_failures_of_isolated_and_background_handlers_are_reported_not_raised(
    *, strategy: Strategy, registered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    reports: list[tuple[str, object, str]] = []
    table = Handlers()

    async def fails(event: OrderPlaced) -> None:
        raise ValueError("boom")

    table.on(strategy=strategy if registered else None)(fails)
    event = OrderPlaced()

    async with Mediator(
        table, on_error=lambda error, message, name: reports.append((str(error), message, name))
    ) as mediator:
        await mediator.publish(event, strategy=None if registered else strategy)

    assert [(text, message) for text, message, _ in reports] == [("boom", event)]
    assert reports[0][2].endswith("fails")
    assert "fails failed on OrderPlaced" in caplog.text


async def test_a_hook_that_fails_does_not_fail_the_publish(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table, _ = listening("a", fails=("a",))

    def hook(error: Exception, message: object, name: str) -> None:
        raise RuntimeError("hook")

    await Mediator(table, on_error=hook).publish(OrderPlaced(), strategy=Strategy.ISOLATED)

    assert "on_error failed" in caplog.text


async def test_one_isolated_handler_among_parallel_ones_hides_only_its_own_failure() -> None:
    table, heard = listening("a", "b", fails=("b",))

    @table.on(strategy=Strategy.ISOLATED)
    async def isolated(event: OrderPlaced) -> None:
        heard.append("isolated")
        raise ValueError("isolated")

    with pytest.raises(ExceptionGroup) as caught:
        await Mediator(table).publish(OrderPlaced())

    assert heard == ["a", "b", "isolated"]
    assert [str(error) for error in caught.value.exceptions] == ["b"]


async def test_background_handlers_are_not_waited_for_but_drained_at_the_end() -> None:
    go, heard = asyncio.Event(), list[str]()
    table = Handlers()

    @table.on
    async def slow(event: OrderPlaced) -> None:
        await go.wait()
        heard.append("slow")

    mediator = Mediator(table)
    await mediator.publish(OrderPlaced(), strategy=Strategy.BACKGROUND)
    assert heard == []

    closing = asyncio.create_task(mediator.aclose())
    go.set()
    await closing

    assert heard == ["slow"]


async def test_what_is_left_after_the_timeout_is_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended: list[str] = []
    table = Handlers()

    @table.on(strategy=Strategy.BACKGROUND)
    async def endless(event: OrderPlaced) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    mediator = Mediator(table)
    await mediator.publish(OrderPlaced())
    await mediator.aclose(timeout=0.01)

    assert ended == ["ended"]
    assert "1 background handler(s) did not end in time" in caplog.text


async def test_background_handlers_have_a_limit_with_a_name() -> None:
    table, _ = listening("a", "b")
    mediator = Mediator(table, limits=Limits(background=1), strategy=Strategy.BACKGROUND)

    with pytest.raises(ExceptionGroup) as caught:
        await mediator.publish(OrderPlaced())

    assert [type(error) for error in caught.value.exceptions] == [LimitExceededError]
    await mediator.aclose()


async def test_a_closed_mediator_starts_nothing_in_the_background() -> None:
    table, heard = listening("a")
    mediator = Mediator(table)
    await mediator.aclose()

    with pytest.raises(ExceptionGroup) as caught:
        await mediator.publish(OrderPlaced(), strategy=Strategy.BACKGROUND)

    assert "is closed" in str(caught.value.exceptions[0])
    assert heard == []


def test_how_several_run_together_is_no_property_of_one() -> None:
    with pytest.raises(ConfigurationError, match="A single handler can't be SEQUENTIAL"):
        Handlers().on(strategy=Strategy.SEQUENTIAL)
