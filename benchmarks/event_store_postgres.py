"""What the PostgreSQL storage costs, next to bare `asyncpg` and pyeventsourcing, in one run.

    python -m benchmarks.event_store_postgres                  # on a server made for it
    python -m benchmarks.event_store_postgres --no-peers
    python -m benchmarks.event_store_postgres --url postgresql://user@host/database
    python -m benchmarks.event_store_postgres --json out.json  # or --json - for stdout

Every figure is a ratio of medians; the sides take short turns on one server with the default
configuration, fsync included. The limits are `asyncpg` alone (`_postgres_bare`), which checks
nothing: 256 callers whose events one writer inserts in one statement; four writers with 64 callers
each that take one advisory lock per batch; one insert after another; the log scanned and not
decoded. Ours commits one event to a stream of its own for each caller, in four processes where the
limit has four writers, and decodes what it scans. pyeventsourcing saves an aggregate with one event
from each of 16 threads, as its application for PostgreSQL comes.
"""

import argparse
import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from benchmarks import _postgres_bare as bare
from benchmarks._event_store_appending import one_event
from benchmarks._event_store_domain import DATA, TYPES
from benchmarks._event_store_peer import PostgresPeer
from benchmarks._postgres_server import server_at
from benchmarks._table import Table
from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.event_store import EventStore
from headwater.ports.changes import Append, Changes, NewEvent
from headwater.streams import ExpectedVersion

CALLERS = 256
PROCESSES, CALLERS_EACH = 4, 64
SECONDS, TURNS = 0.6, 9
SCANNED, PAGE = 100_000, 1000
THREADS = 16


def storage_at(url: str, schema: str) -> PostgresStorage:
    return PostgresStorage(PostgresSettings.from_url(f"{url}?schema={schema}&auto_migrate=true"))


def committing(storage: PostgresStorage) -> Callable[[], Awaitable[object]]:
    """Return what commits one event; encoding it is not measured."""
    ready = iter([one_event() for _ in range(20_000)])
    return lambda: storage.commit(next(ready, None) or one_event())


async def measure_appending(url: str) -> dict[str, list[float]]:
    """Return the rates of ours and of the limits, which take turns."""
    rates: dict[str, list[float]] = {"group": [], "limit": [], "single": [], "limit single": []}
    storage = storage_at(url, "bench_appends")
    await storage.open()
    connection = await asyncpg.connect(url)
    group, single = (
        bare.GroupCommit(await bare.unchecked(connection)),
        await bare.single(await asyncpg.connect(url)),
    )
    for turn in range(TURNS + 1):
        done = {
            "limit": await bare.hammer([group.append] * CALLERS, SECONDS),
            "group": await bare.hammer([committing(storage)] * CALLERS, SECONDS),
            "limit single": await bare.hammer([single], SECONDS),
            "single": await bare.hammer([committing(storage)], SECONDS),
        }
        gc.collect()
        if turn:  # the first one warms up
            for name, rate in done.items():
                rates[name].append(rate)
    group.close()
    await storage.close()
    return rates


def writer_process(url: str, ready: Any, go: Any, results: Any) -> None:
    """Commit with 64 callers whenever all are told to go."""

    async def run() -> None:
        storage = storage_at(url, "bench_processes")
        await storage.open()
        for _ in range(TURNS + 1):
            ready.release()
            await asyncio.to_thread(go.acquire)
            results.put(await bare.hammer([committing(storage)] * CALLERS_EACH, SECONDS))
        await storage.close()

    asyncio.run(run())


