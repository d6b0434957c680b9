"""The promises of `headwater.ports.restoration`: a log becomes exactly what another one was."""

import pytest

from headwater.errors import (
    InvalidNameError,
    LogRewoundError,
    RestoreConflictError,
    StorageClosedError,
    StreamClosedError,
)
from headwater.ports.log import LogFilter, StoredEvent, StreamInfo, StreamState
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import (
    OCCURRED_AT,
    appending,
    id_bytes,
    new_event,
    whole_log,
)
from headwater.testing.conformance.suite import StorageSuite

EVERYTHING_THERE = LogFilter(internal=True, archived=True)


def stored(
    position: int,
    stream_id: str = "order-1",
    version: int | None = None,
    *,
    id: bytes | None = None,
    recorded_at: int = OCCURRED_AT,
    tags: tuple[str, ...] = (),
) -> StoredEvent:
    """Return an event as another storage had it; its version is its position by default."""
    return StoredEvent(
        position,
        stream_id,
        position if version is None else version,
        id or id_bytes(),
        "sales.order-placed",
        2,
        '{"total": "9.99"}',
        OCCURRED_AT - 5,
        recorded_at,
        id_bytes(),
        id_bytes(),
        "ada",
        "acme",
        "00-1-2-01",
        '{"a":"b"}',
        tags,
    )


