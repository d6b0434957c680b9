"""The part of a storage that operators use: looking after it, repairing and restoring it."""

from collections.abc import Sequence

from headwater.adapters.storage.postgres.dropping import drop
from headwater.adapters.storage.postgres.opened import OpenedStorage
from headwater.ports.administration import Pruned, StoredSubscription
from headwater.ports.leases import Checkpoint, check_partitions
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

    async def repartition(self, name: str, *, partitions: int) -> None:
        """Give it other partitions, as `Administration.repartition` says."""
        self._opened()
        check_partitions(name, partitions)
        await self._write_once(
            lambda connection: self._subscriptions.repartition(
                connection, name, partitions=partitions
            )
        )

    async def drop_subscription(self, name: str) -> None:
        """Forget a subscription, as `Administration.drop_subscription` says."""
        await self._write_once(lambda connection: self._subscriptions.drop(connection, name))

    async def drop_collection(self, name: str) -> None:
        """Delete a collection, as `Administration.drop_collection` says.

        Raises:
            ConfigurationError: the role may not drop its table, or somebody else's view or
                table depends on it; the error says what to do.
        """
        self._opened()
        await self._write_once(
            lambda connection: drop(
                connection,
                name,
                schema=self.settings.quoted_schema,
                lock_seconds=self.settings.lock_seconds,
            )
        )
        self._collections.pop(name, None)

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
