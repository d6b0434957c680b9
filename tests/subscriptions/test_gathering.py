"""Events wait for more of their partition: until there are enough, or for a named time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock
from headwater.operations.control import drained, stop_at
from headwater.ports.log import LogFilter
from headwater.subscriptions.batch_subscriber import BatchSubscriberConsumer
from headwater.subscriptions.batching import Batching
from headwater.subscriptions.flow import Flow
from headwater.subscriptions.runner import Runner
from headwater.subscriptions.subscription import Arrival, Subscription
from tests.subscriptions.workbench import Workbench


class Lists:
    """Remembers the lists it got."""

    def __init__(self) -> None:
        self.got: list[list[int]] = []

    async def __call__(self, arrivals: Sequence[Arrival]) -> None:
        self.got.append([arrival.stored.position for arrival in arrivals])


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def bench(clock: ManualClock) -> AsyncIterator[Workbench]:
    storage = MemoryStorage(clock)
    await storage.open()
    bench = Workbench(storage)
    yield bench
    await bench.stop()
    await storage.close()


def runner(
    bench: Workbench,
    clock: ManualClock,
    lists: Lists,
    batching: Batching,
    *,
    partitions: int = 1,
) -> Runner:
    subscription = Subscription(
        "lists", LogFilter(types=bench.names), partitions, page_events=1000, gather=batching
    )
    consumer = BatchSubscriberConsumer("lists", lists, units=bench.units, batching=batching)
    return Runner(
        subscription,
        consumer,
        log=bench.storage,
        target=bench.storage,
        codec=bench.codec,
        clock=clock,
    )


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await quiet()


async def quiet() -> None:
    """Give everything that could run a chance to."""
    for _ in range(50):
        await asyncio.sleep(0.001)


async def test_a_list_is_handed_over_when_it_is_full(bench: Workbench, clock: ManualClock) -> None:
    lists = Lists()
    await bench.start(runner(bench, clock, lists, Batching(3, wait=30)))

    await bench.book("a")
    await bench.book("b")
    await quiet()
    assert lists.got == []

    await bench.book("c")
    await until(lambda: bool(lists.got))
    assert lists.got == [[1, 2, 3]]


async def test_the_first_event_waits_for_others_as_long_as_it_is_told_to(
    bench: Workbench, clock: ManualClock
) -> None:
    lists = Lists()
    await bench.start(runner(bench, clock, lists, Batching(10, wait=5)))

    await bench.book("a")
    await quiet()
    clock.advance(3)
    await bench.book("b")
    await quiet()
    clock.advance(1)
    await quiet()
    assert lists.got == []

    clock.advance(1)
    await until(lambda: bool(lists.got))
    assert lists.got == [[1, 2]]

    await bench.book("c")
    await quiet()
    assert lists.got == [[1, 2]]
    clock.advance(5)
    await until(lambda: len(lists.got) == 2)
    assert lists.got == [[1, 2], [3]]


async def test_nothing_waits_for_more_while_somebody_waits_for_it(
    bench: Workbench, clock: ManualClock
) -> None:
    lists = Lists()
    subscriptions = await bench.start(runner(bench, clock, lists, Batching(10, wait=30)))
    await bench.book("a")
    await quiet()

    await subscriptions.wait_for("lists", 1)

    assert lists.got == [[1]]


async def test_lists_are_as_large_as_they_were_asked_for_from_the_first(
    bench: Workbench, clock: ManualClock
) -> None:
    lists = Lists()
    for n in range(150):
        await bench.book(str(n))

    subscriptions = await bench.start(runner(bench, clock, lists, Batching(70)))
    await subscriptions.settle()

    assert [len(each) for each in lists.got] == [70, 70, 10]


async def test_lists_larger_than_a_partition_s_part_of_what_is_in_flight_are_filled(
    bench: Workbench, clock: ManualClock
) -> None:
    lists = Lists()
    for _ in range(150):
        await bench.book("a")
    mail = runner(bench, clock, lists, Batching(70, wait=60), partitions=4)
    mail.flow = Flow(in_flight_events=160)

    await bench.start(mail)
    await until(lambda: len(lists.got) == 2)

    assert [len(each) for each in lists.got] == [70, 70]


@pytest.mark.parametrize("flow", [Flow(in_flight_events=40), Flow(in_flight_bytes=400)])
async def test_a_list_waits_no_longer_once_no_more_may_be_in_flight(
    bench: Workbench, clock: ManualClock, flow: Flow
) -> None:
    lists = Lists()
    for _ in range(150):
        await bench.book("a")
    mail = runner(bench, clock, lists, Batching(1000, wait=60), partitions=4)
    mail.flow = flow

    await bench.start(mail)
    await until(lambda: sum(map(len, lists.got)) > 120)

    assert len(lists.got) < 30


async def test_a_list_waits_no_longer_where_the_subscription_is_to_stop(
    bench: Workbench, clock: ManualClock
) -> None:
    lists = Lists()
    await bench.start(runner(bench, clock, lists, Batching(1000, wait=60)))
    await bench.book("a")
    await quiet()

    at = await stop_at(bench.storage, "lists", 1)
    await drained(bench.storage, "lists", at, seconds=20)

    assert lists.got == [[1]]
