"""A locked or full file is said clearly, and nothing is lost over it."""

# ruff: noqa: ASYNC240 - a test may block, the library may not

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Generator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from headwater.adapters.storage.sqlite import SqliteSettings, SqliteStorage, writer
from headwater.adapters.storage.sqlite.committer import Committer
from headwater.errors import StorageBusyError, StorageError, StorageFullError
from headwater.ports.changes import Committed
from headwater.ports.leases import Checkpoint
from headwater.testing.conformance.builders import appending, commit_all, new_event, whole_log

T = TypeVar("T")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def storage(path: Path) -> AsyncIterator[SqliteStorage]:
    storage = SqliteStorage(SqliteSettings(path, busy_seconds=0.2))
    await storage.open()
    yield storage
    await storage.close()


@contextmanager
def locked(path: Path) -> Generator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


async def test_a_file_that_stays_locked_is_busy_and_the_commit_can_be_sent_again(
    storage: SqliteStorage, path: Path
) -> None:
    changes = appending("order-1", new_event())
    with locked(path):
        with pytest.raises(StorageBusyError) as refusal:
            await storage.commit(changes)
        assert await storage.head() == 0

    assert refusal.value.where == str(path)
    assert isinstance(refusal.value.__cause__, sqlite3.OperationalError)
    assert (await storage.commit(changes)).position == 1


async def test_commits_that_wait_for_a_lock_share_one_transaction_afterwards(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.open()
    with locked(path) as other:
        commits = asyncio.gather(
            *(storage.commit(appending(f"order-{n}", new_event())) for n in range(50))
        )
        await asyncio.sleep(0)
        other.execute("COMMIT")

    assert [one.position for one in await commits] == list(range(1, 51))
    await storage.close()


async def test_a_full_file_refuses_commits_and_keeps_what_it_has(path: Path) -> None:
    storage = SqliteStorage(SqliteSettings(path, file_bytes_max=1 << 20))
    await storage.open()
    large = '{"fill":"' + "x" * 50_000 + '"}'

    results = await commit_all(
        storage, [appending(f"order-{n}", new_event(data=large)) for n in range(40)]
    )
    small = await storage.commit(appending("order-small", new_event()))

    done = [result for result in results if isinstance(result, Committed)]
    refused = [result for result in results if not isinstance(result, Committed)]
    assert done
    assert refused
    assert {type(refusal) for refusal in refused} == {StorageFullError}
    assert small.position == len(done) + 1
    assert len(await whole_log(storage)) == len(done) + 1
    await storage.close()
    assert path.stat().st_size <= 1 << 20


async def test_one_member_that_cannot_be_written_does_not_take_the_batch_with_it(
    storage: SqliteStorage,
) -> None:
    results = await commit_all(
        storage,
        [
            appending("order-1", new_event()),
            appending("order-2", new_event(data="\ud800")),
            appending("order-3", new_event()),
        ],
    )

    assert [getattr(result, "position", type(result)) for result in results] == [
        1,
        UnicodeEncodeError,
        2,
    ]


class Failing(sqlite3.Connection):
    """A connection to a disk that can fail: then neither COMMIT nor ROLLBACK is possible."""

    broken = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if self.broken and sql in {"COMMIT", "ROLLBACK"}:
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, parameters)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[Failing]:
    """Connections are of this class from now on."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", partial(connect, factory=Failing))
    monkeypatch.setattr(Failing, "broken", False)
    return Failing


async def test_commits_go_on_after_a_rollback_that_failed(
    path: Path, failing: type[Failing]
) -> None:
    storage = SqliteStorage(path)
    await storage.open()
    failing.broken = True

    results = await within(commit_all(storage, [appending("order-1", new_event())] * 2))
    with pytest.raises(StorageError, match="disk I/O error"):
        await within(storage.open_subscription("totals", partitions=1, start_after=0))
    failing.broken = False

    assert [type(result) for result in results] == [StorageError, StorageError]
    assert await storage.head() == 0
    assert (await within(storage.commit(appending("order-1", new_event())))).position == 1
    opened = await storage.open_subscription("totals", partitions=1, start_after=7)
    assert list(opened) == [Checkpoint(7)]
    await within(storage.close())


async def test_whoever_waits_for_a_writer_that_has_died_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise SystemExit("the thread dies")

    monkeypatch.setattr(writer, "GROUP_COMMITS_MAX", 1)
    storage = SqliteStorage(path)
    await storage.open()
    monkeypatch.setattr(Committer, "begin", die)

    results = await within(commit_all(storage, [appending("order-1", new_event())] * 3))
    with pytest.raises(StorageError, match="the thread that writes has ended"):
        await within(storage.open_subscription("totals", partitions=1, start_after=0))
    with pytest.raises(StorageError, match="Close the storage and open it again"):
        await within(storage.commit(appending("order-1", new_event())))
    await within(storage.close())
    monkeypatch.undo()
    await storage.open()

    assert [type(result) for result in results] == [StorageError] * 3
    assert (await within(storage.commit(appending("order-1", new_event())))).position == 1
    await storage.close()


async def within(work: Awaitable[T], *, seconds: float = 5) -> T:
    """Return what *work* returns, and fail if it hangs."""
    async with asyncio.timeout(seconds):
        return await work
