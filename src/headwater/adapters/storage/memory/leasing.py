"""Who works which partition, in memory."""

from collections.abc import Collection, Mapping, Sequence

from headwater.adapters.storage.memory.place import MemoryPlace
from headwater.ports.leases import PartitionState, Share, check_lease


class MemoryLeasing(MemoryPlace):
    """The part of `MemoryStorage` that deals partitions to workers."""

    async def lease_partitions(
        self, worker: str, subscriptions: Collection[str], *, seconds: float
    ) -> Mapping[str, Share]:
        """Return what *worker* holds from now on, as `Leases.lease_partitions` says."""
        check_lease(worker, seconds)
        await self._let_others_run()
        now = self._now()
        until = now + round(seconds * 1_000_000)
        return self._contents.subscriptions.lease(worker, subscriptions, now=now, until=until)

    async def release_partitions(
        self, worker: str, subscription: str, partitions: Collection[int] | None = None
    ) -> None:
        """Give up partitions, as `Leases.release_partitions` says."""
        await self._let_others_run()
        self._contents.subscriptions.release(worker, subscription, partitions)

    async def partition_states(self, subscription: str) -> Sequence[PartitionState]:
        """Return all partitions of *subscription*, ascending, as of one moment."""
        await self._let_others_run()
        return self._contents.subscriptions.states(subscription)
