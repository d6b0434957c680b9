"""A whole app under test: what it replaces, what it records."""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Protocol
from uuid import UUID

import pytest
from dishka import Provider, Scope

from headwater.app import App, BoundedContext
from headwater.clock import Clock
from headwater.errors import (
    ConfigurationError,
    HandlerNotFoundError,
    NotPublishableError,
    StorageClosedError,
)
from headwater.mediator import Next, Publisher, Sender, Strategy
from headwater.ports.storage import Storage
from headwater.testing import Recorder, RecordingPublisher, TestApp
from headwater.unit_of_work.collection import Collection
from headwater.unit_of_work.repository import Repository
from tests.app.shop import (
    AlreadyShippedError,
    GetOrder,
    ListTags,
    Order,
    OrderPlaced,
    OrderShipped,
    OrderSummaries,
    OrderSummary,
    OrderTagged,
    PlaceOrder,
    ShipOrder,
    ShopOpened,
    TagOrder,
)

A, B = UUID(int=1), UUID(int=2)


class EmailService(Protocol):
    def mail(self, text: str) -> None: ...


class RealEmail:
    def mail(self, text: str) -> None:
        raise AssertionError("a mail to the world")


class FakeEmail:
    def __init__(self) -> None:
        self.mails: list[str] = []

    def mail(self, text: str) -> None:
        self.mails.append(text)


def sales() -> BoundedContext:
    sales = BoundedContext("sales")
    sales.projection(OrderSummaries)

    @sales.handler
    async def place(command: PlaceOrder, orders: Repository[Order], clock: Clock) -> UUID:
        order = Order(command.order_id)
        order.record(OrderPlaced(order.id, command.total), occurred_at=clock.now())
        orders.add(order)
        return order.id

    @sales.handler
    async def ship(
        command: ShipOrder, orders: Repository[Order], publisher: Publisher, sender: Sender
    ) -> None:
        order = await orders.get(command.order_id)
        await publisher.publish(OrderShipped(order.id), after_commit=True)
        await sender.send(TagOrder(order.id, "shipped"))
        order.ship()

    @sales.handler
    async def tag(command: TagOrder, orders: Repository[Order]) -> int:
        order = await orders.get(command.order_id)
        order.tag(command.tag)
        return len(order.tags)

    @sales.handler
    async def show(query: GetOrder, rows: Collection[OrderSummary]) -> OrderSummary | None:
        return await rows.get(query.order_id)

    @sales.handler
    async def list_tags(query: ListTags, orders: Repository[Order]) -> AsyncIterator[str]:
        for name in (await orders.get(query.order_id)).tags:
            yield name

    @sales.on
    async def heard(event: OrderShipped) -> None: ...

    return sales


def mailing() -> BoundedContext:
    mailing = BoundedContext("mailing")

    @mailing.subscriber
    async def confirm(event: OrderPlaced, email: EmailService) -> None:
        email.mail(f"{event.total} please")

    return mailing


def make_app(*, storage: str | Storage = "sqlite:///shop.db", clock: Clock | None = None) -> App:
    """Make the app as a program would."""
    provider = Provider(scope=Scope.APP)
    provider.provide(RealEmail, provides=EmailService)
    app = App("shop", storage=storage, clock=clock, providers=[provider])
    app.include(sales(), mailing())
    return app


# ------------------------------------------------------------------------- what it replaces


async def test_contexts_run_in_memory_with_what_the_test_provides() -> None:
    email = FakeEmail()

    async with TestApp(sales(), mailing(), provide={EmailService: email}) as app:
        await app.send(PlaceOrder(A, Decimal(7)))
        await app.settle()

        view = await app.send(GetOrder(A))

    assert email.mails == ["7 please"]
    assert view == OrderSummary(A, Decimal(7), position=1)


async def test_the_programs_own_factory_makes_the_app_and_its_services_are_replaced() -> None:
    email = FakeEmail()

    async with TestApp.of(make_app, provide={EmailService: email}) as app:
        await app.send(PlaceOrder(A))
        await app.settle()

        assert app.app.name == "shop"
    assert email.mails == ["9.99 please"]


async def test_a_factory_that_wires_its_app_itself_is_told_not_to() -> None:
    def eager(*, storage: str | Storage, clock: Clock) -> App:
        app = make_app(storage=storage, clock=clock)
        app.check()
        return app

    with pytest.raises(ConfigurationError, match="wired already; include contexts before"):
        await TestApp.of(eager).start()


async def test_time_stands_still_until_the_test_advances_it() -> None:
    async with TestApp(sales()) as app:
        await app.send(PlaceOrder(A))
        app.clock.advance(timedelta(days=1))
        await app.send(PlaceOrder(B))

        first, second = await app.recorder.records(OrderPlaced)

    assert first.occurred_at == first.recorded_at == datetime(2024, 1, 1, tzinfo=UTC)
    assert second.occurred_at == second.recorded_at == datetime(2024, 1, 2, tzinfo=UTC)


