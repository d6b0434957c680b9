"""Who works which partition: leases, dealt in transactions of their own on the writer's thread."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from typing import Final, TypeAlias

import msgspec

from headwater.adapters.storage.sqlite.connections import writing
from headwater.adapters.storage.sqlite.file import SqliteFile
from headwater.adapters.storage.sqlite.statements import RowsAsJson
from headwater.adapters.storage.sqlite.subscriptions import unknown
from headwater.clock import microseconds_since_epoch
from headwater.ports.leases import (
    Checkpoint,
    Lease,
    PartitionState,
    Share,
    check_lease,
    fair_share,
)

_Row: TypeAlias = tuple[int, int, str, int, str | None, int | None]
_PARTITIONS: Final = RowsAsJson(
    ("partition", "position", "hex(event_id)", "token", "worker", "expires_at"), _Row
)
_OF: Final = "headwater_checkpoints WHERE subscription = ?"
_FORGET_DEAD: Final = "DELETE FROM headwater_workers WHERE subscription = ? AND alive_until <= ?"
_KEEP_ALIVE: Final = (
    "INSERT INTO headwater_workers VALUES (?, ?, ?) "
    "ON CONFLICT (subscription, worker) DO UPDATE SET alive_until = excluded.alive_until"
)
_LIVING: Final = RowsAsJson(("worker",), tuple[str])
_EXTEND: Final = (
    "UPDATE headwater_checkpoints SET expires_at = ? WHERE subscription = ? AND worker = ?"
)
_TAKE: Final = (
    "UPDATE headwater_checkpoints SET token = ?, worker = ?, expires_at = ? "
    "WHERE subscription = ? AND partition = ?"
)
_RELEASE: Final = (
    "UPDATE headwater_checkpoints SET worker = NULL, expires_at = NULL "
    "WHERE subscription = ? AND worker = ?"
)
_SOME: Final = " AND partition IN (SELECT value FROM json_each(?))"


class SqliteLeasing(SqliteFile):
    """The part of `SqliteStorage` that deals partitions to workers."""

    async def lease_partitions(
        self, worker: str, subscriptions: Collection[str], *, seconds: float
    ) -> Mapping[str, Share]:
        """Return what *worker* holds from now on, as `Leases.lease_partitions` says."""
        check_lease(worker, seconds)
        names = tuple(dict.fromkeys(subscriptions))
        busy_seconds = self.settings.busy_seconds

        def lease(connection: sqlite3.Connection) -> Mapping[str, Share]:
            with (
                closing(connection.cursor()) as cursor,
                writing(connection, busy_seconds=busy_seconds),
            ):
                # The time is looked at under the lock, or a call that waited long for it would
                # take leases to be as they were before.
                dealer = _Dealer(cursor, worker, now=self._now(), seconds=seconds)
                shares = {name: dealer.share(name) for name in names}
                dealer.note_last_token()
                return shares

        return await self._opened().writer.run(lease)

    async def release_partitions(
        self, worker: str, subscription: str, partitions: Collection[int] | None = None
    ) -> None:
        """Give up partitions, as `Leases.release_partitions` says."""
        some = None if partitions is None else msgspec.json.encode(list(partitions)).decode()
        busy_seconds = self.settings.busy_seconds

        def release(connection: sqlite3.Connection) -> None:
            with (
                closing(connection.cursor()) as cursor,
                writing(connection, busy_seconds=busy_seconds),
            ):
                if not cursor.execute(f"SELECT 1 FROM {_OF} LIMIT 1", (subscription,)).fetchone():
                    raise unknown(subscription)
                if some is not None:
                    cursor.execute(_RELEASE + _SOME, (subscription, worker, some))
                    return
                cursor.execute(_RELEASE, (subscription, worker))
                cursor.execute(
                    "DELETE FROM headwater_workers WHERE subscription = ? AND worker = ?",
                    (subscription, worker),
                )

        await self._opened().writer.run(release)

    async def partition_states(self, subscription: str) -> Sequence[PartitionState]:
        """Return all partitions of *subscription*, ascending, as of one moment."""
        return await self._read(lambda cursor: _states(cursor, subscription))

    def _now(self) -> int:
        return microseconds_since_epoch(self._clock.now())


class _Dealer:
    """Deals partitions to one worker within a transaction that is open for writing."""

    def __init__(self, cursor: sqlite3.Cursor, worker: str, *, now: int, seconds: float) -> None:
        self._cursor, self._worker, self._now = cursor, worker, now
        self._until = now + round(seconds * 1_000_000)
        (self._last_token,) = cursor.execute("SELECT token FROM headwater_latest").fetchone()
        self._last_token_before = self._last_token

    def share(self, name: str) -> Share:
        """Extend what the worker has of a subscription, and take what is its due."""
        worker, until = self._worker, self._until
        partitions = _states(self._cursor, name)
        living = self._living(name)
        fair = fair_share(len(partitions), living, worker)
        mine = [
            Lease(one.partition, one.token, one.checkpoint)
            for one in partitions
            if one.worker == worker
        ]
        taken = [
            Lease(
                one.partition,
                self._last_token + number,
                one.checkpoint,
                unclean=one.worker is not None,
            )
            for number, one in enumerate(filter(self._is_free, partitions), 1)
        ][: max(0, fair - len(mine))]
        self._last_token += len(taken)
        self._cursor.execute(_EXTEND, (until, name, worker))
        self._cursor.executemany(
            _TAKE, [(one.token, worker, until, name, one.partition) for one in taken]
        )
        leases = sorted([*mine, *taken], key=lambda lease: lease.partition)
        return Share(tuple(leases), fair, len(living))

    def note_last_token(self) -> None:
        """Store up to where tokens were given."""
        if self._last_token != self._last_token_before:
            self._cursor.execute("UPDATE headwater_latest SET token = ?", (self._last_token,))

    def _living(self, name: str) -> Collection[str]:
        self._cursor.execute(_FORGET_DEAD, (name, self._now))
        self._cursor.execute(_KEEP_ALIVE, (name, self._worker, self._until))
        found = _LIVING.select(self._cursor, "headwater_workers WHERE subscription = ?", (name,))
        return [worker for (worker,) in found]

    def _is_free(self, partition: PartitionState) -> bool:
        expires_at = partition.expires_at
        return partition.worker != self._worker and (expires_at is None or expires_at <= self._now)


def _states(cursor: sqlite3.Cursor, name: str) -> list[PartitionState]:
    """Return all partitions of a subscription.

    Raises:
        ConfigurationError: there is no such subscription.
    """
    rows: list[_Row] = sorted(_PARTITIONS.select(cursor, _OF, (name,)))
    if not rows:
        raise unknown(name)
    return [
        PartitionState(
            number, Checkpoint(position, bytes.fromhex(id_) or None), token, worker, expires_at
        )
        for number, position, id_, token, worker, expires_at in rows
    ]
