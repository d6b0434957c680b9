"""The part of a storage that operators use: looking after it, repairing and restoring it."""

from collections.abc import Sequence

from headwater.adapters.storage.postgres.opened import OpenedStorage
from headwater.ports.administration import Pruned, StoredSubscription
from headwater.ports.log import StoredEvent, StreamInfo
from headwater.ports.restoration import Restored
from headwater.ports.rows import CollectionSpec
from headwater.ports.storage import Checkpoint


class UpkeepStorage(OpenedStorage):
    """Does what `Administration` and `Restoration` promise."""

    async def subscriptions(self) -> Sequence[StoredSubscription]:
        """Return all subscriptions that were ever opened, by name."""
        return await self._read(self._administration.subscriptions)

    async def reset_subscription(self, name: str, *, to: Checkpoint) -> None:
        """Set the checkpoint of every partition to *to*, wherever it stands."""
        await self._read(
            lambda connection: self._administration.reset_subscription(connection, name, to=to)
        )

    async def collections(self) -> Sequence[CollectionSpec]:
        """Return the collections that were prepared, by name."""
        return await self._read(self._administration.collections)

    async def clear_collection(self, name: str) -> int:
        """Delete all rows of a collection in one step; return how many there were."""
        self._opened()
        found = self._collection(name)
        return await self._read(
            lambda connection: self._administration.clear_collection(connection, found)
        )

    async def count_receipts(self, *, after: int) -> int:
        """Return how many receipts came with a commit at a position past *after*."""
        return await self._read(
            lambda connection: self._administration.count_receipts(connection, after=after)
        )

    async def remove_receipts(self, *, after: int) -> int:
        """Remove the receipts that came with a commit at a position past *after*."""
        return await self._read(
            lambda connection: self._administration.remove_receipts(connection, after=after)
        )

    async def prune(self, *, before: int, limit: int = 10_000) -> Pruned:
        """Remove what is older than *before*, as `Administration.prune` says."""
        return await self._read(
            lambda connection: self._administration.prune(connection, before=before, limit=limit)
        )

    async def restore_log(
        self, events: Sequence[StoredEvent], *, head: int, streams: Sequence[StreamInfo] = ()
    ) -> None:
        """Become what another log was, as `Restoration.restore_log` says."""
        self._opened()
        restored = Restored(events, head=head, streams=streams)
        await self._read(
            lambda connection: self._restoration.restore(
                connection, restored, events, head=head, streams=streams
            )
        )