async def test_any_storage_is_possible_and_it_starts_again_on_what_it_left(tmp_path: Path) -> None:
    app = TestApp(sales(), storage=f"sqlite:///{tmp_path / 'shop.db'}")

    async with app:
        await app.send(PlaceOrder(A))
    async with app:
        receipt = await app.execute(ShipOrder(A))
        await app.wait_for(OrderSummaries, receipt)
        view = await app.send(GetOrder(A))

    assert view is not None
    assert view.shipped


async def test_the_publisher_can_be_replaced_too() -> None:
    publisher = RecordingPublisher()

    async with TestApp(sales(), provide={Publisher: publisher}) as app:
        await app.send(PlaceOrder(A))
        await app.send(ShipOrder(A))

    publisher.assert_published(OrderShipped(A))


def test_pytest_does_not_take_it_for_a_class_of_tests() -> None:
    assert TestApp.__test__ is False


# -------------------------------------------------------------------------- what it records


@pytest.fixture
async def app() -> AsyncIterator[TestApp]:
    async with TestApp(sales(), mailing(), provide={EmailService: FakeEmail()}) as app:
        yield app


@pytest.fixture
def recorder(app: TestApp) -> Recorder:
    return app.recorder


async def test_what_was_sent_is_recorded_nested_ones_and_streams_too(
    app: TestApp, recorder: Recorder
) -> None:
    await app.send(PlaceOrder(A))
    await app.execute(ShipOrder(A))
    assert [tag async for tag in app.stream(ListTags(A))] == ["shipped"]

    recorder.assert_sent(PlaceOrder(A), ShipOrder(A), TagOrder(A, "shipped"), ListTags(A))
    assert recorder.sent(TagOrder) == (TagOrder(A, "shipped"),)
    assert len(recorder.sent(object)) == 4
    recorder.assert_not_sent(GetOrder)


async def test_what_was_appended_is_read_from_the_log(app: TestApp, recorder: Recorder) -> None:
    await app.send(PlaceOrder(A))
    await app.send(ShipOrder(A))

    assert await recorder.appended(OrderTagged) == (OrderTagged(A, "shipped"),)
    await recorder.assert_appended(OrderTagged(A, "shipped"), OrderShipped(A))
    await recorder.assert_not_appended(ShopOpened)
    [placed] = await recorder.records(OrderPlaced)
    assert placed.stream_id == f"sales.order-{A}"
    with pytest.raises(AssertionError, match="Expected that nothing was appended"):
        await recorder.assert_not_appended(OrderPlaced)


async def test_a_publish_is_recorded_when_it_takes_place(app: TestApp, recorder: Recorder) -> None:
    await app.send(PlaceOrder(A))
    await app.send(ShipOrder(A))
    recorder.assert_published(OrderShipped(A))

    with pytest.raises(AlreadyShippedError):
        await app.send(ShipOrder(A))

    recorder.assert_published(OrderShipped(A))
    recorder.assert_sent(ShipOrder(A), ShipOrder(A))


@pytest.mark.parametrize("strategy", [None, *Strategy])
async def test_a_publish_that_nobody_hears_is_recorded_and_still_warned_of(
    app: TestApp, strategy: Strategy | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await app.publish(ShopOpened("west"), strategy=strategy)

    app.recorder.assert_published(ShopOpened("west"))
    assert "Nobody hears ShopOpened" in caplog.text


async def test_an_app_that_hears_nothing_and_handles_nothing_is_recorded_too() -> None:
    async with TestApp(BoundedContext("empty")) as app:
        await app.publish(ShopOpened("west"))

        app.recorder.assert_published(ShopOpened("west"))
        assert await app.recorder.appended(object) == ()


async def test_what_is_refused_without_a_recorder_is_refused_with_one(app: TestApp) -> None:
    with pytest.raises(NotPublishableError):
        await app.publish(OrderPlaced(A, Decimal(1)))
    async with TestApp(BoundedContext("empty")) as empty:
        with pytest.raises(HandlerNotFoundError):
            await empty.send(PlaceOrder(A))

    app.recorder.assert_not_published()
    app.recorder.assert_not_sent()


async def test_a_request_that_a_behaviour_refuses_was_sent_all_the_same() -> None:
    context = sales()

    @context.behaviour(order=-1000)
    async def refuse(message: PlaceOrder, next: Next[PlaceOrder, UUID]) -> UUID:
        raise PermissionError

    async with TestApp(context) as app:
        with pytest.raises(PermissionError):
            await app.send(PlaceOrder(A))

        app.recorder.assert_sent(PlaceOrder(A))
        await app.recorder.assert_not_appended()


async def test_clear_forgets_what_was_so_far(app: TestApp, recorder: Recorder) -> None:
    await app.send(PlaceOrder(A))
    await app.publish(ShopOpened("west"))

    await recorder.clear()

    recorder.assert_not_sent()
    recorder.assert_not_published()
    await recorder.assert_not_appended()
    await app.send(ShipOrder(A))
    await recorder.assert_appended(OrderTagged(A, "shipped"), OrderShipped(A))


async def test_the_log_can_be_read_while_the_app_runs_only() -> None:
    app = TestApp(sales())
    with pytest.raises(ConfigurationError, match="when the app has been started"):
        await app.recorder.appended(OrderPlaced)

    async with app:
        pass

    with pytest.raises(StorageClosedError):
        await app.recorder.appended(OrderPlaced)
