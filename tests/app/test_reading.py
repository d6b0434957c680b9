"""Reading what was written: waiting for read models, settling, failures, other databases."""

import asyncio
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.app import App
from headwater.errors import (
    ConfigurationError,
    SubscriptionFailedError,
    UnitOfWorkError,
    WaitTimeoutError,
)
from headwater.mediator import Sender
from headwater.messages import Command
from headwater.ports.storage import Storage
from headwater.subscriptions.failures.policy import OnFailure
from headwater.subscriptions.status import SubscriptionState, SubscriptionStatus
from headwater.testing import TestApp
from headwater.unit_of_work.collection import Collection
from headwater.unit_of_work.row_type import where
from tests.app.orders import sales
from tests.app.shop import (
    GetOrder,
    OrderPlaced,
    OrderShipped,
    OrderSummaries,
    OrderSummary,
    OrderTagged,
    PlaceOrder,
    ShipOrder,
    TagOrder,
)

A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)
TEN = Decimal(10)


class Rewrite(Command[None], context="sales"):
    order_id: UUID


def status_of(app: TestApp, name: str) -> SubscriptionStatus:
    [status] = [status for status in app.status() if status.name == name]
    return status


# ------------------------------------------------------------------------ read your writes


async def test_after_a_wait_for_its_receipt_a_write_can_be_read(storage: Storage) -> None:
    async with TestApp(sales(), storage=storage) as app:

        async def place_ship_and_read(order_id: UUID) -> None:
            await app.send(PlaceOrder(order_id, TEN))
            receipt = await app.execute(ShipOrder(order_id))
            await app.wait_for(OrderSummaries, receipt)
            row = await app.send(GetOrder(order_id))
            assert row is not None
            assert row.shipped

        await asyncio.gather(*(place_ship_and_read(uuid4()) for _ in range(20)))


async def test_a_subscription_is_named_by_class_function_or_name_and_a_place_by_position(
    storage: Storage,
) -> None:
    context = sales()

    @context.subscriber
    async def gets(event: OrderPlaced) -> None: ...

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))
        await app.wait_for(OrderSummaries, 1)
        await app.wait_for("sales.order-summaries", 1)
        await app.wait_for(gets, 1)
        await app.wait_for("sales.gets", 1)

        with pytest.raises(ConfigurationError, match=r"No subscription 'sales\.got' here; there"):
            await app.wait_for("sales.got", 1)
        with pytest.raises(ConfigurationError, match="no projection or subscriber of the app"):
            await app.wait_for(sales, 1)
        with pytest.raises(WaitTimeoutError):
            await app.wait_for(gets, 2, timeout=0)


async def test_settle_waits_for_what_subscribers_have_added_too(storage: Storage) -> None:
    context = sales()

    @context.subscriber
    async def ship_at_once(event: OrderPlaced, sender: Sender) -> None:
        await sender.send(ShipOrder(event.order_id))

    @context.subscriber
    async def tag_what_was_shipped(event: OrderShipped, sender: Sender) -> None:
        await sender.send(TagOrder(event.order_id, "on its way"))

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A, TEN))

        assert await app.settle() == 3

        assert await app.send(GetOrder(A)) == OrderSummary(A, TEN, True, 1, 1)


async def test_an_execute_that_appends_nothing_has_position_0_and_waits_for_nothing(
    storage: Storage,
) -> None:
    async with TestApp(sales(), storage=storage) as app:
        receipt = await app.execute(GetOrder(A))

        assert (receipt.result, receipt.position) == (None, 0)
        await app.wait_for(OrderSummaries, receipt)


# -------------------------------------------------------------------------------- failures


async def test_a_failing_subscriber_is_seen_everywhere_and_goes_on_after_a_restart(
    storage: Storage,
) -> None:
    context, got, broken = sales(), list[UUID](), [True]

    @context.subscriber(partitions=1, on_failure=OnFailure.STOP)
    async def mail(event: OrderPlaced) -> None:
        if event.order_id == B and broken[0]:
            raise OSError("mail server is down")
        got.append(event.order_id)

    async with TestApp(context, storage=storage) as app:
        for order_id in (A, B, C):
            await app.send(PlaceOrder(order_id))

        with pytest.raises(SubscriptionFailedError, match="mail server is down") as failed:
            await app.settle()
        assert (failed.value.subscription, failed.value.position) == ("sales.mail", 2)
        assert isinstance(failed.value.__cause__, OSError)
        with pytest.raises(SubscriptionFailedError):
            await app.wait_for(mail, 3)
        await app.wait_for(OrderSummaries, 3)
        status = status_of(app, "sales.mail")
        assert (status.state, status.failed_at) == (SubscriptionState.FAILED, 2)
        assert "OSError: mail server is down" in (status.error or "")
        assert "sales.order-placed" in (status.error or "")
        assert status_of(app, "sales.order-summaries").state is not SubscriptionState.FAILED

        broken[0] = False
        await app.restart(mail)
        await app.settle()

        assert set(got) == {A, B, C}
        assert got.count(B) == 1
        assert status_of(app, "sales.mail").error is None


