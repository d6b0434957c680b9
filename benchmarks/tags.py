"""What tags and decisions across aggregates cost, and whether that grows with the log.

    python benchmarks/tags.py                       # on SQLite, median of 5
    python benchmarks/tags.py --storage postgresql://localhost/bench --lengths 1000,100000
    python benchmarks/tags.py --json

Appends: 256 at a time, one event each, on streams of their own; plain, with two tags, with a
condition on two tags as well. Reading: a decision model of 20 events, loaded by its tag from logs
of different lengths; and the plain read of a stream of 20 events beside it.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from headwater import App, BoundedContext, DecisionModel, Event, EventCriteria, applies
from headwater.ids import new_id
from headwater.ports.changes import Append, Changes, NewEvent, TagCondition
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion

AT_ONCE: Final = 256
APPENDS: Final = 2048
ROUNDS: Final = 5
LOADS: Final = 200
MODEL_EVENTS: Final = 20
FILL_EVENTS: Final = 500


class Subscribed(Event):
    course: str
    student: str


class Seats(DecisionModel):
    taken: int = 0

    def __init__(self, course: str) -> None:
        super().__init__(EventCriteria(f"course:{course}"))

    @applies
    def _subscribed(self, event: Subscribed) -> None:
        self.taken += 1


bench = BoundedContext("bench")
bench.register(Seats)
numbers = itertools.count()


def event(*tags: str) -> NewEvent:
    number = next(numbers)
    data = f'{{"course":"c{number % 997}","student":"s{number}"}}'
    return NewEvent(new_id().bytes, "bench.subscribed", 1, data, time.time_ns() // 1000, tags=tags)


def plain(_head: int) -> Changes:
    return Changes((Append(f"bench.s-{next(numbers)}", ExpectedVersion.ANY, (event(),)),))


def tagged(_head: int) -> Changes:
    number = next(numbers)
    one = event(f"course:x{number}", f"student:x{number}")
    return Changes((Append(f"bench.s-{number}", ExpectedVersion.ANY, (one,)),))


def conditioned(head: int) -> Changes:
    number = next(numbers)
    tags = f"course:x{number}", f"student:x{number}"
    types = frozenset({"bench.subscribed"})
    return Changes(
        (Append(f"bench.s-{number}", ExpectedVersion.ANY, (event(*tags),)),),
        tuple(TagCondition((tag,), head, types) for tag in tags),
    )


async def append_rate(storage: Storage, make: Callable[[int], Changes]) -> float:
    """Return commits per second, `AT_ONCE` of them waiting at any time."""
    head = await storage.head()
    waiting = [make(head) for _ in range(APPENDS)]

    async def commit_in_turn(share: Sequence[Changes]) -> None:
        for changes in share:
            await storage.commit(changes)

    started = time.perf_counter()
    await asyncio.gather(*(commit_in_turn(waiting[n::AT_ONCE]) for n in range(AT_ONCE)))
    return APPENDS / (time.perf_counter() - started)


async def fill(storage: Storage, length: int) -> None:
    """Append tagged events of other courses until the log has *length*."""
    missing = length - await storage.head()
    while missing > 0:
        appends: list[Append] = []
        for _ in range(min(FILL_EVENTS, missing)):
            number = next(numbers)
            one = event(f"course:o{number % 997}", f"student:o{number % 9973}")
            appends.append(Append(f"bench.o-{number}", ExpectedVersion.ANY, (one,)))
        await storage.commit(Changes(tuple(appends)))
        missing -= len(appends)


async def milliseconds(work: Callable[[], Awaitable[object]]) -> float:
    """Return the median time of one call."""
    times: list[float] = []
    for _ in range(LOADS):
        started = time.perf_counter()
        await work()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


async def measure(url: str, lengths: Sequence[int]) -> dict[str, float]:
    app = App("bench", storage=url, run_subscriptions=False)
    app.include(bench)
    found: dict[str, float] = {}
    async with app:
        storage, store = app.storage, app.event_store
        stream, course = f"bench.model-{new_id()}", str(new_id())
        for _ in range(MODEL_EVENTS):
            one = event(f"course:{course}")
            await storage.commit(Changes((Append(stream, ExpectedVersion.ANY, (one,)),)))

        async def load() -> None:
            async with store.unit_of_work() as unit:
                assert (await unit.load(Seats(course))).taken == MODEL_EVENTS

        async def decide() -> None:
            async with store.unit_of_work() as unit:
                await unit.load(Seats(course))
                unit.append("bench.decided-1", Subscribed("y", "z"), tags=("course:y",))

        async def read() -> None:
            assert len(await storage.read_stream(stream)) == MODEL_EVENTS

        for length in lengths:
            await fill(storage, length)
            found[f"load ms at {length}"] = await milliseconds(load)
            found[f"decide ms at {length}"] = await milliseconds(decide)
            found[f"stream ms at {length}"] = await milliseconds(read)
        rates: dict[str, list[float]] = {"plain": [], "tagged": [], "conditioned": []}
        for number in range(ROUNDS + 1):
            for name, make in (("plain", plain), ("tagged", tagged), ("conditioned", conditioned)):
                rate = await append_rate(storage, make)
                if number:  # the first round warms up
                    rates[name].append(rate)
        for name, measured in rates.items():
            found[f"{name} commits/s"] = statistics.median(measured)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="What tags and decisions across aggregates cost.")
    parser.add_argument("--storage", help="a URL; a new SQLite file per repeat without it")
    parser.add_argument("--lengths", default="1000,10000,100000", help="lengths of the log")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    lengths = [int(length) for length in options.lengths.split(",")]

    runs: list[dict[str, float]] = []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as folder:
            url = options.storage or f"sqlite:///{Path(folder) / 'bench.db'}"
            runs.append(asyncio.run(measure(url, lengths)))
    middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    first, last = lengths[0], lengths[-1]
    pairs = {
        "tagged / plain": ("tagged commits/s", "plain commits/s"),
        "conditioned / plain": ("conditioned commits/s", "plain commits/s"),
        f"load, {last} / {first}": (f"load ms at {last}", f"load ms at {first}"),
        f"decide, {last} / {first}": (f"decide ms at {last}", f"decide ms at {first}"),
        f"load / stream at {last}": (f"load ms at {last}", f"stream ms at {last}"),
    }
    ratios = {
        name: statistics.median(run[one] / run[other] for run in runs)
        for name, (one, other) in pairs.items()
    }
    if options.json:
        print(json.dumps({"measured": middle, "ratios": ratios}))
        return
    for name, value in middle.items():
        print(f"{name:32} {value:12,.3f}" if "ms" in name else f"{name:32} {value:12,.0f}")
    for name, value in ratios.items():
        print(f"{name:32} {value:12.2f}")


if __name__ == "__main__":
    main()
