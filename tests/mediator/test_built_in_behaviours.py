"""The behaviours that come with the library."""

import asyncio
import logging
from datetime import timedelta
from typing import Annotated, Any

import pytest
from msgspec import Meta
from pydantic import BaseModel, Field

from headwater.clock import ManualClock, SystemClock
from headwater.errors import DeadlineExceededError, NotAuthorizedError, ValidationError
from headwater.mediator import Handlers, Mediator
from headwater.mediator.behaviours import (
    Authorization,
    Deadline,
    ExceptionMapping,
    QueryCache,
    SlowHandlerLog,
    Validation,
)
from headwater.messages import Command, Query, Request
from headwater.metadata import MessageContext, message_context
from tests.mediator.shop import GetPrice, ListArticles, PlaceOrder


class NoSuchThingError(Exception):
    pass


def placing(behaviour: Any, place: Any) -> Mediator:
    table = Handlers()
    table.behaviour(behaviour)

    @table.handler
    async def handler(command: PlaceOrder) -> str:
        return str(await place())

    return Mediator(table)


# ------------------------------------------------------------------------ slow handlers


@pytest.mark.parametrize(("took", "warned"), [(0.4, False), (0.5, True)])
async def test_a_handler_that_takes_the_threshold_or_longer_is_logged(
    *, took: float, warned: bool, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def place() -> None:
        clock.advance(took)
        raise NoSuchThingError

    mediator = placing(SlowHandlerLog(threshold=timedelta(seconds=0.5), clock=clock), place)
    with caplog.at_level(logging.WARNING), pytest.raises(NoSuchThingError):
        await mediator.send(PlaceOrder("tea"))

    assert ("PlaceOrder took 0.500 s; 0.500 s is slow" in caplog.text) == warned


# --------------------------------------------------------------------- exception mapping


async def test_the_entry_of_the_nearest_class_maps_and_the_original_is_the_cause() -> None:
    async def place() -> None:
        raise KeyError("tea")

    mapping = ExceptionMapping(
        {Exception: lambda _: RuntimeError(), LookupError: lambda e: NoSuchThingError(e.args[0])}
    )
    with pytest.raises(NoSuchThingError, match="tea") as caught:
        await placing(mapping, place).send(PlaceOrder("tea"))

    assert isinstance(caught.value.__cause__, KeyError)


async def test_what_no_entry_fits_and_cancellation_go_through() -> None:
    async def fails() -> None:
        raise ValueError("as it is")

    async def cancelled() -> None:
        raise asyncio.CancelledError

    mapping = ExceptionMapping({LookupError: lambda _: NoSuchThingError()})
    with pytest.raises(ValueError, match="as it is"):
        await placing(mapping, fails).send(PlaceOrder("tea"))
    everything = ExceptionMapping({Exception: lambda _: NoSuchThingError()})
    with pytest.raises(asyncio.CancelledError):
        await placing(everything, cancelled).send(PlaceOrder("tea"))


# --------------------------------------------------------------------------- deadlines


async def test_a_handler_that_runs_past_the_deadline_is_cancelled() -> None:
    ended: list[str] = []

    async def place() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    soon = SystemClock().now() + timedelta(milliseconds=700)
    with message_context(deadline=soon), pytest.raises(DeadlineExceededError):
        await placing(Deadline(), place).send(PlaceOrder("tea"))

    assert ended == ["ended"]


async def test_a_message_that_comes_too_late_is_not_handled(clock: ManualClock) -> None:
    async def place() -> None:
        raise AssertionError

    with message_context(deadline=clock.now()), pytest.raises(DeadlineExceededError):
        await placing(Deadline(clock=clock), place).send(PlaceOrder("tea"))


async def test_a_timeout_of_the_handlers_own_is_no_deadline() -> None:
    async def place() -> None:
        raise TimeoutError("mine")

    later = SystemClock().now() + timedelta(minutes=1)
    with message_context(deadline=later), pytest.raises(TimeoutError, match="mine"):
        await placing(Deadline(), place).send(PlaceOrder("tea"))


async def test_without_a_deadline_nothing_is_done() -> None:
    async def place() -> str:
        return "placed"

    assert await placing(Deadline(), place).send(PlaceOrder("tea")) == "placed"


# ------------------------------------------------------------------------ authorization


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_only_who_is_allowed_reaches_the_handler(*, asynchronous: bool) -> None:
    def check(request: Any, context: MessageContext | None) -> bool:
        return context is not None and context.actor == "ann"

    async def check_later(request: Any, context: MessageContext | None) -> bool:
        return check(request, context)

    async def place() -> str:
        return "placed"

    mediator = placing(Authorization(check_later if asynchronous else check), place)
    with message_context(actor="ann"):
        assert await mediator.send(PlaceOrder("tea")) == "placed"
    with (
        message_context(actor="bob"),
        pytest.raises(NotAuthorizedError, match="bob may not send PlaceOrder"),
    ):
        await mediator.send(PlaceOrder("tea"))
    with pytest.raises(NotAuthorizedError, match="An unknown actor"):
        await mediator.send(PlaceOrder("tea"))


# --------------------------------------------------------------------------- validation


class Order(Command[str]):
    quantity: Annotated[int, Meta(gt=0)]
    article: str = "tea"


class Range(Command[str]):
    low: int
    high: int

    def validate(self) -> list[str]:
        return [] if self.low <= self.high else [f"{self.low} is above {self.high}"]


class Raising(Command[str]):
    def validate(self) -> None:
        raise ValueError("never valid")


class Model(BaseModel, Request[str]):
    quantity: int = Field(gt=0)


class Plain(Request[str]):
    """Can't say what is valid."""


def validating() -> Mediator:
    table = Handlers()
    table.behaviour(Validation())

    @table.handler
    async def handler(command: Order | Range | Raising | Model | Plain) -> str:
        return "valid"

    return Mediator(table)


@pytest.mark.parametrize("command", [Order(1), Range(1, 2), Model(quantity=1), Plain()])
async def test_a_valid_request_is_handled(command: Request[str]) -> None:
    assert await validating().send(command) == "valid"


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (Order(0), r"Expected `int` >= 1 - at `\$\.quantity`"),
        (Order("1"), r"Expected `int`, got `str`"),  # type: ignore[arg-type]
        (Range(3, 2), "3 is above 2"),
        (Raising(), "never valid"),
        (Model.model_construct(quantity=0), "quantity: Input should be greater than 0"),
    ],
)
async def test_an_invalid_request_is_refused_with_its_problems(
    command: Request[str], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        await validating().send(command)


def test_what_cant_be_invalid_is_not_slowed_down() -> None:
    assert not Validation.applies_to(Plain)


# -------------------------------------------------------------------------- query cache


def caching(cache: QueryCache, **options: Any) -> tuple[Mediator, list[str]]:
    asked: list[str] = []
    table = Handlers()
    table.behaviour(cache, on=GetPrice)

    @table.handler
    async def price(query: GetPrice) -> int:
        asked.append(query.article)
        await asyncio.sleep(0)
        if query.article == "nothing":
            raise LookupError(query.article)
        return len(asked)

    return Mediator(table, **options), asked


async def test_an_equal_query_gets_the_earlier_answer() -> None:
    mediator, asked = caching(QueryCache())

    answers = [await mediator.send(GetPrice(article)) for article in ("tea", "tea", "milk", "tea")]

    assert answers == [1, 1, 2, 1]
    assert asked == ["tea", "milk"]


async def test_equal_queries_at_the_same_time_are_handled_once() -> None:
    mediator, asked = caching(QueryCache())

    answers = await asyncio.gather(*[mediator.send(GetPrice("tea")) for _ in range(5)])

    assert answers == [1] * 5
    assert asked == ["tea"]


async def test_those_who_wait_share_a_failure_and_it_is_not_kept() -> None:
    mediator, asked = caching(QueryCache())

    answers = await asyncio.gather(
        *[mediator.send(GetPrice("nothing")) for _ in range(3)], return_exceptions=True
    )
    with pytest.raises(LookupError):
        await mediator.send(GetPrice("nothing"))

    assert [type(answer) for answer in answers] == [LookupError] * 3
    assert asked == ["nothing"] * 2


async def test_if_who_handles_it_is_cancelled_somebody_who_waits_does() -> None:
    mediator, asked = caching(QueryCache())
    first = asyncio.create_task(mediator.send(GetPrice("tea")))
    second = asyncio.create_task(mediator.send(GetPrice("tea")))
    await asyncio.sleep(0)

    first.cancel()

    assert await second == 2
    assert asked == ["tea", "tea"]


async def test_an_answer_called_invalid_is_made_anew() -> None:
    cache = QueryCache()
    mediator, asked = caching(cache)
    for article in ("tea", "milk"):
        await mediator.send(GetPrice(article))

    cache.invalidate(GetPrice("tea"))
    await mediator.send(GetPrice("milk"))
    await mediator.send(GetPrice("tea"))
    cache.invalidate_where(GetPrice, lambda query: query.article == "milk")
    await mediator.send(GetPrice("tea"))
    await mediator.send(GetPrice("milk"))
    cache.invalidate_where()
    await mediator.send(GetPrice("tea"))

    assert asked == ["tea", "milk", "tea", "milk", "tea"]


async def test_an_answer_being_made_when_it_becomes_invalid_is_not_kept() -> None:
    cache = QueryCache()
    mediator, asked = caching(cache)
    first = asyncio.create_task(mediator.send(GetPrice("tea")))
    await asyncio.sleep(0)

    cache.invalidate(GetPrice("tea"))

    assert await mediator.send(GetPrice("tea")) == 2
    assert await first >= 1
    assert asked == ["tea", "tea"]


async def test_an_answer_is_kept_no_longer_than_its_time(clock: ManualClock) -> None:
    mediator, asked = caching(QueryCache(ttl=10, clock=clock))

    await mediator.send(GetPrice("tea"))
    clock.advance(9.9)
    await mediator.send(GetPrice("tea"))
    clock.advance(0.1)
    await mediator.send(GetPrice("tea"))

    assert asked == ["tea", "tea"]


async def test_it_keeps_the_answers_used_last_up_to_its_limit() -> None:
    mediator, asked = caching(QueryCache(entries_max=2))

    for article in ("tea", "milk", "tea", "salt", "tea", "milk"):
        await mediator.send(GetPrice(article))

    assert asked == ["tea", "milk", "salt", "milk"]


async def test_a_key_tells_apart_what_the_query_doesnt() -> None:
    tenants = iter(["a", "b", "a"])
    mediator, asked = caching(QueryCache(key=lambda _: next(tenants)))

    assert [await mediator.send(GetPrice("tea")) for _ in range(3)] == [1, 2, 1]
    assert asked == ["tea", "tea"]


async def test_streams_are_not_kept() -> None:
    table = Handlers()
    table.behaviour(QueryCache(), on=Query)

    @table.handler
    async def articles(query: ListArticles) -> Any:
        yield "tea"

    mediator = Mediator(table)

    for _ in range(2):
        assert [item async for item in mediator.stream(ListArticles())] == ["tea"]
