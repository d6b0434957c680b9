"""The part of a storage that deals the partitions of subscriptions to workers."""

from collections.abc import Collection, Mapping, Sequence
from uuid import uuid4

from headwater.adapters.storage.postgres.failures import too_old
from headwater.adapters.storage.postgres.opened import OpenedStorage
from headwater.ports.leases import (
    Checkpoint,
    PartitionState,
    Share,
    check_lease,
    check_partitions,
)


class LeasingStorage(OpenedStorage):
    """Does what `Leases` promises, by the server's time.

    A call whose answer was lost is sent again. A partition whose row a commit has locked is not
    waited for: a worker that so gets fewer than its due gets them by its next call.
    """

    async def open_subscription(
        self, name: str, *, partitions: int, start_after: int
    ) -> Sequence[Checkpoint]:
        """Return the checkpoint of each partition, as `Storage.open_subscription` says."""
        self._opened()
        check_partitions(name, partitions, start_after)
        return await self._read(
            lambda connection: self._subscriptions.open(
                connection, name, partitions=partitions, start_after=start_after
            )
        )

    async def lease_partitions(
        self, worker: str, subscriptions: Collection[str], *, seconds: float
    ) -> Mapping[str, Share]:
        """Return what *worker* holds from now on, as `Leases.lease_partitions` says."""
        opened = self._opened()
        check_lease(worker, seconds)
        if not subscriptions:
            return {}
        if not opened.writable:
            raise too_old(self.settings)
        call = uuid4().bytes
        return await self._read(
            lambda connection: self._leases.lease(
                connection, worker, subscriptions, seconds=seconds, call=call
            )
        )

    async def release_partitions(
        self, worker: str, subscription: str, partitions: Collection[int] | None = None
    ) -> None:
        """Give up partitions, as `Leases.release_partitions` says."""
        await self._read(
            lambda connection: self._leases.release(connection, worker, subscription, partitions)
        )

    async def partition_states(self, subscription: str) -> Sequence[PartitionState]:
        """Return all partitions of *subscription*, ascending, as of one moment."""
        return await self._read(lambda connection: self._leases.states(connection, subscription))
