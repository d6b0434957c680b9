"""The memory storage keeps every promise of a storage, and those of its own."""

import asyncio
import gc

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.errors import ConcurrencyError
from headwater.ports.storage import COMMITS_WAITING_MAX, Storage
from headwater.streams import ExpectedVersion
from headwater.testing.conformance import StorageConformance, UnsteadyClock
from headwater.testing.conformance.builders import appending, new_event


class TestMemory(StorageConformance):
    @pytest.fixture
    def new_storage(self, clock: UnsteadyClock) -> Storage:
        return MemoryStorage(clock)

    async def test_a_commit_that_is_cancelled_while_it_waits_is_removed(
        self, storage: Storage
    ) -> None:
        commits = [
            asyncio.create_task(storage.commit(appending("order-1", new_event(data=f"{number}"))))
            for number in range(3)
        ]
        # One turn of the loop queues them all; what is queued is picked up in the next.
        await asyncio.sleep(0)
        commits[1].cancel()

        results = await asyncio.gather(*commits, return_exceptions=True)

        assert isinstance(results[1], asyncio.CancelledError)
        assert [event.data for event in await storage.read_stream("order-1")] == ["0", "2"]

    async def test_a_commit_that_is_cancelled_after_it_was_picked_up_is_done(
        self, storage: Storage
    ) -> None:
        commit = asyncio.create_task(storage.commit(appending("order-1", new_event())))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        commit.cancel()

        with pytest.raises(asyncio.CancelledError):
            await commit
        assert len(await storage.read_stream("order-1")) == 1

    async def test_a_refusal_that_nobody_waits_for_any_more_is_not_reported_as_lost(
        self, storage: Storage
    ) -> None:
        reported: list[dict[str, object]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        refused = appending("order-1", new_event(), expected=ExpectedVersion.stream_exists())
        commit = asyncio.create_task(storage.commit(refused))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        commit.cancel()

        await asyncio.wait([commit])
        del commit
        gc.collect()

        with pytest.raises(ConcurrencyError):
            await storage.commit(refused)
        assert reported == []

    async def test_a_commit_that_is_cancelled_while_it_waits_for_room_is_removed(
        self, storage: Storage
    ) -> None:
        commits = [
            asyncio.create_task(storage.commit(appending("order-1", new_event(data=f"{number}"))))
            for number in range(COMMITS_WAITING_MAX + 2)
        ]
        # In the second turn those that found room are done, and the last two come to queue.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        commits[-2].cancel()

        await asyncio.gather(*commits, return_exceptions=True)

        (last,) = await storage.read_stream("order-1", backwards=True, limit=1)
        assert (last.version, last.data) == (COMMITS_WAITING_MAX + 1, f"{len(commits) - 1}")

    async def test_a_wait_for_news_takes_its_time_from_the_clock(
        self, storage: Storage, clock: UnsteadyClock
    ) -> None:
        wait = asyncio.create_task(storage.wait_for_news(0, seconds=3600))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not wait.done()

        clock.advance(3600)

        assert await wait == 0

    async def test_it_says_that_nothing_outlives_it(self, storage: Storage) -> None:
        assert not storage.capabilities.durable
        assert not storage.capabilities.shared
        assert storage.capabilities.news_seconds == 0


def test_it_can_be_opened_in_one_event_loop_after_another() -> None:
    storage = MemoryStorage()

    async def use() -> int:
        await storage.open()
        committed = await storage.commit(appending("order-1", new_event()))
        await storage.close()
        return committed.position

    assert [asyncio.run(use()) for _ in range(3)] == [1, 2, 3]
