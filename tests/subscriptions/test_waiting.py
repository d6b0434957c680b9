"""Who waits for a position is told when it is reached, or that it can't be, and why."""

import asyncio
from collections.abc import Sequence

import pytest

from headwater.errors import ParkedKeyError, SubscriptionFailedError, WaitTimeoutError
from headwater.ports.leases import Checkpoint
from headwater.ports.storage import Storage
from headwater.subscriptions import session
from headwater.subscriptions.failure import Charge
from headwater.subscriptions.runner import Runner
from headwater.subscriptions.stop_on_failure import StopOnFailure
from headwater.subscriptions.subscriptions import Subscriptions
from tests.subscriptions.seeing import Seen
from tests.subscriptions.trails import trailing
from tests.subscriptions.workbench import Workbench


class Holding(StopOnFailure):
    """Says what it is told of what it holds."""

    parked_keys: Sequence[str] = ()
    is_pending = False

    def parked(self, position: int) -> Sequence[str]:
        return self.parked_keys if position >= 1 else ()

    def pending(self, position: int) -> bool:
        return self.is_pending and position >= 1


@pytest.mark.parametrize("together", [True, False], ids=["projection", "subscriber"])
async def test_once_the_wait_is_over_every_stored_checkpoint_has_come_so_far(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, *, together: bool
) -> None:
    # Nobody moves idle partitions by himself in this test.
    monkeypatch.setattr(session, "IDLE_SECONDS", 1000.0)
    name = "balances" if together else "mail"
    subscriptions = await bench.start(await (bench.projection() if together else trailing(bench)))
    for n in range(6):
        position = await bench.book(f"a{n}")
        await subscriptions.wait_for(name, position)

        assert min(await bench.positions(name)) >= position


async def test_idle_partitions_are_stored_now_and_then_although_nobody_waits(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "IDLE_SECONDS", 0.01)
    await bench.start(bench.subscriber(Seen()))
    position = await bench.book("a")

    async with asyncio.timeout(20):
        while min(await bench.positions("mail")) < position:
            await bench.storage.wait_for_news(2**31, seconds=0.01)


async def test_a_position_before_a_failure_is_waited_for_the_failure_itself_is_told(
    bench: Workbench,
) -> None:
    seen = Seen()
    seen.fail_at = 3
    for _ in range(3):
        await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(seen))

    with pytest.raises(SubscriptionFailedError, match="position 3"):
        await subscriptions.wait_for("mail", 3)
    await subscriptions.wait_for("mail", 2)


@pytest.fixture
async def holding(bench: Workbench) -> Holding:
    return Holding()


async def started(bench: Workbench, holding: Holding) -> Subscriptions:
    runner: Runner = bench.subscriber(Seen(), partitions=1)

    def failures(_charge: Charge) -> Holding:
        return holding

    runner.failures = failures
    await bench.book("a")
    return await bench.start(runner)


async def test_a_parked_key_is_told_instead_of_stale_rows(
    bench: Workbench, holding: Holding
) -> None:
    holding.parked_keys = ("ledger-a",)
    subscriptions = await started(bench, holding)

    with pytest.raises(ParkedKeyError, match="parked keys: ledger-a"):
        await subscriptions.wait_for("mail", 1)
    with pytest.raises(ParkedKeyError):
        await subscriptions.settle()
    await subscriptions.wait_for("mail", 0)


async def test_what_is_to_be_tried_again_is_waited_for(bench: Workbench, holding: Holding) -> None:
    holding.is_pending = True
    subscriptions = await started(bench, holding)

    with pytest.raises(WaitTimeoutError, match="has deliveries that are to be tried again"):
        await subscriptions.wait_for("mail", 1, timeout=0.05)
    waiting = asyncio.create_task(subscriptions.settle())
    holding.is_pending = False

    assert await waiting == 1


async def test_one_who_runs_nothing_waits_by_what_is_stored(
    bench: Workbench, storage: Storage
) -> None:
    watching = Workbench(storage)
    watcher = Subscriptions(storage, [watching.subscriber(Seen())], run=False)
    await watcher.start()
    position = await bench.book("a")
    with pytest.raises(WaitTimeoutError):
        await watcher.wait_for("mail", position, timeout=0.05)

    waiting = asyncio.create_task(watcher.wait_for("mail", position))
    await bench.start(bench.subscriber(Seen()))

    await waiting
    assert watcher.status() == ()


async def test_where_others_stood_before_a_reset_is_not_believed(
    bench: Workbench, storage: Storage
) -> None:
    watcher = Subscriptions(storage, [Workbench(storage).subscriber(Seen())], run=False)
    await watcher.start()
    subscriptions = await bench.start(bench.subscriber(Seen()))
    position = await bench.book("a")
    await watcher.wait_for("mail", position)
    await subscriptions.stop()

    await storage.reset_subscription("mail", to=Checkpoint(0))

    with pytest.raises(WaitTimeoutError, match="reached position 0 of 1"):
        await watcher.wait_for("mail", position, timeout=0.05)
