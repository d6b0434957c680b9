"""A reader that has caught up is woken when the log grows."""

import asyncio

import pytest

from headwater.errors import StorageClosedError
from headwater.ports.storage import Storage
from headwater.testing.conformance.builders import appending, new_event, new_events
from headwater.testing.conformance.suite import StorageSuite, UnsteadyClock


async def a_few_turns() -> None:
    """Let the event loop's other tasks get to where they wait for something."""
    for _ in range(10):
        await asyncio.sleep(0)


class NewsConformance(StorageSuite):
    """What `wait_for_news` promises."""

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
