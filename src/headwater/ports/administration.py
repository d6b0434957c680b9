"""What operators do with a storage: look at what it keeps, repair it, and let old things go."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from headwater.errors import ConfigurationError
from headwater.ports.leases import Checkpoint
from headwater.ports.rows import CollectionSpec


class StoredSubscription(msgspec.Struct, frozen=True):
    """A subscription as stored: its name and the checkpoint of each partition."""

    name: str
    checkpoints: tuple[Checkpoint, ...]


class Pruned(msgspec.Struct, frozen=True):
    """How many of each kind were removed."""

    receipts: int = 0
    erased_ids: int = 0

    @property
    def total(self) -> int:
        """How many were removed altogether."""
        return self.receipts + self.erased_ids


class Administration(Protocol):
    """Looks at and repairs what a storage keeps beside events and rows.

    All methods raise `StorageClosedError` before `open` and after `close`.
    """

    async def subscriptions(self) -> Sequence[StoredSubscription]:
        """Return all subscriptions that were ever opened, by name."""
        ...

    async def reset_subscription(
        self, name: str, *, to: Checkpoint, clear: Sequence[str] = ()
    ) -> int:
        """Set the checkpoint of every partition to *to*, wherever it stands.

        In the same commit all rows of the collections in *clear* are deleted; how many there
        were is returned. All leases of the subscription are revoked, their tokens too: what a
        worker was about to commit, rows from before with a checkpoint from before, is refused.

        Raises:
            ConfigurationError: there is no such subscription, or a collection was not prepared.
        """
        ...

    async def repartition(self, name: str, *, partitions: int) -> None:
        """Give the subscription another number of partitions, all where the old ones stand.

        Keys move to other partitions then, so it must be drained first: every old partition
        stands at one position. All leases are revoked, their tokens too.

        Raises:
            ConfigurationError: there is no such subscription, or its partitions do not stand at
                one position; the error names the lowest and the highest.
            ValueError: *partitions* is outside 1 … 1024.
        """
        ...

    async def drop_subscription(self, name: str) -> None:
        """Forget the subscription, its partitions and leases; if there is none, do nothing."""
        ...

    async def drop_collection(self, name: str) -> None:
        """Delete the collection with all its rows; if there is none, do nothing.

        What others prepared under this name and still use is refused afterwards, as if it had
        not been prepared.
        """
        ...

    async def collections(self) -> Sequence[CollectionSpec]:
        """Return the collections that were prepared, by name."""
        ...

    async def count_receipts(self, *, after: int) -> int:
        """Return how many receipts came with a commit at a position past *after*."""
        ...

    async def remove_receipts(self, *, after: int) -> int:
        """Remove the receipts that came with a commit at a position past *after*.

        They speak of what a rewound log does not hold; how many were removed is returned.
        """
        ...

    async def prune(self, *, before: int, limit: int = 10_000) -> Pruned:
        """Remove receipts written, and ids of events erased, before *before*; the oldest first.

        *before* is in microseconds since 1970 UTC, the storage's time. At most *limit* of each
        kind go, so that no commit waits long; call it again until nothing is left to remove.
        A message or event that comes again after that counts as new.

        Raises:
            ValueError: *limit* is below 1.
        """
        ...


def drained_at(name: str, checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """Return where all partitions of subscription *name* stand; an id that one knows is known.

    Raises:
        ConfigurationError: they do not stand at one position.
    """
    positions = [checkpoint.position for checkpoint in checkpoints]
    lowest, highest = min(positions), max(positions)
    if lowest != highest:
        raise ConfigurationError(
            f"Subscription {name!r} is not drained: its partitions stand from position {lowest} "
            f"to {highest}. Let it catch up while nothing is appended, and try again."
        )
    return next((one for one in checkpoints if one.event_id is not None), checkpoints[0])
