"""Subscribers in trouble: others at work on the same, late faults, cancellations."""

import asyncio

import pytest

from headwater.errors import (
    ConfigurationError,
    LogRewoundError,
    SubscriptionFailedError,
)
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.subscriptions.delivery import Delivery
from headwater.subscriptions.flow import Workers
from headwater.subscriptions.status import SubscriptionState
from headwater.subscriptions.subscription import Arrival, partition_of
from headwater.unit_of_work.unit import CURRENT_UNIT
from headwater.unit_of_work.units import Units
from tests.subscriptions.ledger import Booked
from tests.subscriptions.seeing import Seen
from tests.subscriptions.workbench import Workbench


async def test_two_workers_on_one_subscription_have_each_effect_once(
    bench: Workbench, storage: Storage
) -> None:
    async def note(arrival: Arrival, _delivery: Delivery) -> None:
        await asyncio.sleep(0)
        unit = CURRENT_UNIT.get()
        assert unit is not None
        if arrival.stored.stream_id.startswith("ledger-"):
            unit.append(f"notes-{arrival.stored.position}", Booked("note", 0))

    other = Workbench(storage)
    first = await bench.start(bench.subscriber(note, page_events=7))
    second = await other.start(other.subscriber(note, page_events=5))
    for n in range(120):
        await bench.book(str(n % 9))

    await first.settle()
    await second.settle()
    await other.stop()

    page = await storage.read_log(limit=1000)
    notes = [event for event in page.events if event.stream_id.startswith("notes-")]
    assert len(notes) == 120
    assert all(event.version == 1 for event in notes)


async def test_a_checkpoint_past_the_end_of_the_log_is_noticed_at_the_start(
    bench: Workbench,
) -> None:
    await bench.storage.open_subscription("mail", partitions=4, start_after=50)

    with pytest.raises(LogRewoundError, match="stands at position 50"):
        await bench.start(bench.subscriber(Seen()))


async def test_a_stop_waits_for_the_handler_at_work_and_cancels_one_that_takes_too_long(
    bench: Workbench,
) -> None:
    entered, release = asyncio.Event(), asyncio.Event()
    done: list[int] = []

    async def slow(arrival: Arrival, _delivery: Delivery) -> None:
        entered.set()
        await release.wait()
        done.append(arrival.stored.position)

    await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(slow))
    await entered.wait()
    stopping = asyncio.create_task(subscriptions.stop(grace=30))
    release.set()
    await stopping
    assert done == [1]

    entered.clear()
    release.clear()
    await bench.book("a")
    again = await bench.start(bench.subscriber(slow))
    await entered.wait()
    await again.stop(grace=0)

    assert done == [1]
    stored = await bench.checkpoints("mail")
    assert stored[partition_of("ledger-a", 4)].position == 1


async def test_two_subscriptions_with_one_name_are_refused(bench: Workbench) -> None:
    with pytest.raises(ConfigurationError, match="Two subscriptions are called 'mail'"):
        await bench.start(bench.subscriber(Seen()), bench.subscriber(Seen()))


async def test_a_fault_that_only_the_commit_finds_is_laid_to_its_event(bench: Workbench) -> None:
    handled: list[int] = []

    async def note(arrival: Arrival, _delivery: Delivery) -> None:
        unit = CURRENT_UNIT.get()
        assert unit is not None
        position = arrival.stored.position
        handled.append(position)
        if arrival.stored.stream_id == "ledger-a":
            cents: object = "three" if position == 3 else position
            unit.append("notes-1", Booked("note", cents))  # type: ignore[arg-type] # the point

    for _ in range(5):
        await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(note))

    with pytest.raises(SubscriptionFailedError, match="position 3: RoundTripError"):
        await subscriptions.settle()

    assert len(await bench.storage.read_stream("notes-1")) == 2
    assert bench.status("mail").failed_at == 3
    handled.clear()
    await subscriptions.restart("mail")
    with pytest.raises(SubscriptionFailedError):
        await subscriptions.settle()
    assert 1 not in handled
    assert 2 not in handled


