"""The promises of `headwater.ports.log`: streams and the log are read whole and in order."""

import asyncio

import pytest

from headwater.errors import StorageClosedError
from headwater.ports.log import PAGE_EVENTS_MAX, LogFilter, LogPage
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import (
    appending,
    new_event,
    new_events,
    whole_log,
)
from headwater.testing.conformance.suite import StorageSuite, UnsteadyClock

LIMITS_OUT_OF_RANGE = [-1, 0, PAGE_EVENTS_MAX + 1]


async def versions(
    storage: Storage,
    from_version: int | None = None,
    *,
    backwards: bool = False,
    limit: int = 1000,
) -> list[int]:
    """Return the versions of a page of stream order-1."""
    events = await storage.read_stream(
        "order-1", from_version=from_version, backwards=backwards, limit=limit
    )
    return [event.version for event in events]


async def positions(storage: Storage, where: LogFilter) -> list[int]:
    """Return where the matching events of the log stand."""
    return [event.position for event in await whole_log(storage, where)]


async def a_few_turns() -> None:
    """Let the event loop's other tasks get to where they wait for something."""
    for _ in range(10):
        await asyncio.sleep(0)


class LogConformance(StorageSuite):
    """What readers of streams and of the log can rely on."""

    async def test_a_stream_is_read_in_the_order_of_its_versions(self, storage: Storage) -> None:
        events = new_events(3)
        await storage.commit(appending("order-1", *events))
        await storage.commit(appending("order-2", new_event()))

        stored = await storage.read_stream("order-1")

        assert [event.id for event in stored] == [event.id for event in events]
        assert [event.version for event in stored] == [1, 2, 3]

    async def test_the_payloads_of_a_stream_are_those_of_its_events(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", *new_events(5)))
        await storage.commit(appending("order-2", new_event()))

        payloads = [
            *await storage.read_payloads("order-1", limit=2),
            *await storage.read_payloads("order-1", from_version=3),
        ]

        assert payloads == [
            (event.version, event.type, event.schema_version, event.data)
            for event in await storage.read_stream("order-1")
        ]
        assert list(await storage.read_payloads("order-1", from_version=6)) == []
        assert list(await storage.read_payloads("unknown-1")) == []

    @pytest.mark.parametrize("limit", LIMITS_OUT_OF_RANGE)
    async def test_a_limit_of_payloads_out_of_range_is_refused(
        self, storage: Storage, limit: int
    ) -> None:
        with pytest.raises(ValueError, match="limit"):
            await storage.read_payloads("order-1", limit=limit)

    async def test_a_stream_is_read_from_a_version_on_and_included(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", *new_events(4)))

        assert await versions(storage, 3) == [3, 4]
        assert await versions(storage, 1) == [1, 2, 3, 4]
        assert await versions(storage, 2, limit=2) == [2, 3]

    async def test_a_stream_is_read_backwards_from_its_newest_event_or_a_version(
        self, storage: Storage
    ) -> None:
        await storage.commit(appending("order-1", *new_events(4)))

        assert await versions(storage, backwards=True) == [4, 3, 2, 1]
        assert await versions(storage, backwards=True, limit=1) == [4]
        assert await versions(storage, 3, backwards=True, limit=2) == [3, 2]
        assert await versions(storage, 99, backwards=True, limit=2) == [4, 3]

    async def test_an_unknown_stream_is_empty(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", new_event()))

        assert await storage.read_stream("order-2") == ()
        assert await storage.read_stream("order-2", backwards=True) == ()
        assert await storage.read_stream("order") == ()
        assert await storage.read_stream("ORDER-1") == ()

    async def test_nothing_on_that_side_of_a_stream_is_empty(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", *new_events(2)))

        assert await versions(storage, 3) == []
        assert await versions(storage, 0, backwards=True) == []

    @pytest.mark.parametrize("limit", LIMITS_OUT_OF_RANGE)
    async def test_a_limit_out_of_range_is_refused(self, storage: Storage, limit: int) -> None:
        with pytest.raises(ValueError, match=str(limit)):
            await storage.read_stream("order-1", limit=limit)
        with pytest.raises(ValueError, match=str(limit)):
            await storage.read_log(limit=limit)

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

        assert await storage.read_log(after=after) == LogPage((), scanned_to=after, head=2)

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

    async def test_the_log_can_be_filtered_by_types(self, storage: Storage) -> None:
        for type in ("sales.a", "sales.b", "sales.c", "sales.a", "SALES.A"):
            await storage.commit(appending("order-1", new_event(type)))

        assert await positions(storage, LogFilter(types=frozenset({"sales.a"}))) == [1, 4]
        both = LogFilter(types=frozenset({"sales.a", "sales.c"}))
        assert await positions(storage, both) == [1, 3, 4]

    async def test_the_log_can_be_filtered_by_categories(self, storage: Storage) -> None:
        for stream_id in ("sales.order-1", "sales.order-2-x", "sales.orders-1", "sales.order"):
            await storage.commit(appending(stream_id, new_event()))

        orders = LogFilter(categories=frozenset({"sales.order"}))
        assert await positions(storage, orders) == [1, 2, 4]
        both = LogFilter(categories=frozenset({"sales.order", "sales.orders"}))
        assert await positions(storage, both) == [1, 2, 3, 4]

    async def test_the_log_can_be_filtered_by_tags_that_are_all_on_an_event(
        self, storage: Storage
    ) -> None:
        for tags in (("a",), ("b",), ("b", "a"), ("a", "b", "c"), ("ab",)):
            await storage.commit(appending("order-1", new_event(tags=tags)))

        assert await positions(storage, LogFilter(tags=frozenset({"a"}))) == [1, 3, 4]
        assert await positions(storage, LogFilter(tags=frozenset({"a", "b"}))) == [3, 4]
        assert await positions(storage, LogFilter(tags=frozenset({"a", "x"}))) == []

    async def test_every_part_of_a_filter_must_hold(self, storage: Storage) -> None:
        for stream_id, type, tags in (
            ("order-1", "sales.a", ("x",)),
            ("order-1", "sales.a", ()),
            ("order-1", "sales.b", ("x",)),
            ("basket-1", "sales.a", ("x",)),
            ("$order-1", "sales.a", ("x",)),
        ):
            await storage.commit(appending(stream_id, new_event(type, tags=tags)))

        where = LogFilter(
            types=frozenset({"sales.a"}),
            categories=frozenset({"order", "$order"}),
            tags=frozenset({"x"}),
        )
        assert await positions(storage, where) == [1]

    async def test_internal_streams_are_left_out_unless_asked_for(self, storage: Storage) -> None:
        for stream_id in ("order-1", "$timer-1", "order-$1", "$out.mail-1"):
            await storage.commit(appending(stream_id, new_event()))

        assert await positions(storage, LogFilter()) == [1, 3]
        assert await positions(storage, LogFilter(internal=True)) == [1, 2, 3, 4]
        timers = LogFilter(categories=frozenset({"$timer"}), internal=True)
        assert await positions(storage, timers) == [2]
        assert len(await storage.read_stream("$timer-1")) == 1

    async def test_a_page_passes_internal_events_up_to_the_head(self, storage: Storage) -> None:
        await storage.commit(appending("$timer-1", *new_events(2)))

        assert await storage.read_log() == LogPage((), scanned_to=2, head=2)
        assert await storage.head() == 2

    async def test_a_wait_for_news_returns_at_once_where_there_is_some(
        self, storage: Storage
    ) -> None:
        await storage.commit(appending("order-1", *new_events(2)))

        assert await storage.wait_for_news(0, seconds=3600) == 2
        assert await storage.wait_for_news(1, seconds=3600) == 2

    async def test_a_commit_wakes_every_wait_for_news(self, storage: Storage) -> None:
        waits = [asyncio.create_task(storage.wait_for_news(0, seconds=3600)) for _ in range(3)]
        await a_few_turns()

        await storage.commit(appending("order-1", *new_events(2)))

        assert await asyncio.gather(*waits) == [2, 2, 2]

    async def test_a_wait_for_news_goes_on_until_the_head_is_past_its_position(
        self, storage: Storage
    ) -> None:
        wait = asyncio.create_task(storage.wait_for_news(1, seconds=3600))
        await a_few_turns()
        await storage.commit(appending("order-1", new_event()))
        await a_few_turns()
        assert not wait.done()

        await storage.commit(appending("order-1", new_event()))

        assert await wait == 2

    async def test_a_wait_for_news_of_no_time_returns_the_head(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", new_event()))

        assert await storage.wait_for_news(1, seconds=0) == 1
        assert await storage.wait_for_news(7, seconds=0) == 1

    async def test_a_wait_for_news_that_does_not_come_returns_the_head_after_its_time(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        wait = asyncio.create_task(storage.wait_for_news(0, seconds=0.01))

        while not wait.done():  # of the system's clock or of the one that stands still
            await asyncio.sleep(0)
            clock.advance(0.01)

        assert await wait == 0

    async def test_a_wait_for_news_can_be_cancelled(self, storage: Storage) -> None:
        wait = asyncio.create_task(storage.wait_for_news(0, seconds=3600))
        await a_few_turns()
        wait.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wait

        await storage.commit(appending("order-1", new_event()))

        assert await storage.wait_for_news(0, seconds=3600) == 1

    async def test_a_wait_for_news_ends_when_the_storage_is_closed(self, storage: Storage) -> None:
        wait = asyncio.create_task(storage.wait_for_news(0, seconds=3600))
        await a_few_turns()

        await storage.close()

        with pytest.raises(StorageClosedError):
            await wait
