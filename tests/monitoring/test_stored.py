"""The status of subscriptions as the storage tells it, for an operator without the app."""

import msgspec
import pytest
import pytest_asyncio

from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock
from headwater.monitoring.stalls import moved
from headwater.monitoring.stored import stalled_or_not, stored_statuses
from headwater.operations.control import pause, stop_at
from headwater.operations.dead_letters.deliveries import (
    DELIVERIES,
    DeliveryState,
    HeldDelivery,
    delivery_row,
)
from headwater.ports.changes import Changes, CheckpointMove
from headwater.ports.leases import Lease
from headwater.subscriptions.status import HeldCounts, SubscriptionState, SubscriptionStatus
from headwater.testing.conformance.builders import appending, new_event, new_events

NAME, OTHER = "sales.mail", "sales.report"
LEASE_SECONDS = 10.0


class Place:
    """A storage with a subscription of two partitions, and ten events of an hour ago."""

    def __init__(self, storage: MemoryStorage, clock: ManualClock) -> None:
        self.storage, self.clock = storage, clock

    async def lease(self, worker: str = "w1", name: str = NAME) -> tuple[Lease, ...]:
        share = await self.storage.lease_partitions(worker, [name], seconds=LEASE_SECONDS)
        return share[name].leases

    async def move(self, *to: int, name: str = NAME) -> None:
        """Move each partition of *name* from the beginning to a position."""
        moves = [CheckpointMove(name, partition, 0, at) for partition, at in enumerate(to)]
        await self.storage.commit(Changes(checkpoints=tuple(moves)))

    async def status(self, name: str = NAME) -> SubscriptionStatus:
        (found,) = await stored_statuses(
            self.storage, self.storage, clock=self.clock, names=(name,)
        )
        return found


@pytest_asyncio.fixture
async def place(clock: ManualClock) -> Place:
    storage = MemoryStorage(clock)
    await storage.open()
    await storage.open_subscription(NAME, partitions=2, start_after=0)
    await storage.open_subscription(OTHER, partitions=1, start_after=0)
    await storage.commit(appending("sales.order-1", *new_events(10)))
    clock.advance(3600)
    return Place(storage, clock)


async def test_one_that_is_behind_tells_how_far_in_events_and_seconds(place: Place) -> None:
    await place.lease()
    await place.move(7, 4)

    status = await place.status()

    assert status.state is SubscriptionState.CATCHING_UP
    assert (status.position, status.head, status.lag_events) == (4, 10, 6)
    assert status.lag_seconds == pytest.approx(3600)
    assert (status.checkpoints, status.owners) == ((7, 4), ("w1", "w1"))
    assert status.healthy


async def test_one_that_has_done_everything_is_live(place: Place) -> None:
    await place.lease()
    await place.move(10, 10)

    status = await place.status()

    assert (status.state, status.lag_seconds) == (SubscriptionState.LIVE, 0)


async def test_an_event_of_just_now_makes_nobody_late(place: Place) -> None:
    await place.lease()
    await place.move(10, 10)
    await place.storage.commit(appending("sales.order-2", new_event()))

    status = await place.status()

    assert (status.state, status.lag_events) == (SubscriptionState.LIVE, 1)


async def test_partitions_are_told_with_the_worker_that_has_them(place: Place) -> None:
    leases = await place.lease("w1")
    await place.storage.release_partitions("w1", NAME, [leases[1].partition])
    await place.lease("w2")

    assert (await place.status()).owners == ("w1", "w2")


async def test_one_that_nobody_works_is_unattended(place: Place) -> None:
    status = await place.status()

    assert status.state is SubscriptionState.UNATTENDED
    assert "no worker" in str(status.error)
    assert not status.healthy


async def test_workers_that_died_are_named(place: Place) -> None:
    await place.lease("host:17:ab")
    place.clock.advance(LEASE_SECONDS + 1)

    status = await place.status()

    assert status.state is SubscriptionState.UNATTENDED
    assert status.owners == (None, None)
    assert "host:17:ab" in str(status.error)


async def test_one_that_was_paused_says_by_whom_and_why_and_is_healthy(place: Place) -> None:
    await pause(place.storage, NAME, by="kim", reason="a new mail server")

    status = await place.status()

    assert status.state is SubscriptionState.PAUSED
    assert "kim" in str(status.error)
    assert "a new mail server" in str(status.error)
    assert status.healthy


async def test_one_that_came_to_where_it_should_stop_stands_there(place: Place) -> None:
    await place.lease()
    await stop_at(place.storage, NAME, 10)
    before = await place.status()
    await place.move(10, 10)

    after = await place.status()

    assert before.state is SubscriptionState.CATCHING_UP
    assert after.state is SubscriptionState.PAUSED
    assert "position 10" in str(after.error)


def held(key: str, position: int, state: DeliveryState, *, parks: bool = True) -> HeldDelivery:
    return HeldDelivery(NAME, key, position, "", "s-1", "t", state, 0, parks)


async def test_what_is_held_is_counted_for_each_subscription(place: Place) -> None:
    await place.lease()
    await place.move(10, 10)
    await place.storage.prepare_collections([DELIVERIES])
    rows = [
        held("a", 1, DeliveryState.DEAD),
        held("a", 2, DeliveryState.WAITING),
        held("a", 3, DeliveryState.WAITING),
        held("b", 4, DeliveryState.DEAD),
        held("c", 5, DeliveryState.DEAD, parks=False),
        held("d", 6, DeliveryState.DELAYED),
        held("e", 7, DeliveryState.READY),
        msgspec.structs.replace(held("f", 8, DeliveryState.DEAD), subscription=OTHER),
    ]
    await place.storage.commit(Changes(rows=tuple(map(delivery_row, rows))))

    status = await place.status()

    assert status.held == HeldCounts(delayed=2, waiting=2, dead=3, parked_keys=2)
    assert not status.healthy


async def test_all_are_told_by_name_unless_some_are_named(place: Place) -> None:
    found = await stored_statuses(place.storage, place.storage, clock=place.clock)

    assert [status.name for status in found] == [NAME, OTHER]


async def test_one_that_lags_past_its_limit_and_does_not_move_is_stalled(place: Place) -> None:
    await place.lease("w1")
    await place.storage.release_partitions("w1", NAME, [1])
    await place.move(3, 4)
    before = {NAME: await place.status()}

    judged = stalled_or_not(before, await place.status(), limit_seconds=60)

    assert judged.state is SubscriptionState.STALLED
    assert "partition 0 stands at 3, leased by w1" in str(judged.error)
    assert "partition 1 stands at 4, and nobody has it" in str(judged.error)


async def test_one_that_lags_and_moves_is_not_stalled_and_tells_its_rate(place: Place) -> None:
    await place.lease()
    before = {NAME: await place.status()}
    await place.move(6, 4)
    after = await place.status()

    assert stalled_or_not(before, after, limit_seconds=60) == after
    assert moved(before, after, seconds=2).events_per_second == 2


async def test_one_whose_events_are_younger_than_the_limit_is_not_stalled(place: Place) -> None:
    await place.lease()
    before = {NAME: await place.status()}

    after = await place.status()

    assert stalled_or_not(before, after, limit_seconds=7200).state is not SubscriptionState.STALLED