class RestorationConformance(StorageSuite):
    """What an import can rely on."""

    async def test_restored_events_are_what_they_were(self, storage: Storage) -> None:
        events = (
            stored(1),
            stored(2, "order-2", 1, tags=("student:1", "course:2")),
            stored(3, "$timers-1", 1, recorded_at=OCCURRED_AT + 7),
        )

        await storage.restore_log(events, head=3)

        assert tuple(await whole_log(storage, EVERYTHING_THERE)) == events
        assert await storage.read_stream("order-2") == events[1:2]
        assert await whole_log(storage, LogFilter(tags=frozenset({"course:2"}))) == [events[1]]
        assert await storage.head() == 3

    async def test_positions_that_are_left_out_stay_empty(self, storage: Storage) -> None:
        await storage.restore_log((stored(3, version=4), stored(7, version=5)), head=9)
        committed = await storage.commit(appending("order-1", new_event()))

        assert [event.position for event in await whole_log(storage)] == [3, 7, 10]
        assert (committed.position, committed.appends[0].version) == (10, 6)
        assert await storage.stream_info("order-1") == StreamInfo("order-1", 6, 4)

    async def test_a_restored_log_goes_on_where_it_was_cut(self, storage: Storage) -> None:
        events = tuple(stored(position) for position in range(1, 6))

        await storage.restore_log(events[:2], head=2)
        await storage.restore_log(events[2:], head=5)
        await storage.restore_log((), head=8)

        assert tuple(await whole_log(storage)) == events
        assert await storage.head() == 8

    async def test_time_goes_on_from_the_last_restored_event(self, storage: Storage) -> None:
        late = 4_000_000_000_000_000
        await storage.restore_log((stored(1, recorded_at=late),), head=1)

        await storage.commit(appending("order-1", new_event()))

        assert [event.recorded_at for event in await whole_log(storage)] == [late, late]

    async def test_a_restored_id_is_known(self, storage: Storage) -> None:
        event = stored(1)
        await storage.restore_log((event,), head=1)
        again = new_event(event.type, event.data, id=event.id, schema_version=2)

        committed = await storage.commit(appending("order-1", again))

        assert committed.position == 1
        assert await storage.head() == 1

    async def test_what_does_not_go_with_itself_is_refused(self, storage: Storage) -> None:
        id = id_bytes()
        wrong: list[tuple[tuple[StoredEvent, ...], int]] = [
            ((stored(2), stored(1)), 2),
            ((stored(1, version=2), stored(2, version=2)), 2),
            ((stored(1, recorded_at=OCCURRED_AT + 1), stored(2)), 2),
            ((stored(1, id=id), stored(2, id=id)), 2),
            ((stored(1), stored(2)), 1),
        ]

        for events, head in wrong:
            with pytest.raises(RestoreConflictError):
                await storage.restore_log(events, head=head)

        assert await storage.head() == 0

    async def test_what_does_not_go_with_the_log_is_refused(self, storage: Storage) -> None:
        there = stored(2, recorded_at=OCCURRED_AT + 5)
        await storage.restore_log((there,), head=4)
        wrong = [
            stored(4, "order-2"),
            stored(5, version=2, recorded_at=OCCURRED_AT + 5),
            stored(5, recorded_at=OCCURRED_AT + 4),
            stored(5, "order-2", id=there.id, recorded_at=OCCURRED_AT + 5),
        ]

        for event in wrong:
            with pytest.raises(RestoreConflictError):
                await storage.restore_log((event,), head=9)
        with pytest.raises(RestoreConflictError):
            await storage.restore_log((), head=3)

        assert await whole_log(storage) == [there]
        assert await storage.head() == 4

    async def test_a_call_that_comes_again_does_nothing(self, storage: Storage) -> None:
        events, streams = (stored(1), stored(2)), (StreamInfo("gone-1", 8, 0),)
        await storage.restore_log(events, head=4, streams=streams)

        await storage.restore_log(events, head=4, streams=streams)

        assert tuple(await whole_log(storage)) == events
        assert await storage.head() == 4

    async def test_an_impossible_stream_id_is_refused(self, storage: Storage) -> None:
        with pytest.raises(InvalidNameError):
            await storage.restore_log((stored(1, "order\n1"),), head=1)
        with pytest.raises(InvalidNameError):
            await storage.restore_log((), head=1, streams=(StreamInfo("", 1, 0),))

        assert await storage.head() == 0

    async def test_streams_become_what_they_were(self, storage: Storage) -> None:
        streams = (
            StreamInfo("gone-1", 8, 0, StreamState.TOMBSTONED),
            StreamInfo("order-1", 3, 3),
            StreamInfo("order-2", 1, 1, StreamState.ARCHIVED),
            StreamInfo("unused-1", 0, 0, StreamState.ARCHIVED),
        )
        events = (stored(1), stored(2), stored(3), stored(4, "order-2", 1))

        await storage.restore_log(events, head=4)
        await storage.restore_log((), head=4, streams=streams)

        assert await storage.read_streams() == streams
        assert await whole_log(storage) == [events[2]]
        assert await storage.read_stream("order-1") == events[2:3]
        with pytest.raises(StreamClosedError):
            await storage.commit(appending("gone-1", new_event()))
        with pytest.raises(StreamClosedError):
            await storage.commit(appending("order-2", new_event()))

    async def test_streams_can_be_restored_again(self, storage: Storage) -> None:
        streams = (StreamInfo("gone-1", 8, 0), StreamInfo("order-1", 3, 3))
        await storage.restore_log((stored(3),), head=3, streams=streams)

        await storage.restore_log((), head=3, streams=streams)

        assert await storage.read_streams() == streams
        committed = await storage.commit(appending("gone-1", new_event()))
        assert committed.appends[0].version == 9

    async def test_a_stream_is_not_restored_to_less_than_it_is(self, storage: Storage) -> None:
        await storage.restore_log((stored(3),), head=3)

        with pytest.raises(RestoreConflictError):
            await storage.restore_log((), head=3, streams=(StreamInfo("order-1", 2, 0),))

        assert await storage.stream_info("order-1") == StreamInfo("order-1", 3, 3)

    async def test_a_cursor_on_a_restored_log_is_verified(self, storage: Storage) -> None:
        event = stored(1)
        await storage.restore_log((event,), head=2)

        await storage.read_log(after=1, after_id=event.id)

        with pytest.raises(LogRewoundError):
            await storage.read_log(after=1, after_id=id_bytes())

    async def test_a_restored_event_wakes_readers(self, storage: Storage) -> None:
        await storage.restore_log((stored(1),), head=1)

        assert await storage.wait_for_news(0, seconds=5) == 1

    async def test_a_closed_storage_restores_nothing(self, storage: Storage) -> None:
        await storage.close()

        with pytest.raises(StorageClosedError):
            await storage.restore_log((), head=0)
