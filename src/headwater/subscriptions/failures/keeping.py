"""Where a partition keeps what it holds: rows, read when its lease begins, written under it."""

from collections.abc import Iterable, Sequence
from itertools import islice

from headwater.operations.dead_letters.deliveries import (
    DELIVERIES,
    DeliveryState,
    HeldDelivery,
    delivery_gone,
    delivery_of,
    key_id,
)
from headwater.operations.dead_letters.reading import (
    deliveries_by_position,
    in_states,
    of_subscription,
)
from headwater.operations.dead_letters.suspects import SUSPECTS, Suspect, suspect_key, suspect_of
from headwater.ports.changes import Changes, CheckpointMove, RowChange
from headwater.ports.leases import Checkpoint, Lease
from headwater.ports.rows import Comparison, Condition
from headwater.subscriptions.failure import Charge
from headwater.subscriptions.failures.held_keys import Held
from headwater.subscriptions.failures.means import Means
from headwater.subscriptions.subscription import partition_of

KEYS_AT_ONCE = 500
"""Of how many keys the waiting events are looked for with one read."""

ROWS_AT_ONCE = 1000
"""How many rows of a reset subscription one commit deletes."""


class Keeping:
    """Reads and writes the rows of one partition, under its lease."""

    def __init__(self, charge: Charge, means: Means, lease: Lease) -> None:
        self._charge, self._means, self._lease = charge, means, lease

    @property
    def token(self) -> int:
        """The lease's token."""
        return self._lease.token

    async def held(self) -> Sequence[Held]:
        """Return what is held in the partition.

        What stands past its checkpoint was held before the subscription was reset: it is deleted.
        """
        name, at = self._means.name, self._lease.checkpoint
        of_name = of_subscription(name)
        others = (state for state in DeliveryState if state is not DeliveryState.WAITING)
        rows = await deliveries_by_position(self._means.target, of_name, in_states(*others))
        found = [held for row in rows if self._is_ours(held := Held.of(delivery_of(row)))]
        keys = iter({held.key: None for held in found})
        while some := [key_id(name, key) for key in islice(keys, KEYS_AT_ONCE)]:
            rows = await deliveries_by_position(
                self._means.target,
                of_name,
                in_states(DeliveryState.WAITING),
                Condition("key_id", Comparison.ONE_OF, tuple(some)),
            )
            found += [Held.of(delivery_of(row)) for row in rows]
        stale = iter([held.id for held in found if held.position > at.position])
        while gone := tuple(map(delivery_gone, islice(stale, ROWS_AT_ONCE))):
            await self.commit(at, gone)
        return [held for held in found if held.position <= at.position]

    async def suspect(self) -> Suspect | None:
        """Return the event that a worker may have died over."""
        key = suspect_key(self._means.name, self._charge.partition)
        row = (await self._means.target.get_rows(SUSPECTS.name, (key,))).get(key)
        return suspect_of(row) if row is not None else None

    async def record(self, held: Held) -> HeldDelivery:
        """Return the whole record of *held*."""
        row = (await self._means.target.get_rows(DELIVERIES.name, (held.id,))).get(held.id)
        return delivery_of(row) if row is not None else held.row(self._means.name)

    async def commit(self, at: Checkpoint, rows: Iterable[RowChange]) -> None:
        """Write *rows* if the lease still counts and the partition stands *at* that place."""
        guard = CheckpointMove(
            self._means.name,
            self._charge.partition,
            at.position,
            at.position,
            at.event_id,
            self._lease.token,
        )
        await self._means.target.commit(
            Changes(guards=self._charge.guards(), rows=tuple(rows), checkpoints=(guard,))
        )

    def _is_ours(self, held: Held) -> bool:
        return partition_of(held.key, self._charge.partitions) == self._charge.partition
