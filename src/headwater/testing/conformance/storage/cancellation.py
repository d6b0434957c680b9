"""A commit whose caller is cancelled is removed or finished, and never anything in between."""

import asyncio

import pytest

from headwater.ports.changes import Changes, Committed
from headwater.ports.rows import CollectionSpec
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import (
    append,
    appending,
    new_event,
    new_events,
    row,
    whole_log,
)
from headwater.testing.conformance.suite import StorageSuite

NOTES = CollectionSpec("notes", ("id",))


def placing(number: int) -> Changes:
    """Return changes that write a stream of two events and a row."""
    return Changes(
        appends=(append(f"order-{number}", *new_events(2), expected=ExpectedVersion.no_stream()),),
        rows=(row("notes", str(number)),),
    )


async def done_whole(storage: Storage, count: int) -> set[int]:
    """Return which of `placing` were done, having asserted that none was done in part."""
    log = await whole_log(storage)
    assert [event.position for event in log] == list(range(1, len(log) + 1))
    rows = await storage.get_rows("notes", [str(number) for number in range(count)])
    done = {int(event.stream_id.removeprefix("order-")) for event in log}
    assert done == {int(key) for key in rows}
    for number in done:
        assert len(await storage.read_stream(f"order-{number}")) == 2
    return done


class CancellationConformance(StorageSuite):
    """What a caller can rely on who does not wait to the end."""

    async def test_a_commit_that_is_cancelled_before_it_came_is_not_done(
        self, storage: Storage
    ) -> None:
        commit = asyncio.create_task(storage.commit(appending("order-1", new_event())))
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit

        await storage.close()
        await storage.open()
        assert await storage.head() == 0

    async def test_a_commit_that_is_cancelled_at_any_point_is_done_whole_or_not_at_all(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([NOTES])
        returned = set[int]()
        for turns in range(30):
            commit = asyncio.create_task(storage.commit(placing(turns)))
            for _ in range(turns):
                await asyncio.sleep(0)
            commit.cancel()
            (result,) = await asyncio.gather(commit, return_exceptions=True)
            if isinstance(result, Committed):
                returned.add(turns)
            else:
                assert isinstance(result, asyncio.CancelledError)

        # Behind this one everything that was picked up is finished.
        await storage.commit(placing(30))

        assert await done_whole(storage, 31) >= returned | {30}

    async def test_cancelling_some_of_a_batch_does_not_touch_the_others(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([NOTES])
        commits = [asyncio.create_task(storage.commit(placing(number))) for number in range(300)]
        await asyncio.sleep(0)
        for number in range(0, 300, 3):
            commits[number].cancel()

        results = await asyncio.gather(*commits, return_exceptions=True)
        await storage.commit(placing(300))

        kept = {number for number in range(300) if number % 3}
        for number in kept:
            assert isinstance(results[number], Committed)
        assert await done_whole(storage, 301) >= kept | {300}

    async def test_cancelling_a_whole_batch_leaves_a_storage_that_works(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([NOTES])
        for turns in (1, 2, 5):
            commits = [
                asyncio.create_task(storage.commit(placing(1000 * turns + number)))
                for number in range(100)
            ]
            for _ in range(turns):
                await asyncio.sleep(0)
            for commit in commits:
                commit.cancel()
            await asyncio.gather(*commits, return_exceptions=True)

        committed = await storage.commit(placing(1))

        assert committed.position == await storage.head()
        assert 1 in await done_whole(storage, 6000)

    async def test_a_cancelled_commit_can_be_submitted_again(self, storage: Storage) -> None:
        for turns in range(10):
            changes = appending(
                f"order-{turns}", *new_events(2), expected=ExpectedVersion.NO_STREAM
            )
            commit = asyncio.create_task(storage.commit(changes))
            for _ in range(turns):
                await asyncio.sleep(0)
            commit.cancel()
            await asyncio.gather(commit, return_exceptions=True)

            committed = await storage.commit(changes)

            assert committed.appends[0].version == 2
            assert len(await storage.read_stream(f"order-{turns}")) == 2

    async def test_close_finishes_a_commit_that_nobody_waits_for_or_removes_it(
        self, storage: Storage
    ) -> None:
        await storage.prepare_collections([NOTES])
        commits = [asyncio.create_task(storage.commit(placing(number))) for number in range(100)]
        await asyncio.sleep(0)
        for commit in commits[::2]:
            commit.cancel()

        await storage.close()
        await asyncio.gather(*commits, return_exceptions=True)
        await storage.open()
        await storage.prepare_collections([NOTES])

        assert await done_whole(storage, 100) >= set(range(1, 100, 2))
