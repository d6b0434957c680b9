"""Correlation, causation, actor, tenant and headers follow every hop; deadlines hold."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from headwater.clock import ManualClock
from headwater.errors import DeadlineExceededError
from headwater.mediator import Publisher, Sender
from headwater.messages import Command
from headwater.metadata import MessageContext, Recorded, current_context, message_context
from headwater.ports.storage import Storage
from headwater.testing import TestApp
from headwater.unit_of_work.unit import UnitOfWork
from tests.app.orders import Orders, sales
from tests.app.shop import (
    Order,
    OrderPlaced,
    OrderShipped,
    OrderTagged,
    PlaceOrder,
    ShipOrder,
    ShopOpened,
    TagOrder,
)

A, B = UUID(int=1), UUID(int=2)


class Slow(Command[None], context="sales"):
    order_id: UUID


async def test_all_of_it_follows_from_send_to_append_to_subscriber_to_send_to_append(
    storage: Storage,
) -> None:
    context, contexts = sales(), list[MessageContext]()

    @context.subscriber
    async def ship_at_once(event: OrderPlaced, sender: Sender, context: MessageContext) -> None:
        contexts.append(context)
        await sender.send(ShipOrder(event.order_id))

    @context.subscriber
    async def tag(event: Recorded[OrderShipped], unit: UnitOfWork) -> None:
        unit.append(event.stream_id, OrderTagged(event.payload.order_id, "shipped"))

    headers = {"campaign": "spring"}
    async with TestApp(context, storage=storage) as app:
        with message_context(
            actor="ada", tenant="acme", traceparent="00-1-2-01", headers=headers
        ) as outside:
            await app.send(PlaceOrder(A))
        await app.settle()

        placed, shipped, tagged = await app.recorder.records(object)

    for event in (placed, shipped, tagged):
        assert event.correlation_id == outside.correlation_id
        assert (event.actor, event.tenant, event.traceparent) == ("ada", "acme", "00-1-2-01")
        assert event.headers == headers
    # Each was caused by the message in which it was recorded, and that by the one before it.
    [delivered] = contexts
    assert delivered.message_id == placed.id
    assert placed.causation_id not in (None, outside.message_id)
    assert delivered.causation_id == placed.causation_id
    assert shipped.causation_id not in (None, placed.id, placed.causation_id)
    assert tagged.causation_id == shipped.id


async def test_what_nothing_caused_begins_a_correlation_of_its_own(storage: Storage) -> None:
    async with TestApp(sales(), storage=storage) as app:
        await app.send(PlaceOrder(A))
        await app.send(PlaceOrder(B))

        first, second = await app.recorder.records(OrderPlaced)

    assert first.correlation_id == first.causation_id
    assert first.correlation_id != second.correlation_id


async def test_the_id_that_a_command_is_sent_with_is_the_cause_of_its_events(
    storage: Storage,
) -> None:
    async with TestApp(sales(), storage=storage) as app:
        await app.send(PlaceOrder(A), id=B)

        [placed] = await app.recorder.records(OrderPlaced)

    assert placed.causation_id == B


async def test_events_of_nested_messages_have_causes_of_their_own(storage: Storage) -> None:
    context = sales()

    @context.handler
    async def slow(command: Slow, sender: Sender, publisher: Publisher, orders: Orders) -> None:
        order = Order.place(command.order_id, Order(A).total)
        orders.add(order)
        await sender.send(TagOrder(command.order_id, "nested"))
        order.tag("outer")
        await publisher.publish(ShopOpened("west"))

    @context.on
    async def on_opened(event: ShopOpened, orders: Orders) -> None:
        (await orders.get(A)).tag("heard")

    async with TestApp(context, storage=storage) as app:
        await app.send(Slow(A))

        placed, nested, outer, heard = await app.recorder.records(object)

    assert placed.causation_id == outer.causation_id
    assert len({placed.causation_id, nested.causation_id, heard.causation_id}) == 3
    assert len({event.correlation_id for event in (placed, nested, outer, heard)}) == 1


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_after_its_deadline_a_command_commits_nothing(kind: str, tmp_path: Path) -> None:
    context = sales()
    url = "memory://" if kind == "memory" else f"sqlite:///{tmp_path / 'log.db'}"

    @context.handler
    async def slow(command: Slow, orders: Orders, clock: ManualClock) -> None:
        orders.add(Order.place(command.order_id, Order(A).total))
        clock.advance(60)

    clock = ManualClock()
    app = TestApp(context, storage=url, clock=clock, provide={ManualClock: clock})
    async with app:
        with (
            message_context(deadline=clock.now() + timedelta(seconds=30)),
            pytest.raises(DeadlineExceededError),
        ):
            await app.send(Slow(A))
        await app.recorder.assert_not_appended()

        with message_context(deadline=clock.now() + timedelta(seconds=90)):
            await app.send(Slow(A))
        await app.recorder.assert_appended(OrderPlaced(A, Order(A).total))


async def test_a_deadline_is_not_inherited_by_subscribers() -> None:
    context, deadlines = sales(), list[object]()

    @context.subscriber
    async def look(event: OrderPlaced) -> None:
        inner = current_context()
        deadlines.append(inner.deadline if inner else "no context")

    async with TestApp(context) as app:
        with message_context(deadline=app.clock.now() + timedelta(seconds=1)):
            await app.send(PlaceOrder(A))
        app.clock.advance(60)
        await app.settle()

    assert deadlines == [None]
