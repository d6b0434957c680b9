"""What operators do with a memory storage."""

from collections.abc import Sequence

from headwater.adapters.storage.memory.place import MemoryPlace
from headwater.ports.administration import Pruned, StoredSubscription
from headwater.ports.leases import Checkpoint, check_partitions
from headwater.ports.log import StoredEvent, StreamInfo
from headwater.ports.rows import CollectionSpec


class MemoryAdministration(MemoryPlace):
    """The part of `MemoryStorage` that is for operators."""

    async def subscriptions(self) -> Sequence[StoredSubscription]:
        """Return all subscriptions that were ever opened, by name."""
        await self._let_others_run()
        return self._contents.subscriptions.stored()

    async def reset_subscription(
        self, name: str, *, to: Checkpoint, clear: Sequence[str] = ()
    ) -> int:
        """Set every checkpoint, as `Administration.reset_subscription` says."""
        await self._let_others_run()
        return self._contents.reset_subscription(name, to, clear)

    async def repartition(self, name: str, *, partitions: int) -> None:
        """Give a subscription other partitions, as `Administration.repartition` says."""
        check_partitions(name, partitions)
        await self._let_others_run()
        self._contents.subscriptions.repartition(name, partitions)

    async def drop_subscription(self, name: str) -> None:
        """Forget the subscription, its partitions and leases."""
        await self._let_others_run()
        self._contents.subscriptions.drop(name)

    async def drop_collection(self, name: str) -> None:
        """Delete the collection with all its rows."""
        await self._let_others_run()
        self._contents.drop_collection(name)

    async def collections(self) -> Sequence[CollectionSpec]:
        """Return the collections that were prepared, by name."""
        await self._let_others_run()
        return self._contents.collections()

    async def count_receipts(self, *, after: int) -> int:
        """Return how many receipts came with a commit at a position past *after*."""
        await self._let_others_run()
        return len(self._contents.receipts_after(after))

    async def remove_receipts(self, *, after: int) -> int:
        """Remove the receipts that came with a commit at a position past *after*."""
        await self._let_others_run()
        return self._contents.remove_receipts(self._contents.receipts_after(after))

    async def prune(self, *, before: int, limit: int = 10_000) -> Pruned:
        """Remove what is old, as `Administration.prune` says."""
        if limit < 1:
            raise ValueError(f"a limit is 1 or more, not {limit}")
        await self._let_others_run()
        return self._contents.prune(before=before, limit=limit)

    async def restore_log(
        self, events: Sequence[StoredEvent], *, head: int, streams: Sequence[StreamInfo] = ()
    ) -> None:
        """Become what another log was, as `Restoration.restore_log` says."""
        await self._let_others_run()
        self._contents.log.restore(events, head=head, streams=streams, now=self._now())
        self._news.come(self._contents.log.head)