async def measure_processes(url: str) -> dict[str, list[float]]:
    """Return the rates of four processes together, and of the limit."""
    rates: dict[str, list[float]] = {"ours": [], "limit": []}
    storage = storage_at(url, "bench_processes")
    await storage.open()
    await storage.close()
    connections = [await asyncpg.connect(url) for _ in range(PROCESSES)]
    await bare.lay_out_locked(connections[0])
    groups = [bare.GroupCommit(await bare.locked(each)) for each in connections]
    context = get_context("spawn")
    ready, go, results = context.Semaphore(0), context.Semaphore(0), context.Queue()
    processes = [
        context.Process(target=writer_process, args=(url, ready, go, results), daemon=True)
        for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for turn in range(TURNS + 1):
        operations = [group.append for group in groups] * CALLERS_EACH
        limit = await bare.hammer(operations, SECONDS)
        for _ in processes:
            await asyncio.to_thread(ready.acquire)
        for _ in processes:
            go.release()
        ours = sum([await asyncio.to_thread(results.get) for _ in processes])
        if turn:
            rates["ours"].append(ours)
            rates["limit"].append(limit)
    for process in processes:
        process.join()
    for group in groups:
        group.close()
    return rates


async def measure_scanning(url: str) -> dict[str, list[float]]:
    """Return how many events a second are read from a long log."""
    rates: dict[str, list[float]] = {"ours": [], "limit": []}
    connection = await asyncpg.connect(url)
    await bare.lay_out_scanned(connection, SCANNED)
    storage = storage_at(url, "bench_scans")
    async with EventStore(storage, types=TYPES, context="sales") as store:
        for first in range(0, SCANNED, PAGE):
            await storage.commit(ten_per_stream(first))
        await connection.execute("ANALYZE")
        for _ in range(5):
            rates["limit"].append(await bare.scan(connection, PAGE))
            read, after, started = 0, 0, time.perf_counter()
            decode = store.codec.decode_stored
            while True:
                page = await storage.read_log(after=after, limit=PAGE)
                read += len([decode(event) for event in page.events])
                after = page.scanned_to
                if after >= page.head:
                    break
            assert read == SCANNED
            rates["ours"].append(read / (time.perf_counter() - started))
    await connection.close()
    return rates


def ten_per_stream(first: int) -> Changes:
    """Return `PAGE` events, ten to a stream."""
    now = time.time_ns() // 1000
    return Changes(
        tuple(
            Append(
                f"sales.order-{stream}",
                ExpectedVersion.any(),
                tuple([event_at(stream + n, now) for n in range(10)]),
            )
            for stream in range(first, first + PAGE, 10)
        )
    )


def event_at(number: int, now: int) -> NewEvent:
    return NewEvent(number.to_bytes(16, "big"), "sales.line-added", 1, DATA, now)


def measure_peer(url: str) -> list[float]:
    peer = PostgresPeer(urlsplit(url))
    rates = [peer.append(THREADS) for _ in range(3)]
    peer.app.close()
    return rates


def measure(url: str, *, peers: bool) -> dict[str, Any]:
    table = Table()
    rates = asyncio.run(measure_appending(url))
    table.add("256 at once, commit : group commit", rates["group"], rates["limit"], 0.4)
    table.add("one by one, commit : one insert", rates["single"], rates["limit single"], 0.6)
    four = asyncio.run(measure_processes(url))
    table.add("4 processes x 64 : batches, one lock", four["ours"], four["limit"], 0.25)
    scans = asyncio.run(measure_scanning(url))
    table.add("scan, decoded : scan, not decoded", scans["ours"], scans["limit"], 0.4)
    if peers and find_spec("eventsourcing"):
        peer = measure_peer(url)
        table.add(f"256 at once : pyeventsourcing, {THREADS} threads", rates["group"], peer, 25)
    return {"turns": TURNS, "figures": table.lines}


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a database to measure in; a server is made if not given")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    shown = StringIO() if options.json == "-" else sys.stdout
    with redirect_stdout(shown), server_at(options.url) as url:
        result = measure(url, peers=not options.no_peers)
    if options.json == "-":
        print(json.dumps(result, indent=2))
    elif options.json:
        Path(options.json).write_text(json.dumps(result, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
