"""A file that is moved or replaced under an open storage is noticed, and nothing goes astray."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.errors import StorageError, SubscriptionFailedError
from headwater.subscriptions import reader
from headwater.subscriptions.delivery import Delivery
from headwater.subscriptions.status import SubscriptionState
from headwater.subscriptions.subscription import Arrival
from headwater.testing.conformance.builders import appending, new_event
from tests.subscriptions.workbench import Workbench


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[SqliteStorage]:
    storage = SqliteStorage(tmp_path / "log.db")
    await storage.open()
    await storage.commit(appending("order-1", new_event()))
    yield storage
    await storage.close()


async def made(path: Path) -> None:
    """Make a log of one event at *path*."""
    other = SqliteStorage(path)
    await other.open()
    await other.commit(appending("order-9", new_event()))
    await other.close()


def move(source: Path, target: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        if Path(f"{source}{ending}").exists():
            Path(f"{source}{ending}").rename(f"{target}{ending}")


async def assert_refused(storage: SqliteStorage, why: str) -> None:
    with pytest.raises(StorageError, match=why):
        await storage.commit(appending("order-1", new_event()))
    with pytest.raises(StorageError, match=why):
        await storage.open_subscription("new", partitions=1, start_after=0)
    with pytest.raises(StorageError, match=why):
        await storage.prune(before=0)
    with pytest.raises(StorageError, match=why):
        await storage.read_log()


async def test_a_file_that_is_replaced_takes_no_commit_and_gives_nothing(
    storage: SqliteStorage, tmp_path: Path
) -> None:
    await made(tmp_path / "other.db")

    move(storage.settings.path, tmp_path / "old.db")
    move(tmp_path / "other.db", storage.settings.path)
    await assert_refused(storage, "was replaced by another file while it was open")

    await storage.close()
    await storage.open()
    assert (await storage.stream_info("order-9")).version == 1
    assert (await storage.commit(appending("order-1", new_event()))).position == 2


async def test_a_file_that_is_moved_away_takes_none_until_it_is_back(
    storage: SqliteStorage, tmp_path: Path
) -> None:
    move(storage.settings.path, tmp_path / "old.db")
    await assert_refused(storage, "is gone while it was open")

    move(tmp_path / "old.db", storage.settings.path)

    assert (await storage.commit(appending("order-1", new_event()))).position == 2


async def test_a_subscription_stops_and_says_why(
    storage: SqliteStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "NEWS_SECONDS", 0.01)

    async def handle(arrival: Arrival, delivery: Delivery) -> None: ...

    await made(tmp_path / "other.db")
    bench = Workbench(storage)
    subscriptions = await bench.start(bench.subscriber(handle, partitions=1))
    await subscriptions.settle()

    move(tmp_path / "other.db", storage.settings.path)

    with pytest.raises(SubscriptionFailedError, match="was replaced by another file"):
        await subscriptions.wait_for("mail", 2)
    assert bench.status("mail").state is SubscriptionState.FAILED
    await subscriptions.stop()


async def test_a_relative_path_names_the_file_of_where_the_process_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    storage = SqliteStorage("log.db")
    await storage.open()
    await storage.commit(appending("order-1", new_event()))

    monkeypatch.chdir(elsewhere)

    assert (await storage.commit(appending("order-1", new_event()))).position == 2
    assert await storage.head() == 2
    await storage.close()
    await storage.open()
    assert await storage.head() == 2
    await storage.close()
    assert not any(elsewhere.iterdir())
