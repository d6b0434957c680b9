"""A process that follows the log until it has read a number of events, and says what it saw.

    python tailing.py URL EVENTS

It prints one JSON object: how many events it read, how many positions were not the one after the
position before, how many versions were not the one after the version before in their stream, a
digest of all ids in the order in which they came, and how many seconds it read for.
"""

import asyncio
import hashlib
import json
import sys
import time
from collections import defaultdict

from headwater.app.storages import storage_of
from headwater.clock import SystemClock


async def main(url: str, events: int) -> None:
    """Read until *events* events have come."""
    storage = storage_of(url, clock=SystemClock())
    await storage.open()
    print("ready", flush=True)
    ids, versions = hashlib.sha256(), defaultdict[str, int](int)
    read = after = positions_wrong = versions_wrong = 0
    begun = time.monotonic()
    while read < events:
        page = await storage.read_log(after=after)
        for event in page.events:
            positions_wrong += event.position != after + 1
            versions_wrong += event.version != versions[event.stream_id] + 1
            versions[event.stream_id] = event.version
            after = event.position
            ids.update(event.id)
        read += len(page.events)
        positions_wrong += page.scanned_to != after
        after = page.scanned_to
        if after == page.head:
            await storage.wait_for_news(after, seconds=5)
    seen = {
        "events": read,
        "positions_wrong": positions_wrong,
        "versions_wrong": versions_wrong,
        "ids": ids.hexdigest(),
        "seconds": round(time.monotonic() - begun, 1),
    }
    print(json.dumps(seen), flush=True)
    await storage.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
