"""What a worker can't do is told to operators elsewhere, by a row; what goes well costs nothing."""

import asyncio

import pytest_asyncio

from headwater import App, BoundedContext, CircuitBreaker, Event, EventStore, OnFailure
from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock
from headwater.monitoring.reporting import AGAIN_SECONDS, KEPT_SECONDS, Reporter
from headwater.monitoring.stored import BELIEVED_SECONDS, stored_statuses
from headwater.operations.worker_reports import REPORTS, reports_on
from headwater.streams import ExpectedVersion
from headwater.subscriptions.status import SubscriptionState, SubscriptionStatus

NAME, WORKER = "sales.mail", "w1"


class Desk:
    """A worker that says what a test has it say, and an operator who reads the storage."""

    def __init__(self, storage: MemoryStorage, clock: ManualClock) -> None:
        self.storage, self.clock = storage, clock
        self.says = SubscriptionStatus(NAME, SubscriptionState.LIVE, 0, 0)
        self.reporter = self.another(WORKER)

    def another(self, worker: str) -> Reporter:
        return Reporter(
            lambda: (self.says,),
            target_of=lambda _: self.storage,
            worker_of=lambda _: worker,
            clock=self.clock,
        )

    async def report(self, state: SubscriptionState, problem: str | None = None) -> None:
        self.says = SubscriptionStatus(NAME, state, 0, 0, error=problem)
        await self.reporter.report()

    async def seen(self) -> SubscriptionStatus:
        (found,) = await stored_statuses(self.storage, self.storage, clock=self.clock)
        return found


@pytest_asyncio.fixture
async def desk(clock: ManualClock) -> Desk:
    storage = MemoryStorage(clock)
    await storage.open()
    await storage.open_subscription(NAME, partitions=2, start_after=0)
    return Desk(storage, clock)


async def test_what_goes_well_writes_nothing(desk: Desk) -> None:
    await desk.report(SubscriptionState.LIVE)
    await desk.report(SubscriptionState.CATCHING_UP)

    assert all(spec.name != REPORTS.name for spec in await desk.storage.collections())


async def test_an_owner_that_is_suspended_is_believed_until_it_goes_on(desk: Desk) -> None:
    await desk.storage.lease_partitions(WORKER, [NAME], seconds=60)
    await desk.report(SubscriptionState.SUSPENDED, "waits for the mail server")

    suspended = await desk.seen()
    await desk.report(SubscriptionState.LIVE)
    later = await desk.seen()

    assert suspended.state is SubscriptionState.SUSPENDED
    assert suspended.error == "waits for the mail server (worker w1)"
    assert (later.state, later.error) == (SubscriptionState.LIVE, None)


async def test_a_worker_whose_partitions_another_has_is_not_believed(desk: Desk) -> None:
    await desk.report(SubscriptionState.FAILED, "it broke")
    await desk.storage.lease_partitions("w2", [NAME], seconds=60)

    assert (await desk.seen()).state is SubscriptionState.LIVE


async def test_an_error_that_stopped_it_is_told_after_the_worker_ended(desk: Desk) -> None:
    await desk.report(SubscriptionState.FAILED, "it broke")
    await desk.reporter.stop()
    desk.clock.advance(BELIEVED_SECONDS + 1)

    seen = await desk.seen()

    assert seen.state is SubscriptionState.FAILED
    assert seen.error is not None
    assert seen.error.startswith("it broke")
    assert not seen.healthy


async def test_a_worker_that_waits_is_believed_while_it_says_so(desk: Desk) -> None:
    await desk.report(SubscriptionState.WAITING, "waits for newer code")
    desk.clock.advance(AGAIN_SECONDS)
    await desk.reporter.report()
    desk.clock.advance(BELIEVED_SECONDS - 1)
    waiting = await desk.seen()
    desk.clock.advance(2)
    long_silent = await desk.seen()

    assert waiting.state is SubscriptionState.WAITING
    assert long_silent.state is SubscriptionState.UNATTENDED


async def test_what_was_said_is_taken_back_at_the_end(desk: Desk) -> None:
    await desk.report(SubscriptionState.WAITING, "waits for newer code")

    await desk.reporter.stop()

    assert list(await reports_on(desk.storage, NAME)) == []


async def test_reports_of_workers_that_are_long_gone_are_deleted(desk: Desk) -> None:
    await desk.report(SubscriptionState.FAILED, "it broke")
    desk.clock.advance(KEPT_SECONDS + 1)
    another = desk.another("w2")

    await another.report()

    assert [report.worker for report in await reports_on(desk.storage, NAME)] == ["w2"]


class Noted(Event, context="sales"):
    number: int


async def test_an_operator_without_the_app_sees_a_breaker_and_an_error_that_stopped() -> None:
    context = BoundedContext("sales")

    async def mail(_event: Noted) -> None:
        raise ConnectionError("the mail server is away")

    async def book(_event: Noted) -> None:
        raise ValueError("no such account")

    breaker = CircuitBreaker(1, open_for=600, name="mail server")
    context.subscriber(policy=breaker)(mail)
    context.subscriber(on_failure=OnFailure.STOP)(book)
    context.register(Noted)
    app = App("shop", storage=MemoryStorage())
    app.include(context)
    async with app:
        store: EventStore = app.event_store
        await store.append("sales.order-1", [Noted(1)], expected=ExpectedVersion.no_stream())

        async def states() -> dict[str, SubscriptionState]:
            found = await stored_statuses(app.storage, app.storage, clock=app.clock)
            return {one.name: one.state for one in found}

        wanted = {
            "sales.book": SubscriptionState.FAILED,
            "sales.mail": SubscriptionState.SUSPENDED,
        }
        while await states() != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
