"""A process that follows the log to a position and prints each page's positions as JSON lines.

python tailing.py FILE UNTIL
"""

import asyncio
import json
import sys
from pathlib import Path

from headwater.adapters.storage.sqlite import SqliteStorage


async def main(path: Path, until: int) -> None:
    """Print the positions of all events up to *until*, as they come."""
    storage = SqliteStorage(path)
    await storage.open()
    print("ready", flush=True)
    after = 0
    while after < until:
        page = await storage.read_log(after=after, limit=100)
        print(json.dumps([event.position for event in page.events]), flush=True)
        after = page.scanned_to
        if after == page.head:
            await storage.wait_for_news(after, seconds=5)
    await storage.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
