"""What the file looks like from outside: plain SQL, other processes, its size."""

# ruff: noqa: ASYNC240 - a test may block, the library may not

import asyncio
import sqlite3
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from headwater.adapters.storage.sqlite import SqliteSettings, SqliteStorage, connections, schema
from headwater.adapters.storage.sqlite.log import SCAN_POSITIONS_MAX
from headwater.clock import ManualClock
from headwater.errors import ConfigurationError
from headwater.ports.changes import Changes
from headwater.ports.log import LogFilter
from headwater.ports.rows import CollectionSpec, IndexedField, IndexKind
from headwater.testing.conformance.builders import append, appending, new_event, row, whole_log

ORDERS = CollectionSpec(
    "order_summary", ("order_id", "status"), (IndexedField("status", IndexKind.TEXT),)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def storage(path: Path, clock: ManualClock) -> AsyncIterator[SqliteStorage]:
    storage = SqliteStorage(SqliteSettings(path, wal_bytes_max=1 << 20), clock=clock)
    await storage.open()
    yield storage
    await storage.close()


async def test_the_log_is_readable_with_plain_sql(storage: SqliteStorage, path: Path) -> None:
    event = new_event(id=bytes(range(16)), tags=("a", "b"), actor="ada")
    await storage.commit(appending("order-1", event))

    with closing(sqlite3.connect(path)) as other:
        other.row_factory = sqlite3.Row
        (found,) = other.execute("SELECT * FROM headwater_log").fetchall()

    assert dict(found) == {
        "position": 1,
        "stream_id": "order-1",
        "version": 1,
        "type": "sales.order-placed",
        "schema_version": 1,
        "data": '{"total":"9.99"}',
        "occurred_at": "2023-11-14T22:13:20.000000Z",
        "recorded_at": "2024-01-01T00:00:00.000000Z",
        "id": "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "correlation_id": None,
        "causation_id": None,
        "actor": "ada",
        "tenant": None,
        "traceparent": None,
        "headers": None,
        "tags": '["a","b"]',
    }


async def test_a_collection_is_readable_with_plain_sql(storage: SqliteStorage, path: Path) -> None:
    await storage.prepare_collections([ORDERS])
    data = '{"order_id":"7","status":"shipped"}'
    await storage.commit(Changes(rows=(row("order_summary", "7", "shipped", data=data),)))

    with closing(sqlite3.connect(path)) as other:
        found = other.execute("SELECT order_id, status, _key FROM order_summary").fetchall()

    assert found == [("7", "shipped", "7")]


async def test_a_collection_does_not_take_the_name_of_a_users_table(
    storage: SqliteStorage, path: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE order_summary (mine)")

    with pytest.raises(ConfigurationError, match="not Headwater's"):
        await storage.prepare_collections([ORDERS])


async def test_a_collection_is_known_after_the_next_open(
    storage: SqliteStorage, path: Path
) -> None:
    await storage.prepare_collections([ORDERS])

    other = SqliteStorage(path)
    await other.open()

    assert await other.count_rows("order_summary") == 0
    await other.close()


async def test_another_storage_on_the_file_hears_of_commits_in_time(
    storage: SqliteStorage, path: Path
) -> None:
    other = SqliteStorage(path)
    await other.open()
    loop = asyncio.get_running_loop()
    waiting = asyncio.create_task(other.wait_for_news(0, seconds=30))
    await asyncio.sleep(0)

    await storage.commit(appending("order-1", new_event()))
    committed = loop.time()

    assert await waiting == 1
    # Ten times what is promised, because the machine is shared.
    assert loop.time() - committed < 10 * other.capabilities.news_seconds
    await other.close()


async def test_the_write_ahead_log_stays_bounded(storage: SqliteStorage, path: Path) -> None:
    data = '"' + "x" * 10_000 + '"'
    largest = 0
    for number in range(40):
        await storage.commit(
            appending(f"order-{number}", *(new_event(data=data) for _ in range(20)))
        )
        await storage.read_log(after=number * 20)
        largest = max(largest, path.with_name("log.db-wal").stat().st_size)

    page_bytes = 4096
    # One commit may come on top of what is there when the log is moved into the file.
    assert largest <= 2 * connections.CHECKPOINT_PAGES * page_bytes
    assert path.stat().st_size > 2 * largest / 3


async def test_closing_leaves_one_file(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.open()
    await storage.commit(appending("order-1", new_event()))
    await storage.read_log()
    await asyncio.gather(storage.wait_for_news(0, seconds=1), storage.head())
    await storage.close()

    assert [file.name for file in path.parent.iterdir()] == ["log.db"]


async def test_a_rare_type_is_found_in_a_long_log(storage: SqliteStorage) -> None:
    total = SCAN_POSITIONS_MAX + 5_000
    for first in range(0, total, 5_000):
        many = (new_event("sales.common") for _ in range(5_000))
        await storage.commit(Changes(appends=(append(f"order-{first}", *many),)))
    await storage.commit(appending("order-rare", new_event("sales.rare")))
    where = LogFilter(types=frozenset({"sales.rare"}))

    page = await storage.read_log(where=where)

    assert page.events == ()
    assert page.scanned_to == SCAN_POSITIONS_MAX
    assert [event.position for event in await whole_log(storage, where)] == [total + 1]


async def test_reading_the_whole_log_takes_the_memory_of_a_page(storage: SqliteStorage) -> None:
    for number in range(10):
        many = (new_event(data='"' + "x" * 200 + '"') for _ in range(2_000))
        await storage.commit(Changes(appends=(append(f"order-{number}", *many),)))

    tracemalloc.start()
    try:
        peaks: list[int] = []
        after = 0
        while after < 20_000:
            tracemalloc.reset_peak()
            after = (await storage.read_log(after=after, limit=1_000)).scanned_to
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()

    assert len(peaks) == 20
    assert max(peaks[10:]) < 1.5 * max(peaks[:3])


async def test_an_sqlite_that_knows_no_strict_tables_does_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "STRICT_TABLES", False)
    plain = tuple(
        [statement.replace(", STRICT", "").replace("STRICT", "") for statement in statements]
        for statements in schema.MIGRATIONS
    )
    monkeypatch.setattr(schema, "MIGRATIONS", plain)
    storage = SqliteStorage(path)
    await storage.open()
    await storage.prepare_collections([ORDERS])

    await storage.commit(
        Changes(
            appends=(append("order-1", new_event(tags=("a",))),),
            rows=(row("order_summary", "7", "shipped"),),
        )
    )

    with closing(sqlite3.connect(path)) as other:
        tables = other.execute("SELECT sql FROM sqlite_master WHERE type = 'table'").fetchall()
    assert not any("STRICT" in sql for (sql,) in tables)
    assert len(await whole_log(storage)) == 1
    await storage.close()
