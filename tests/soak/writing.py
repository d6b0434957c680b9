"""A process that appends a number of events as fast as it can, from many callers at once.

    python writing.py URL NAME SEED EVENTS

It waits for a line on its standard input. Some of its streams are its own, and it knows their
versions; others are shared with all processes.
"""

import asyncio
import random
import sys
from collections.abc import Iterator

from headwater.app.storages import storage_of
from headwater.clock import SystemClock
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import appending, new_events

CALLERS = 32
EVENTS_MAX = 5
HOT_STREAMS = 3


async def main(url: str, name: str, seed: int, events: int) -> None:
    """Append *events* events in commits of one to five."""
    storage = storage_of(url, clock=SystemClock())
    await storage.open()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    chance = random.Random(seed)
    sizes = iter(sizes_of(events, chance))
    await asyncio.gather(
        *(write(storage, f"soak.{name}-{caller}", sizes, chance) for caller in range(CALLERS))
    )
    await storage.close()


def sizes_of(events: int, chance: random.Random) -> list[int]:
    """Return how many events each commit has, so that all have *events*."""
    sizes: list[int] = []
    while events:
        sizes.append(min(events, chance.randint(1, EVENTS_MAX)))
        events -= sizes[-1]
    return sizes


async def write(storage: Storage, own: str, sizes: Iterator[int], chance: random.Random) -> None:
    """Append to the stream *own* and to hot ones as long as there are sizes left."""
    version = 0
    for size in sizes:
        if chance.random() < 0.3:
            hot = f"soak.hot-{chance.randrange(HOT_STREAMS)}"
            await storage.commit(appending(hot, *new_events(size)))
            continue
        expected = ExpectedVersion.exactly(version)
        committed = await storage.commit(appending(own, *new_events(size), expected=expected))
        version += size
        assert committed.appends[0].version == version


if __name__ == "__main__":
    where, name, *numbers = sys.argv[1:]
    seed, events = map(int, numbers)
    asyncio.run(main(where, name, seed, events))
