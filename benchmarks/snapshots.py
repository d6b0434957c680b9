"""From which length on a snapshot or a cached state makes loading an aggregate faster.

    python benchmarks/snapshots.py                                  # SQLite, median of 7
    python benchmarks/snapshots.py --storage postgresql://…/bench --repeats 5

Each row is a stream of so many events, loaded in three ways in turn: read as a whole; from a
snapshot that 50 events have followed on (what `Snapshots(every=100)` has on average); from a
state in memory that one event has followed on (that of the command before). Once for a state of
two fields, and once for one that keeps an entry for every event.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4

from headwater import Aggregate, Event, EventStore, ExpectedVersion, Snapshots, SystemClock, applies
from headwater.app.storages import storage_of
from headwater.unit_of_work.units import Units

LENGTHS = (10, 50, 100, 200, 500, 1_000, 5_000)
TAIL = 50
LOADS = 30
BATCH = 1_000
SELDOM = Snapshots(every=1_000_000)


class LineAdded(Event, context="bench"):
    sku: str
    quantity: int
    price: str
    currency: str
    note: str


class Small(Aggregate[UUID], context="bench", name="order"):
    lines: int = 0
    total: int = 0

    @applies
    def _added(self, event: LineAdded) -> None:
        self.lines += 1
        self.total += event.quantity


class SmallSnapshot(Small, context="bench", name="order", snapshots=SELDOM):
    """From a snapshot."""


class SmallTaken(Small, context="bench", name="order", snapshots=Snapshots(every=1)):
    """Takes the snapshots that the other is loaded from."""


class SmallCached(Small, context="bench", name="order", cache=1_000):
    """From memory."""


class Large(Aggregate[UUID], context="bench", name="order"):
    quantities: dict[str, int] = {}  # noqa: RUF012 - copied for each instance

    @applies
    def _added(self, event: LineAdded) -> None:
        self.quantities[event.sku] = self.quantities.get(event.sku, 0) + event.quantity


class LargeSnapshot(Large, context="bench", name="order", snapshots=SELDOM):
    """From a snapshot."""


class LargeTaken(Large, context="bench", name="order", snapshots=Snapshots(every=1)):
    """Takes the snapshots that the other is loaded from."""


class LargeCached(Large, context="bench", name="order", cache=1_000):
    """From memory."""


# A snapshot fits the class that took it, by its name and its code.
for taker, loaded in ((SmallTaken, SmallSnapshot), (LargeTaken, LargeSnapshot)):
    taker.__name__, taker.__qualname__ = loaded.__name__, loaded.__qualname__

STATES: dict[str, tuple[type[Aggregate[UUID]], ...]] = {
    "a state of two fields": (Small, SmallSnapshot, SmallCached, SmallTaken),
    "a state with an entry for every event": (Large, LargeSnapshot, LargeCached, LargeTaken),
}


def lines(start: int, count: int) -> list[LineAdded]:
    return [
        LineAdded(f"SKU-{n:06}", n % 7 + 1, "19.99", "EUR", "x" * 44)
        for n in range(start, start + count)
    ]


async def append(store: EventStore, stream: str, start: int, count: int) -> None:
    for first in range(start, start + count, BATCH):
        events = lines(first, min(BATCH, start + count - first))
        await store.append(stream, events, expected=ExpectedVersion.exactly(first))


async def load(units: Units, cls: type[Aggregate[UUID]], id: UUID) -> float:
    """Return the seconds that one load took."""
    started = time.perf_counter()
    await units.new(reads_only=True).repository(cls).get(id)
    return time.perf_counter() - started


async def loads(units: Units, classes: Sequence[type[Aggregate[UUID]]], id: UUID) -> list[float]:
    """Return the median seconds of a load of each of the first three, which take turns."""
    cached = units.aggregate_type(classes[2])
    cache, key = cached.cache, (UUID, cached.stream_id(id))
    assert cache is not None
    entry = cache.get(key)
    assert entry is not None
    seconds: list[list[float]] = [[] for _ in range(3)]
    for _ in range(LOADS):
        for cls, results in zip(classes[:3], seconds, strict=True):
            # As the load before left it, which one event has followed since.
            cache.drop(key)
            cache.put(key, entry, generation=cache.generation)
            results.append(await load(units, cls, id))
    return [statistics.median(results) for results in seconds]


async def measure(
    store: EventStore, classes: Sequence[type[Aggregate[UUID]]], length: int
) -> list[float]:
    """Return the median seconds of loading a new stream of *length* events in each way."""
    units = Units(store.storage, codec=store.codec)
    id, tail = uuid4(), min(TAIL, length // 2)
    stream = units.aggregate_type(classes[0]).stream_id(id)
    await append(store, stream, 0, length - tail)
    await load(units, classes[3], id)
    await units.write_snapshots()
    await append(store, stream, length - tail, tail - 1)
    await load(units, classes[2], id)
    await append(store, stream, length - 1, 1)
    return await loads(units, classes, id)


async def run(url: str, repeats: int) -> None:
    storage = storage_of(url, clock=SystemClock())
    async with EventStore(storage, types=[LineAdded], context="bench") as store:
        for name, classes in STATES.items():
            print(f"\n{name}")
            print("  events      whole   snapshot   ratio      cache   ratio")
            pays = [0, 0]
            for length in LENGTHS:
                turns = [await measure(store, classes, length) for _ in range(repeats)]
                whole, snapshot, cache = map(statistics.median, zip(*turns, strict=True))
                print(
                    f"{length:>8,} {whole * 1e6:>7,.0f} µs {snapshot * 1e6:>7,.0f} µs "
                    f"{whole / snapshot:>7.2f} {cache * 1e6:>7,.0f} µs {whole / cache:>7.2f}"
                )
                for n, seconds in enumerate((snapshot, cache)):
                    pays[n] = 0 if seconds >= whole else pays[n] or length
            for what, least in zip(("a snapshot", "the cache"), pays, strict=True):
                print(f"{what} pays from {least or 'no'} events on")


def main() -> None:
    """Run, and print microseconds per load and how many times faster it is than as a whole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storage", help="URL of a storage; a temporary SQLite file by default")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as folder:
        url = options.storage or f"sqlite:///{Path(folder) / 'bench.db'}"
        asyncio.run(run(url, options.repeats))


if __name__ == "__main__":
    main()
