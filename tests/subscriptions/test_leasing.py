"""Workers share a subscription: each has its share, and what one lost it can't commit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from unittest import mock

import pytest

from headwater.operations.control import CONTROL_ROWS
from headwater.ports.changes import CheckpointMove
from headwater.ports.leases import Share
from headwater.ports.storage import Storage
from headwater.subscriptions import leasing, reader
from headwater.subscriptions.flow import Workers
from headwater.subscriptions.leasing import Leasing
from headwater.subscriptions.subscription import Arrival
from headwater.subscriptions.subscriptions import Subscriptions
from tests.subscriptions.conftest import OpenStorage
from tests.subscriptions.trails import Trail, faults, trailing
from tests.subscriptions.workbench import Workbench

QUICK = Workers(10, 0.05)

Open = Callable[[], Awaitable[Workbench]]


@pytest.fixture
async def open_bench(opened: OpenStorage) -> AsyncIterator[Open]:
    """Opens the storage once more, with workers of its own."""
    async with AsyncExitStack() as stack:

        async def open_again() -> Workbench:
            bench = Workbench(await opened())
            bench.workers = QUICK
            stack.push_async_callback(bench.stop)
            return bench

        yield open_again


async def until_shared(storage: Storage, *counts: int, name: str = "mail") -> list[str]:
    """Return the workers once so many have so many partitions each."""
    async with asyncio.timeout(20):
        while True:
            owners = [state.worker for state in await storage.partition_states(name)]
            found = {owner: owners.count(owner) for owner in owners if owner is not None}
            if sorted(found.values()) == sorted(counts):
                return list(found)
            await storage.wait_for_news(2**31, seconds=0.01)


async def test_partitions_are_shared_anew_when_workers_come_and_go_under_load(
    open_bench: Open,
) -> None:
    benches = [await open_bench() for _ in range(3)]
    first = benches[0]
    running = [await first.start(await trailing(first, partitions=8))]
    enough = False

    async def load() -> None:
        while not enough:
            await asyncio.gather(*(first.book(f"a{n}") for n in range(12)))

    loading = asyncio.create_task(load())
    await until_shared(first.storage, 8)
    running += [await one.start(await trailing(one, partitions=8)) for one in benches[1:]]
    await until_shared(first.storage, 2, 3, 3)
    assert {owner for one in benches for owner in one.status("mail").owners} - {None}
    await running[0].stop()
    await until_shared(first.storage, 4, 4)
    await running[1].stop()
    await until_shared(first.storage, 8)
    enough = True
    await loading
    await running[2].settle()

    assert await faults(first) == []


async def test_a_worker_that_lost_its_lease_in_the_middle_of_a_batch_commits_nothing(
    open_bench: Open,
) -> None:
    assert not await commits_after_a_lost_lease(open_bench)


async def test_control_without_tokens_a_worker_commits_what_is_not_its_own_any_more(
    open_bench: Open,
) -> None:
    def without_token(
        name: str, partition: int, expected: int, to: int, event_id: bytes | None, _token: int
    ) -> CheckpointMove:
        return CheckpointMove(name, partition, expected, to, event_id)

    with mock.patch("headwater.subscriptions.subscription.CheckpointMove", without_token):
        assert await commits_after_a_lost_lease(open_bench)


async def commits_after_a_lost_lease(open_bench: Open) -> bool:
    """Return whether a worker that lost a partition to another in mid-batch still commits it."""
    slow, other = await open_bench(), await open_bench()
    slow.workers = Workers(200, 100)
    entered, release = asyncio.Event(), asyncio.Event()
    taken, go_on = asyncio.Event(), asyncio.Event()

    async def hold(_arrival: Arrival) -> None:
        entered.set()
        await release.wait()

    async def hold_too(_arrival: Arrival) -> None:
        taken.set()
        await go_on.wait()

    await slow.book("a")
    await slow.start(await trailing(slow, hold))
    await entered.wait()
    [owner] = await until_shared(slow.storage, 4)
    # As if it had stood still for longer than its lease.
    await slow.storage.release_partitions(owner, "mail")
    assert slow.subscriptions is not None
    with mock.patch.object(leasing.Leasing, "forget"):
        running = await other.start(await trailing(other, hold_too))
        async with asyncio.timeout(20):
            await taken.wait()
        release.set()
        await slow.subscriptions.stop()
    row = await other.units.new().collection(Trail).get("ledger-a")
    go_on.set()
    await running.settle()
    assert await faults(other) == []
    return row is not None


async def test_what_a_partition_has_behind_it_is_skipped_when_another_reads_it_again(
    open_bench: Open,
) -> None:
    assert await faults_of_partitions_apart(open_bench) == []


async def test_control_without_the_skip_events_are_done_twice(open_bench: Open) -> None:
    with mock.patch.object(reader, "is_behind", return_value=False):
        assert await faults_of_partitions_apart(open_bench)


async def faults_of_partitions_apart(open_bench: Open) -> list[str]:
    """Let partitions stand at different places, then begin again with all of them."""
    bench = await open_bench()
    stuck = asyncio.Event()

    async def hold_one(arrival: Arrival) -> None:
        if arrival.stored.stream_id == "ledger-a1" and arrival.stored.version == 3:
            await stuck.wait()

    for _ in range(5):
        for n in range(6):
            await bench.book(f"a{n}")
    subscriptions = await bench.start(await trailing(bench, hold_one, page_events=7))
    async with asyncio.timeout(20):
        while sorted(await bench.positions("mail"))[1] < 30:
            await bench.storage.wait_for_news(30, seconds=0.01)
    await subscriptions.stop(grace=0)

    again = await bench.start(await trailing(bench))
    await again.settle()

    return await faults(bench)


async def test_a_worker_that_has_nothing_to_do_takes_over_when_another_dies(
    open_bench: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying, standby = await open_bench(), await open_bench()
    dying.workers = Workers(0.4, 0.1)
    await dying.book("a")
    first = await dying.start(await trailing(dying, partitions=1))
    await first.settle()
    second = await standby.start(await trailing(standby, partitions=1))
    [owner] = await until_shared(standby.storage, 1)

    await kill(first)
    await standby.book("a")
    await second.settle()

    assert await until_shared(standby.storage, 1) != [owner]
    assert await faults(standby) == []


async def kill(subscriptions: Subscriptions) -> None:
    """End all that a worker does, at once, without a word to the storage."""
    for each in subscriptions.leasings:
        await each.stop()
        with mock.patch.object(leasing.Leasing, "leave"):
            await subscriptions.stop(grace=0)


async def test_someone_waits_for_what_another_worker_does(open_bench: Open) -> None:
    working, waiting, watching = await open_bench(), await open_bench(), await open_bench()
    first = await working.start(await trailing(working))
    second = await waiting.start(await trailing(waiting))
    await until_shared(working.storage, 2, 2)
    runner = await trailing(watching)
    third = watching.subscriptions = Subscriptions(watching.storage, [runner], run=False)
    await third.start()
    position = 0
    for n in range(8):
        position = await working.book(f"a{n}")

    await asyncio.gather(*(one.wait_for("mail", position) for one in (first, second, third)))

    states = await working.storage.partition_states("mail")
    assert all(state.checkpoint.position >= position for state in states)
    assert await faults(watching) == []


class Hearer:
    """A member that remembers what it hears."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.shares: list[Share] = []
        self.unknown = asyncio.Event()

    def hear_share(self, share: Share) -> None:
        self.shares.append(share)

    def hear_control(self, row_version: int) -> None:
        """Nobody writes it here."""

    def hear_unknown(self) -> None:
        self.unknown.set()


async def test_one_that_was_dropped_does_not_take_the_leases_of_others_with_it(
    storage: Storage,
) -> None:
    gone, stays = Hearer("gone"), Hearer("stays")
    for one in (gone, stays):
        await storage.open_subscription(one.name, partitions=2, start_after=0)
    await storage.prepare_collections([CONTROL_ROWS])
    leases = Leasing(storage, workers=Workers(10, 0.01))
    await leases.open([gone.name, stays.name])
    for one in (gone, stays):
        leases.join(one)
    gained = leases.share(gone.name)
    assert gained is not None
    leases.give_up(gone.name, 0, gained.leases[0].token)

    await storage.drop_subscription(gone.name)

    async with asyncio.timeout(20):
        await gone.unknown.wait()
        before = len(stays.shares)
        while len(stays.shares) < before + 3:
            await storage.wait_for_news(2**31, seconds=0.01)
    assert not stays.unknown.is_set()
    assert leases.valid
    assert leases.share(gone.name) is None
    await storage.open_subscription(gone.name, partitions=2, start_after=0)
    gone.shares.clear()
    leases.join(gone)
    async with asyncio.timeout(20):
        while not gone.shares:
            await storage.wait_for_news(2**31, seconds=0.01)
    await leases.stop()
