"""The statements that deal the partitions of subscriptions to workers."""

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import Final

import asyncpg

from headwater.adapters.storage.postgres.connections import Connection
from headwater.adapters.storage.postgres.failures import code_of
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.errors import ConfigurationError
from headwater.ports.leases import (
    PARTITIONS_MAX,
    Checkpoint,
    Lease,
    PartitionState,
    Share,
)

_UNKNOWN: Final = "HW004"


class LeaseStatements:
    """Leases, releases and shows the partitions in one schema."""

    def __init__(self, settings: PostgresSettings) -> None:
        schema = settings.quoted_schema
        self._lock_ms: Final = max(1, round(settings.lock_seconds * 1000))
        self._lease: Final = (
            f"SELECT subscription, fair, workers, partition, token, place, uuid_send(event_id), "
            f"unclean FROM {schema}.lease_partitions_v1($1, $2, $3, $4, $5)"
        )
        self._release: Final = f"SELECT {schema}.release_partitions_v1($1, $2, $3, $4)"
        self._states: Final = (
            f"SELECT c.partition, c.position, uuid_send(c.event_id), c.token, c.worker, "
            f"CASE WHEN c.worker IS NOT NULL THEN coalesce(w.expires_at, 0) END "
            f"FROM {schema}.checkpoints AS c LEFT JOIN {schema}.lease_workers AS w "
            f"ON w.subscription = c.subscription AND w.worker = c.worker "
            f"WHERE c.subscription = $1 ORDER BY c.partition"
        )

    async def lease(
        self,
        connection: Connection,
        worker: str,
        subscriptions: Collection[str],
        *,
        seconds: float,
        call: bytes,
    ) -> Mapping[str, Share]:
        """Return what *worker* holds from now on; *call* is the same where it is asked again.

        Raises:
            ConfigurationError: there is no such subscription; nothing was leased.
        """
        # In the order in which all callers lock them.
        names = sorted(set(subscriptions))
        for_us = max(1, round(seconds * 1_000_000))
        try:
            rows = await connection.fetch(self._lease, self._lock_ms, call, worker, names, for_us)
        except asyncpg.PostgresError as error:
            if code_of(error) != _UNKNOWN:
                raise
            raise unknown(str(getattr(error, "detail", None))) from error
        return {
            str(name): _share(list(some)) for name, some in groupby(rows, key=lambda row: row[0])
        }

    async def release(
        self,
        connection: Connection,
        worker: str,
        subscription: str,
        partitions: Collection[int] | None,
    ) -> None:
        """Give up *partitions* of *worker*, or all.

        Raises:
            ConfigurationError: there is no such subscription.
        """
        given = None
        if partitions is not None:  # What can't be a partition's number is nobody's.
            given = sorted(one for one in partitions if 0 <= one < PARTITIONS_MAX)
        if not await connection.fetchval(self._release, self._lock_ms, worker, subscription, given):
            raise unknown(subscription)

    async def states(self, connection: Connection, subscription: str) -> Sequence[PartitionState]:
        """Return all partitions of *subscription*, ascending.

        Raises:
            ConfigurationError: there is no such subscription.
        """
        rows = await connection.fetch(self._states, subscription)
        if not rows:
            raise unknown(subscription)
        return [
            PartitionState(partition, Checkpoint(position, event_id), token, worker, expires_at)
            for partition, position, event_id, token, worker, expires_at in rows
        ]


def unknown(subscription: str) -> ConfigurationError:
    """Return the error for a subscription that is not there."""
    return ConfigurationError(f"There is no subscription {subscription!r} in this storage.")


def _share(rows: Sequence[asyncpg.Record]) -> Share:
    leases = [
        Lease(partition, token, Checkpoint(position, event_id), unclean)
        for _, _, _, partition, token, position, event_id, unclean in rows
        if partition is not None
    ]
    return Share(tuple(leases), fair=rows[0][1], workers=rows[0][2])
