"""A worker that moves checkpoints under leases until it is killed, and says what it was told.

    python leasing.py URL NAME

It waits for a line on its standard input, and works until the next. Each move comes with an event
that says to where, by whom and under which token.
"""

import asyncio
import json
import sys

from headwater.app.storages import storage_of
from headwater.clock import SystemClock
from headwater.errors import LeaseLostError
from headwater.ids import new_id
from headwater.ports.changes import Append, Changes, CheckpointMove, NewEvent
from headwater.ports.leases import Lease
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion

SUBSCRIPTION = "moves"
PARTITIONS = 6
LEASE_SECONDS = 0.5


async def main(url: str, name: str) -> None:
    """Lease, move each checkpoint by one, and release what is above the worker's due."""
    storage = storage_of(url, clock=SystemClock())
    await storage.open()
    await storage.open_subscription(SUBSCRIPTION, partitions=PARTITIONS, start_after=0)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline))
    while not ended.done():
        shares = await storage.lease_partitions(name, [SUBSCRIPTION], seconds=LEASE_SECONDS)
        share = shares[SUBSCRIPTION]
        for lease in share.leases:
            if lease.unclean:
                print(f"unclean {lease.partition}", flush=True)
            await move(storage, name, lease)
        above = [lease.partition for lease in share.leases[share.fair :]]
        if above:
            await storage.release_partitions(name, SUBSCRIPTION, above)
        await asyncio.sleep(0.01)
    await storage.release_partitions(name, SUBSCRIPTION)
    await storage.close()


async def move(storage: Storage, name: str, lease: Lease) -> None:
    """Move a checkpoint by one, with an event; say so, or that the lease was lost."""
    partition, token, at = lease.partition, lease.token, lease.checkpoint.position
    event = NewEvent(
        id=new_id().bytes,
        type="crash.moved",
        schema_version=1,
        data=json.dumps({"to": at + 1, "by": name, "token": token}),
        occurred_at=1_700_000_000_000_000,
    )
    changes = Changes(
        appends=(Append(f"moves-{partition}", ExpectedVersion.exactly(at), (event,)),),
        checkpoints=(CheckpointMove(SUBSCRIPTION, partition, at, at + 1, event.id, token),),
    )
    try:
        await storage.commit(changes)
    except LeaseLostError:
        print(f"lost {partition}", flush=True)
    else:
        print(f"moved {partition} {at + 1}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
