"""An operator sets a subscription back or on while it runs; it goes on from there."""

import asyncio

from headwater.ports.leases import Checkpoint
from headwater.ports.storage import Storage
from headwater.subscriptions.delivery import Delivery
from headwater.subscriptions.flow import Workers
from headwater.subscriptions.status import SubscriptionState
from headwater.subscriptions.subscription import Arrival, partition_of
from tests.subscriptions.workbench import Workbench


class Seen:
    def __init__(self) -> None:
        self.positions: list[int] = []
        self.news = asyncio.Event()

    async def __call__(self, arrival: Arrival, delivery: Delivery) -> None:
        self.positions.append(arrival.stored.position)
        self.news.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.positions) < count:
                self.news.clear()
                await self.news.wait()


def account_apart_from(account: str) -> str:
    """Return an account whose stream is in another partition than that of *account*."""
    taken = partition_of(f"ledger-{account}", 4)
    others = (f"other{n}" for n in range(100))
    return next(name for name in others if partition_of(f"ledger-{name}", 4) != taken)


async def test_a_reset_is_noticed_with_the_next_event(bench: Workbench, storage: Storage) -> None:
    seen = Seen()
    for _ in range(3):
        await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(seen))
    await subscriptions.settle()

    await storage.reset_subscription("mail", to=Checkpoint(1))
    await bench.book("a")
    await subscriptions.wait_for("mail", 4)

    # The new event may have been handled once before its commit was refused.
    assert seen.positions[:3] == [1, 2, 3]
    assert seen.positions[-3:] == [2, 3, 4]
    assert bench.status("mail").state is not SubscriptionState.FAILED


async def test_a_reset_is_noticed_soon_also_if_the_next_event_is_for_a_partition_that_did_not_move(
    bench: Workbench, storage: Storage
) -> None:
    bench.workers = Workers(10, 0.01)
    seen = Seen()
    await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(seen))
    await subscriptions.settle()

    await storage.reset_subscription("mail", to=Checkpoint(0))
    await bench.book(account_apart_from("a"))
    await seen.until(3)
    await subscriptions.settle()

    # What was in hand when its commit was refused may have been handled once before.
    assert seen.positions.count(1) == 2
    assert set(seen.positions) == {1, 2}


async def test_a_reset_is_noticed_also_by_a_subscription_that_is_idle(
    bench: Workbench, storage: Storage
) -> None:
    bench.workers = Workers(10, 0.01)
    seen = Seen()
    for _ in range(3):
        await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(seen))
    await subscriptions.settle()

    await storage.reset_subscription("mail", to=Checkpoint(0))
    await seen.until(6)

    assert seen.positions == [1, 2, 3, 1, 2, 3]
    await subscriptions.settle()


async def test_whoever_waits_after_a_reset_was_noticed_waits_for_the_work_to_be_done_again(
    bench: Workbench, storage: Storage
) -> None:
    entered, release = asyncio.Event(), asyncio.Event()
    seen: list[int] = []

    async def handle(arrival: Arrival, _delivery: Delivery) -> None:
        seen.append(arrival.stored.position)
        if seen.count(1) == 2:
            entered.set()
            await release.wait()

    await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(handle))
    await subscriptions.settle()
    await storage.reset_subscription("mail", to=Checkpoint(0))
    await bench.book("a")
    await entered.wait()

    waiting = asyncio.create_task(subscriptions.wait_for("mail", 1))
    await asyncio.sleep(0)
    assert not waiting.done()
    release.set()
    await waiting

    assert bench.status("mail").position >= 1


async def test_a_subscription_that_is_set_on_skips_what_lies_between(
    bench: Workbench, storage: Storage
) -> None:
    seen = Seen()
    await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(seen))
    await subscriptions.settle()
    await subscriptions.stop()
    for _ in range(3):
        await bench.book("a")
    third = (await storage.read_stream("ledger-a"))[2]

    await storage.reset_subscription("mail", to=Checkpoint(3, third.id))
    again = await bench.start(bench.subscriber(seen))
    await again.settle()

    assert seen.positions == [1, 4]
