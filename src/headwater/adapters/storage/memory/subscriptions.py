"""Subscriptions in memory: where each partition stands, and who has it under which token."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from headwater.errors import CheckpointConflictError, ConfigurationError, LeaseLostError
from headwater.ports.administration import StoredSubscription, drained_at
from headwater.ports.changes import CheckpointMove
from headwater.ports.leases import Checkpoint, Lease, PartitionState, Share, fair_share

Moved: TypeAlias = Mapping[tuple[str, int], Checkpoint]


class _Partition(msgspec.Struct):
    checkpoint: Checkpoint
    token: int = 0
    worker: str | None = None
    expires_at: int | None = None

    def give(self, worker: str | None, expires_at: int | None) -> None:
        self.worker, self.expires_at = worker, expires_at

    def is_free(self, now: int) -> bool:
        return self.expires_at is None or self.expires_at <= now


class _Subscription(msgspec.Struct):
    partitions: list[_Partition]
    # Until when each worker counts as alive.
    workers: dict[str, int]


class MemorySubscriptions:
    """All subscriptions; nothing in here awaits. Times are microseconds since 1970 UTC."""

    def __init__(self) -> None:
        self._subscriptions: Final[dict[str, _Subscription]] = {}
        # One counter for all, so that no partition sees a token twice, dropped or not.
        self._last_token = 0

    def open(self, name: str, partitions: int, start_after: int) -> Sequence[Checkpoint]:
        """Return the checkpoints of a subscription, made now if it is new."""
        if name not in self._subscriptions:
            made = _partitions(partitions, Checkpoint(start_after))
            self._subscriptions[name] = _Subscription(made, {})
        return _checkpoints(self._subscriptions[name])

    def stored(self) -> Sequence[StoredSubscription]:
        """Return all subscriptions, by name."""
        return [
            StoredSubscription(name, _checkpoints(one))
            for name, one in sorted(self._subscriptions.items())
        ]

    # ----------------------------------------------------------------------------- leases

    def lease(
        self, worker: str, names: Collection[str], *, now: int, until: int
    ) -> Mapping[str, Share]:
        """Deal out partitions, as `Leases.lease_partitions` says.

        Raises:
            ConfigurationError: there is no such subscription; nothing was leased.
        """
        subscriptions = {name: self._subscription(name) for name in names}
        return {
            name: self._share(one, worker, now=now, until=until)
            for name, one in subscriptions.items()
        }

    def _share(self, of: _Subscription, worker: str, *, now: int, until: int) -> Share:
        of.workers = {name: alive for name, alive in of.workers.items() if alive > now}
        of.workers[worker] = until
        fair = fair_share(len(of.partitions), of.workers, worker)
        mine = [number for number, one in enumerate(of.partitions) if one.worker == worker]
        taken = [
            number
            for number, one in enumerate(of.partitions)
            if one.worker != worker and one.is_free(now)
        ][: max(0, fair - len(mine))]
        unclean = {number for number in taken if of.partitions[number].worker is not None}
        for number in taken:
            self._last_token += 1
            of.partitions[number].token = self._last_token
        leases: list[Lease] = []
        for number in sorted([*mine, *taken]):
            partition = of.partitions[number]
            partition.give(worker, until)
            leases.append(
                Lease(number, partition.token, partition.checkpoint, unclean=number in unclean)
            )
        return Share(tuple(leases), fair, len(of.workers))

    def release(self, worker: str, name: str, partitions: Collection[int] | None) -> None:
        """Give up partitions, as `Leases.release_partitions` says.

        Raises:
            ConfigurationError: there is no such subscription.
        """
        subscription = self._subscription(name)
        if partitions is None:
            subscription.workers.pop(worker, None)
        for number, one in enumerate(subscription.partitions):
            if one.worker == worker and (partitions is None or number in partitions):
                one.give(None, None)

    def states(self, name: str) -> Sequence[PartitionState]:
        """Return all partitions of a subscription.

        Raises:
            ConfigurationError: there is no such subscription.
        """
        return [
            PartitionState(number, one.checkpoint, one.token, one.worker, one.expires_at)
            for number, one in enumerate(self._subscription(name).partitions)
        ]

    # --------------------------------------------------------------------- administration

    def reset(self, name: str, to: Checkpoint) -> None:
        """Set the checkpoint of every partition, and revoke all leases.

        Raises:
            ConfigurationError: there is no such subscription.
        """
        for one in self._subscription(name).partitions:
            one.checkpoint = to
            one.give(None, None)

    def repartition(self, name: str, partitions: int) -> None:
        """Give the subscription another number of partitions.

        Raises:
            ConfigurationError: there is no such subscription, or it is not drained.
        """
        subscription = self._subscription(name)
        at = drained_at(name, _checkpoints(subscription))
        subscription.partitions = _partitions(partitions, at)

    def drop(self, name: str) -> None:
        """Forget a subscription, if there is one."""
        self._subscriptions.pop(name, None)

    # ---------------------------------------------------------------------------- commits

    def check(self, moves: Sequence[CheckpointMove]) -> Moved:
        """Return where the partitions will stand that *moves* move.

        Raises:
            LeaseLostError: a token is not that of its partition, or nobody has the partition.
            CheckpointConflictError: a checkpoint is not where it is expected.
        """
        for move in moves:
            partition = self._partition(move.subscription, move.partition)
            if move.token is not None and (
                partition is None or partition.worker is None or partition.token != move.token
            ):
                raise LeaseLostError(move.subscription, move.partition)
        moved: dict[tuple[str, int], Checkpoint] = {}
        for move in moves:
            place = move.subscription, move.partition
            partition = self._partition(*place)
            stands = moved.get(place) or (partition.checkpoint if partition else None)
            if stands is None or stands.position != move.expected:
                actual = -1 if stands is None else stands.position
                raise CheckpointConflictError(*place, expected=move.expected, actual=actual)
            moved[place] = Checkpoint(move.to, move.event_id)
        return moved

    def move(self, moved: Moved) -> None:
        """Move what `check` has passed."""
        for (name, partition), checkpoint in moved.items():
            self._subscriptions[name].partitions[partition].checkpoint = checkpoint

    def _partition(self, name: str, number: int) -> _Partition | None:
        found = self._subscriptions.get(name)
        if found is None or not 0 <= number < len(found.partitions):
            return None
        return found.partitions[number]

    def _subscription(self, name: str) -> _Subscription:
        found = self._subscriptions.get(name)
        if found is None:
            raise ConfigurationError(f"There is no subscription {name!r} in this storage.")
        return found


def _partitions(count: int, at: Checkpoint) -> list[_Partition]:
    return [_Partition(at) for _ in range(count)]


def _checkpoints(of: _Subscription) -> tuple[Checkpoint, ...]:
    return tuple(one.checkpoint for one in of.partitions)
