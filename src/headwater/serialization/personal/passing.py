"""What passes between a caller and a storage as it is, because it holds no text of anybody's."""

from collections.abc import Collection, Mapping, Sequence

from headwater.ports.administration import Pruned, StoredSubscription
from headwater.ports.leases import Checkpoint, PartitionState, Share
from headwater.ports.log import StoredEvent, StreamInfo
from headwater.ports.rows import CollectionSpec, Condition
from headwater.ports.storage import Capabilities, Storage


class Passing:
    """Passes calls on to *inner*; the half of a storage that needs no keys."""

    def __init__(self, inner: Storage) -> None:
        self.inner = inner

    @property
    def capabilities(self) -> Capabilities:
        """What the storage can do."""
        return self.inner.capabilities

    async def open(self) -> None:
        """Open the storage."""
        await self.inner.open()

    async def close(self) -> None:
        """Close the storage."""
        await self.inner.close()

    async def stream_info(self, stream_id: str) -> StreamInfo:
        """As `Log.stream_info`."""
        return await self.inner.stream_info(stream_id)

    async def read_streams(
        self,
        *,
        category: str | None = None,
        after: str = "",
        internal: bool = False,
        limit: int = 1000,
    ) -> tuple[StreamInfo, ...]:
        """As `Log.read_streams`."""
        return await self.inner.read_streams(
            category=category, after=after, internal=internal, limit=limit
        )

    async def head(self) -> int:
        """As `Log.head`."""
        return await self.inner.head()

    async def wait_for_news(self, after: int, *, seconds: float) -> int:
        """As `Log.wait_for_news`."""
        return await self.inner.wait_for_news(after, seconds=seconds)

    async def prepare_collections(self, specs: Sequence[CollectionSpec]) -> None:
        """As `Rows.prepare_collections`."""
        await self.inner.prepare_collections(specs)

    async def count_rows(self, collection: str, conditions: Sequence[Condition] = ()) -> int:
        """As `Rows.count_rows`."""
        return await self.inner.count_rows(collection, conditions)

    async def open_subscription(
        self, name: str, *, partitions: int, start_after: int
    ) -> Sequence[Checkpoint]:
        """As `Storage.open_subscription`."""
        return await self.inner.open_subscription(
            name, partitions=partitions, start_after=start_after
        )

    async def subscriptions(self) -> Sequence[StoredSubscription]:
        """As `Administration.subscriptions`."""
        return await self.inner.subscriptions()

    async def reset_subscription(
        self, name: str, *, to: Checkpoint, clear: Sequence[str] = ()
    ) -> int:
        """As `Administration.reset_subscription`."""
        return await self.inner.reset_subscription(name, to=to, clear=clear)

    async def repartition(self, name: str, *, partitions: int) -> None:
        """As `Administration.repartition`."""
        await self.inner.repartition(name, partitions=partitions)

    async def drop_subscription(self, name: str) -> None:
        """As `Administration.drop_subscription`."""
        await self.inner.drop_subscription(name)

    async def drop_collection(self, name: str) -> None:
        """As `Administration.drop_collection`."""
        await self.inner.drop_collection(name)

    async def lease_partitions(
        self, worker: str, subscriptions: Collection[str], *, seconds: float
    ) -> Mapping[str, Share]:
        """As `Leases.lease_partitions`."""
        return await self.inner.lease_partitions(worker, subscriptions, seconds=seconds)

    async def release_partitions(
        self, worker: str, subscription: str, partitions: Collection[int] | None = None
    ) -> None:
        """As `Leases.release_partitions`."""
        await self.inner.release_partitions(worker, subscription, partitions)

    async def partition_states(self, subscription: str) -> Sequence[PartitionState]:
        """As `Leases.partition_states`."""
        return await self.inner.partition_states(subscription)

    async def collections(self) -> Sequence[CollectionSpec]:
        """As `Administration.collections`."""
        return await self.inner.collections()

    async def count_receipts(self, *, after: int) -> int:
        """As `Administration.count_receipts`."""
        return await self.inner.count_receipts(after=after)

    async def remove_receipts(self, *, after: int) -> int:
        """As `Administration.remove_receipts`."""
        return await self.inner.remove_receipts(after=after)

    async def prune(self, *, before: int, limit: int = 10_000) -> Pruned:
        """As `Administration.prune`."""
        return await self.inner.prune(before=before, limit=limit)

    async def restore_log(
        self, events: Sequence[StoredEvent], *, head: int, streams: Sequence[StreamInfo] = ()
    ) -> None:
        """See `Restoration.restore_log`; *events* are as they were stored, under their keys."""
        await self.inner.restore_log(events, head=head, streams=streams)
