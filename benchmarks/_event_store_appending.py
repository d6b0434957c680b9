"""Appending: `sqlite3` alone, the storage, and the event store over it, in short turns."""

import asyncio
import gc
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks._event_store_domain import DATA, LINE, NEW, TYPES, Files
from headwater.adapters.storage.sqlite import SqliteStorage
from headwater.event_store import EventStore
from headwater.ids import new_id
from headwater.ports.changes import Append, Changes, NewEvent
from headwater.ports.storage import Storage

INSERT = f"INSERT INTO headwater_events VALUES ({', '.join('?' * 17)})"


async def made(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.open()
    await storage.close()


class Bare:
    """`sqlite3` alone, writing finished tuples into the same table and indexes."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA synchronous=FULL")
        self._position = 0

    def append(self, count: int, batch: int) -> float:
        """Return events per second."""
        rows = [self._row() for _ in range(count)]
        started = time.perf_counter()
        for first in range(0, count, batch):
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(INSERT, rows[first : first + batch])
            self._connection.execute("COMMIT")
        return count / (time.perf_counter() - started)

    def _row(self) -> tuple[Any, ...]:
        self._position += 1
        id, now = new_id(), time.time_ns() // 1000
        place = (self._position, f"sales.order-{id}", 1, id.bytes, "sales.line-added", 1)
        return (*place, DATA, now, now, id.bytes, id.bytes, "ada", None, None, None, None, 0)

    def close(self) -> None:
        self._connection.close()


async def from_callers(step: Callable[[], Awaitable[object]], count: int, callers: int) -> float:
    """Return how often a second *step* is done by tasks that each do one after another."""
    left: Iterator[int] = iter(range(count))

    async def caller() -> None:
        for _ in left:
            await step()

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return count / (time.perf_counter() - started)


async def append_to_storage(storage: Storage, count: int, callers: int) -> float:
    changes = iter([one_event() for _ in range(count)])
    return await from_callers(lambda: storage.commit(next(changes)), count, callers)


def one_event() -> Changes:
    id = new_id()
    event = NewEvent(
        id=id.bytes,
        type="sales.line-added",
        schema_version=1,
        data=DATA,
        occurred_at=time.time_ns() // 1000,
        correlation_id=id.bytes,
        causation_id=id.bytes,
        actor="ada",
    )
    return Changes((Append(f"sales.order-{id}", NEW, (event,)),))


async def append_to_store(store: EventStore, count: int, callers: int) -> float:
    streams = iter([f"sales.order-{new_id()}" for _ in range(count)])
    return await from_callers(
        lambda: store.append(next(streams), [LINE], expected=NEW), count, callers
    )


async def measure_appending(
    files: Files, count: int, callers: int, *, slices: int
) -> dict[str, list[float]]:
    """Return the rates of the three, which take turns of *count* events each."""
    rates: dict[str, list[float]] = {"bare": [], "storage": [], "store": []}
    bare_path = files.fresh()
    await made(bare_path)
    storage = SqliteStorage(files.fresh())
    await storage.open()
    with closing(Bare(bare_path)) as bare:
        async with EventStore(SqliteStorage(files.fresh()), types=TYPES, context="sales") as store:
            for _ in range(slices):
                gc.collect()
                rates["bare"].append(bare.append(count, callers))
                rates["storage"].append(await append_to_storage(storage, count, callers))
                rates["store"].append(await append_to_store(store, count, callers))
    await storage.close()
    return rates
