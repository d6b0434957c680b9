"""Workers of two releases share a subscription: what one does not know is left for the other."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from headwater.errors import ConfigurationError, UnknownTypeError, WaitTimeoutError
from headwater.operations.control import CONTROL_ROWS, read_control
from headwater.operations.type_lists import drop_types
from headwater.ports.changes import Changes, Committed, RowChange
from headwater.ports.leases import Checkpoint
from headwater.ports.log import EVERYTHING
from headwater.ports.storage import Storage
from headwater.serialization.upcasting import Upcasters
from headwater.subscriptions import runner
from headwater.subscriptions.runner import Runner
from headwater.subscriptions.status import SubscriptionState
from headwater.subscriptions.subscription import Arrival
from tests.subscriptions.releases import (
    NewCounts,
    OldCounts,
    Placed,
    PlacedToday,
    Release,
    Shipped,
)

Make = Callable[..., Release]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "WAITING_SECONDS", 0.01)


@pytest.fixture
async def release(storage: Storage) -> AsyncIterator[Make]:
    made: list[Release] = []

    def make(*types: type, upcasters: Upcasters | None = None) -> Release:
        made.append(Release(storage, *types, upcasters=upcasters))
        return made[-1]

    yield make
    for each in made:
        await each.stop()


async def until(worker: Runner, state: SubscriptionState, text: str = "") -> str:
    """Return what *worker* says once it is in *state* and says *text*."""
    async with asyncio.timeout(20):
        while True:
            status = worker.status()
            if status.state is state and text in (status.error or ""):
                return status.error or ""
            await asyncio.sleep(0.001)


async def test_a_worker_that_lacks_a_stored_type_waits_and_says_for_what(release: Make) -> None:
    old, new = release(Placed), release(PlacedToday, Shipped)
    await new.start(new.worker())
    await new.stop()
    position = await new.append(PlacedToday("1"), Shipped("1"))

    waiting = old.worker()
    subscriptions = await old.start(waiting)
    said = await until(waiting, SubscriptionState.WAITING)

    assert said == (
        "waits for a worker that knows sales.placed version 2, sales.shipped version 1, as newer "
        "or other code did. If there will be none: headwater subscription drop-types mail "
        "sales.placed sales.shipped"
    )
    with pytest.raises(WaitTimeoutError, match=r"It waits for a worker that knows sales\.placed"):
        await subscriptions.wait_for("mail", position, timeout=0.01)
    assert old.handed == []


async def test_a_worker_from_which_a_type_was_taken_says_that_it_knows_it(release: Make) -> None:
    old, new = release(Placed, Shipped), release(Placed, Shipped)
    await old.start(old.worker())
    await old.stop()
    new.names = frozenset({"sales.placed"})

    waiting = new.worker()
    await new.start(waiting)

    assert await until(waiting, SubscriptionState.WAITING) == (
        "waits for a worker that takes sales.shipped version 1, which this code knows and does not "
        "take. Once no other release is left: headwater subscription drop-types mail sales.shipped"
    )


async def test_a_worker_tells_what_it_does_not_know_from_what_it_does_not_take(
    release: Make,
) -> None:
    old, new = release(Placed, Shipped), release(PlacedToday, Shipped)
    await new.start(new.worker())
    await new.stop()
    old.names = frozenset({"sales.placed"})

    waiting = old.worker()
    await old.start(waiting)

    assert await until(waiting, SubscriptionState.WAITING) == (
        "waits for a worker that knows sales.placed version 2, as newer or other code did, and "
        "takes sales.shipped version 1, which this code knows and does not take. If there will be "
        "none: headwater subscription drop-types mail sales.placed sales.shipped"
    )


async def test_what_a_worker_has_in_hand_is_refused_when_one_with_more_types_has_come(
    release: Make,
) -> None:
    old, new = release(Placed), release(PlacedToday, Shipped)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def hold(_: Arrival) -> None:
        begun.set()
        await go_on.wait()

    await old.append(Placed("1"))
    outdated = old.worker(hold)
    await old.start(outdated)
    await begun.wait()

    await new.append(Shipped("1"))
    working = await new.start(new.worker())
    go_on.set()
    await until(outdated, SubscriptionState.WAITING)
    await working.settle()

    assert new.handed == [PlacedToday("1"), Shipped("1")]
    assert old.handed == [Placed("1")]


async def test_the_rows_of_a_projection_count_each_event_once_in_any_release(
    release: Make, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = release(Placed), release(PlacedToday, Shipped)
    held, go_on, commit = asyncio.Event(), asyncio.Event(), storage.commit

    async def commit_late(changes: Changes) -> Committed:
        if changes.checkpoints and not held.is_set():
            held.set()
            await go_on.wait()
        return await commit(changes)

    monkeypatch.setattr(storage, "commit", commit_late)
    await old.append(Placed("1"))
    outdated = await old.counts(OldCounts)
    await old.start(outdated)
    await held.wait()

    await new.append(Shipped("1"), PlacedToday("1"))
    current = await new.counts(NewCounts)
    await current.declare()
    go_on.set()
    await until(outdated, SubscriptionState.WAITING)
    assert await new.count("1") == 0
    working = await new.start(current)
    await working.settle()

    assert await new.count("1") == 3


async def test_an_idle_worker_does_not_come_past_what_it_does_not_know(
    release: Make, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = release(Placed), release(PlacedToday, Shipped)
    await old.append(Placed("1"))
    outdated = old.worker()
    await (await old.start(outdated)).settle()
    declared = new.worker()
    await declared.declare()
    position = await new.append(Shipped("1"))

    await until(outdated, SubscriptionState.WAITING)
    assert outdated.status().position < position
    await old.stop()

    (stored,) = await storage.subscriptions()
    assert max(checkpoint.position for checkpoint in stored.checkpoints) < position
    await (await new.start(declared)).settle()
    assert new.handed == [Shipped("1")]


async def test_a_handler_that_fails_in_an_outdated_worker_stops_nothing(release: Make) -> None:
    old, new = release(Placed), release(PlacedToday, Shipped)

    async def fail(_: Arrival) -> None:
        await new.worker().declare()
        raise RuntimeError("what the new code has written")

    await old.append(Placed("1"))
    outdated = old.worker(fail)
    await old.start(outdated)

    await until(outdated, SubscriptionState.WAITING)


async def test_a_worker_whose_list_is_complete_goes_on_when_the_stored_one_has_changed(
    release: Make, storage: Storage
) -> None:
    new = release(PlacedToday, Shipped)
    working = await new.start(new.worker())
    await new.append(Shipped("1"))
    await working.settle()

    await drop_types(storage, "mail", ["sales.shipped"])
    await new.append(Shipped("2"))
    await working.settle()

    assert set(map(str, new.handed)) == {str(Shipped("1")), str(Shipped("2"))}
    stored = await read_control(storage, "mail")
    assert stored.types == {"sales.placed": 2, "sales.shipped": 1}


async def test_a_newer_version_is_left_for_a_worker_that_knows_it(release: Make) -> None:
    old, new = release(Placed), release(PlacedToday)
    position = await new.append(PlacedToday("1"), PlacedToday("2"))
    await old.append(Placed("3"))
    waiting = old.worker()
    subscriptions = await old.start(waiting)

    said = await until(waiting, SubscriptionState.WAITING)
    assert said == "waits at position 1 for a worker that knows sales.placed version 2"
    assert waiting.status().failed_at is None
    assert old.handed == []

    working = await new.start(new.worker())
    await working.settle()
    await new.stop()
    await drop_types(old.storage, "mail", ["sales.placed"])
    await old.append(Placed("3"))
    await subscriptions.settle()

    assert len(new.handed) == 3
    assert old.handed == [Placed("3")]
    assert position == 2


async def test_what_comes_before_an_unknown_version_is_committed(release: Make) -> None:
    old, new = release(Placed), release(PlacedToday)
    before = await old.append(Placed("1"), Placed("2"))
    unknown = await new.append(PlacedToday("1"))
    waiting = old.worker()
    subscriptions = await old.start(waiting)

    await subscriptions.wait_for("mail", before)
    with pytest.raises(WaitTimeoutError, match=r"position 3 for a worker that knows sales.placed"):
        await subscriptions.settle(timeout=0.01)

    assert waiting.status().position == unknown - 1
    assert waiting.status().state is SubscriptionState.WAITING
    assert len(old.handed) == 2


async def test_unknown_types_are_no_obstacle_where_a_filter_does_not_name_them(
    release: Make,
) -> None:
    old, new = release(Placed), release(PlacedToday, Shipped)
    await new.append(Shipped("1"))
    waiting = old.worker(wanted=EVERYTHING)
    await old.start(waiting)

    assert "sales.shipped version 1" in await until(waiting, SubscriptionState.WAITING)


async def test_a_handler_that_meets_an_unknown_type_is_not_run_again_before_something_changes(
    release: Make, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = release(Placed)
    tried, looks, looked = list[int](), asyncio.Semaphore(0), storage.open_subscription

    async def open_subscription(
        name: str, *, partitions: int, start_after: int
    ) -> Sequence[Checkpoint]:
        looks.release()
        return await looked(name, partitions=partitions, start_after=start_after)

    async def load(arrival: Arrival) -> None:
        tried.append(arrival.stored.position)
        if len(tried) == 1:
            monkeypatch.setattr(storage, "open_subscription", open_subscription)
            raise UnknownTypeError("sales.basket-filled", 3, 2)

    await old.append(Placed("1"))
    waiting = old.worker(load)
    # As it is outside of tests: far longer than a look at what has changed.
    monkeypatch.setattr(waiting, "_unknown_after", 1000.0)
    subscriptions = await old.start(waiting)
    await until(waiting, SubscriptionState.WAITING, "sales.basket-filled version 3")
    for _ in range(10):
        await asyncio.wait_for(looks.acquire(), 20)
    assert tried == [1]

    await drop_types(storage, "mail", ["sales.placed"])
    await subscriptions.settle()

    assert tried == [1, 1]


async def test_after_a_rollback_for_good_the_types_can_be_dropped(
    release: Make, storage: Storage
) -> None:
    old, new = release(Placed), release(PlacedToday, Shipped)
    await new.worker().declare()
    waiting = old.worker()
    subscriptions = await old.start(waiting)
    await old.append(Placed("1"))
    await until(waiting, SubscriptionState.WAITING)

    left = await drop_types(storage, "mail", ["sales.placed", "sales.shipped"])
    await subscriptions.settle()

    assert left.types == {}
    assert old.handed == [Placed("1")]
    assert (await read_control(storage, "mail")).types == {"sales.placed": 1}


async def test_a_type_that_the_code_drops_or_reads_back_needs_nobody_else(release: Make) -> None:
    new = release(PlacedToday, Shipped)
    await new.worker().declare()
    await new.append(PlacedToday("1"), Shipped("1"))
    upcasters = Upcasters()
    upcasters.drop_event("sales.shipped")

    @upcasters.upcaster("sales.placed", version=2, to=[("sales.placed", 1)])
    def as_before(data: dict[str, object]) -> dict[str, object]:
        return {"order": data["order"]}

    after = release(Placed, upcasters=upcasters)

    working = await after.start(after.worker())
    await working.settle()

    assert after.handed == [Placed("1")]


async def test_a_list_that_cant_be_read_is_told_and_only_known_types_can_be_dropped(
    release: Make, storage: Storage
) -> None:
    old = release(Placed)
    with pytest.raises(ConfigurationError, match=r"not bound to x in this storage.*\(nothing\)"):
        await drop_types(storage, "mail", ["x"])
    await old.worker().declare()
    with pytest.raises(ConfigurationError, match=r"not bound to x in this storage.*sales.placed"):
        await drop_types(storage, "mail", ["x", "sales.placed"])
    row = RowChange(CONTROL_ROWS.name, "mail", '{"types":7}')
    await storage.commit(Changes(rows=(row,)))

    with pytest.raises(ConfigurationError, match="'mail' can't be read"):
        await old.worker().declare()
