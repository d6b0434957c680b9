"""The part of a storage that operators use: looking after it, repairing and restoring it."""

from collections.abc import Sequence

from headwater.adapters.storage.postgres.opened import OpenedStorage
from headwater.ports.administration import Pruned, StoredSubscription
from headwater.ports.leases import Checkpoint
from headwater.ports.log import StoredEvent, StreamInfo
from headwater.ports.restoration import Restored
from headwater.ports.rows import CollectionSpec


class UpkeepStorage(OpenedStorage):
    """Does what `Administration` and `Restoration` promise."""

    async def subscriptions(self) -> Sequence[StoredSubscription]:
        """Return all subscriptions that were ever opened, by name."""
        return await self._read(self._administration.subscriptions)

    async def reset_subscription(
        self, name: str, *, to: Checkpoint, clear: Sequence[str] = ()
    ) -> int:
        """Set every checkpoint, as `Administration.reset_subscription` says."""
        self._opened()
        found = [self._collection(one) for one in sorted(set(clear))]
        return await self._write_once(
            lambda connection: self._administration.reset_subscription(
                connection, name, to=to, clear=found
            )
        )

    async def collections(self) -> Sequence[CollectionSpec]:
        """Return the collections that were prepared, by name."""
        return await self._read(self._administration.collections)

    async def count_receipts(self, *, after: int) -> int:
        """Return how many receipts came with a commit at a position past *after*."""
        return await self._read(
            lambda connection: self._administration.count_receipts(connection, after=after)
        )

    async def remove_receipts(self, *, after: int) -> int:
        """Remove the receipts that came with a commit at a position past *after*."""
        return await self._write_once(
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
        await self._write_once(
            lambda connection: self._restoration.restore(
                connection, restored, events, head=head, streams=streams
            )
        )
