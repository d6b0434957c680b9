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
    SlowHandlerLog,
    Validation,
)
from headwater.messages import Command, Request
from headwater.metadata import MessageContext, message_context
from tests.mediator.shop import PlaceOrder


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
