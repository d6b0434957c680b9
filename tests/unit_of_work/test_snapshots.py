"""Snapshots: they save reading, and never change what a load gives."""

import logging
from functools import partial
from typing import Any, cast

import msgspec
import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock
from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import applies
from headwater.domain.snapshots import SLOW_EVENTS_MIN, Snapshots
from headwater.errors import MessageTypeError, WiringError
from headwater.event_store import EventStore
from headwater.operations.snapshots import SNAPSHOTS, kept_aside
from headwater.ports.changes import Changes, RowChange, StreamAction, StreamChange
from headwater.ports.rows import Row
from headwater.serialization.codec import EventCodec
from headwater.unit_of_work.snapshot_writer import SNAPSHOTS_WAITING_MAX, SnapshotWriter
from headwater.unit_of_work.units import Units
from tests.unit_of_work.counting import CountingStorage
from tests.unit_of_work.ledger import (
    Entered,
    Ledger,
    SnapshotLedger,
    enter,
    entries,
    new_units,
    registry_of_ledgers,
    sums,
)

STREAM = "app.ledger-7"


@pytest.fixture
async def counting() -> CountingStorage:
    storage = CountingStorage()
    await storage.open()
    return storage


async def drained(units: Units) -> None:
    await units.drain(seconds=10)


async def snapshot(storage: MemoryStorage, key: str = STREAM) -> Row | None:
    return (await storage.get_rows(SNAPSHOTS.name, (key,))).get(key)


async def snapshot_version(storage: MemoryStorage) -> int:
    row = await snapshot(storage)
    return int(msgspec.json.decode(row.data)["version"]) if row else 0


async def truncate(storage: MemoryStorage, before: int) -> None:
    change = StreamChange(STREAM, StreamAction.TRUNCATE, before)
    await storage.commit(Changes(streams=(change,)))


class TestPolicy:
    async def test_a_snapshot_is_taken_when_so_many_events_were_read(
        self, counting: CountingStorage
    ) -> None:
        units = new_units(counting)
        await enter(units, 1, 2)
        await entries(units, cls=SnapshotLedger)
        await drained(units)
        assert await snapshot(counting) is None

        await enter(units, 3)
        await entries(units, cls=SnapshotLedger)
        await drained(units)

        assert await snapshot_version(counting) == 3

    async def test_the_next_one_is_taken_as_many_events_later(
        self, counting: CountingStorage
    ) -> None:
        units = new_units(counting)
        versions: set[int] = set()
        for n in range(1, 10):
            await enter(units, n, cls=SnapshotLedger)
            await drained(units)
            versions.add(await snapshot_version(counting))

        # The load before an event finds that one is due, and it is taken after the commit.
        assert versions == {0, 4, 8}

    async def test_loading_reads_only_what_came_after_it(self, counting: CountingStorage) -> None:
        units = new_units(counting)
        await enter(units, *range(50))
        await entries(units, cls=SnapshotLedger)
        await drained(units)
        await enter(units, 50)
        counting.reads()

        assert await entries(new_units(counting), cls=SnapshotLedger) == [*range(51)]

        # The one that the snapshot stands for is read along.
        assert counting.reads() == 2

    async def test_a_slow_load_asks_for_one(self) -> None:
        clock = ManualClock()

        class Slow(CountingStorage):
            async def read_payloads(self, *args: Any, **options: Any) -> Any:
                clock.advance(0.2)
                return await super().read_payloads(*args, **options)

        class SlowLedger(Ledger, name="ledger", snapshots=Snapshots(slower_than=0.1)):
            pass

        storage = Slow()
        await storage.open()
        units = Units(storage, codec=EventCodec(registry_of_ledgers()), clock=clock)
        await enter(units, *range(SLOW_EVENTS_MIN - 1))
        await entries(units, cls=SlowLedger)
        await drained(units)
        assert await snapshot(storage) is None

        await enter(units, 99)
        await entries(units, cls=SlowLedger)
        await drained(units)

        assert await snapshot_version(storage) == SLOW_EVENTS_MIN

    async def test_without_a_policy_none_is_taken(self, counting: CountingStorage) -> None:
        units = new_units(counting)
        await enter(units, *range(200))
        await entries(units)
        await drained(units)

        assert SNAPSHOTS.name not in [spec.name for spec in await counting.collections()]

    async def test_deciders_have_them_too(self, counting: CountingStorage) -> None:
        units = new_units(counting)
        await enter(units, *range(50))
        decider = sums(snapshots=Snapshots(every=10))
        await units.decider_type(decider).load("7")
        await drained(units)
        counting.reads()

        loaded = await new_units(counting).decider_type(decider).load("7")

        assert (loaded.state.entries, loaded.version) == (tuple(range(50)), 50)
        assert counting.reads() == 1

    async def test_a_decision_rests_on_the_version_of_the_stream(
        self, counting: CountingStorage
    ) -> None:
        units = new_units(counting)
        await enter(units, *range(10))
        decider = sums(snapshots=Snapshots(every=3))
        for n in (10, 11, 12):
            async with units.unit_of_work() as unit:
                await unit.decide(decider, "7", n)
            await drained(units)

        assert await entries(units) == [*range(13)]


