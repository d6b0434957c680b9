"""Streams are archived, restored and closed for good, each in one step with all else."""

import pytest

from headwater.errors import (
    ConcurrencyError,
    IdempotencyConflictError,
    InvalidNameError,
    StreamClosedError,
)
from headwater.ports.changes import Appended, Changes, Committed, StreamChange
from headwater.ports.log import LogFilter, StreamInfo, StreamState
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import (
    append,
    appending,
    archive,
    changing,
    commit_all,
    new_event,
    new_events,
    positions,
    restore,
    tombstone,
    truncate,
)
from headwater.testing.conformance.suite import StorageSuite

CLOSINGS = {"archived": archive("order-1"), "tombstoned": tombstone("order-1")}
WITH_ARCHIVED = LogFilter(archived=True)


async def assert_closed(storage: Storage, changes: Changes, state: str) -> None:
    """Assert that *changes* are refused because stream order-1 is *state*."""
    with pytest.raises(StreamClosedError) as refusal:
        await storage.commit(changes)
    assert (refusal.value.stream_id, refusal.value.state) == ("order-1", state)


class StreamChangesConformance(StorageSuite):
    """What becomes of a stream, and who is refused afterwards."""

    async def test_the_log_is_read_past_archived_streams_unless_they_are_asked_for(
        self, storage: Storage
    ) -> None:
        for stream_id in ("order-1", "order-2", "order-1", "$timer-1"):
            await storage.commit(appending(stream_id, new_event(tags=("a",))))

        committed = await storage.commit(changing(archive("order-1"), archive("$timer-1")))

        assert committed == Committed()
        assert await positions(storage) == [2]
        assert await positions(storage, LogFilter(internal=True)) == [2]
        assert await positions(storage, WITH_ARCHIVED) == [1, 2, 3]
        assert await positions(storage, LogFilter(tags=frozenset({"a"}))) == [2]
        both = LogFilter(tags=frozenset({"a"}), internal=True, archived=True)
        assert await positions(storage, both) == [1, 2, 3, 4]
        page = await storage.read_log(after=2)
        assert (page.events, page.scanned_to, page.head) == ((), 4, 4)

    async def test_an_archived_stream_can_still_be_read_as_a_stream(self, storage: Storage) -> None:
        events = new_events(3)
        await storage.commit(appending("order-1", *events))

        await storage.commit(changing(archive("order-1")))

        stored = await storage.read_stream("order-1")
        assert [event.id for event in stored] == [event.id for event in events]
        assert [one[0] for one in await storage.read_payloads("order-1")] == [1, 2, 3]
        assert len(await storage.read_stream("order-1", backwards=True, limit=2)) == 2

    async def test_a_restored_stream_is_as_it_was(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", *new_events(2)))
        await storage.commit(changing(archive("order-1")))

        await storage.commit(changing(restore("order-1")))

        assert await positions(storage) == [1, 2]
        assert await storage.stream_info("order-1") == StreamInfo("order-1", 2, 1)
        expected = ExpectedVersion.exactly(2)
        committed = await storage.commit(appending("order-1", new_event(), expected=expected))
        assert committed == Committed(3, (Appended("order-1", 3, 3),))
        assert await positions(storage) == [1, 2, 3]

    @pytest.mark.parametrize("state", CLOSINGS)
    @pytest.mark.parametrize("count", [0, 2])
    async def test_a_closed_stream_takes_no_events_whatever_version_is_expected(
        self, storage: Storage, state: str, count: int
    ) -> None:
        await storage.commit(Changes(appends=(append("order-1", *new_events(count)),)))
        await storage.commit(changing(CLOSINGS[state]))

        for expected in (ExpectedVersion.any(), ExpectedVersion.exactly(7)):
            await assert_closed(
                storage, appending("order-1", new_event(), expected=expected), state
            )

        assert await storage.head() == count
        assert (await storage.stream_info("order-1")).version == count

    @pytest.mark.parametrize("state", CLOSINGS)
    async def test_an_append_without_events_only_guards_a_closed_stream(
        self, storage: Storage, state: str
    ) -> None:
        await storage.commit(appending("order-1", *new_events(2)))
        await storage.commit(changing(CLOSINGS[state]))

        committed = await storage.commit(appending("order-1", expected=ExpectedVersion.exactly(2)))

        assert committed == Committed(0, (Appended("order-1", 2, 0),))
        with pytest.raises(ConcurrencyError):
            await storage.commit(appending("order-1", expected=ExpectedVersion.no_stream()))

    @pytest.mark.parametrize("state", CLOSINGS)
    async def test_a_repetition_on_a_closed_stream_gets_the_first_result(
        self, storage: Storage, state: str
    ) -> None:
        changes = appending("order-1", *new_events(2), expected=ExpectedVersion.no_stream())
        first = await storage.commit(changes)
        await storage.commit(changing(CLOSINGS[state]))

        assert await storage.commit(changes) == first

    async def test_ids_are_looked_at_before_a_closed_stream_refuses_and_versions_after(
        self, storage: Storage
    ) -> None:
        known = new_event()
        await storage.commit(appending("order-2", known))
        await storage.commit(changing(archive("order-1")))

        with pytest.raises(IdempotencyConflictError):
            await storage.commit(appending("order-1", known, new_event()))
        wrong = append("order-2", new_event(), expected=ExpectedVersion.no_stream())
        await assert_closed(
            storage, Changes(appends=(wrong, append("order-1", new_event()))), "archived"
        )

    @pytest.mark.parametrize("change", [archive("order-1"), restore("order-1")], ids=str)
    async def test_a_tombstoned_stream_can_be_neither_archived_nor_restored(
        self, storage: Storage, change: StreamChange
    ) -> None:
        await storage.commit(appending("order-1", new_event()))
        await storage.commit(changing(tombstone("order-1")))

        await assert_closed(storage, changing(change), "tombstoned")

    async def test_what_a_stream_is_already_it_can_be_made_again(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", *new_events(2)))

        await storage.commit(changing(restore("order-1"), restore("order-2")))
        await storage.commit(changing(archive("order-1"), archive("order-1")))
        await storage.commit(changing(archive("order-1")))

        archived = StreamInfo("order-1", 2, 1, StreamState.ARCHIVED)
        assert await storage.stream_info("order-1") == archived
        await storage.commit(changing(tombstone("order-1")))
        await storage.commit(changing(tombstone("order-1"), truncate("order-1", 2)))
        gone = StreamInfo("order-1", 2, 0, StreamState.TOMBSTONED)
        assert await storage.stream_info("order-1") == gone

    async def test_a_stream_change_sees_the_appends_and_the_changes_before_it(
        self, storage: Storage
    ) -> None:
        await storage.commit(
            Changes(
                appends=(append("order-1", *new_events(3)), append("order-2", *new_events(2))),
                streams=(
                    archive("order-2"),
                    truncate("order-1", 3),
                    restore("order-2"),
                    archive("order-1"),
                ),
            )
        )

        assert await storage.read_streams() == (
            StreamInfo("order-1", 3, 3, StreamState.ARCHIVED),
            StreamInfo("order-2", 2, 1),
        )
        assert await positions(storage) == [4, 5]
        await assert_closed(
            storage,
            Changes(appends=(append("order-1", new_event()),), streams=(restore("order-1"),)),
            "archived",
        )

    async def test_a_change_that_is_refused_takes_those_before_it_with_it(
        self, storage: Storage
    ) -> None:
        await storage.commit(appending("order-2", *new_events(2)))
        await storage.commit(changing(tombstone("order-1")))

        await assert_closed(
            storage,
            Changes(
                appends=(append("order-3", new_event()),),
                streams=(archive("order-2"), truncate("order-2", 2), restore("order-1")),
            ),
            "tombstoned",
        )

        assert await positions(storage) == [1, 2]
        assert await storage.stream_info("order-2") == StreamInfo("order-2", 2, 1)
        assert (await storage.commit(appending("order-2", new_event()))).position == 3

    async def test_a_stream_that_cannot_be_one_cannot_be_changed(self, storage: Storage) -> None:
        with pytest.raises(InvalidNameError):
            await storage.commit(changing(archive("order-\n")))

    async def test_stream_changes_that_wait_together_are_done_in_order_of_arrival(
        self, storage: Storage
    ) -> None:
        many = [
            appending("order-1", new_event()),
            changing(archive("order-1")),
            appending("order-1", new_event()),
            changing(restore("order-1")),
            appending("order-1", new_event(), expected=ExpectedVersion.exactly(1)),
            changing(truncate("order-1", 9)),
            appending("order-1", new_event(), expected=ExpectedVersion.exactly(2)),
            changing(restore("order-1"), archive("order-2")),
            changing(tombstone("order-2"), restore("order-2")),
            appending("order-2", new_event()),
        ]

        results = await commit_all(storage, many)

        refused = StreamClosedError
        assert [r.position if isinstance(r, Committed) else type(r) for r in results] == [
            *(1, 0, refused, 0, 2, 0, 3, 0, refused, refused),
        ]
        assert await storage.read_streams() == (
            StreamInfo("order-1", 3, 3),
            StreamInfo("order-2", 0, 0, StreamState.ARCHIVED),
        )
        assert await positions(storage) == [3]