async def test_what_has_failed_is_seen_to_fall_behind(bench: Workbench) -> None:
    seen = Seen()
    seen.fail_at = 2
    await bench.book("a")
    await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(seen))
    with pytest.raises(SubscriptionFailedError):
        await subscriptions.settle()

    for _ in range(5):
        await bench.book("b")
    async with asyncio.timeout(10):
        while bench.status("mail").head < 7:
            await bench.storage.wait_for_news(7, seconds=0.01)

    status = bench.status("mail")
    assert (status.head, status.failed_at) == (7, 2)
    assert status.lag_events >= 6


async def test_a_failure_over_what_another_worker_has_done_meanwhile_stops_nothing(
    bench: Workbench, storage: Storage
) -> None:
    other = Workbench(storage)
    entered, done_elsewhere = asyncio.Event(), asyncio.Event()

    async def too_late(arrival: Arrival, _delivery: Delivery) -> None:
        if arrival.stored.position == 1:
            entered.set()
            await done_elsewhere.wait()
            raise RuntimeError("somebody has done this already")

    other.workers = Workers(200, 100)
    await bench.book("a")
    slow = await other.start(other.subscriber(too_late))
    await entered.wait()
    first, *_ = await storage.partition_states("mail")
    assert first.worker is not None
    await storage.release_partitions(first.worker, "mail")
    fast = await bench.start(bench.subscriber(Seen()))
    await fast.settle()
    done_elsewhere.set()
    await bench.book("a")

    await slow.settle()

    assert other.status("mail").state is not SubscriptionState.FAILED
    await other.stop()


async def test_a_handler_that_cancels_itself_fails_and_is_told(bench: Workbench) -> None:
    async def gives_up(_arrival: Arrival, _delivery: Delivery) -> None:
        raise asyncio.CancelledError

    await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(gives_up))

    with pytest.raises(SubscriptionFailedError, match="position 1: HandlerCancelledError"):
        await subscriptions.settle()


async def test_settling_tells_of_a_failure_also_when_all_positions_were_reached(
    bench: Workbench,
) -> None:
    seen = Seen()
    subscriptions = await bench.start(bench.subscriber(seen))
    await bench.book("a")
    await subscriptions.settle()
    seen.fail_at = 2
    await bench.book("a")
    with pytest.raises(SubscriptionFailedError) as first:
        await subscriptions.settle()

    with pytest.raises(SubscriptionFailedError) as second:
        await subscriptions.settle()

    assert second.value is not first.value


async def test_losing_to_others_again_and_again_stops_no_subscription(bench: Workbench) -> None:
    tries = 0

    async def contended(arrival: Arrival, _delivery: Delivery) -> None:
        nonlocal tries
        unit = CURRENT_UNIT.get()
        assert unit is not None
        if arrival.stored.stream_id == "ledger-a":
            tries += 1
            expected = ExpectedVersion.exactly(tries - 1)
            unit.append("notes-1", Booked("note", 0), expected=expected)
            if tries == 1:
                await bench.append("notes-1", Booked("note", 1))

    bench.units = Units(bench.storage, codec=bench.codec, conflict_reruns_max=0)
    await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(contended))

    await subscriptions.wait_for("mail", 1)

    assert tries == 2


async def test_a_callback_that_cancels_itself_ends_nothing(bench: Workbench) -> None:
    seen: list[int] = []

    async def gives_up() -> None:
        raise asyncio.CancelledError

    async def handle(arrival: Arrival, _delivery: Delivery) -> None:
        unit = CURRENT_UNIT.get()
        assert unit is not None
        unit.after_commit(gives_up)
        seen.append(arrival.stored.position)

    for account in "abcd":
        await bench.book(account)
    subscriptions = await bench.start(bench.subscriber(handle))

    await subscriptions.settle()

    assert sorted(seen) == [1, 2, 3, 4]


async def test_whoever_waits_is_told_when_the_subscription_is_stopped(bench: Workbench) -> None:
    subscriptions = await bench.start(bench.subscriber(Seen()))
    waiting = asyncio.ensure_future(subscriptions.wait_for("mail", 99, timeout=None))
    await asyncio.sleep(0)

    await subscriptions.stop()

    with pytest.raises(SubscriptionFailedError, match="it was stopped"):
        await waiting