class TestFitting:
    async def test_one_of_another_version_is_ignored_and_replaced(
        self, counting: CountingStorage
    ) -> None:
        units = new_units(counting)
        await enter(units, 1, 2, 3)
        await entries(units, cls=SnapshotLedger)
        await drained(units)

        class Later(SnapshotLedger, name="ledger", snapshot_version=2):
            pass

        assert await entries(units, cls=Later) == [1, 2, 3]
        await drained(units)

        row = await snapshot(counting)
        assert row is not None
        assert msgspec.json.decode(row.data)["snapshot_version"] == 2

    async def test_older_code_leaves_the_one_of_newer_code_alone(
        self, counting: CountingStorage
    ) -> None:
        class Later(SnapshotLedger, name="ledger", snapshot_version=2):
            pass

        units = new_units(counting)
        await enter(units, 1, 2, 3)
        await entries(units, cls=Later)
        await drained(units)
        before = await snapshot(counting)

        assert await entries(units, cls=SnapshotLedger) == [1, 2, 3]
        await drained(units)

        assert await snapshot(counting) == before

    async def test_one_that_other_code_has_folded_is_not_used(
        self, counting: CountingStorage
    ) -> None:
        units = new_units(counting)
        await enter(units, 1, 2, 3)
        await entries(units, cls=SnapshotLedger)
        await drained(units)

        class Doubled(SnapshotLedger, name="ledger"):
            @applies
            def _entered(self, event: Entered) -> None:
                self.entries.append(event.cents * 2)

        assert await entries(units, cls=Doubled) == [2, 4, 6]

    async def test_one_from_before_an_attribute_was_added_is_not_used(
        self, counting: CountingStorage
    ) -> None:
        class Counted(SnapshotLedger, name="ledger"):
            count: int = 0

            @applies
            def _entered(self, event: Entered) -> None:
                self.entries.append(event.cents)
                self.count += 1

        units = new_units(counting)
        await enter(units, 1, 2, 3)
        await entries(units, cls=SnapshotLedger)
        await drained(units)

        ledger = await units.new().repository(Counted).get("7")

        assert ledger.count == 3

    @pytest.mark.parametrize("data", ['{"version":3}', '"what"', "null", '{"state":'])
    async def test_one_that_can_not_be_read_is_ignored_and_replaced(
        self, counting: CountingStorage, data: str
    ) -> None:
        units = new_units(counting)
        await enter(units, 1, 2, 3)
        await entries(units, cls=SnapshotLedger)
        await drained(units)
        await counting.commit(Changes(rows=(RowChange(SNAPSHOTS.name, STREAM, data),)))

        assert await entries(units, cls=SnapshotLedger) == [1, 2, 3]
        await drained(units)

        assert await snapshot_version(counting) == 3

    @pytest.mark.parametrize("damage", [("[1,2,3]", '"what"'), ('"event_id":"', '"event_id":"x')])
    async def test_a_damaged_one_is_ignored_and_replaced(
        self, counting: CountingStorage, damage: tuple[str, str]
    ) -> None:
        units = new_units(counting)
        await enter(units, 1, 2, 3)
        await entries(units, cls=SnapshotLedger)
        await drained(units)
        good = await snapshot(counting)
        assert good is not None
        bad = good.data.replace(*damage)
        await counting.commit(Changes(rows=(RowChange(SNAPSHOTS.name, STREAM, bad),)))

        assert await entries(units, cls=SnapshotLedger) == [1, 2, 3]
        await drained(units)

        mended = await snapshot(counting)
        assert mended is not None
        assert mended.data == good.data

    async def test_one_of_a_log_that_was_rewound_is_replaced(
        self, counting: CountingStorage
    ) -> None:
        units = new_units(counting)
        await enter(units, 1, 2, 3)
        await entries(units, cls=SnapshotLedger)
        await drained(units)
        taken = await snapshot(counting)
        assert taken is not None
        other = CountingStorage()
        await other.open()
        await enter(new_units(other), 4, 5, 6)
        await other.prepare_collections([SNAPSHOTS])
        await other.commit(Changes(rows=(RowChange(SNAPSHOTS.name, STREAM, taken.data),)))
        units = new_units(other)

        assert await entries(units, cls=SnapshotLedger) == [4, 5, 6]
        await drained(units)

        row = await snapshot(other)
        assert row is not None
        assert msgspec.json.decode(row.data)["state"] == {"entries": [4, 5, 6]}


