"""A process that writes until it is killed or done, and says after each commit what it was told.

    python writing.py URL NAME SEED WRITERS COMMITS

It waits for a line on its standard input. Each acknowledgement is a line: the stream, the
version and position of the commit's last event, and the moment in nanoseconds.
"""

import asyncio
import json
import os
import random
import sys
import time

from headwater.app.storages import storage_of
from headwater.clock import SystemClock
from headwater.ids import new_id
from headwater.ports.changes import Append, Changes, NewEvent, RowChange
from headwater.ports.rows import CollectionSpec
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion

PROGRESS = CollectionSpec("progress", ("version",))
EVENTS_MAX = 5


async def main(url: str, name: str, seed: int, writers: int, commits: int) -> None:
    """Write with *writers* at once, *commits* each."""
    storage = storage_of(url, clock=SystemClock())
    await storage.open()
    await storage.prepare_collections([PROGRESS])
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.gather(
        *(
            write(storage, f"crash.{name}-{number}", random.Random(seed + number), commits)
            for number in range(writers)
        )
    )
    await storage.close()


async def write(storage: Storage, stream_id: str, chance: random.Random, count: int) -> None:
    """Append commits of one to five events to a stream, each with a row that says its version."""
    last = await storage.read_stream(stream_id, backwards=True, limit=1)
    version = last[0].version if last else 0
    for _ in range(count):
        size = chance.randint(1, EVENTS_MAX)
        commit, fill = str(new_id()), "x" * chance.randint(0, 500)
        events = tuple(
            NewEvent(
                id=new_id().bytes,
                type="crash.written",
                schema_version=1,
                data=json.dumps({"commit": commit, "of": size, "fill": fill}),
                occurred_at=1_700_000_000_000_000,
                tags=(f"tag:{size}",),
            )
            for _ in range(size)
        )
        changes = Changes(
            appends=(Append(stream_id, ExpectedVersion.exactly(version), events),),
            rows=(RowChange("progress", stream_id, json.dumps({"version": version + size})),),
        )
        committed = await storage.commit(changes)
        version += size
        # One short write to a pipe arrives whole or not at all, also if the next moment kills.
        line = f"{stream_id} {version} {committed.position} {time.monotonic_ns()}\n"
        os.write(sys.stdout.fileno(), line.encode())


if __name__ == "__main__":
    where, name, *numbers = sys.argv[1:]
    seed, writers, commits = map(int, numbers)
    asyncio.run(main(where, name, seed, writers, commits))
