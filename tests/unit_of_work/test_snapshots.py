"""Snapshots: they save reading, and never change what a load gives."""

from typing import Any

import msgspec
import pytest

from headwater.clock import ManualClock
from headwater.domain.applies import applies
from headwater.domain.snapshots import SLOW_EVENTS_MIN, Snapshots
from headwater.operations.snapshots import SNAPSHOTS
from headwater.ports.changes import Changes, RowChange
from headwater.serialization.codec import EventCodec
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
from tests.unit_of_work.snapshotting import STREAM, drained, snapshot, snapshot_version


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
