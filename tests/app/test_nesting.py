"""Messages inside messages: one unit of work at the outermost, or what was asked for instead."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from headwater.app import BoundedContext
from headwater.errors import NestedExecuteError, UnitOfWorkError
from headwater.event_store import EventStore
from headwater.mediator import Mediator, Publisher, Sender, Strategy
from headwater.messages import Command, Query
from headwater.ports.storage import Storage
from headwater.testing import TestApp
from headwater.unit_of_work.unit import UnitOfWork
from tests.app.orders import Orders, sales
from tests.app.shop import (
    AlreadyShippedError,
    ListTags,
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
ID = UUID(int=77)


class Express(Command[str], context="sales"):
    """Do several things in one."""

    order_id: UUID
    then_fail: bool = False


class Peek(Query[int], context="sales"):
    order_id: UUID


class BoomError(Exception):
    pass


@pytest.fixture
def context() -> BoundedContext:
    return sales(projection=False)


async def positions(app: TestApp) -> list[tuple[int, str]]:
    events = await app.recorder.records(object)
    return [(event.position, event.type.removeprefix("sales.")) for event in events]


async def test_a_send_in_a_handler_joins_and_all_is_committed_once(
    context: BoundedContext, storage: Storage
) -> None:
    @context.handler
    async def express(command: Express, sender: Sender, orders: Orders, store: EventStore) -> str:
        await sender.send(PlaceOrder(command.order_id))
        assert await sender.send(TagOrder(command.order_id, "express")) == 1
        await sender.send(ShipOrder(command.order_id))
        order = await orders.get(command.order_id)
        assert (order.tags, order.shipped) == (("express",), True)
        assert await store.head() == 0
        return "done"

    async with TestApp(context, storage=storage) as app:
        receipt = await app.execute(Express(A))

        assert (receipt.result, receipt.position) == ("done", 3)
        assert await positions(app) == [
            (1, "order-placed"),
            (2, "order-tagged"),
            (3, "order-shipped"),
        ]


async def test_an_error_after_a_nested_send_writes_nothing(
    context: BoundedContext, storage: Storage
) -> None:
    @context.handler
    async def express(command: Express, sender: Sender) -> str:
        await sender.send(PlaceOrder(command.order_id))
        raise BoomError

    async with TestApp(context, storage=storage) as app:
        with pytest.raises(BoomError):
            await app.send(Express(A))

        await app.recorder.assert_not_appended()


async def test_a_nested_failure_that_is_swallowed_poisons_the_unit_around(
    context: BoundedContext, storage: Storage
) -> None:
    @context.handler
    async def express(command: Express, sender: Sender, orders: Orders) -> str:
        (await orders.get(command.order_id)).tag("before")
        try:
            await sender.send(ShipOrder(command.order_id))
        except AlreadyShippedError:
            return "swallowed"
        return "shipped"

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))
        assert await app.send(Express(A)) == "shipped"

        with pytest.raises(UnitOfWorkError, match=r"AlreadyShippedError.*half done"):
            await app.send(Express(A))

        await app.recorder.assert_appended(OrderTagged(A, "before"), OrderShipped(A))


async def test_separate_has_a_commit_of_its_own_that_stays_when_the_outer_one_fails(
    context: BoundedContext, storage: Storage
) -> None:
    @context.handler
    async def express(command: Express, mediator: Mediator, orders: Orders) -> str:
        orders.add(Order.place(B, Order(B).total))
        await mediator.send(PlaceOrder(command.order_id), id=ID, separate=True)
        if command.then_fail:
            raise BoomError
        return "done"

    async with TestApp(context, storage=storage) as app:
        with pytest.raises(BoomError):
            await app.send(Express(A, then_fail=True))
        assert [event.order_id for event in await app.recorder.appended(OrderPlaced)] == [A]

        await app.send(Express(A))

        assert [event.order_id for event in await app.recorder.appended(OrderPlaced)] == [A, B]


async def test_execute_inside_a_handler_is_an_error(context: BoundedContext) -> None:
    @context.handler
    async def express(command: Express, mediator: Mediator) -> str:
        await mediator.execute(PlaceOrder(command.order_id))
        return "done"

    async with TestApp(context) as app:
        with pytest.raises(NestedExecuteError, match=r"separate=True"):
            await app.send(Express(A))

        await app.recorder.assert_not_appended()


async def test_on_handlers_join_as_children_and_their_writes_are_committed_with_the_rest(
    context: BoundedContext, storage: Storage
) -> None:
    @context.handler
    async def express(command: Express, publisher: Publisher, orders: Orders) -> str:
        orders.add(Order.place(command.order_id, Order(A).total))
        await publisher.publish(ShopOpened("west"))
        return "done"

    @context.on
    async def first(event: ShopOpened, sender: Sender) -> None:
        await sender.send(TagOrder(A, event.name))

    @context.on
    async def second(event: ShopOpened, sender: Sender) -> None:
        await sender.send(PlaceOrder(B))

    async with TestApp(context, storage=storage) as app:
        receipt = await app.execute(Express(A))

        assert receipt.position == 3
        assert {name for _, name in await positions(app)} == {"order-placed", "order-tagged"}
        await app.recorder.assert_appended(OrderTagged(A, "west"))


async def test_two_parallel_on_handlers_must_not_write_one_stream(
    context: BoundedContext, storage: Storage
) -> None:
    for number in range(2):

        @context.on
        async def tag(event: ShopOpened, orders: Orders, number: int = number) -> None:
            (await orders.get(A)).tag(f"{event.name} {number}")

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))

        with pytest.raises(UnitOfWorkError):
            await app.publish(ShopOpened("west"))
        await app.recorder.assert_not_appended(OrderTagged)

        await app.publish(ShopOpened("west"), strategy=Strategy.SEQUENTIAL)
        await app.recorder.assert_appended(OrderTagged(A, "west 0"), OrderTagged(A, "west 1"))


async def test_a_failing_on_handler_fails_the_command_around_it(
    context: BoundedContext, storage: Storage
) -> None:
    @context.handler
    async def express(command: Express, publisher: Publisher, orders: Orders) -> str:
        orders.add(Order.place(command.order_id, Order(A).total))
        await publisher.publish(ShopOpened("west"))
        return "done"

    @context.on
    async def fails(event: ShopOpened) -> None:
        raise BoomError

    async with TestApp(context, storage=storage) as app:
        with pytest.raises(ExceptionGroup):
            await app.send(Express(A))

        await app.recorder.assert_not_appended()


@pytest.mark.parametrize("strategy", [Strategy.ISOLATED, Strategy.BACKGROUND])
async def test_isolated_and_background_ones_run_in_a_unit_of_their_own_after_the_commit(
    context: BoundedContext, storage: Storage, strategy: Strategy
) -> None:
    ran = asyncio.Event()

    @context.handler
    async def express(command: Express, publisher: Publisher, orders: Orders) -> str:
        orders.add(Order.place(command.order_id, Order(A).total))
        await publisher.publish(ShopOpened("west"))
        assert not ran.is_set()
        if command.then_fail:
            raise BoomError
        return "done"

    @context.on(strategy=strategy)
    async def own(event: ShopOpened, orders: Orders) -> None:
        (await orders.get(A)).tag(event.name)
        ran.set()

    @context.on(strategy=strategy)
    async def fails(event: ShopOpened) -> None:
        raise BoomError

    async with TestApp(context, storage=storage) as app:
        with pytest.raises(BoomError):
            await app.send(Express(A, then_fail=True))
        assert not ran.is_set()

        receipt = await app.execute(Express(A))
        await ran.wait()

        assert receipt.position == 1
        await app.app.mediator.aclose()
        assert await positions(app) == [(1, "order-placed"), (2, "order-tagged")]


async def test_a_query_collects_nothing(context: BoundedContext, storage: Storage) -> None:
    @context.handler
    async def peek(query: Peek, orders: Orders, unit: UnitOfWork) -> int:
        order = await orders.get(query.order_id)
        order.tag("seen")
        return len(order.tags)

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))
        with pytest.raises(UnitOfWorkError, match="A query collects nothing"):
            await app.send(Peek(A))

        await app.recorder.assert_not_appended(OrderTagged)


async def test_a_query_inside_a_command_sees_what_the_command_has_written(
    context: BoundedContext, storage: Storage
) -> None:
    @context.handler
    async def express(command: Express, sender: Sender, orders: Orders) -> str:
        orders.add(Order.place(command.order_id, Order(A).total))
        (await orders.get(command.order_id)).tag("x")
        return str(await sender.send(Peek(command.order_id)))

    @context.handler
    async def peek(query: Peek, orders: Orders) -> int:
        return len((await orders.get(query.order_id)).tags)

    async with TestApp(context, storage=storage) as app:
        assert await app.send(Express(A)) == "1"


async def test_a_stream_reads_and_collects_nothing(storage: Storage) -> None:
    context = sales(projection=False)

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))
        await app.send(TagOrder(A, "gift"))

        assert [tag async for tag in app.stream(ListTags(A))] == ["gift"]


async def test_a_stream_that_writes_is_refused(storage: Storage) -> None:
    context = BoundedContext("sales")

    @context.handler
    async def tags(query: ListTags, unit: UnitOfWork) -> AsyncIterator[str]:
        unit.append("x-1", OrderShipped(A))
        yield "never"

    context.register(OrderShipped)
    async with TestApp(context, storage=storage) as app:
        with pytest.raises(UnitOfWorkError, match="A query collects nothing"):
            [tag async for tag in app.stream(ListTags(A))]
