"""Deletes what a subscription held before it was reset: those events come again, from the log."""

from typing import Final

from headwater.errors import CheckpointConflictError
from headwater.operations.dead_letters.deliveries import DELIVERIES, delivery_gone
from headwater.operations.dead_letters.reading import of_subscription
from headwater.operations.dead_letters.requests import REQUESTS, request_gone
from headwater.ports.changes import Changes, CheckpointMove
from headwater.ports.rows import Comparison, Condition, RowQuery
from headwater.ports.storage import Storage

ROWS_AT_ONCE: Final = 1000
"""How many deliveries one commit deletes."""


async def forget_stale(storage: Storage, subscription: str) -> int:
    """Delete what *subscription* holds past all of its checkpoints; return how much that was.

    Nothing can be held there but what is from before a reset. Workers may run: whoever leases a
    partition does the same for it.

    Raises:
        StorageError: the storage can't be used.
    """
    if all(spec.name != DELIVERIES.name for spec in await storage.collections()):
        return 0
    await storage.prepare_collections([DELIVERIES, REQUESTS])
    deleted = 0
    while True:
        states = await storage.partition_states(subscription)
        # While these stand, no worker has come to anything that it could hold there anew.
        stand = tuple(
            CheckpointMove(subscription, one.partition, at.position, at.position, at.event_id)
            for one in states
            for at in (one.checkpoint,)
        )
        furthest = max(one.checkpoint.position for one in states)
        past = Condition("position", Comparison.GREATER, furthest)
        query = RowQuery((of_subscription(subscription), past), limit=ROWS_AT_ONCE)
        ids = [row.key for row in await storage.find_rows(DELIVERIES.name, query)]
        if not ids:
            return deleted
        gone = [change for id in ids for change in (delivery_gone(id), request_gone(id))]
        try:
            await storage.commit(Changes(rows=tuple(gone), checkpoints=stand))
        except CheckpointConflictError:
            continue
        deleted += len(ids)
