"""Leases: which worker works which partition of a subscription, until when, under which token."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Protocol

import msgspec

LEASE_SECONDS_MAX: Final = 3600.0
"""The longest time for which a lease may be asked."""

PARTITIONS_MAX: Final = 1024
"""The most partitions a subscription may have."""


class Checkpoint(msgspec.Struct, frozen=True):
    """Where a partition stands, and the id of the event there; None if it is not known."""

    position: int
    event_id: bytes | None = None


class Lease(msgspec.Struct, frozen=True):
    """The right to work a partition.

    `token` is higher than that of every lease of this partition before, also of those from before
    its subscription was repartitioned, or dropped and opened again; it goes into each commit
    (`CheckpointMove.token`). `checkpoint` is where the partition stands, read in the same step.
    `unclean`: it was taken, in this step, from a worker that let it run out without releasing it:
    that one may have died over an event.
    """

    partition: int
    token: int
    checkpoint: Checkpoint
    unclean: bool = False


class Share(msgspec.Struct, frozen=True):
    """What a worker holds of one subscription, by ascending partition.

    `fair` is how many partitions are its due among the `workers` that are alive; what it holds
    above that it should finish and release, so that the others get theirs.
    """

    leases: tuple[Lease, ...]
    fair: int
    workers: int


class PartitionState(msgspec.Struct, frozen=True):
    """A partition as stored: who has it (None: nobody), until when (microseconds since 1970 UTC,
    the storage's time), and where it stands.

    `token` is that of its last lease, 0 if there was none. A worker whose lease has run out still
    has it, until another takes it.
    """

    partition: int
    checkpoint: Checkpoint
    token: int
    worker: str | None
    expires_at: int | None


class Leases(Protocol):
    """Deals the partitions of subscriptions to the workers that are alive, by the storage's time.

    A lease that has run out is nobody's as soon as another worker takes it; until then its worker
    can still extend it and commit under it. All methods raise `StorageClosedError` before `open`
    and after `close`, and `ConfigurationError` for a subscription that was never opened.
    """

    async def lease_partitions(
        self, worker: str, subscriptions: Collection[str], *, seconds: float
    ) -> Mapping[str, Share]:
        """Return what *worker* holds of each of *subscriptions*, from now on for *seconds*.

        In one step, per subscription: the worker counts as alive for *seconds*; the leases it
        has are extended, with the tokens they had, also those that ran out and nobody took;
        and while it has fewer than its due, it gets partitions that nobody has or whose lease
        has run out, the lowest first, each under a new token. Its due is its `fair_share` among
        the living workers.
        It never takes what is leased, and never gives away: that is `release_partitions`.

        Two calls at once behave as if one came after the other. All subscriptions together are
        one write.

        Raises:
            ValueError: *seconds* is not in 0 < seconds ≤ `LEASE_SECONDS_MAX`, or *worker* is empty
                or can't be written as UTF-8.
        """
        ...

    async def release_partitions(
        self, worker: str, subscription: str, partitions: Collection[int] | None = None
    ) -> None:
        """Give up *partitions*, or all and being counted as alive, if None.

        Those that *worker* does not have, or has no more, stay as they are. The tokens stop
        counting at once: a commit under one of them is refused.
        """
        ...

    async def partition_states(self, subscription: str) -> Sequence[PartitionState]:
        """Return all partitions of *subscription*, ascending, as of one moment."""
        ...


def fair_share(partitions: int, workers: Collection[str], worker: str) -> int:
    """Return how many of *partitions* are the due of *worker*, who is one of the living *workers*.

    That is ⌊partitions / workers⌋, and one more for the first (partitions mod workers) of them in
    the order of their names by Unicode code point.
    """
    each, left = divmod(partitions, len(workers))
    return each + (sorted(workers).index(worker) < left)


def check_lease(worker: str, seconds: float) -> None:
    """Pass if *worker* may ask for leases of so many seconds.

    Raises:
        ValueError: *seconds* is not in 0 < seconds ≤ `LEASE_SECONDS_MAX`, or *worker* is empty or
            can't be written as UTF-8.
    """
    if not worker:
        raise ValueError("a worker needs a name, and this one's is empty")
    worker.encode()
    if not 0 < seconds <= LEASE_SECONDS_MAX:
        raise ValueError(
            f"a lease is for more than 0 and at most {LEASE_SECONDS_MAX:g} seconds, not {seconds}"
        )


def check_partitions(name: str, partitions: int, start_after: int = 0) -> None:
    """Pass if subscription *name* may have so many partitions and begin after *start_after*.

    Raises:
        ValueError: *partitions* is outside 1 … `PARTITIONS_MAX`, or *start_after* below 0.
    """
    if not 1 <= partitions <= PARTITIONS_MAX or start_after < 0:
        raise ValueError(
            f"{name!r}: partitions must be 1 to {PARTITIONS_MAX} and start_after 0 or more, "
            f"not {partitions} and {start_after}"
        )
