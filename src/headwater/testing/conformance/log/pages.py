"""The log is read page by page, whole and in order."""

import pytest

from headwater.ports.log import PAGE_EVENTS_MAX, LogFilter, LogPage
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import (
    appending,
    new_event,
    new_events,
    positions,
    whole_log,
)
from headwater.testing.conformance.suite import StorageSuite


class PagesConformance(StorageSuite):
    """What readers of the log can rely on."""

    async def test_a_page_can_hold_as_many_events_as_the_named_limit_says(
        self, storage: Storage
    ) -> None:
        await storage.commit(appending("order-1", *new_events(PAGE_EVENTS_MAX + 1)))

        assert len(await storage.read_stream("order-1", limit=PAGE_EVENTS_MAX)) == 10_000
        page = await storage.read_log(limit=PAGE_EVENTS_MAX)
        assert 0 < len(page.events) <= PAGE_EVENTS_MAX
        assert page.scanned_to == len(page.events)

    async def test_an_empty_log_has_head_0_and_an_empty_page(self, storage: Storage) -> None:
        assert await storage.head() == 0
        assert await storage.read_log() == LogPage((), scanned_to=0, head=0)

    async def test_a_page_ends_at_its_limit_and_the_next_goes_on_from_there(
        self, storage: Storage
    ) -> None:
        await storage.commit(appending("order-1", *new_events(5)))

        first = await storage.read_log(limit=3)
        second = await storage.read_log(after=first.scanned_to, limit=3)

        assert [event.position for event in first.events] == [1, 2, 3]
        assert (first.scanned_to, first.head) == (3, 5)
        assert [event.position for event in second.events] == [4, 5]
        assert (second.scanned_to, second.head) == (5, 5)

    @pytest.mark.parametrize("after", [2, 3, 1_000_000])
    async def test_a_page_at_or_past_the_head_is_empty_and_stays_where_it_is(
        self, storage: Storage, after: int
    ) -> None:
        await storage.commit(appending("order-1", *new_events(2)))

        page = await storage.read_log(after=after)

        assert (page.events, page.scanned_to, page.head) == ((), after, 2)

    async def test_a_page_without_a_match_still_gets_on(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", *new_events(5)))

        page = await storage.read_log(where=LogFilter(types=frozenset({"sales.nothing"})))

        assert (page.events, page.scanned_to, page.head) == ((), 5, 5)

    async def test_pages_of_every_size_hold_each_matching_event_once(
        self, storage: Storage
    ) -> None:
        for number in range(30):
            event = new_event(tags=("odd",) if number % 2 else ())
            await storage.commit(appending(f"order-{number}", event))
        odd = LogFilter(tags=frozenset({"odd"}))

        for page in (1, 2, 7, 15, 16):
            events = await whole_log(storage, odd, page=page)
            assert [event.position for event in events] == list(range(2, 31, 2))

    async def test_a_reader_comes_through_a_long_log_that_holds_nothing_for_it(
        self, storage: Storage
    ) -> None:
        for _ in range(3):
            await storage.commit(appending("order-1", *new_events(10_000)))
        await storage.commit(appending("order-2", new_event("sales.rare", tags=("rare",))))

        for where in (
            LogFilter(types=frozenset({"sales.rare"})),
            LogFilter(tags=frozenset({"rare"})),
        ):
            assert await positions(storage, where) == [30_001]
