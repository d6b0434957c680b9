"""What is recorded reaches projections and subscribers, and no @on handler."""

import asyncio
from typing import Protocol, runtime_checkable
from uuid import UUID

import pytest

from headwater.errors import MessageTypeError, SubscriptionFailedError
from headwater.event_store import EventStore
from headwater.mediator import Publisher
from headwater.messages import Event
from headwater.metadata import Recorded
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.subscriptions.delivery import Delivery
from headwater.subscriptions.failures.policy import OnFailure
from headwater.testing import TestApp
from headwater.unit_of_work.unit import UnitOfWork
from tests.app.orders import sales
from tests.app.recording import TEN, A, B, BoomError, Record
from tests.app.shop import (
    AlreadyShippedError,
    Contact,
    CustomerMoved,
    CustomerRegistered,
    GetOrder,
    OrderPlaced,
    OrderShipped,
    OrderSummaries,
    OrderTagged,
    PlaceOrder,
    ShipOrder,
    ShopOpened,
)


async def test_what_is_recorded_reaches_projections_and_subscribers_and_no_on_handler(
    storage: Storage,
) -> None:
    context, heard, delivered = sales(), list[object](), list[object]()

    @context.on
    async def hears(event: OrderPlaced) -> None:
        heard.append(event)

    @context.subscriber
    async def gets(event: OrderPlaced, delivery: Delivery) -> None:
        delivered.append((event, delivery.position))

    @context.subscriber(name="second")
    class Second:
        async def handle_placed(self, event: Recorded[OrderPlaced]) -> None:
            delivered.append((event.payload, event.stream_id))

        async def handle_shipped(self, event: OrderShipped) -> None:
            delivered.append(event)

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A, TEN))
        await app.send(ShipOrder(A))
        await app.settle()
        row = await app.send(GetOrder(A))

    assert heard == []
    placed = OrderPlaced(A, TEN)
    expected = [(placed, 1), (placed, f"sales.order-{A}"), OrderShipped(A)]
    assert sorted(delivered, key=repr) == sorted(expected, key=repr)
    assert row is not None
    assert row.shipped


async def test_what_is_appended_by_hand_reaches_them_too_and_no_on_handler(
    storage: Storage,
) -> None:
    context, heard, delivered = sales(), list[object](), list[object]()

    @context.on
    async def hears(event: object) -> None:
        heard.append(event)

    @context.subscriber
    async def gets(event: OrderShipped) -> None:
        delivered.append(event)

    async with TestApp(context, storage=storage) as app:
        store = await app.get(EventStore)
        await store.append("import-1", [OrderShipped(A)], expected=ExpectedVersion.any())
        async with store.unit_of_work() as unit:
            unit.append("import-1", OrderShipped(B))
            unit.append("import-1", OrderTagged(B, "x"))
        await app.wait_for(gets, 3)

    assert heard == []
    assert delivered == [OrderShipped(A), OrderShipped(B)]


async def test_nothing_is_delivered_of_what_was_refused(storage: Storage) -> None:
    context, delivered = sales(), list[object]()

    @context.subscriber
    async def gets(event: OrderShipped) -> None:
        delivered.append(event)

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))
        await app.send(ShipOrder(A))
        with pytest.raises(AlreadyShippedError):
            await app.send(ShipOrder(A))
        await app.settle()

    assert delivered == [OrderShipped(A)]


async def test_a_subscriber_publishes_after_the_commit_of_its_effects(storage: Storage) -> None:
    context, heads = sales(), list[int]()
    broken = [True]

    @context.subscriber(on_failure=OnFailure.STOP)
    async def react(
        event: OrderPlaced, unit: UnitOfWork, publisher: Publisher, delivery: Delivery
    ) -> None:
        unit.append(delivery.stream_id, OrderTagged(event.order_id, "seen"))
        await publisher.publish(ShopOpened("west"), after_commit=True)
        if broken[0]:
            raise BoomError

    @context.on
    async def hears(event: ShopOpened, store: EventStore) -> None:
        heads.append(await store.head())

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))
        with pytest.raises(SubscriptionFailedError):
            await app.settle()
        assert heads == []

        broken[0] = False
        await app.restart(react)
        await app.settle()

        assert heads == [2]
        await app.recorder.assert_appended(OrderTagged(A, "seen"))


@runtime_checkable
class HasEmail(Protocol):
    email: str


async def test_a_subscriber_may_name_a_base_type_a_protocol_a_union_or_event(
    storage: Storage,
) -> None:
    context, got = sales(), list[tuple[str, object]]()
    context.register(CustomerRegistered, CustomerMoved)

    @context.subscriber
    async def base(event: Contact) -> None:
        got.append(("base", event))

    @context.subscriber
    async def protocol(event: HasEmail) -> None:
        got.append(("protocol", event))

    @context.subscriber
    async def union(event: CustomerMoved | OrderShipped) -> None:
        got.append(("union", event))

    @context.subscriber
    async def everything(event: Recorded[Event]) -> None:
        got.append(("everything", event.payload))

    registered, moved = CustomerRegistered("ada", "a@b"), CustomerMoved("ada", "London")
    async with TestApp(context, storage=storage) as app:
        store = await app.get(EventStore)
        events = [registered, moved, OrderShipped(A)]
        await store.append("x-1", events, expected=ExpectedVersion.no_stream())
        await app.wait_for(everything, 3)
        for subscriber in (base, protocol, union):
            await app.wait_for(subscriber, 3)

    assert {name: [e for n, e in got if n == name] for name, _ in got} == {
        "base": [registered, moved],
        "protocol": [registered],
        "union": [moved, OrderShipped(A)],
        "everything": events,
    }


class Unregistered(Event, context="sales"):
    pass


async def test_an_event_that_the_app_does_not_know_is_refused_at_its_append() -> None:
    context = sales()

    @context.handler
    async def record(command: Record, unit: UnitOfWork) -> None:
        unit.append("x-1", Unregistered())

    async with TestApp(context) as app:
        store = await app.get(EventStore)
        with pytest.raises(
            MessageTypeError, match=r"Unregistered is not known to the app.*context\.register\("
        ):
            await store.append("x-1", [Unregistered()], expected=ExpectedVersion.any())
        with pytest.raises(MessageTypeError):
            await app.send(Record())

        assert await store.head() == 0


async def test_a_subscriber_gets_an_event_because_it_was_committed_not_because_it_looked(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever waits for news waits for ever now: what arrives was told by the commit.
    monkeypatch.setattr("headwater.subscriptions.reader.NEWS_SECONDS", 1_000_000.0)
    context = sales()
    arrived = asyncio.Queue[UUID](maxsize=10)

    @context.subscriber
    async def gets(event: OrderPlaced) -> None:
        await arrived.put(event.order_id)

    async with TestApp(context, storage=storage) as app:
        await app.settle()
        for number in range(5):
            await app.send(PlaceOrder(UUID(int=number)))
            assert await arrived.get() == UUID(int=number)
        await app.wait_for(OrderSummaries, 5)