class TestErasedEvents:
    async def test_the_version_is_that_of_the_stream(self, counting: CountingStorage) -> None:
        units = new_units(counting)
        await enter(units, 1, 2, 3, 4)
        await truncate(counting, before=3)

        ledger = await units.new().repository(Ledger).get("7")
        await enter(units, 5)

        assert (ledger.entries, ledger.version) == ([3, 4], 4)
        assert await entries(units) == [3, 4, 5]

    async def test_a_stream_without_any_event_left_takes_new_ones_at_its_version(
        self, counting: CountingStorage
    ) -> None:
        units = new_units(counting)
        await enter(units, 1, 2)
        await truncate(counting, before=3)

        assert await units.new().repository(Ledger).find("7") is None
        await enter(units, 3)

        ledger = await units.new().repository(Ledger).get("7")
        assert (ledger.entries, ledger.version) == ([3], 3)

    @pytest.mark.parametrize("before", [2, 3, 4])
    async def test_a_snapshot_may_know_what_the_log_does_not_any_more(
        self, counting: CountingStorage, before: int
    ) -> None:
        units = new_units(counting)
        await enter(units, 1, 2, 3)
        await entries(units, cls=SnapshotLedger)
        await drained(units)
        await truncate(counting, before=before)

        assert await entries(new_units(counting), cls=SnapshotLedger) == [1, 2, 3]
        await enter(units, 4, cls=SnapshotLedger)
        assert await entries(new_units(counting), cls=SnapshotLedger) == [1, 2, 3, 4]

    async def test_one_that_ends_before_what_is_left_is_not_used(
        self, counting: CountingStorage
    ) -> None:
        units = new_units(counting)
        await enter(units, 1, 2, 3)
        await entries(units, cls=SnapshotLedger)
        await drained(units)
        await enter(units, 4, 5)
        await truncate(counting, before=5)

        assert await entries(units, cls=SnapshotLedger) == [5]

    async def test_one_of_other_code_that_may_be_the_only_source_is_kept_aside(
        self, counting: CountingStorage, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Later(
            SnapshotLedger, name="ledger", snapshot_version=2, snapshots=Snapshots(every=1)
        ):
            pass

        units = new_units(counting)
        await enter(units, 1, 2, 3)
        await entries(units, cls=SnapshotLedger)
        await drained(units)
        await truncate(counting, before=3)
        before = await snapshot(counting)
        assert before is not None

        assert await entries(units, cls=Later) == [3]
        await drained(units)

        aside = await snapshot(counting, kept_aside(STREAM))
        assert aside is not None
        assert aside.data == before.data
        assert "kept aside" in caplog.text

    async def test_that_of_a_tombstoned_stream_is_neither_used_nor_kept(
        self, counting: CountingStorage
    ) -> None:
        units = new_units(counting)
        await enter(units, 1, 2, 3)
        await entries(units, cls=SnapshotLedger)
        await drained(units)
        change = StreamChange(STREAM, StreamAction.TOMBSTONE)
        await counting.commit(Changes(streams=(change,)))

        assert await units.new().repository(SnapshotLedger).find("7") is None
        await drained(units)

        assert await snapshot(counting) is None

    async def test_a_tombstone_takes_them_along(self, counting: CountingStorage) -> None:
        units = new_units(counting)
        await enter(units, 1, 2, 3)
        await entries(units, cls=SnapshotLedger)
        await drained(units)
        assert await snapshot(counting) is not None

        await EventStore.on(units).tombstone(STREAM, reason="closed for good")

        assert await snapshot(counting) is None


class TestWriting:
    async def test_a_state_that_would_not_come_back_is_not_stored(
        self, counting: CountingStorage, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Stray(SnapshotLedger, name="ledger"):
            @applies
            def _entered(self, event: Entered) -> None:
                self.entries.append(event.cents)
                vars(self)["stray"] = 1

        units = new_units(counting)
        await enter(units, 1, 2, 3)

        assert await entries(units, cls=Stray) == [1, 2, 3]
        await drained(units)

        assert await snapshot(counting) is None
        assert "No snapshot of 'app.ledger-7' was written" in caplog.text

    async def test_a_list_that_two_attributes_share_is_not_stored(
        self, counting: CountingStorage, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Sharing(SnapshotLedger, name="ledger"):
            same: list[int] = []  # noqa: RUF012 - copied for each instance

            @applies
            def _entered(self, event: Entered) -> None:
                self.same = self.entries
                self.entries.append(event.cents)

        units = new_units(counting)
        await enter(units, 1, 2, 3)
        await entries(units, cls=Sharing)
        await drained(units)

        assert await snapshot(counting) is None
        assert "the same list" in str(caplog.records[-1].exc_info)

    async def test_one_is_never_written_over_a_newer_one(self, counting: CountingStorage) -> None:
        units, slower = new_units(counting), new_units(counting)
        await enter(units, 1, 2, 3)
        await entries(slower, cls=SnapshotLedger)
        await enter(units, 4, 5, 6)
        await entries(units, cls=SnapshotLedger)
        await drained(units)
        await drained(slower)

        assert await snapshot_version(counting) == 6

    async def test_too_many_are_dropped_and_asked_for_again(self) -> None:
        writer = SnapshotWriter()
        taken: list[int] = []

        async def take(n: int) -> None:
            taken.append(n)

        accepted = [
            writer.offer(str(n), partial(take, n)) for n in range(SNAPSHOTS_WAITING_MAX + 1)
        ]
        await writer.drain()

        assert accepted == [True] * SNAPSHOTS_WAITING_MAX + [False]
        assert taken == [*range(SNAPSHOTS_WAITING_MAX)]
        assert writer.offer("again", partial(take, -1))
        await writer.drain()
        assert taken[-1] == -1

    async def test_a_failing_one_is_logged_and_harms_no_other(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        writer = SnapshotWriter()
        taken: list[str] = []

        async def fail() -> None:
            raise RuntimeError("disk on fire")

        async def take() -> None:
            taken.append("other")

        with caplog.at_level(logging.WARNING, "headwater"):
            writer.offer("bad", fail)
            writer.offer("good", take)
            await writer.drain()

        assert taken == ["other"]
        assert "No snapshot of 'bad' was written" in caplog.text


class TestWiring:
    def test_a_state_that_can_not_be_read_back_is_a_fault(self) -> None:
        class Opaque(Aggregate[str], snapshots=Snapshots(every=1)):
            anything: object = None

        with pytest.raises(MessageTypeError):
            new_units(MemoryStorage()).aggregate_type(Opaque)

    def test_a_row_needs_no_snapshots(self) -> None:
        with pytest.raises(WiringError, match="is stored as state, and asks for snapshots"):
            type("Row", (Aggregate,), {}, stored="state", snapshots=Snapshots(every=1))

    def test_numbers_out_of_range_are_said(self) -> None:
        with pytest.raises(ValueError, match="1 event or more"):
            Snapshots(every=0)
        with pytest.raises(ValueError, match="0 or more"):
            Snapshots(slower_than=-1)
        with pytest.raises(WiringError, match="snapshot_version=0"):
            sums(snapshot_version=0)
        with pytest.raises(WiringError, match="cache=-1"):
            type("Bad", (cast("Any", Ledger),), {}, cache=-1)
