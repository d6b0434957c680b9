"""What has failed begins again in all workers that run, when somebody asks for it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from headwater.errors import ConfigurationError
from headwater.operations.control import pause, resume, write_control
from headwater.operations.restarting import restart
from headwater.ports.storage import Storage
from headwater.subscriptions import beginning_again, runner
from headwater.subscriptions.delivery import Delivery
from headwater.subscriptions.flow import Workers
from headwater.subscriptions.status import SubscriptionState
from headwater.subscriptions.subscription import Arrival
from headwater.subscriptions.subscriptions import Subscriptions
from tests.subscriptions.workbench import Workbench


class Mail:
    """A handler whose server can be away."""

    def __init__(self) -> None:
        self.away, self.calls = True, 0

    async def __call__(self, arrival: Arrival, delivery: Delivery) -> None:
        self.calls += 1
        if self.away:
            raise ConnectionError("mail")


@pytest.fixture(autouse=True)
def soon(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.workers = Workers(10, 0.01)
    monkeypatch.setattr(beginning_again, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(runner, "WAITING_SECONDS", 0.01)


@pytest.fixture
async def other(bench: Workbench) -> AsyncIterator[Workbench]:
    """Another worker on the same storage."""
    made = Workbench(bench.storage)
    made.workers = bench.workers
    yield made
    await made.stop()


async def until(bench: Workbench, *states: SubscriptionState) -> None:
    async with asyncio.timeout(20):
        while bench.status("mail").state not in states:
            await bench.storage.wait_for_news(2**31, seconds=0.001)


async def test_a_restart_that_somebody_asks_for_reaches_all_workers_in_which_it_has_failed(
    bench: Workbench, other: Workbench, storage: Storage
) -> None:
    mail = Mail()
    await bench.book("a")
    for worker in (bench, other):
        await worker.start(worker.subscriber(mail))
    for worker in (bench, other):
        await until(worker, SubscriptionState.FAILED)

    mail.away = False
    await restart(storage, "mail")
    for worker in (bench, other):
        await until(worker, SubscriptionState.LIVE)

    async with asyncio.timeout(20):
        while await bench.positions("mail") != [1] * 4:
            await storage.wait_for_news(2**31, seconds=0.001)


async def test_what_fails_again_is_tried_once_for_each_time_that_it_is_asked_for(
    bench: Workbench, storage: Storage
) -> None:
    mail = Mail()
    await bench.book("a")
    await bench.start(bench.subscriber(mail))
    await until(bench, SubscriptionState.FAILED)

    calls = [mail.calls]
    for _ in range(2):
        await restart(storage, "mail")
        async with asyncio.timeout(20):
            while mail.calls == calls[-1]:
                await storage.wait_for_news(2**31, seconds=0.001)
        await until(bench, SubscriptionState.FAILED)
        # It looks a few times more meanwhile.
        await storage.wait_for_news(2**31, seconds=0.05)
        calls.append(mail.calls)

    assert calls == [1, 2, 3]


async def test_a_pause_and_a_resume_bring_back_what_has_failed(
    bench: Workbench, storage: Storage
) -> None:
    mail = Mail()
    await bench.book("a")
    await bench.start(bench.subscriber(mail))
    await until(bench, SubscriptionState.FAILED)

    await pause(storage, "mail")
    await until(bench, SubscriptionState.PAUSED)
    mail.away = False
    await restart(storage, "mail")
    assert bench.status("mail").state is SubscriptionState.PAUSED
    await resume(storage, "mail")

    await until(bench, SubscriptionState.LIVE)


async def test_a_process_that_runs_none_asks_the_workers_and_runs_none(
    bench: Workbench, other: Workbench, storage: Storage
) -> None:
    mail, here = Mail(), Mail()
    await bench.book("a")
    await bench.start(bench.subscriber(mail))
    await until(bench, SubscriptionState.FAILED)
    web = Subscriptions(storage, [other.subscriber(here)], run=False)
    await web.start()

    mail.away = False
    await web.restart("mail")
    await until(bench, SubscriptionState.LIVE)

    assert here.calls == 0
    await web.stop()


async def test_one_that_has_failed_and_is_stopped_does_not_begin_again(
    bench: Workbench, storage: Storage
) -> None:
    mail = Mail()
    await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(mail))
    await until(bench, SubscriptionState.FAILED)

    await subscriptions.stop()
    await restart(storage, "mail")
    await storage.wait_for_news(2**31, seconds=0.05)

    assert mail.calls == 1


async def test_what_was_never_run_or_is_retired_can_not_be_restarted(storage: Storage) -> None:
    with pytest.raises(ConfigurationError, match=r"no subscription 'mail'.*\(none\)"):
        await restart(storage, "mail")

    await storage.open_subscription("mail", partitions=4, start_after=0)
    await write_control(storage, "mail", retired=True)
    with pytest.raises(ConfigurationError, match="'mail' is retired"):
        await restart(storage, "mail")
