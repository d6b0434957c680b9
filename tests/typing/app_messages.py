"""What mypy and pyright must infer of an app and its contexts; they read it, pytest does not."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import assert_type
from uuid import UUID

from headwater import (
    Aggregate,
    App,
    Batching,
    BoundedContext,
    Collection,
    Command,
    Delivery,
    EffectLedger,
    Event,
    EventStore,
    Happened,
    OnFailure,
    Projection,
    Publisher,
    Query,
    ReadModel,
    Receipt,
    Recorded,
    Repository,
    Sender,
    Start,
    UnitOfWork,
    applies,
    where,
)
from headwater.adapters.storage.memory import MemoryStorage
from headwater.mediator import Stream
from headwater.resilience import CircuitBreaker, Policy, Retry
from headwater.subscriptions.effects import UncertainEffect

sales = BoundedContext("sales")


class Placed(Event):
    order_id: UUID


class Place(Command[UUID]):
    article: str


class Find(Query["Row | None"]):
    order_id: UUID


class Row(ReadModel, key="order_id", indexed=("total",)):
    order_id: UUID
    total: Decimal


class Order(Aggregate[UUID]):
    article: str = ""


class Service:
    pass


# ------------------------------------------------------------------------------ the messages


async def answers_have_the_type_of_the_request(app: App, id: UUID) -> None:
    assert_type(await app.send(Place("tea")), UUID)
    assert_type(await app.send(Find(id)), Row | None)
    assert_type(await app.send(Place("tea"), id=id), UUID)
    assert_type(await app.execute(Place("tea")), Receipt[UUID])
    assert_type((await app.execute(Find(id), id=id)).result, Row | None)
    assert_type(app.stream(Find(id)), Stream[Row | None])
    async for item in app.stream(Find(id)):
        assert_type(item, Row | None)


async def only_requests_are_sent_and_options_have_names(app: App, id: UUID) -> None:
    await app.send(Placed(id))  # type: ignore[arg-type]
    await app.send(Place("tea"), id)  # type: ignore[call-arg]
    await app.publish(Placed(id), after_commit=True)


async def get_returns_what_was_asked_for(app: App) -> None:
    assert_type(await app.get(Service), Service)
    assert_type(await app.get(EventStore), EventStore)


def an_app_is_a_sender_and_a_publisher(app: App) -> tuple[Sender, Publisher]:
    return app, app


async def its_subscriptions_are_waited_for(app: App, receipt: Receipt[UUID]) -> None:
    await app.wait_for(Rows, receipt)
    await app.wait_for("sales.rows", 3)
    await app.wait_for(mail, receipt, timeout=1)
    assert_type(await app.settle(), int)
    assert_type(app.subscribe(hears), Callable[[], None])


def storages_come_by_url_or_ready_made() -> tuple[App, App]:
    memory = MemoryStorage()
    return App("shop", storage="sqlite:///shop.db"), App("shop", databases={"reports": memory})


# ------------------------------------------------------------------------------ the handlers


@sales.handler
async def place(command: Place, orders: Repository[Order], unit: UnitOfWork) -> UUID:
    id = UUID(int=0)
    order = await orders.get(id)
    assert_type(order, Order)
    assert_type(order.id, UUID)
    assert_type(await orders.find(id), Order | None)
    assert_type(unit.repository(Order), Repository[Order])
    orders.add(Row(id, Decimal(1)))  # type: ignore[arg-type]
    return order.id


@sales.handler(inline=True)
def find(query: Find, limit: int = 3) -> Row | None:
    return None


@sales.handler
async def stream(query: Find) -> AsyncIterator[Row | None]:
    yield None


async def look(rows: Collection[Row], id: UUID) -> None:
    assert_type(await rows.get(id), Row | None)
    assert_type(await rows.find(where("total") > 5, order_by="-total"), list[Row])
    assert_type(await rows.find(where("total") == Decimal(5), order_id=id), list[Row])
    assert_type(await rows.count(), int)
    rows.put(Placed(id))  # type: ignore[arg-type]


@sales.on
async def hears(event: Placed) -> None: ...


@sales.subscriber
async def mail(event: Recorded[Placed], delivery: Delivery) -> int:
    assert_type(event.payload, Placed)
    assert_type(event.payload.order_id, UUID)
    assert_type(delivery.idempotency_key, UUID)
    return event.position


@sales.subscriber(name="crm", partitions=4)
class Crm:
    def handle(self, event: Placed) -> None: ...


@sales.subscriber(
    policy=Policy(Retry(), CircuitBreaker()),
    delayed=(10, timedelta(minutes=1)),
    on_failure=OnFailure.PARK_EVENT,
    start=Start.time(datetime(2024, 1, 1, tzinfo=UTC)),
    categories=[Order, "crm.customer"],
    tags=("vip",),
    tenants=["acme"],
    external=False,
)
async def remind(event: Placed, ledger: EffectLedger) -> int:
    async def pay() -> int:
        return 3

    async def nothing() -> None: ...

    async def look(effect: UncertainEffect) -> Happened[int] | None:
        return Happened(3)

    assert_type(await ledger.once("pay", pay, returns=int, reconcile=look), int)
    await ledger.once("note", nothing, within=timedelta(seconds=3), undone=(OSError,))
    await ledger.once("pay", pay)  # type: ignore[arg-type]  # its result needs a type
    return 3


@sales.subscriber(batch=Batching(50, wait=0.5))
async def several(events: list[Recorded[Placed]], deliveries: list[Delivery]) -> int:
    assert_type(events[0].payload, Placed)
    return len(deliveries)


@sales.handler(policy=Retry())
async def patient(command: Place) -> UUID:
    return UUID(int=0)


@sales.on(policy=Policy(Retry()), after_commit=True)
async def hears_patiently(event: Placed) -> None: ...


def options_are_checked() -> None:
    sales.subscriber(policy=Retry)  # type: ignore[call-overload]
    sales.subscriber(tags=3)  # type: ignore[call-overload]
    sales.subscriber(retries=3)  # type: ignore[call-overload]
    sales.handler(policy=3)  # type: ignore[call-overload]


@sales.projection
class Rows(Projection[Row]):
    @applies
    def placed(self, event: Placed, row: Row | None) -> Row:
        return row or Row(event.order_id, Decimal(0))


@sales.projection(database="reports")
class Reports(Projection[Row], partitions=1):
    @applies(key=lambda event: event.order_id)
    def placed(self, event: Recorded[Placed], row: Row) -> Row | None:
        return None


async def what_is_decorated_keeps_its_type(
    rows: Repository[Order], unit: UnitOfWork, event: Recorded[Placed], delivery: Delivery, id: UUID
) -> None:
    assert_type(await place(Place("tea"), rows, unit), UUID)
    assert_type(find(Find(id), limit=2), Row | None)
    assert_type(stream(Find(id)), AsyncIterator[Row | None])
    assert_type(await mail(event, delivery), int)
    assert_type(await several([event], [delivery]), int)
    assert_type(await patient(Place("tea")), UUID)
    assert_type(Crm(), Crm)
    assert_type(Rows().placed(Placed(id), None), Row)
    assert_type(Reports, type[Reports])
    find(id)  # type: ignore[arg-type]
    await mail(event)  # type: ignore[call-arg]
