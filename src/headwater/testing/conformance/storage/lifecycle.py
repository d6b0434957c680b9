"""A storage is opened and closed, more than once if need be, and loses nothing over it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from headwater.errors import StorageClosedError
from headwater.ports.changes import NO_CHANGES, Changes, CheckpointMove, NewReceipt
from headwater.ports.leases import Checkpoint
from headwater.ports.rows import CollectionSpec, RowQuery
from headwater.ports.storage import Capabilities, Storage, StoredReceipt
from headwater.testing.conformance.builders import (
    append,
    appending,
    archive,
    changing,
    id_bytes,
    new_event,
    new_events,
    row,
    whole_log,
)
from headwater.testing.conformance.suite import StorageSuite

NOTES = CollectionSpec("notes", ("id",))

USES: dict[str, Callable[[Storage], Awaitable[object]]] = {
    "commit": lambda s: s.commit(appending("order-1", new_event())),
    "commit nothing": lambda s: s.commit(NO_CHANGES),
    "commit rows": lambda s: s.commit(Changes(rows=(row("notes", "1"),))),
    "commit a stream change": lambda s: s.commit(changing(archive("order-1"))),
    "read_stream": lambda s: s.read_stream("order-1"),
    "read_payloads": lambda s: s.read_payloads("order-1"),
    "read_log": lambda s: s.read_log(),
    "stream_info": lambda s: s.stream_info("order-1"),
    "read_streams": lambda s: s.read_streams(),
    "head": lambda s: s.head(),
    "wait_for_news": lambda s: s.wait_for_news(0, seconds=3600),
    "wait_for_news, no time": lambda s: s.wait_for_news(0, seconds=0),
    "receipt": lambda s: s.receipt("orders", id_bytes()),
    "open_subscription": lambda s: s.open_subscription("totals", partitions=1, start_after=0),
    "prepare_collections": lambda s: s.prepare_collections([NOTES]),
    "get_rows": lambda s: s.get_rows("notes", ["1"]),
    "find_rows": lambda s: s.find_rows("notes", RowQuery()),
    "count_rows": lambda s: s.count_rows("notes"),
    "subscriptions": lambda s: s.subscriptions(),
    "reset_subscription": lambda s: s.reset_subscription("totals", to=Checkpoint(0)),
    "repartition": lambda s: s.repartition("totals", partitions=1),
    "drop_subscription": lambda s: s.drop_subscription("totals"),
    "drop_collection": lambda s: s.drop_collection("notes"),
    "lease_partitions": lambda s: s.lease_partitions("a", ["totals"], seconds=1),
    "lease_partitions, none": lambda s: s.lease_partitions("a", [], seconds=1),
    "release_partitions": lambda s: s.release_partitions("a", "totals"),
    "partition_states": lambda s: s.partition_states("totals"),
    "collections": lambda s: s.collections(),
    "count_receipts": lambda s: s.count_receipts(after=0),
    "remove_receipts": lambda s: s.remove_receipts(after=0),
    "prune": lambda s: s.prune(before=0),
}


class LifecycleConformance(StorageSuite):
    """What `open` and `close` promise."""

    async def test_a_storage_says_what_it_can_do(self, new_storage: Storage) -> None:
        capabilities = new_storage.capabilities

        assert isinstance(capabilities, Capabilities)
        assert capabilities.news_seconds >= 0

    @pytest.mark.parametrize("use", USES)
    async def test_nothing_can_be_done_before_it_is_opened(
        self, new_storage: Storage, use: str
    ) -> None:
        with pytest.raises(StorageClosedError):
            await USES[use](new_storage)

    @pytest.mark.parametrize("use", USES)
    async def test_nothing_can_be_done_after_it_was_closed(
        self, storage: Storage, use: str
    ) -> None:
        await storage.prepare_collections([NOTES])
        await storage.close()

        with pytest.raises(StorageClosedError):
            await USES[use](storage)

    async def test_opening_it_twice_does_nothing(self, storage: Storage) -> None:
        await storage.commit(appending("order-1", new_event()))

        await storage.open()

        assert await storage.head() == 1
        await storage.close()
        with pytest.raises(StorageClosedError):
            await storage.head()

    async def test_closing_it_twice_does_nothing(self, storage: Storage) -> None:
        await storage.close()
        await storage.close()

        await asyncio.gather(storage.close(), storage.close())

    async def test_it_can_be_closed_without_having_been_opened(self, new_storage: Storage) -> None:
        await new_storage.close()

        await new_storage.open()
        assert await new_storage.head() == 0
        await new_storage.close()

    async def test_what_was_committed_is_there_after_the_next_open(self, storage: Storage) -> None:
        await storage.prepare_collections([NOTES])
        await storage.open_subscription("totals", partitions=2, start_after=0)
        message = id_bytes()
        changes = Changes(
            appends=(append("order-1", *new_events(2)),),
            rows=(row("notes", "1", data='{"id":"1"}'),),
            checkpoints=(CheckpointMove("totals", 1, 0, 5, message),),
            receipts=(NewReceipt("orders", message, b"d", "null"),),
        )
        committed = await storage.commit(changes)
        log, rows = await whole_log(storage), await storage.get_rows("notes", ["1"])

        for _ in range(2):
            await storage.close()
            await storage.open()
            await storage.prepare_collections([NOTES])

        assert await whole_log(storage) == log
        assert await storage.get_rows("notes", ["1"]) == rows
        checkpoints = await storage.open_subscription("totals", partitions=1, start_after=9)
        assert list(checkpoints) == [Checkpoint(0), Checkpoint(5, message)]
        assert await storage.receipt("orders", message) == StoredReceipt(b"d", "null", 2)
        assert await storage.commit(Changes(appends=changes.appends)) == committed
        assert (await storage.commit(appending("order-1", new_event()))).position == 3

    async def test_commits_that_wait_when_it_is_closed_are_finished(self, storage: Storage) -> None:
        commits = [
            asyncio.create_task(storage.commit(appending(f"order-{number}", new_event())))
            for number in range(50)
        ]
        await asyncio.sleep(0)

        await storage.close()

        assert all(commit.done() for commit in commits)
        assert [commit.result().position for commit in commits] == list(range(1, 51))
        await storage.open()
        assert await storage.head() == 50

    async def test_a_commit_that_comes_while_it_is_closed_is_refused(
        self, storage: Storage
    ) -> None:
        waiting = asyncio.create_task(storage.commit(appending("order-1", new_event())))
        await asyncio.sleep(0)
        closing = asyncio.create_task(storage.close())
        await asyncio.sleep(0)

        with pytest.raises(StorageClosedError):
            await storage.commit(appending("order-2", new_event()))

        await closing
        assert (await waiting).position == 1
