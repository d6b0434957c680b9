"""The past: an aggregate or decider as of a version or a time, and what has changed since."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater import Receipt
from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock
from headwater.domain.snapshots import Snapshots
from headwater.errors import (
    AggregateError,
    AggregateNotFoundError,
    HistoryUnavailableError,
    LimitExceededError,
    MomentError,
    UnitOfWorkError,
)
from headwater.event_store import EventStore
from headwater.messages import Value
from headwater.ports.changes import Changes, StreamAction, StreamChange
from headwater.unit_of_work import difference
from headwater.unit_of_work.difference import ABSENT, Changed, changes_between
from tests.unit_of_work.ledger import (
    Closed,
    Entered,
    Ledger,
    SnapshotLedger,
    enter,
    entries,
    new_units,
    sums,
)
from tests.unit_of_work.shop import Customer

BEGUN = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(BEGUN)


@pytest.fixture
async def past(clock: ManualClock) -> MemoryStorage:
    """Ledger 7 gets 0 at once, 1 after a minute, and so on up to 9."""
    storage = MemoryStorage(clock)
    await storage.open()
    for n in range(10):
        await enter(new_units(storage), n)
        clock.advance(MINUTE)
    return storage


@pytest.fixture
def store(past: MemoryStorage) -> EventStore:
    return EventStore(past, types=[Entered, Closed])


async def truncate(storage: MemoryStorage, before: int) -> None:
    change = StreamChange("app.ledger-7", StreamAction.TRUNCATE, before)
    await storage.commit(Changes(streams=(change,)))


@pytest.mark.parametrize("cls", [Ledger, SnapshotLedger])
@pytest.mark.parametrize("version", [1, 4, 10])
async def test_as_of_a_version(store: EventStore, cls: type[Ledger], version: int) -> None:
    await store.repository(cls).get("7")

    ledger = await store.repository(cls).get("7", as_of=version)

    assert (ledger.entries, ledger.version) == ([*range(version)], version)


@pytest.mark.parametrize(
    ("after", "entered"),
    [
        (timedelta(), 1),
        (MINUTE - timedelta(microseconds=1), 1),
        (MINUTE, 2),
        (5 * MINUTE, 6),
        (timedelta(days=1), 10),
    ],
)
async def test_as_of_a_time_the_events_recorded_by_then_count(
    store: EventStore, after: timedelta, entered: int
) -> None:
    ledger = await store.repository(Ledger).get("7", as_of=BEGUN + after)

    assert ledger.entries == [*range(entered)]


async def test_as_of_a_position_of_the_log_the_events_up_to_there_count(
    store: EventStore,
) -> None:
    events = [event async for event in store.read_all()]

    ledger = await store.repository(Ledger).get("7", as_of=events[3])

    assert ledger.entries == [*range(4)]
    assert await store.repository(Ledger).find("7", as_of=Receipt(None, 0)) is None


async def test_before_its_first_event_there_was_none(store: EventStore) -> None:
    before = BEGUN - timedelta(microseconds=1)

    assert await store.repository(Ledger).find("7", as_of=before) is None
    assert await store.repository(Ledger).find("nobody", as_of=1) is None
    with pytest.raises(AggregateNotFoundError):
        await store.repository(Ledger).get("7", as_of=before)


async def test_a_stream_has_no_version_that_it_has_not_come_to(store: EventStore) -> None:
    with pytest.raises(HistoryUnavailableError, match=r"as of version 11: .* is at version 10"):
        await store.repository(Ledger).get("7", as_of=11)


async def test_what_is_no_version_and_no_moment_is_refused(store: EventStore) -> None:
    ledgers = store.repository(Ledger)

    with pytest.raises(MomentError, match="count from 1"):
        await ledgers.get("7", as_of=0)
    with pytest.raises(MomentError, match="has no time zone"):
        await ledgers.get("7", as_of=datetime(2024, 1, 1))  # noqa: DTZ001 - the fault
    with pytest.raises(MomentError, match="it is a str"):
        await ledgers.get("7", as_of="yesterday")  # type: ignore[arg-type] # the fault


async def test_erased_events_can_not_be_shown(store: EventStore, past: MemoryStorage) -> None:
    await truncate(past, before=5)
    ledgers = store.repository(Ledger)

    with pytest.raises(HistoryUnavailableError, match="up to there were erased"):
        await ledgers.get("7", as_of=4)
    with pytest.raises(HistoryUnavailableError, match="up to there were erased"):
        await ledgers.get("7", as_of=BEGUN)
    assert (await ledgers.get("7", as_of=6)).entries == [4, 5]

    await truncate(past, before=11)
    with pytest.raises(HistoryUnavailableError, match="up to there were erased"):
        await ledgers.get("7", as_of=10)


async def test_a_snapshot_shows_what_led_to_it(store: EventStore, past: MemoryStorage) -> None:
    units = new_units(past)
    await entries(units, cls=SnapshotLedger)
    await units.write_snapshots()
    await enter(units, 10, 11)
    await truncate(past, before=11)

    ledger = await store.repository(SnapshotLedger).get("7", as_of=11)

    assert ledger.entries == [*range(11)]


async def test_what_is_stored_as_state_has_no_past(store: EventStore) -> None:
    with pytest.raises(HistoryUnavailableError, match="stored as state"):
        await store.repository(Customer).get(UUID(int=7), as_of=1)


async def test_the_past_takes_no_events(past: MemoryStorage) -> None:
    unit = new_units(past).new()
    ledgers = unit.repository(Ledger)
    ledger = await ledgers.get("7", as_of=3)

    with pytest.raises(AggregateError, match=r"shown as of version 3, to look at"):
        ledger.enter(99)
    with pytest.raises(UnitOfWorkError, match="was stored before"):
        ledgers.add(ledger)
    now = await ledgers.get("7")
    assert now is not ledger
    now.enter(10)
    await unit.commit()
    assert (await entries(new_units(past)))[-1] == 10


async def test_a_deciders_state_as_of_a_version_or_time(store: EventStore) -> None:
    decider = store.decider(sums(snapshots=Snapshots(every=3), cache=1))
    await decider.decide("7", 10)

    assert (await decider.state("7")).entries == tuple(range(11))
    assert (await decider.state("7", as_of=3)).entries == (0, 1, 2)
    assert (await decider.state("7", as_of=BEGUN + MINUTE)).entries == (0, 1)
    assert (await decider.state("nobody")).entries == ()


@settings(max_examples=40, deadline=None)
@given(
    pauses=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    erased=st.integers(0, 12),
    asked=st.integers(-1, 40),
)
def test_every_moment_shows_what_was_recorded_by_then(
    pauses: list[int], erased: int, asked: int
) -> None:
    async def run() -> None:
        clock = ManualClock(BEGUN)
        storage = MemoryStorage(clock)
        await storage.open()
        units = new_units(storage)
        moments: list[datetime] = []
        for n, pause in enumerate(pauses):
            clock.advance(pause)
            moments.append(clock.now())
            await enter(units, n)
        await truncate(storage, before=min(erased, len(pauses)))
        moment = BEGUN + timedelta(seconds=asked)
        then = sum(each <= moment for each in moments)
        left = max(0, min(erased, len(pauses)) - 1)

        ledgers = EventStore.on(units).repository(Ledger)
        if left and then <= left:
            with pytest.raises(HistoryUnavailableError):
                await ledgers.find("7", as_of=moment)
        else:
            ledger = await ledgers.find("7", as_of=moment)
            assert (ledger.entries if ledger else []) == [*range(left, then)]
            assert (ledger.version if ledger else 0) == then

    asyncio.run(run())


class TestDifferences:
    async def test_it_names_what_changed_and_the_events_between(self, store: EventStore) -> None:
        found = await store.repository(Ledger).diff("7", 2, 4)

        assert (found.before, found.after) == (2, 4)
        assert found.changes == (
            Changed("entries[2]", ABSENT, 2),
            Changed("entries[3]", ABSENT, 3),
        )
        assert [event.payload for event in found.events] == [Entered(2), Entered(3)]
        assert [event.version for event in found.events] == [3, 4]

    async def test_times_and_now_and_the_beginning(self, store: EventStore) -> None:
        ledgers = store.repository(Ledger)

        since = await ledgers.diff("7", BEGUN + 8 * MINUTE)
        whole = await ledgers.diff("7", 0)
        nothing = await ledgers.diff("7", 3, 3)

        assert (since.before, since.after) == (9, 10)
        assert (whole.before, len(whole.changes), len(whole.events)) == (0, 10, 10)
        assert (nothing.changes, nothing.events) == ((), ())

    async def test_of_a_decider(self, store: EventStore) -> None:
        found = await store.decider(sums()).diff("7", 1, 2)

        assert found.changes == (Changed("entries[1]", ABSENT, 1),)

    async def test_the_order_counts(self, store: EventStore) -> None:
        with pytest.raises(MomentError, match=r"4 names no .*: it comes after 2"):
            await store.repository(Ledger).diff("7", 4, 2)

    async def test_too_many_events_are_an_error(
        self, store: EventStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(difference, "DIFFERENCE_EVENTS_MAX", 3)

        with pytest.raises(LimitExceededError):
            await store.repository(Ledger).diff("7", 1)

    def test_paths_name_the_smallest_part(self) -> None:
        class Line(Value):
            sku: str
            price: Decimal

        class Cart(Value):
            lines: tuple[Line, ...]
            stock: dict[str, int]
            note: str | None = None

        before = Cart((Line("a", Decimal("1.0")), Line("b", Decimal(2))), {"x": 1, "y": 2})
        after = Cart((Line("a", Decimal("1.00")), Line("b", Decimal(3))), {"y": 3, "z": 1}, "n")

        assert [*changes_between(before, after)] == [
            Changed("lines[0].price", Decimal("1.0"), Decimal("1.00")),
            Changed("lines[1].price", Decimal(2), Decimal(3)),
            Changed("stock['x']", 1, ABSENT),
            Changed("stock['y']", 2, 3),
            Changed("stock['z']", ABSENT, 1),
            Changed("note", None, "n"),
        ]
        assert [*changes_between(1, True)] == [Changed("", 1, True)]
