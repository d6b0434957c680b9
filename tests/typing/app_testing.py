"""What mypy and pyright must infer of the test harness; they read it, pytest does not."""

from decimal import Decimal
from typing import assert_type
from uuid import UUID

from headwater import App, BoundedContext, Clock, ManualClock, Publisher, Receipt, Recorded, Sender
from headwater.mediator import Stream
from headwater.ports.storage import Storage
from headwater.testing import (
    AppFactory,
    RecordingPublisher,
    RecordingSender,
    TestApp,
    given,
    recorded,
)
from headwater.testing.projections import ProjectionOutcome
from headwater.testing.scenarios import AggregateOutcome
from tests.app.shop import (
    GetOrder,
    Order,
    OrderPlaced,
    OrderShipped,
    OrderSummaries,
    OrderSummary,
    PlaceOrder,
)

sales = BoundedContext("sales")


def make_app(*, storage: str | Storage = "memory://", clock: Clock | None = None) -> App:
    return App("shop", storage=storage, clock=clock)


def make_another(*, storage: str | Storage, clock: Clock, debug: bool = False) -> App:
    return App("shop", storage=storage, clock=clock)


def make_no_app(*, storage: str | Storage) -> App:
    return App("shop", storage=storage)


def factories_take_a_storage_and_a_clock() -> None:
    first: AppFactory = make_app
    TestApp.of(first)
    TestApp.of(make_another, provide={int: 3})
    TestApp.of(make_no_app)  # type: ignore[arg-type]


async def a_test_app_answers_as_an_app(id: UUID) -> None:
    async with TestApp(sales) as app:
        assert_type(app, TestApp)
        assert_type(app.clock, ManualClock)
        assert_type(await app.send(PlaceOrder(id)), UUID)
        assert_type(await app.send(GetOrder(id)), OrderSummary | None)
        assert_type(await app.execute(PlaceOrder(id)), Receipt[UUID])
        assert_type(app.stream(PlaceOrder(id)), Stream[UUID])
        assert_type(await app.get(Decimal), Decimal)


async def a_recorder_returns_what_was_asked_for(app: TestApp) -> None:
    assert_type(app.recorder.sent(PlaceOrder), tuple[PlaceOrder, ...])
    assert_type(app.recorder.published(OrderPlaced), tuple[OrderPlaced, ...])
    assert_type(await app.recorder.appended(OrderPlaced), tuple[OrderPlaced, ...])
    assert_type(await app.recorder.records(OrderPlaced), tuple[Recorded[OrderPlaced], ...])
    app.recorder.assert_sent()  # type: ignore[call-arg]


def a_test_app_is_a_sender_and_a_publisher(app: TestApp) -> tuple[Sender, Publisher]:
    return app, app


def fakes_are_what_they_stand_for(id: UUID) -> tuple[Sender, Publisher]:
    sender, publisher = RecordingSender(), RecordingPublisher()
    sender.answer(PlaceOrder, id)
    sender.answer_by(PlaceOrder, lambda command: command.order_id)
    assert_type(sender.sent(PlaceOrder), tuple[PlaceOrder, ...])
    assert_type(publisher.published(OrderPlaced), tuple[OrderPlaced, ...])
    return sender, publisher


def scenarios_know_their_subject(id: UUID) -> None:
    row = OrderSummary(id, Decimal(1))
    outcome = given(OrderSummaries, row).when(OrderShipped(id), recorded(OrderShipped(id)))
    assert_type(outcome, ProjectionOutcome[OrderSummary])
    assert_type(outcome.row(id), OrderSummary)
    assert_type(outcome.then(row), ProjectionOutcome[OrderSummary])
    outcome.then(OrderShipped(id))  # type: ignore[arg-type]
    assert_type(recorded(OrderShipped(id)), Recorded[OrderShipped])
    assert_type(given(Order, id).when(lambda order: order.ship()), AggregateOutcome[Order])
