"""Dependencies by type: from dishka's providers, from a table, from the app and the message."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from dishka import Provider, Scope

from headwater.app import App
from headwater.clock import Clock, ManualClock
from headwater.errors import ConfigurationError, WiringError
from headwater.event_store import EventStore
from headwater.mediator import Mediator, Publisher, Sender
from headwater.messages import Command
from headwater.metadata import MessageContext, message_context
from headwater.ports.storage import Storage
from headwater.testing import RecordingPublisher, TestApp
from headwater.unit_of_work.repository import Repository
from headwater.unit_of_work.unit import UnitOfWork
from tests.app.orders import sales
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


class Connection:
    def __init__(self) -> None:
        self.open = True


class Gateway:
    """Lives as long as the app, and needs something that does."""

    def __init__(self, connection: Connection, clock: Clock, app: App) -> None:
        self.connection, self.clock, self.app = connection, clock, app


class Desk:
    """Lives as long as a message, and works in its unit of work."""

    def __init__(
        self,
        gateway: Gateway,
        sender: Sender,
        publisher: Publisher,
        unit: UnitOfWork,
        context: MessageContext,
    ) -> None:
        self.gateway, self.sender, self.publisher = gateway, sender, publisher
        self.unit, self.context = unit, context

    async def place_and_tag(self, order_id: UUID) -> None:
        orders = self.unit.repository(Order)
        orders.add(Order.place(order_id, Decimal(1)))
        await self.sender.send(TagOrder(order_id, self.context.actor or "nobody"))
        await self.publisher.publish(ShopOpened("desk"))


class Session:
    def __init__(self) -> None:
        self.id = uuid4()


def services(closed: list[str]) -> Provider:
    """Return a provider that notes in *closed* what was closed."""

    async def connection() -> AsyncIterator[Connection]:
        connection = Connection()
        yield connection
        connection.open = False
        closed.append("connection")

    provider = Provider()
    provider.provide(connection, scope=Scope.APP)
    provider.provide(Gateway, scope=Scope.APP)
    provider.provide(Desk, scope=Scope.REQUEST)
    provider.provide(Session, scope=Scope.REQUEST)
    return provider


class Visit(Command[UUID], context="sales"):
    order_id: UUID


class NeedsAbsent:
    def __init__(self, absent: Order) -> None: ...


async def test_services_of_a_message_work_in_its_unit_of_work(storage: Storage) -> None:
    context, opened, placed = sales(), list[str](), list[UUID]()

    @context.handler
    async def visit(command: Visit, desk: Desk, session: Session) -> UUID:
        await desk.place_and_tag(command.order_id)
        assert await desk.gateway.app.event_store.head() == len(placed) * 2
        return session.id

    @context.on
    async def hears(event: ShopOpened) -> None:
        opened.append(event.name)

    closed: list[str] = []
    app = TestApp(context, storage=storage, providers=[services(closed)])
    async with app:
        first = await app.send(Visit(A))
        placed.append(A)

        await app.recorder.assert_appended(OrderPlaced(A, Decimal(1)), OrderTagged(A, "nobody"))
        assert opened == ["desk"]
        assert await app.send(Visit(B)) != first
        assert closed == []
    assert closed == ["connection"]

    async with app:
        assert (await app.get(Connection)).open
    assert closed == ["connection", "connection"]


async def test_services_that_a_subscriber_needs_are_those_of_its_delivery() -> None:
    context, actors = sales(), list[str | None]()

    @context.subscriber
    async def tag(event: OrderShipped, desk: Desk, context: MessageContext) -> None:
        actors.append(desk.context.actor)
        assert desk.context == context
        await desk.sender.send(TagOrder(event.order_id, "shipped"))

    async with TestApp(context, providers=[services([])]) as app:
        await app.send(PlaceOrder(A))
        with message_context(actor="ada"):
            await app.send(ShipOrder(A))
        await app.settle()

        await app.recorder.assert_appended(OrderShipped(A), OrderTagged(A, "shipped"))
    assert actors == ["ada"]


async def test_get_returns_what_lives_as_long_as_the_app() -> None:
    clock = ManualClock()
    async with TestApp(
        sales(), providers=[services([])], provide={str: "a text"}, clock=clock
    ) as app:
        gateway = await app.get(Gateway)

        assert gateway is await app.get(Gateway)
        assert gateway.clock is clock
        assert gateway.connection is await app.get(Connection)
        assert await app.get(str) == "a text"
        assert await app.get(App) is app.app
        assert isinstance(await app.get(EventStore), EventStore)
        assert await app.get(Mediator) is app.app.mediator
        sender: Any = Sender  # mypy takes no Protocol where a type is asked for
        assert await app.get(sender) is app.app.mediator
        with pytest.raises(ConfigurationError, match=r"app\.get\(Desk\): it lives as long as a m"):
            await app.get(Desk)
        with pytest.raises(ConfigurationError, match=r"app\.get\(Order\): nobody provides it"):
            await app.get(Order)


async def test_what_is_provided_by_hand_replaces_what_a_provider_makes_everywhere() -> None:
    replaced, closed = Connection(), list[str]()
    context = sales()
    got: list[Connection] = []

    @context.handler
    async def visit(command: Visit, connection: Connection, desk: Desk) -> UUID:
        got.extend([connection, desk.gateway.connection])
        return A

    app = TestApp(context, providers=[services(closed)], provide={Connection: replaced})
    async with app:
        await app.send(Visit(A))

    assert got == [replaced, replaced]
    assert closed == []


async def test_senders_and_publishers_can_be_replaced_for_services_too() -> None:
    context = sales()
    publisher = RecordingPublisher()

    @context.handler
    async def visit(command: Visit, desk: Desk) -> UUID:
        await desk.place_and_tag(command.order_id)
        return A

    async with TestApp(context, providers=[services([])], provide={Publisher: publisher}) as app:
        await app.send(Visit(A))

        app.recorder.assert_not_published()
    publisher.assert_published(ShopOpened("desk"))


def test_a_dependency_that_nobody_provides_is_a_fault_that_names_both() -> None:
    context = sales()

    @context.handler
    async def visit(command: Visit, desk: Desk) -> UUID:
        return A

    app = App("shop")
    app.include(context)
    with pytest.raises(
        WiringError, match=r"nobody provides Desk, which .*visit needs as 'desk'"
    ) as told:
        app.check()
    assert "test_dependencies.py:" in told.value.faults[0].where


def test_what_a_provider_needs_and_nobody_provides_is_told_at_the_check() -> None:
    provider = Provider(scope=Scope.APP)
    provider.provide(NeedsAbsent)
    app = App("shop", providers=[provider])
    app.include(sales())

    with pytest.raises(WiringError, match="NeedsAbsent"):
        app.check()


async def test_a_class_handler_is_made_with_its_dependencies() -> None:
    context = sales()

    @context.handler
    class Visiting:
        def __init__(self, gateway: Gateway) -> None:
            self.gateway = gateway

        async def handle(self, command: Visit, orders: Repository[Order]) -> UUID:
            orders.add(Order.place(command.order_id, Decimal(1)))
            assert self.gateway.connection.open
            return command.order_id

    async with TestApp(context, providers=[services([])]) as app:
        assert await app.send(Visit(A)) == A
        await app.recorder.assert_appended(OrderPlaced(A, Decimal(1)))
