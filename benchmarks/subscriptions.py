"""What partitions gain for handlers that wait, and whether memory stays flat behind a long log.

    python -m benchmarks.subscriptions                   # on SQLite files
    python -m benchmarks.subscriptions --postgres        # on PostgreSQL, on a server made for it
    python -m benchmarks.subscriptions --events 4000 --behind 1000000 --repeats 3

The handler awaits 5 ms, as a call to another service would take. Memory is what the highest
resident size of a process of its own grows by while a projection catches up with a short log and
with the long one.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks._postgres_server import server_at
from benchmarks.projections import SalesByProduct, Sold, fill
from headwater import App, BoundedContext
from headwater.app.storages import storage_of
from headwater.clock import SystemClock
from headwater.ids import new_id

AWAITED_SECONDS: Final = 0.005
SHORT_LOG: Final = 20_000
CATCH_UP_SECONDS_MAX: Final = 900


def app_on(storage: str, *, partitions: int | None = None) -> tuple[App, object]:
    """Return an app on *storage*, and what it is waited for: a handler that waits itself, with
    *partitions*, or the projection."""
    context = BoundedContext("bench")
    context.register(Sold)
    app = App("bench", storage=storage)
    app.include(context)
    if partitions is None:
        context.projection(SalesByProduct)
        return app, SalesByProduct

    async def call(_event: Sold) -> None:
        await asyncio.sleep(AWAITED_SECONDS)

    context.subscriber(name=f"call-{partitions}", partitions=partitions)(call)
    return app, call


async def catch_up(storage: str, events: int, *, partitions: int | None = None) -> float:
    """Return the events per second of a subscription that begins with *events* behind."""
    app, waited_for = app_on(storage, partitions=partitions)
    begun = time.perf_counter()
    async with app:
        await app.wait_for(waited_for, events, timeout=CATCH_UP_SECONDS_MAX)
        return events / (time.perf_counter() - begun)


def measure_gain(storage: str, events: int, repeats: int) -> None:
    """Print the rates with one partition and with sixteen."""
    rates: dict[int, list[float]] = {1: [], 16: []}
    for n in range(repeats):
        for partitions, measured in rates.items():
            place = placed(storage, f"gain-{partitions}-{n}")
            asyncio.run(fill(storage_of(place, clock=SystemClock()), events))
            measured.append(asyncio.run(catch_up(place, events, partitions=partitions)))
    one, sixteen = statistics.median(rates[1]), statistics.median(rates[16])
    print(f"one partition         {one:>10,.0f} events/s")
    print(f"sixteen partitions    {sixteen:>10,.0f} events/s")
    print(f"ratio                 {sixteen / one:>10.1f}", flush=True)


def measure_memory(storage: str, behind: int) -> None:
    """Print by how much the process grew with a short log and with a long one."""
    for events in (SHORT_LOG, behind):
        place = placed(storage, f"memory-{events}")
        asyncio.run(fill(storage_of(place, clock=SystemClock()), events))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            grown, rate = pool.apply(_grow, (place, events))
        print(f"{events:>9,} behind: memory grew by {grown:>6.1f} MiB, at {rate:>8,.0f} events/s")


def _grow(storage: str, events: int) -> tuple[float, float]:
    before = _highest_mib()
    rate = asyncio.run(catch_up(storage, events))
    return _highest_mib() - before, rate


def _highest_mib() -> float:
    # Not `getrusage`: its figure begins with that of the parent.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM: this benchmark needs Linux.")


def placed(storage: str, name: str) -> str:
    """Return the URL of a log of its own at *storage*: a folder, or a PostgreSQL server."""
    if storage.startswith("postgresql:"):
        return f"{storage}?schema=bench_{new_id().hex}&auto_migrate=true"
    return f"sqlite:///{storage}/{name}.db"


@contextmanager
def _place(*, postgres: bool) -> Generator[str]:
    if postgres:
        with server_at(None) as url:
            yield url
        return
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as folder:
        yield str(Path(folder))


def main() -> None:
    """Run, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--behind", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--postgres", action="store_true")
    options = parser.parse_args()
    with _place(postgres=options.postgres) as storage:
        measure_gain(storage, options.events, options.repeats)
        measure_memory(storage, options.behind)


if __name__ == "__main__":
    main()
