"""A position and the id of the event there make a cursor, by which another log is noticed."""

import pytest

from headwater.errors import LogRewoundError
from headwater.ports.log import LogFilter
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import (
    appending,
    archive,
    changing,
    id_bytes,
    new_event,
    new_events,
    truncate,
)
from headwater.testing.conformance.suite import FAR_FUTURE_US, StorageSuite

NOTHING = LogFilter(types=frozenset({"sales.nothing"}))


class CursorsConformance(StorageSuite):
    """What `LogPage.event_id` says, and what `read_log` verifies."""

    async def test_a_page_tells_the_id_of_the_event_where_it_ends(self, storage: Storage) -> None:
        events = new_events(3)
        await storage.commit(appending("order-1", *events))

        full = await storage.read_log(limit=2)
        last = await storage.read_log(after=2)
        nothing_new = await storage.read_log(after=3)

        assert (full.scanned_to, full.event_id) == (2, events[1].id)
        assert (last.scanned_to, last.event_id) == (3, events[2].id)
        assert (nothing_new.scanned_to, nothing_new.event_id) == (3, events[2].id)

    @pytest.mark.parametrize("stream_id", ["order-1", "$timer-1"])
    async def test_a_page_tells_the_id_where_it_ends_also_of_an_event_that_does_not_match(
        self, storage: Storage, stream_id: str
    ) -> None:
        events = new_events(2)
        await storage.commit(appending(stream_id, *events))

        page = await storage.read_log(where=NOTHING)

        assert (page.events, page.scanned_to, page.event_id) == ((), 2, events[1].id)

    async def test_a_page_that_ends_where_no_event_is_tells_no_id(self, storage: Storage) -> None:
        assert (await storage.read_log()).event_id is None
        await storage.commit(appending("order-1", new_event()))

        assert (await storage.read_log(after=2)).event_id is None

    async def test_a_page_that_ends_at_an_erased_event_tells_its_id_while_that_is_known(
        self, storage: Storage
    ) -> None:
        events = new_events(3)
        await storage.commit(appending("order-1", *events))
        await storage.commit(changing(truncate("order-1", 4)))

        erased = await storage.read_log()
        await storage.prune(before=FAR_FUTURE_US)
        pruned = await storage.read_log()

        assert (erased.events, erased.scanned_to, erased.event_id) == ((), 3, events[2].id)
        assert (pruned.events, pruned.scanned_to, pruned.event_id) == ((), 3, None)

    async def test_a_reader_whose_cursor_is_right_reads_on(self, storage: Storage) -> None:
        events = new_events(3)
        await storage.commit(appending("order-1", *events))
        first = await storage.read_log(limit=2)

        second = await storage.read_log(after=first.scanned_to, after_id=first.event_id)
        at_the_head = await storage.read_log(after=second.scanned_to, after_id=second.event_id)

        assert [event.id for event in second.events] == [events[2].id]
        assert (at_the_head.events, at_the_head.scanned_to) == ((), 3)

    @pytest.mark.parametrize("where", [LogFilter(), NOTHING], ids=["all", "nothing"])
    @pytest.mark.parametrize("after", [1, 2, 3])
    async def test_a_reader_at_whose_position_another_event_stands_is_told(
        self, storage: Storage, after: int, where: LogFilter
    ) -> None:
        await storage.commit(appending("order-1", *new_events(3)))

        with pytest.raises(LogRewoundError) as told:
            await storage.read_log(after=after, after_id=id_bytes(), where=where)

        assert (told.value.position, told.value.head) == (after, 3)

    async def test_a_reader_past_the_head_is_told_if_it_says_what_it_read(
        self, storage: Storage
    ) -> None:
        event = new_event()
        await storage.commit(appending("order-1", event))

        with pytest.raises(LogRewoundError) as told:
            await storage.read_log(after=2, after_id=event.id)

        assert (told.value.position, told.value.head) == (2, 1)
        assert (await storage.read_log(after=2)).scanned_to == 2

    async def test_a_cursor_at_an_event_that_the_filter_leaves_out_is_verified_too(
        self, storage: Storage
    ) -> None:
        hidden, archived = new_event(), new_event()
        await storage.commit(appending("$timer-1", hidden))
        await storage.commit(appending("order-1", archived))
        await storage.commit(changing(archive("order-1")))

        assert (await storage.read_log(after=1, after_id=hidden.id)).scanned_to == 2
        assert (await storage.read_log(after=2, after_id=archived.id)).scanned_to == 2
        with pytest.raises(LogRewoundError):
            await storage.read_log(after=1, after_id=archived.id)
        with pytest.raises(LogRewoundError):
            await storage.read_log(after=2, after_id=hidden.id)

    async def test_a_cursor_at_an_erased_event_is_verified_while_its_id_is_known(
        self, storage: Storage
    ) -> None:
        events = new_events(3)
        await storage.commit(appending("order-1", *events))
        await storage.commit(changing(truncate("order-1", 3)))

        page = await storage.read_log(after=2, after_id=events[1].id)

        assert [event.version for event in page.events] == [3]
        with pytest.raises(LogRewoundError):
            await storage.read_log(after=2, after_id=events[0].id)

    async def test_a_cursor_at_an_event_that_was_erased_and_pruned_is_believed(
        self, storage: Storage
    ) -> None:
        events = new_events(3)
        await storage.commit(appending("order-1", *events))
        await storage.commit(changing(truncate("order-1", 3)))
        await storage.prune(before=FAR_FUTURE_US)

        page = await storage.read_log(after=2, after_id=events[1].id)

        assert [event.version for event in page.events] == [3]
        with pytest.raises(LogRewoundError):
            await storage.read_log(after=3, after_id=events[1].id)
