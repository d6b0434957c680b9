"""Appending inside a transaction of the user's own on the same file."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.errors import (
    ConcurrencyError,
    ConfigurationError,
    LeaseLostError,
    StorageBusyError,
    StorageClosedError,
    StreamClosedError,
)
from headwater.ports.changes import Changes, CheckpointMove
from headwater.ports.log import StreamInfo, StreamState
from headwater.ports.rows import CollectionSpec
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import (
    append,
    appending,
    archive,
    changing,
    new_event,
    row,
    truncate,
    whole_log,
)

NEW = ExpectedVersion.no_stream()


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[SqliteStorage]:
    storage = SqliteStorage(tmp_path / "shop.db")
    await storage.open()
    yield storage
    await storage.close()


@pytest.fixture
def mine(storage: SqliteStorage) -> Iterator[sqlite3.Connection]:
    """The user's connection; its row factory is the user's choice."""
    connection = sqlite3.connect(
        storage.settings.path, isolation_level=None, check_same_thread=False, timeout=0.1
    )
    with closing(connection):
        connection.execute("CREATE TABLE customers (name TEXT)")
        connection.row_factory = lambda cursor, values: {"names": [*values]}
        yield connection


async def test_a_lost_lease_refuses_a_commit_within_and_the_next_goes_on(
    storage: SqliteStorage, mine: sqlite3.Connection
) -> None:
    await storage.open_subscription("totals", partitions=1, start_after=0)
    share = (await storage.lease_partitions("a", ["totals"], seconds=60))["totals"]
    moves = [
        Changes(checkpoints=(CheckpointMove("totals", 0, 0, 7, None, token),))
        for token in (share.leases[0].token + 1, share.leases[0].token)
    ]

    mine.execute("BEGIN IMMEDIATE")
    with pytest.raises(LeaseLostError):
        await asyncio.to_thread(storage.commit_within, mine, moves[0])
    await asyncio.to_thread(storage.commit_within, mine, moves[1])
    mine.execute("COMMIT")

    (state,) = await storage.partition_states("totals")
    assert state.checkpoint.position == 7


async def test_events_and_the_users_rows_are_committed_together(
    storage: SqliteStorage, mine: sqlite3.Connection
) -> None:
    await storage.prepare_collections([CollectionSpec("notes", ("id",))])
    changes = Changes(
        appends=(append("order-1", new_event(), new_event(), expected=NEW),),
        rows=(row("notes", "a", data='{"id":"a"}'),),
    )

    mine.execute("BEGIN IMMEDIATE")
    mine.execute("INSERT INTO customers VALUES ('Ada')")
    committed = await asyncio.to_thread(storage.commit_within, mine, changes)
    before = await storage.head()
    mine.execute("COMMIT")

    assert (committed.position, before, await storage.head()) == (2, 0, 2)
    assert [event.version for event in await storage.read_stream("order-1")] == [1, 2]
    assert set(await storage.get_rows("notes", ["a"])) == {"a"}
    assert (await storage.commit(appending("order-2", new_event()))).position == 3


async def test_a_stream_is_changed_with_the_users_rows_or_not_at_all(
    storage: SqliteStorage, mine: sqlite3.Connection
) -> None:
    await storage.commit(appending("order-1", new_event(), new_event()))

    for end in ("ROLLBACK", "COMMIT"):
        mine.execute("BEGIN IMMEDIATE")
        change = changing(truncate("order-1", 2), archive("order-1"))
        await asyncio.to_thread(storage.commit_within, mine, change)
        assert await storage.stream_info("order-1") == StreamInfo("order-1", 2, 1)
        mine.execute(end)

    archived = StreamInfo("order-1", 2, 2, StreamState.ARCHIVED)
    assert await storage.stream_info("order-1") == archived
    mine.execute("BEGIN IMMEDIATE")
    with pytest.raises(StreamClosedError):
        await asyncio.to_thread(storage.commit_within, mine, appending("order-1", new_event()))
    mine.execute("ROLLBACK")


async def test_a_rollback_takes_the_events_with_it(
    storage: SqliteStorage, mine: sqlite3.Connection
) -> None:
    mine.execute("BEGIN IMMEDIATE")
    await asyncio.to_thread(storage.commit_within, mine, appending("order-1", new_event()))
    mine.execute("ROLLBACK")

    assert await whole_log(storage) == []
    assert (await storage.commit(appending("order-1", new_event()))).position == 1


async def test_a_refused_append_leaves_the_transaction_as_it_was(
    storage: SqliteStorage, mine: sqlite3.Connection
) -> None:
    await storage.commit(appending("order-1", new_event()))

    mine.execute("BEGIN IMMEDIATE")
    mine.execute("INSERT INTO customers VALUES ('Ada')")
    with pytest.raises(ConcurrencyError):
        await asyncio.to_thread(
            storage.commit_within, mine, appending("order-1", new_event(), expected=NEW)
        )
    await asyncio.to_thread(storage.commit_within, mine, appending("order-2", new_event()))
    mine.execute("COMMIT")

    assert [event.stream_id for event in await whole_log(storage)] == ["order-1", "order-2"]
    assert mine.execute("SELECT name FROM customers").fetchall() == [{"names": ["Ada"]}]


async def test_a_reader_that_waits_hears_of_it(
    storage: SqliteStorage, mine: sqlite3.Connection
) -> None:
    waiting = asyncio.create_task(storage.wait_for_news(0, seconds=30))
    mine.execute("BEGIN IMMEDIATE")
    await asyncio.to_thread(storage.commit_within, mine, appending("order-1", new_event()))
    mine.execute("COMMIT")

    assert await waiting == 1


async def test_a_transaction_must_be_open(storage: SqliteStorage, mine: sqlite3.Connection) -> None:
    with pytest.raises(ConfigurationError, match="BEGIN IMMEDIATE"):
        await asyncio.to_thread(storage.commit_within, mine, appending("order-1", new_event()))


async def test_it_must_be_a_transaction_on_the_same_file(
    storage: SqliteStorage, tmp_path: Path
) -> None:
    for other in (":memory:", str(tmp_path / "other.db")):
        connection = sqlite3.connect(other, isolation_level=None, check_same_thread=False)
        with closing(connection):
            connection.execute("CREATE TABLE customers (name)")
            connection.execute("BEGIN IMMEDIATE")
            with pytest.raises(ConfigurationError, match="the storage is in"):
                await asyncio.to_thread(
                    storage.commit_within, connection, appending("order-1", new_event())
                )


async def test_a_transaction_that_has_read_before_others_wrote_is_told_to_begin_again(
    storage: SqliteStorage, mine: sqlite3.Connection
) -> None:
    mine.execute("BEGIN")
    mine.execute("SELECT * FROM customers").fetchall()
    await storage.commit(appending("order-1", new_event()))

    with pytest.raises(StorageBusyError, match="BEGIN IMMEDIATE"):
        await asyncio.to_thread(storage.commit_within, mine, appending("order-1", new_event()))

    mine.execute("ROLLBACK")


async def test_the_storage_must_be_open(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"

    with closing(sqlite3.connect(path)) as mine, pytest.raises(StorageClosedError):
        SqliteStorage(path).commit_within(mine, appending("order-1", new_event()))
