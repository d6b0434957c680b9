"""Settling: what is done about an event that failed, as its partition's `Failures` say."""

from collections.abc import Sequence

from headwater.errors import CheckpointConflictError, LeaseLostError, UnknownTypeError
from headwater.ports.changes import Changes
from headwater.ports.leases import Checkpoint
from headwater.subscriptions.fail_points import reach
from headwater.subscriptions.failure import Hold, Resolution, Stop, Suspend
from headwater.subscriptions.partitions import Partition
from headwater.subscriptions.subscription import Arrival, Batch, HeldBack, Worked
from headwater.subscriptions.workplace import Workplace
from headwater.unit_of_work.advance import Advance


class Settling:
    """Stops, suspends, or commits what keeps the event together with the move past it."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    async def settle(
        self, partition: Partition, arrivals: Sequence[Arrival], error: Exception
    ) -> None:
        """Do with an event that failed what its partition's `Failures` say."""
        self._place.condition.has_failed()
        # Lay nothing to an event that another worker has done meanwhile: its effects may be what
        # made ours fail.
        await self._check_still_ours(partition)
        if isinstance(error, UnknownTypeError):
            raise self._place.failure(arrivals[0], error)
        resolution = await partition.failures.resolve(arrivals, error)
        await self.carry_out(partition, arrivals, resolution)

    async def carry_out(
        self,
        partition: Partition,
        arrivals: Sequence[Arrival],
        resolution: Resolution,
    ) -> None:
        """Do what *resolution* says with one stored event.

        Raises:
            SubscriptionFailedError: nothing may pass it.
        """
        if isinstance(resolution, Stop):
            raise self._place.failure(arrivals[0], resolution.error)
        if isinstance(resolution, Suspend):
            self._place.condition.suspend(resolution.why)
            return
        await self._hold(partition, arrivals, resolution)

    async def _hold(self, partition: Partition, arrivals: Sequence[Arrival], hold: Hold) -> None:
        """Commit what keeps the event together with the move past it."""
        last = arrivals[-1]
        place = Checkpoint(last.stored.position, last.event_id)
        batch = Batch(
            self._place.subscription.name,
            partition.number,
            (),
            before=partition.stored,
            scanned_to=place,
            guards=self._place.control.guards,
            token=partition.token,
            held=(HeldBack(place.position, hold.rows),),
        )
        try:
            await self.commit(batch.advance(Worked(0)))
        except BaseException:
            partition.loaded = False
            raise
        reach("event-held")
        partition.stored = batch.reached(Worked(0))
        partition.settle()
        partition.pass_over()

    async def commit(self, advance: Advance) -> None:
        """Commit nothing but *advance*."""
        await self._place.target.commit(
            Changes(guards=advance.guards, rows=advance.rows, checkpoints=advance.checkpoints)
        )

    async def _check_still_ours(self, partition: Partition) -> None:
        name = self._place.subscription.name
        states = await self._place.target.partition_states(name)
        state = next((one for one in states if one.partition == partition.number), None)
        if state is None or state.token != partition.token:
            raise LeaseLostError(name, partition.number)
        expected, actual = partition.stored.position, state.checkpoint.position
        if expected != actual:
            raise CheckpointConflictError(name, partition.number, expected=expected, actual=actual)
        await self._place.control.check_unchanged()
