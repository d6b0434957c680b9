"""Starting and stopping: checked first, opened together, closed whatever happens."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.app import App, BoundedContext
from headwater.clock import ManualClock
from headwater.errors import (
    ConfigurationError,
    InvalidNameError,
    LogRewoundError,
    StorageClosedError,
    StorageError,
    WaitTimeoutError,
    WiringError,
)
from headwater.mediator import Strategy
from headwater.messages import Command
from headwater.metadata import current_context, message_context
from headwater.ports.storage import Storage
from headwater.subscriptions.status import SubscriptionState
from tests.app.orders import sales
from tests.app.shop import OrderPlaced, OrderSummaries, PlaceOrder, ShopOpened

A, B = UUID(int=1), UUID(int=2)


class CountedStorage(MemoryStorage):
    """Tells how often it was opened and closed, and can refuse to open."""

    def __init__(self, *, broken: bool = False) -> None:
        super().__init__()
        self.broken, self.opened, self.closed = broken, 0, 0

    async def open(self) -> None:
        if self.broken:
            raise StorageError("the disk is gone")
        self.opened += 1
        await super().open()

    async def close(self) -> None:
        self.closed += 1
        await super().close()


class Unanswerable(Command[None], context="sales"):
    pass


def shop(storage: str | Storage = "memory://") -> App:
    app = App("shop", storage=storage)
    app.include(sales())
    return app


# ------------------------------------------------------------------------------ lifecycle


async def test_a_second_start_is_an_error_and_a_second_stop_is_none() -> None:
    app = shop()
    await app.start()

    with pytest.raises(ConfigurationError, match="'shop' is running already"):
        await app.start()
    assert await app.send(PlaceOrder(A)) == A

    await app.stop()
    await app.stop()


async def test_it_starts_again_after_a_stop_with_what_was_stored(storage: Storage) -> None:
    app = shop(storage)
    for order_id in (A, B):
        async with app:
            await app.send(PlaceOrder(order_id))
            await app.settle()

    async with app:
        assert await app.settle() == 2


@pytest.mark.parametrize("started", [False, True])
async def test_nothing_works_before_the_start_and_after_the_stop(started: bool) -> None:  # noqa: FBT001 - a parameter of the test
    app = shop()
    if started:
        async with app:
            pass

    told = "'shop' is not running. Use it inside 'async with app:'"
    with pytest.raises(ConfigurationError, match=told):
        await app.send(PlaceOrder(A))
    with pytest.raises(ConfigurationError, match=told):
        await app.execute(PlaceOrder(A))
    with pytest.raises(ConfigurationError, match=told):
        await app.publish(ShopOpened("west"))
    with pytest.raises(ConfigurationError, match=told):
        app.stream(PlaceOrder(A))
    with pytest.raises(ConfigurationError, match=told):
        await app.settle()
    with pytest.raises(ConfigurationError, match=told):
        await app.wait_for(OrderSummaries, 1)
    with pytest.raises(ConfigurationError, match=told):
        app.status()
    with pytest.raises(ConfigurationError, match=told):
        await app.get(App)


async def test_contexts_and_overrides_come_before_the_start() -> None:
    app = shop()
    app.check()

    with pytest.raises(ConfigurationError, match="include contexts before"):
        app.include(BoundedContext("late"))
    with pytest.raises(ConfigurationError, match="Override dependencies before"):
        app.override(int, 3)


def test_check_touches_no_storage(tmp_path: Path) -> None:
    app = shop(f"sqlite:///{tmp_path / 'shop.db'}")

    app.check()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["mongodb://x", "memory://x", "shop.db"])
def test_a_storage_that_there_is_not_is_an_error_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError):
        App("shop", storage=url)


def test_a_name_that_can_not_be_a_context_is_an_error_at_once() -> None:
    with pytest.raises(InvalidNameError):
        App("My Shop")


# --------------------------------------------------------------------- what goes wrong there


async def test_a_storage_that_can_not_open_leaves_nothing_open() -> None:
    first, broken = CountedStorage(), CountedStorage(broken=True)
    app = App("shop", storage=first, databases={"reports": broken})
    app.include(sales(database="reports"))

    with pytest.raises(StorageError, match="the disk is gone"):
        await app.start()

    assert (first.opened, first.closed) == (1, 1)
    with pytest.raises(ConfigurationError, match="is not running"):
        await app.send(PlaceOrder(A))

    broken.broken = False
    async with app:
        assert await app.send(PlaceOrder(A)) == A


async def test_after_any_failed_start_it_can_be_started_again() -> None:
    log, reports = MemoryStorage(), MemoryStorage()
    await reports.open()
    await reports.open_subscription("sales.order-summaries", partitions=16, start_after=50)
    await reports.close()
    context, heard = sales(database="reports"), asyncio.Event()

    @context.on(strategy=Strategy.BACKGROUND)
    def hears(event: ShopOpened) -> None:
        heard.set()

    app = App("shop", storage=log, databases={"reports": reports})
    app.include(context)
    with pytest.raises(LogRewoundError):
        await app.start()
    with pytest.raises(StorageClosedError):
        await log.head()

    async with App("other", storage=log, run_subscriptions=False) as other:
        other.check()
    await log.open()
    for number in range(50):
        await fill(log, number)
    await log.close()

    async with app:
        await app.publish(ShopOpened("west"))
        await heard.wait()


async def fill(log: Storage, number: int) -> None:
    app = App("filler", storage=log, run_subscriptions=False)
    app.include(sales(projection=False))
    async with app:
        await app.send(PlaceOrder(UUID(int=1000 + number)))


async def test_wiring_faults_come_before_any_storage_is_opened() -> None:
    storage = CountedStorage()
    context = sales()
    context.expects(Unanswerable)
    app = App("shop", storage=storage)
    app.include(context)

    with pytest.raises(WiringError, match="no handler for Unanswerable"):
        await app.start()

    assert storage.opened == 0


# ---------------------------------------------------------------------------------- stopping


async def test_a_stop_drains_what_was_begun_and_it_may_still_use_the_app() -> None:
    context = sales()
    begun, release = asyncio.Event(), asyncio.Event()
    placed: list[UUID] = []

    @context.subscriber
    async def follow_up(event: OrderPlaced, app: App) -> None:
        if event.order_id != A:
            return
        begun.set()
        await release.wait()
        placed.append(await app.send(PlaceOrder(B)))

    app = App("shop", storage="memory://")
    app.include(context)
    await app.start()
    await app.send(PlaceOrder(A))
    await begun.wait()

    stopping = asyncio.create_task(app.stop())
    await asyncio.sleep(0)
    release.set()
    await stopping

    assert placed == [B]
    async with app:
        assert await app.settle() == 2
        assert all(s.state is not SubscriptionState.FAILED for s in app.status())


async def test_what_runs_in_the_background_is_drained_and_may_still_use_the_app() -> None:
    context = sales()
    placed: list[UUID] = []
    release = asyncio.Event()

    @context.on(strategy=Strategy.BACKGROUND)
    async def background(event: ShopOpened, app: App) -> None:
        await release.wait()
        placed.append(await app.send(PlaceOrder(A)))

    app = App("shop")
    app.include(context)
    await app.start()
    await app.publish(ShopOpened("west"))

    stopping = asyncio.create_task(app.stop())
    await asyncio.sleep(0)
    release.set()
    await stopping

    assert placed == [A]


async def test_subscriptions_do_not_take_over_the_context_that_the_app_was_started_in() -> None:
    clock = ManualClock()
    context, actors = sales(), list[str | None]()

    @context.subscriber
    async def look(event: OrderPlaced) -> None:
        inner = current_context()
        actors.append(inner.actor if inner else None)

    app = App("shop", clock=clock)
    app.include(context)
    with message_context(actor="starter", deadline=clock.now()):
        await app.start()
    clock.advance(60)

    await app.send(PlaceOrder(A))
    await app.settle()
    await app.stop()

    assert actors == [None]


# ------------------------------------------------------------------- without subscriptions


async def test_a_process_may_leave_the_subscriptions_to_others(storage: Storage) -> None:
    app = App("shop", storage=storage, run_subscriptions=False)
    app.include(sales())
    async with app:
        receipt = await app.execute(PlaceOrder(A))

        assert app.status() == ()
        assert await app.settle() == 1
        with pytest.raises(WaitTimeoutError):
            await app.wait_for(OrderSummaries, receipt, timeout=0.01)

        waiting = asyncio.create_task(app.wait_for(OrderSummaries, receipt))
        async with shop(storage) as worker:
            await worker.wait_for(OrderSummaries, receipt)
            await waiting
