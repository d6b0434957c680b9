"""How long it takes from a commit to the handler of a subscriber in the same process.

    python -m benchmarks.latency                            # on a SQLite file
    python -m benchmarks.latency --storage postgresql://…   # on a database made for it
    python -m benchmarks.latency --events 2000

One event at a time, so that nothing waits behind anything: the time runs from the moment when
`append` returns, its commit being durable, to the first line of the handler. A negative time
means that the handler was faster than the way back to the caller.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from headwater import App, BoundedContext, Event, EventStore
from headwater.ids import new_id
from headwater.streams import ExpectedVersion

bench = BoundedContext("latency")
WARM_UP = 50


class Sent(Event):
    number: int


class Arrivals:
    """When each number reached the subscriber."""

    def __init__(self) -> None:
        self.waiting: dict[int, asyncio.Future[float]] = {}

    def of(self, number: int) -> "asyncio.Future[float]":
        return self.waiting.setdefault(number, asyncio.get_running_loop().create_future())


@bench.subscriber
async def receive(event: Sent, arrivals: Arrivals) -> None:
    arrivals.of(event.number).set_result(time.perf_counter())


async def measure(storage: str, events: int) -> list[float]:
    """Return the latencies in seconds."""
    arrivals = Arrivals()
    app = App("latency", storage=storage, provide={Arrivals: arrivals})
    app.include(bench)
    latencies: list[float] = []
    async with app:
        store: EventStore = app.event_store
        for number in range(events + WARM_UP):
            arrived = arrivals.of(number)
            stream = f"latency.message-{new_id()}"
            await store.append(stream, [Sent(number)], expected=ExpectedVersion.no_stream())
            committed = time.perf_counter()
            latencies.append(await arrived - committed)
            del arrivals.waiting[number]
    return latencies[WARM_UP:]


def main() -> None:
    """Run, and print the quantiles in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storage", help="where to measure; a SQLite file if not given")
    parser.add_argument("--events", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as folder:
        storage = options.storage or f"sqlite:///{Path(folder) / 'latency.db'}"
        latencies = asyncio.run(measure(storage, options.events))
    cuts = statistics.quantiles(latencies, n=100)
    for name, seconds in (("median", cuts[49]), ("95 %", cuts[94]), ("99 %", cuts[98])):
        print(f"commit to subscriber, {name:8}{seconds * 1000:>8.2f} ms")


if __name__ == "__main__":
    main()