async def test_what_failed_comes_again_after_a_restart_of_the_app(storage: Storage) -> None:
    context, got, broken = sales(), list[UUID](), [True]

    @context.subscriber(on_failure=OnFailure.STOP)
    async def mail(event: OrderPlaced) -> None:
        if broken[0]:
            raise OSError("mail server is down")
        got.append(event.order_id)

    app = TestApp(context, storage=storage)
    async with app:
        await app.send(PlaceOrder(A))
        with pytest.raises(SubscriptionFailedError):
            await app.settle()
    broken[0] = False
    async with app:
        await app.settle()

    assert got == [A]


async def test_a_restart_out_of_a_handler_runs_in_no_unit_of_work(storage: Storage) -> None:
    context, got, broken = sales(), list[UUID](), [True]

    @context.subscriber(on_failure=OnFailure.STOP)
    async def mail(event: OrderPlaced) -> None:
        if broken[0]:
            raise OSError
        got.append(event.order_id)

    @context.handler
    async def rewrite(command: Rewrite, app: App) -> None:
        broken[0] = False
        await app.restart(mail)

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))
        with pytest.raises(SubscriptionFailedError):
            await app.settle()

        await app.send(Rewrite(A))
        await app.settle()

    assert got == [A]


async def test_a_projection_that_fails_says_at_which_event_and_why(storage: Storage) -> None:
    context = sales()

    async with TestApp(context, storage=storage) as app:
        await app.send(PlaceOrder(A))
        await app.send(TagOrder(A, "test"))  # deletes the row
        await app.send(ShipOrder(A))

        with pytest.raises(SubscriptionFailedError, match=r"position 3: RowMissingError.*'0000"):
            await app.settle()


# ------------------------------------------------------------------------ another database


def reports(kind: str, path: Path) -> Storage:
    return MemoryStorage() if kind == "memory" else SqliteStorage(path / "reports.db")


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_projection_can_live_in_another_database(
    kind: str, storage: Storage, tmp_path: Path
) -> None:
    elsewhere = reports(kind, tmp_path)
    context = sales(database="reports")
    app = TestApp(context, storage=storage, databases={"reports": elsewhere})
    async with app:
        receipt = await app.execute(PlaceOrder(A, TEN))
        await app.wait_for(OrderSummaries, receipt)

        assert await app.send(GetOrder(A)) == OrderSummary(A, TEN, position=1)
        rows = await elsewhere.get_rows("sales_order_summary", (str(A),))
        assert list(rows) == [str(A)]
        with pytest.raises(ConfigurationError):
            await storage.get_rows("sales_order_summary", (str(A),))
    async with app:
        await app.send(PlaceOrder(B, TEN))
        await app.settle()

        assert await app.send(GetOrder(B)) == OrderSummary(B, TEN, position=2)
        checkpoints = await elsewhere.open_subscription(
            "sales.order-summaries", partitions=1, start_after=0
        )
        assert len(checkpoints) == 16


async def test_rows_of_another_database_are_read_by_handlers_not_written(
    storage: Storage,
) -> None:
    context = sales(database="reports")

    @context.handler
    async def rewrite(command: Rewrite, rows: Collection[OrderSummary]) -> None:
        found = await rows.find(where("total") > 5, order_by="-total")
        assert [row.order_id for row in found] == [command.order_id]
        assert await rows.count() == 1
        rows.delete(command.order_id)

    databases: dict[str, str | Storage] = {"reports": "memory://"}
    async with TestApp(context, storage=storage, databases=databases) as app:
        await app.send(PlaceOrder(A, TEN))
        await app.settle()

        with pytest.raises(UnitOfWorkError, match="OrderSummary rows are written within a unit"):
            await app.send(Rewrite(A))


async def test_both_sides_are_seen_by_the_recorder_alike(storage: Storage) -> None:
    async with TestApp(sales(), storage=storage) as app:
        await app.send(PlaceOrder(A, TEN))
        await app.send(TagOrder(A, "gift"))

        await app.recorder.assert_appended(OrderPlaced(A, TEN), OrderTagged(A, "gift"))
