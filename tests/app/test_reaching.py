"""What reaches whom: publish reaches @on, what is appended reaches subscribers, never across."""

import logging
from uuid import UUID

import pytest

from headwater.errors import NotPublishableError
from headwater.event_store import EventStore
from headwater.mediator import Publisher, Strategy
from headwater.messages import Command, Notification
from headwater.ports.storage import Storage
from headwater.testing import TestApp
from tests.app.orders import Orders, sales
from tests.app.recording import TEN, A, BoomError
from tests.app.shop import (
    Contact,
    CustomerMoved,
    Order,
    OrderPlaced,
    OrderShipped,
    OrderTagged,
    ShopOpened,
)


class Announce(Command[None], context="sales"):
    order_id: UUID
    fail: bool = False


# ---------------------------------------------------------------------------------- publish


async def test_publish_reaches_every_on_handler_of_this_process_now() -> None:
    context, heard = sales(), list[str]()

    @context.on
    async def first(event: ShopOpened) -> None:
        heard.append(f"first {event.name}")

    @context.on
    async def second(event: Notification) -> None:
        heard.append(f"second {type(event).__name__}")

    async with TestApp(context) as app:
        await app.publish(ShopOpened("west"))

        assert sorted(heard) == ["first west", "second ShopOpened"]


async def test_all_on_handlers_run_and_their_failures_come_as_one_group() -> None:
    context, heard = sales(), list[str]()

    @context.on
    async def fails(event: ShopOpened) -> None:
        raise BoomError(event.name)

    @context.on
    async def hears(event: ShopOpened) -> None:
        heard.append(event.name)

    async with TestApp(context) as app:
        with pytest.raises(ExceptionGroup, match="a handler of ShopOpened failed") as failed:
            await app.publish(ShopOpened("west"))

    assert [type(error) for error in failed.value.exceptions] == [BoomError]
    assert heard == ["west"]


async def test_a_publish_writes_nothing_to_the_log_though_subscribers_want_the_type(
    storage: Storage,
) -> None:
    context, heard, delivered = sales(), list[object](), list[object]()

    @context.on
    async def hears(event: OrderShipped) -> None:
        heard.append(event)

    @context.subscriber
    async def gets(event: OrderShipped) -> None:
        delivered.append(event)

    async with TestApp(context, storage=storage) as app:
        await app.publish(OrderShipped(A))

        assert await app.settle() == 0
    assert heard == [OrderShipped(A)]
    assert delivered == []


async def test_publishing_what_only_durable_subscribers_and_projections_take_is_an_error() -> None:
    context = sales()

    @context.subscriber
    async def gets(event: OrderTagged) -> None: ...

    @context.subscriber
    async def gets_base(event: Contact) -> None: ...

    context.register(CustomerMoved)
    async with TestApp(context) as app:
        for event in (OrderTagged(A, "x"), OrderPlaced(A, TEN), CustomerMoved("ada", "London")):
            with pytest.raises(NotPublishableError, match="Record it in an aggregate or append it"):
                await app.publish(event)
        with pytest.raises(NotPublishableError):
            await app.publish(OrderTagged(A, "x"), strategy=Strategy.SEQUENTIAL)


async def test_publishing_what_nobody_takes_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async with TestApp(sales()) as app:
        with caplog.at_level(logging.WARNING):
            await app.publish(ShopOpened("west"))

    assert "Nobody hears ShopOpened" in caplog.text


async def test_after_commit_waits_for_the_commit_and_is_dropped_by_a_failure(
    storage: Storage,
) -> None:
    context, heads = sales(), list[int]()

    @context.handler
    async def announce(command: Announce, orders: Orders, publisher: Publisher) -> None:
        orders.add(Order.place(command.order_id, TEN))
        await publisher.publish(ShopOpened("west"), after_commit=True)
        assert heads == []
        if command.fail:
            raise BoomError

    @context.on
    async def hears(event: ShopOpened, store: EventStore) -> None:
        heads.append(await store.head())

    async with TestApp(context, storage=storage) as app:
        with pytest.raises(BoomError):
            await app.send(Announce(A, fail=True))
        assert heads == []

        await app.send(Announce(A))

        assert heads == [1]


async def test_a_failure_after_the_commit_is_reported_and_not_raised() -> None:
    context, reported = sales(), list[tuple[Exception, object]]()

    @context.handler
    async def announce(command: Announce, orders: Orders, publisher: Publisher) -> None:
        orders.add(Order.place(command.order_id, TEN))
        await publisher.publish(ShopOpened("west"), after_commit=True)

    @context.on
    async def fails(event: ShopOpened) -> None:
        raise BoomError

    def on_error(error: Exception, message: object, where: str) -> None:
        reported.append((error, message))

    async with TestApp(context, on_error=on_error) as app:
        await app.send(Announce(A))

        await app.recorder.assert_appended(OrderPlaced(A, TEN))
    [(error, message)] = reported
    assert isinstance(error, ExceptionGroup)
    assert message == ShopOpened("west")
