"""What mypy and pyright must infer of the mediator; they read it, pytest does not."""

from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, assert_type
from uuid import UUID

from headwater.mediator import (
    Handlers,
    Mediator,
    Next,
    Publisher,
    Receipt,
    Sender,
    Strategy,
    Stream,
    handles,
)
from headwater.messages import Command, Event, Query, Request

table = Handlers()


class Place(Command[UUID]):
    article: str


class Find(Query[str | None]):
    id: UUID


class Placed(Event):
    id: UUID


@dataclass
class Foreign(Request[int]):
    pass


async def answers_have_the_type_of_the_request(mediator: Mediator, id: UUID) -> None:
    assert_type(await mediator.send(Place("tea")), UUID)
    assert_type(await mediator.send(Find(id)), str | None)
    assert_type(await mediator.send(Foreign()), int)
    assert_type(await mediator.send(Place("tea"), id=id, separate=True), UUID)
    assert_type(await mediator.execute(Place("tea")), Receipt[UUID])
    assert_type((await mediator.execute(Find(id), id=id)).result, str | None)
    coroutine: Coroutine[Any, Any, UUID] = mediator.send(Place("tea"))
    assert_type(await coroutine, UUID)
    assert_type(mediator.stream(Foreign()), Stream[int])
    async for item in mediator.stream(Find(id)):
        assert_type(item, str | None)


async def only_requests_are_sent(mediator: Mediator, event: Placed) -> None:
    await mediator.send(event)  # type: ignore[call-overload]
    await mediator.send("tea")  # type: ignore[call-overload]


async def options_are_given_by_name(mediator: Mediator, event: Placed, id: UUID) -> None:
    await mediator.send(Place("tea"), id)  # type: ignore[call-overload]
    await mediator.publish(event, Strategy.SEQUENTIAL)  # type: ignore[call-overload]
    await mediator.publish(event, strategy=Strategy.SEQUENTIAL, after_commit=True)


async def a_mediator_is_a_sender_and_a_publisher(mediator: Mediator, id: UUID) -> None:
    sender: Sender = mediator
    publisher: Publisher = mediator
    assert_type(await sender.send(Find(id)), str | None)
    await publisher.publish(Placed(id), after_commit=True)


class FakePublisher:
    def __init__(self) -> None:
        self.published: list[object] = []

    async def publish(self, message: object, /, *, after_commit: bool = False) -> None:
        self.published.append(message)


def a_fake_is_one_method(fake: FakePublisher) -> Publisher:
    return fake


@table.handler
async def place(command: Place) -> UUID:
    return UUID(int=0)


@table.handler(inline=True)
def find(query: Find, limit: int = 3) -> str | None:
    return None


@table.on(order=3)
class Listener:
    async def handle(self, event: Placed) -> None: ...


@handles()
async def streams(query: Find) -> AsyncIterator[str]:
    yield ""


async def decorated_functions_keep_their_types(id: UUID) -> None:
    assert_type(await place(Place("tea")), UUID)
    assert_type(find(Find(id), limit=2), str | None)
    assert_type(Listener(), Listener)
    find(id)  # type: ignore[arg-type]


@table.behaviour
async def around(message: Place, next: Next[Place, UUID]) -> UUID:
    assert_type(await next(message), UUID)
    return await next("tea")  # type: ignore[arg-type]


def subscriptions_return_their_undo(mediator: Mediator) -> None:
    assert_type(mediator.subscribe(place), Callable[[], None])
