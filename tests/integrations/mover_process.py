"""A process that moves the outbox until it is told or made to end.

usage: python -m tests.integrations.mover_process URL
"""

import asyncio
import sys

from headwater.adapters.storage.postgres.outbox_mover import OutboxMover
from headwater.adapters.storage.postgres.settings import PostgresSettings


async def main(url: str) -> None:
    mover = OutboxMover(PostgresSettings.from_url(url))
    mover.start()
    print("moving", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await mover.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
