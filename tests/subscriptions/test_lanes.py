"""Lanes: partitions are worked side by side, within limits, and none waits for another."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from headwater.errors import StorageUnavailableError, SubscriptionFailedError
from headwater.mediator.threads import WorkerThreads
from headwater.ports.changes import Changes, Committed
from headwater.ports.storage import Storage
from headwater.subscriptions import ending, runner, session
from headwater.subscriptions.cursor import Cursor
from headwater.subscriptions.delivery import Delivery
from headwater.subscriptions.flow import Flow, Workers
from headwater.subscriptions.partitions import InFlight
from headwater.subscriptions.reader import Reader
from headwater.subscriptions.runner import Runner
from headwater.subscriptions.stop_on_failure import StopOnFailure
from headwater.subscriptions.subscriber import SubscriberConsumer
from headwater.subscriptions.subscription import Arrival, partition_of
from tests.subscriptions.ledger import Booked
from tests.subscriptions.seeing import Seen
from tests.subscriptions.workbench import Workbench

SLOW = "slow"


def names(count: int, *, apart_from: str, partitions: int = 4) -> list[str]:
    """Return accounts whose streams are in other partitions than that of *apart_from*."""
    taken = partition_of(f"ledger-{apart_from}", partitions)
    found = (f"n{n}" for n in range(10_000))
    apart = (one for one in found if partition_of(f"ledger-{one}", partitions) != taken)
    return [next(apart) for _ in range(count)]


@pytest.fixture
def with_flow(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> Callable[[Flow], None]:
    """Have runners of *bench* work within other limits."""

    def set_flow(flow: Flow) -> None:
        defaults = {**(Runner.__init__.__kwdefaults__ or {}), "flow": flow}
        monkeypatch.setattr(Runner.__init__, "__kwdefaults__", defaults)

    return set_flow


async def test_a_slow_key_does_not_hold_up_others_however_many_events_wait_behind_it(
    bench: Workbench, with_flow: Callable[[Flow], None]
) -> None:
    with_flow(Flow(in_flight_events=40))
    release, others_done = asyncio.Event(), asyncio.Event()
    others, seen = names(3, apart_from=SLOW), list[int]()

    async def handle(arrival: Arrival, _delivery: Delivery) -> None:
        if arrival.stored.stream_id == f"ledger-{SLOW}":
            await release.wait()
        else:
            seen.append(arrival.stored.position)
            if len(seen) == 150:
                others_done.set()

    for _ in range(50):
        for account in (SLOW, SLOW, *others):
            await bench.book(account)
    subscriptions = await bench.start(bench.subscriber(handle, page_events=20))

    async with asyncio.timeout(20):
        await others_done.wait()
    status = bench.status("mail")
    release.set()
    await subscriptions.settle()

    assert status.position == 0
    assert len(set(seen)) == 150


@pytest.mark.parametrize(("events", "size"), [(7, 10**6), (10**4, 400), (1, 1)])
async def test_no_more_is_in_flight_than_may_be(
    bench: Workbench,
    with_flow: Callable[[Flow], None],
    monkeypatch: pytest.MonkeyPatch,
    events: int,
    size: int,
) -> None:
    with_flow(Flow(in_flight_events=events, in_flight_bytes=size))
    most: list[tuple[int, int]] = []
    add = InFlight.add

    def noting(flight: InFlight, arrivals: list[Arrival], sizes: list[int]) -> int:
        added = add(flight, arrivals, sizes)
        most.append((flight.events, flight.bytes))
        return added

    monkeypatch.setattr(InFlight, "add", noting)
    seen = Seen()
    for n in range(60):
        await bench.book(f"a{n % 5}")
    subscriptions = await bench.start(bench.subscriber(seen, page_events=20))

    await subscriptions.settle()

    assert sorted(seen.positions) == list(range(1, 61))
    assert max(each[0] for each in most) <= events
    # One event has room, however large it is.
    assert all(in_bytes <= size or in_events == 1 for in_events, in_bytes in most)


async def test_batches_grow_while_they_are_done_fast_and_shrink_when_they_are_not(
    bench: Workbench, with_flow: Callable[[Flow], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_flow(Flow(batch_seconds=5.0))
    sizes: list[int] = []
    commit = bench.storage.commit
    handled = 0

    async def handle(_arrival: Arrival, _delivery: Delivery) -> None:
        nonlocal handled
        handled += 1

    async def noting(changes: Changes) -> Committed:
        nonlocal handled
        if changes.checkpoints and handled:
            sizes.append(handled)
            handled = 0
        return await commit(changes)

    for _ in range(10):
        await bench.append("ledger-a", *(Booked("a", 1) for _ in range(50)))
    monkeypatch.setattr(bench.storage, "commit", noting)
    subscriptions = await bench.start(bench.subscriber(handle, partitions=1, page_events=200))
    await subscriptions.settle()

    assert sizes[:3] == [16, 32, 64]
    assert sum(sizes) == 500


async def test_handlers_that_wait_run_side_by_side_one_of_each_partition(
    bench: Workbench,
) -> None:
    at_work: set[int] = set()
    all_at_work = asyncio.Event()

    async def handle(arrival: Arrival, _delivery: Delivery) -> None:
        assert arrival.partition not in at_work
        at_work.add(arrival.partition)
        if len(at_work) == 16:
            all_at_work.set()
        await all_at_work.wait()
        at_work.discard(arrival.partition)

    by_partition = {partition_of(f"ledger-{n}", 16): str(n) for n in range(200)}
    for account in by_partition.values():
        await bench.book(account)
    subscriptions = await bench.start(bench.subscriber(handle, partitions=16))

    await subscriptions.settle()

    assert all_at_work.is_set()


async def test_a_stop_waits_for_a_handler_in_a_thread_and_acknowledges_nothing_else(
    bench: Workbench,
) -> None:
    entered, release = asyncio.Event(), threading.Event()
    loop, done = asyncio.get_running_loop(), list[int]()

    def work(position: int) -> None:
        loop.call_soon_threadsafe(entered.set)
        release.wait(20)
        done.append(position)

    async def handle(arrival: Arrival, _delivery: Delivery) -> None:
        await asyncio.to_thread(work, arrival.stored.position)

    for _ in range(3):
        await bench.append("ledger-a", *(Booked("a", 1) for _ in range(50)))
    subscriptions = await bench.start(bench.subscriber(handle, partitions=1))
    await entered.wait()

    stopping = asyncio.create_task(subscriptions.stop(grace=20))
    await asyncio.sleep(0)
    release.set()
    await stopping

    (checkpoint,) = await bench.checkpoints("mail")
    assert len(done) == checkpoint.position < 150


async def test_a_stop_gives_up_on_a_thread_whose_handler_then_commits_nothing(
    bench: Workbench, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "CUT_OFF_SECONDS", 0.01)
    entered, release, returned = asyncio.Event(), threading.Event(), threading.Event()
    loop, threads = asyncio.get_running_loop(), WorkerThreads(1)

    def work() -> None:
        loop.call_soon_threadsafe(entered.set)
        release.wait(20)
        returned.set()

    async def handle(_arrival: Arrival, _delivery: Delivery) -> None:
        await threads.run(work)

    await bench.book("a")
    subscriptions = await bench.start(bench.subscriber(handle, partitions=1))
    await entered.wait()
    before = asyncio.all_tasks()
    async with asyncio.timeout(5):
        await subscriptions.stop(grace=0)
    states = await storage.partition_states("mail")
    release.set()
    await asyncio.to_thread(returned.wait, 20)
    await asyncio.wait([one for one in before if one is not asyncio.current_task()])
    threads.close()

    assert await bench.positions("mail") == [0]
    # Nobody else begins while the thread is still at it: the lease has to run out.
    assert states[0].worker is not None


async def test_a_stop_that_has_no_time_cancels_and_acknowledges_nothing(
    bench: Workbench,
) -> None:
    entered, seen = asyncio.Event(), Seen()

    async def stuck(arrival: Arrival, delivery: Delivery) -> None:
        await seen(arrival, delivery)
        entered.set()
        if arrival.stored.position == 2:
            await asyncio.Event().wait()

    await bench.append("ledger-a", *(Booked("a", 1) for _ in range(5)))
    subscriptions = await bench.start(bench.subscriber(stuck))
    await entered.wait()
    await subscriptions.stop(grace=0)
    again = await bench.start(bench.subscriber(seen))
    await again.settle()

    # All five again: nothing of the batch was acknowledged, its good beginning neither.
    assert seen.positions[-5:] == [1, 2, 3, 4, 5]


async def test_an_event_that_fails_stops_all_lanes_when_they_have_finished_what_they_have_in_hand(
    bench: Workbench,
) -> None:
    other = names(1, apart_from="a")[0]
    entered, release, done = asyncio.Event(), asyncio.Event(), list[int]()

    async def handle(arrival: Arrival, _delivery: Delivery) -> None:
        if arrival.stored.stream_id == "ledger-a":
            await entered.wait()
            raise RuntimeError("no")
        entered.set()
        await release.wait()
        done.append(arrival.stored.position)

    await bench.book("a")
    await bench.book(other)
    subscriptions = await bench.start(bench.subscriber(handle))
    waiting = asyncio.create_task(subscriptions.settle())
    await entered.wait()
    release.set()

    with pytest.raises(SubscriptionFailedError, match="position 1: RuntimeError: no"):
        await waiting

    assert done == [2]
    stored = await bench.checkpoints("mail")
    assert stored[partition_of(f"ledger-{other}", 4)].position == 2


async def test_a_lease_that_can_not_be_renewed_ends_work_before_it_ends_for_others(
    bench: Workbench, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "WAITING_SECONDS", 0.01)
    seen = Seen()
    subscriptions = await bench.start(bench.subscriber(seen))
    await bench.book("a")
    await subscriptions.settle()
    (leasing,) = subscriptions.leasings
    renewed, lease = asyncio.Event(), storage.lease_partitions
    tried = asyncio.Event()

    async def away(*arguments: Any, **options: Any) -> Any:
        tried.set()
        if not renewed.is_set():
            raise StorageUnavailableError("away")
        return await lease(*arguments, **options)

    monkeypatch.setattr(storage, "lease_partitions", away)
    monkeypatch.setattr(leasing, "_valid_until", 0.0)
    await bench.book("a")
    await tried.wait()
    assert seen.positions == [1]

    renewed.set()
    await subscriptions.settle()

    assert seen.positions == [1, 2]


async def test_a_partition_that_is_given_up_leaves_its_room_to_others(
    bench: Workbench,
    storage: Storage,
    with_flow: Callable[[Flow], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Nobody moves idle partitions by himself in this test.
    monkeypatch.setattr(session, "IDLE_SECONDS", 1000.0)
    with_flow(Flow(in_flight_bytes=1))
    bench.workers = Workers(10, 0.01)

    class Suspended(StopOnFailure):
        async def ready(self) -> None:
            await asyncio.Event().wait()

    seen = Seen()
    mail = bench.subscriber(seen, partitions=2)
    mail.failures = lambda charge: Suspended() if charge.partition == 1 else StopOnFailure()
    stays, given_up = (
        next(name for name in "abcdefgh" if partition_of(f"ledger-{name}", 2) == partition)
        for partition in (0, 1)
    )
    for _ in range(3):
        await bench.book(given_up)
    await bench.start(mail)
    async with asyncio.timeout(20):
        while not mail.fronts():
            await storage.wait_for_news(2**31, seconds=0.01)
        while "other" not in [one.worker for one in await storage.partition_states("mail")]:
            await storage.lease_partitions("other", ("mail",), seconds=10)
            await storage.wait_for_news(2**31, seconds=0.01)
        await bench.book(stays)
        while not seen.positions:
            await storage.wait_for_news(2**31, seconds=0.01)

    assert seen.positions == [4]


async def test_a_cancellation_that_nobody_asked_for_stops_the_subscription_with_an_error(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    balances = await bench.projection()

    async def cancelling(_batches: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(balances._consumer, "work", cancelling)  # pyright: ignore[reportPrivateUsage]
    subscriptions = await bench.start(balances)
    await bench.book("a")

    with pytest.raises(SubscriptionFailedError, match="raised CancelledError, though nobody"):
        await subscriptions.wait_for("balances", 1, timeout=5)


async def test_a_key_that_is_cancelled_is_laid_to_its_event(bench: Workbench) -> None:
    mail = bench.subscriber(Seen())

    def key_of(arrival: Arrival) -> str:
        if arrival.stored.position == 2:
            raise asyncio.CancelledError
        return arrival.stored.stream_id

    async def nothing(_arrival: Arrival) -> None:
        """Every event is done at once."""

    consumer = SubscriberConsumer("mail", nothing, units=bench.units, key_of=key_of)
    mail = bench.runner(mail.subscription, consumer, bench.storage)
    subscriptions = await bench.start(mail)
    for _ in range(2):
        await bench.book("a")

    with pytest.raises(SubscriptionFailedError, match=r"position 2: HandlerCancelled"):
        await subscriptions.wait_for("mail", 2, timeout=5)
    await subscriptions.wait_for("mail", 1)


async def test_a_lane_rests_while_the_checkpoint_of_what_is_due_is_stored(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = bench.subscriber(Seen(), partitions=1)
    subscriptions = await bench.start(mail)
    await bench.book("a")
    await subscriptions.settle()
    working = mail.places.session
    assert working is not None
    lane, partition = working._lanes[0], working.partitions[0]  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(partition.failures, "due_at", -1.0)
    partition.storing = True
    lane._woken.clear()  # pyright: ignore[reportPrivateUsage]

    resting = asyncio.create_task(lane._rest())  # pyright: ignore[reportPrivateUsage]
    for _ in range(20):
        await asyncio.sleep(0)
    rested = not resting.done()
    lane.wake()
    await resting
    partition.storing = False

    assert rested


async def test_a_reader_that_has_just_given_up_waiting_for_news_still_hears_of_room(
    bench: Workbench,
) -> None:
    mail = bench.subscriber(Seen())
    subscriptions = await bench.start(mail)
    await bench.book("a")
    await subscriptions.settle()
    working = mail.places.session
    assert working is not None
    reader = Reader(
        working._place,  # pyright: ignore[reportPrivateUsage]
        log=bench.storage,
        codec=bench.codec,
        cursor=Cursor(bench.storage, "mail"),
        count=1,
        partitions={},
        dealt=lambda _end, _events: None,
    )
    beside_news = asyncio.create_task(reader._until_changed())  # pyright: ignore[reportPrivateUsage]
    await asyncio.sleep(0)
    beside_news.cancel()

    async def advance() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        reader.has_room()

    advancing = asyncio.create_task(advance())
    async with asyncio.timeout(5):
        # At once, as the reader's loop does: before what was cancelled has ended.
        await reader._until_changed()  # pyright: ignore[reportPrivateUsage]
    await advancing
