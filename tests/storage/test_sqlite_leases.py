"""Leases are dealt under the file's lock, as commits are made, by the time that is then."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from headwater.adapters.storage.sqlite import SqliteSettings, SqliteStorage
from headwater.clock import ManualClock
from headwater.errors import StorageBusyError
from headwater.ports.changes import Changes, CheckpointMove


class LockedClock(ManualClock):
    """Notes whether the file was held for writing each time that somebody asked for the time."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self.held: list[bool] = []

    def now(self) -> datetime:
        with closing(sqlite3.connect(self._path, isolation_level=None, timeout=0)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                self.held.append(True)
            else:
                self.held.append(False)
        return super().now()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def clock(path: Path) -> LockedClock:
    return LockedClock(path)


@pytest.fixture
async def storage(path: Path, clock: LockedClock) -> AsyncIterator[SqliteStorage]:
    storage = SqliteStorage(SqliteSettings(path, busy_seconds=0.05), clock=clock)
    await storage.open()
    await storage.open_subscription("totals", partitions=2, start_after=0)
    yield storage
    await storage.close()


@pytest.fixture
def other(storage: SqliteStorage) -> Iterator[sqlite3.Connection]:
    """A connection of somebody else's, who waits for nobody."""
    with closing(
        sqlite3.connect(storage.settings.path, isolation_level=None, timeout=0)
    ) as connection:
        yield connection


async def test_the_time_is_looked_at_when_nobody_else_can_write(
    storage: SqliteStorage, clock: LockedClock
) -> None:
    clock.held.clear()

    await storage.lease_partitions("a", ["totals"], seconds=10)

    assert clock.held == [True]


async def test_while_somebody_holds_the_file_nothing_is_leased_and_afterwards_it_is(
    storage: SqliteStorage, other: sqlite3.Connection
) -> None:
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageBusyError):
        await storage.lease_partitions("a", ["totals"], seconds=10)
    with pytest.raises(StorageBusyError):
        await storage.release_partitions("a", "totals")
    other.execute("ROLLBACK")

    shares = await storage.lease_partitions("a", ["totals"], seconds=10)

    assert [one.token for one in shares["totals"].leases] == [1, 2]


async def test_leases_and_commits_are_done_in_the_order_in_which_they_came(
    storage: SqliteStorage,
) -> None:
    token = (await storage.lease_partitions("a", ["totals"], seconds=10))["totals"].leases[0].token
    moves = [
        Changes(checkpoints=(CheckpointMove("totals", 0, at, at + 1, None, token),))
        for at in range(2)
    ]

    results = await asyncio.gather(
        storage.commit(moves[0]),
        storage.release_partitions("a", "totals", [0]),
        storage.commit(moves[1]),
        storage.lease_partitions("a", ["totals"], seconds=10),
        return_exceptions=True,
    )

    assert [type(one).__name__ for one in results] == [
        *("Committed", "NoneType", "LeaseLostError", "dict"),
    ]
    (state, _) = await storage.partition_states("totals")
    assert state.checkpoint.position == 1


async def test_leases_are_readable_with_plain_sql(
    storage: SqliteStorage, other: sqlite3.Connection
) -> None:
    await storage.lease_partitions("host:1", ["totals"], seconds=10)

    leases = other.execute(
        "SELECT partition, token, worker FROM headwater_checkpoints ORDER BY partition"
    ).fetchall()

    assert leases == [(0, 1, "host:1"), (1, 2, "host:1")]
