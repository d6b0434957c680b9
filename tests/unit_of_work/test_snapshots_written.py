"""Snapshots of streams whose events are erased; how they are written; what is refused."""

import logging
from functools import partial
from typing import Any, cast

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.domain.aggregate import Aggregate
from headwater.domain.applies import applies
from headwater.domain.snapshots import Snapshots
from headwater.errors import MessageTypeError, WiringError
from headwater.event_store import EventStore
from headwater.operations.snapshots import kept_aside
from headwater.ports.changes import Changes, StreamAction, StreamChange
from headwater.unit_of_work.snapshot_writer import SNAPSHOTS_WAITING_MAX, SnapshotWriter
from tests.unit_of_work.counting import CountingStorage
from tests.unit_of_work.ledger import (
    Entered,
    Ledger,
    SnapshotLedger,
    enter,
    entries,
    new_units,
    sums,
)
from tests.unit_of_work.snapshotting import STREAM, drained, snapshot, snapshot_version


async def truncate(storage: MemoryStorage, before: int) -> None:
    change = StreamChange(STREAM, StreamAction.TRUNCATE, before)
    await storage.commit(Changes(streams=(change,)))


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

        # It is said once, and costs nothing until the stream is twice as long.
        counting.reads()
        await entries(units)
        once = counting.reads()
        for _ in range(3):
            await entries(units, cls=Stray)
            await drained(units)
        assert (counting.reads(), len(caplog.records)) == (3 * once, 1)
        await enter(units, 4, 5, 6)
        await entries(units, cls=Stray)
        await drained(units)
        assert len(caplog.records) == 2

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
