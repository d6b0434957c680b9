"""Snapshots, caches and the past on every storage that comes with the library."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.clock import from_microseconds
from headwater.errors import HistoryUnavailableError
from headwater.event_store import EventStore
from headwater.operations.snapshots import SNAPSHOTS
from headwater.ports.storage import Storage
from tests.unit_of_work.ledger import (
    BothLedger,
    CachedLedger,
    Closed,
    Entered,
    Ledger,
    SnapshotLedger,
    enter,
    entries,
    new_units,
)

STREAM = "app.ledger-7"


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def closed_storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "memory":
        return MemoryStorage()
    if request.param == "sqlite":
        return SqliteStorage(tmp_path / "log.db")
    url: str = request.getfixturevalue("postgres_url")
    schema: str = request.getfixturevalue("postgres_schema")
    settings = PostgresSettings.from_url(f"{url}?schema={schema}&auto_migrate=true")
    return PostgresStorage(settings)


@pytest.fixture
async def storage(closed_storage: Storage) -> AsyncIterator[Storage]:
    await closed_storage.open()
    yield closed_storage
    await closed_storage.close()


async def test_loads_are_the_same_with_them_and_without(storage: Storage) -> None:
    units = new_units(storage)
    expected: list[int] = []
    for n in range(0, 40, 4):
        new = [*range(n, n + 4)]
        expected += new
        await enter(units, *new, cls=SnapshotLedger)
        for cls in (Ledger, SnapshotLedger, CachedLedger, BothLedger):
            assert await entries(units, cls=cls) == expected
        await units.write_snapshots()
    rows = await storage.get_rows(SNAPSHOTS.name, (STREAM,))

    for cls in (SnapshotLedger, BothLedger):
        assert await entries(new_units(storage), cls=cls) == expected
    assert '"entries":[0,1,2,3' in rows[STREAM].data.replace(" ", "")


async def test_erased_and_tombstoned_streams(storage: Storage) -> None:
    units = new_units(storage)
    store = EventStore.on(units)
    await enter(units, 1, 2, 3, 4, 5, 6)
    await entries(units, cls=SnapshotLedger)
    await entries(units, cls=CachedLedger)
    await units.write_snapshots()

    await store.truncate(STREAM, before_version=5, reason="a test")
    assert await entries(units) == [5, 6]
    assert await entries(units, cls=CachedLedger) == [1, 2, 3, 4, 5, 6]
    await store.truncate(STREAM, before_version=7, reason="a test")
    assert await store.repository(CachedLedger).find("7") is None
    assert await entries(new_units(storage), cls=SnapshotLedger) == [1, 2, 3, 4, 5, 6]
    await enter(units, 7)
    assert (await store.repository(Ledger).get("7")).version == 7

    await store.tombstone(STREAM, reason="a test")
    for cls in (Ledger, SnapshotLedger, CachedLedger):
        assert await store.repository(cls).find("7") is None
    assert not await storage.get_rows(SNAPSHOTS.name, (STREAM,))


async def test_every_moment_can_be_shown_again(storage: Storage) -> None:
    units = new_units(storage)
    for n in range(12):
        await enter(units, n)
    ledgers = EventStore(storage, types=[Entered, Closed]).repository(SnapshotLedger)
    events = await storage.read_stream(STREAM)

    for event in events:
        by_then = sum(other.recorded_at <= event.recorded_at for other in events)
        at_a_time = await ledgers.get("7", as_of=from_microseconds(event.recorded_at))
        assert at_a_time.entries == [*range(by_then)]
        assert (await ledgers.get("7", as_of=event.version)).version == event.version
    with pytest.raises(HistoryUnavailableError):
        await ledgers.get("7", as_of=13)
    assert len((await ledgers.diff("7", 2, 9)).changes) == 7


async def test_a_tombstone_takes_those_along_that_another_process_was_the_first_to_take(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    async with EventStore(SqliteStorage(path)) as early, EventStore(SqliteStorage(path)) as late:
        units = new_units(late.storage)
        await enter(units, 1, 2, 3)
        await entries(units, cls=SnapshotLedger)
        await units.write_snapshots()

        await early.tombstone(STREAM, reason="asked for")

        assert await late.storage.get_rows(SNAPSHOTS.name, (STREAM,)) == {}
