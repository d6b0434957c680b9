"""The statements that make subscriptions, give them other partitions, and drop them."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from headwater.adapters.storage.postgres.connections import Connection
from headwater.adapters.storage.postgres.leases import unknown
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.adapters.storage.postgres.transactions import writing
from headwater.ports.administration import drained_at
from headwater.ports.leases import Checkpoint


class SubscriptionStatements:
    """Opens, repartitions and drops the subscriptions of one schema."""

    def __init__(self, settings: PostgresSettings) -> None:
        schema = self._schema = settings.quoted_schema
        self._lock_seconds: Final = settings.lock_seconds
        self._select: Final = (
            f"SELECT position, uuid_send(event_id) FROM {schema}.checkpoints "
            f"WHERE subscription = $1 ORDER BY partition"
        )
        # All partitions or none, also when two open it at once: the second waits for the first
        # at partition 0, finds that it is there and makes no other. Without the id of the event
        # there: the log that is read may be another storage's.
        insert = f"INSERT INTO {schema}.checkpoints (subscription, partition, position)"
        self._insert: Final = (
            f"WITH first AS ({insert} VALUES ($1::text, 0, $3::bigint) "
            f"ON CONFLICT DO NOTHING RETURNING position) "
            f"{insert} SELECT $1::text, n, position "
            f"FROM first CROSS JOIN generate_series(1, $2::int - 1) AS n"
        )
        # Who changes which partitions there are is alone, and locks all rows as a commit does.
        self._alone: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 4::bigint))"
        self._lock: Final = f"{self._select} FOR UPDATE"
        self._repartition: Final = (
            f"WITH gone AS (DELETE FROM {schema}.checkpoints "
            f"WHERE subscription = $1::text AND partition >= $2::int), "
            f"kept AS (UPDATE {schema}.checkpoints SET event_id = $4::uuid, worker = NULL, "
            f"token = 0 WHERE subscription = $1 AND partition < $2 RETURNING partition) "
            f"{insert[:-1]}, event_id) SELECT $1, n, $3::bigint, $4 "
            f"FROM generate_series((SELECT count(*) FROM kept), $2 - 1) AS n"
        )
        self._take_turn: Final = f"SELECT {schema}.lock_subscriptions_v1(ARRAY[$1::text])"
        self._drop: Final = (
            f"WITH workers AS (DELETE FROM {schema}.lease_workers WHERE subscription = $1) "
            f"DELETE FROM {schema}.checkpoints WHERE subscription = $1"
        )

    async def open(
        self, connection: Connection, name: str, *, partitions: int, start_after: int
    ) -> Sequence[Checkpoint]:
        """Return the checkpoint of each partition, made if there are none yet."""
        while not (stored := await self._stored(connection, self._select, name)):
            await connection.execute(self._insert, name, partitions, start_after)
        return stored

    async def repartition(self, connection: Connection, name: str, *, partitions: int) -> None:
        """Give the subscription so many partitions, and revoke all leases.

        Raises:
            ConfigurationError: there is no such subscription, or it is not drained.
        """
        async with self._changing(connection, name):
            stored = await self._stored(connection, self._lock, name)
            if not stored:
                raise unknown(name)
            at = drained_at(name, stored)
            await connection.execute(self._repartition, name, partitions, at.position, at.event_id)

    async def drop(self, connection: Connection, name: str) -> None:
        """Forget the subscription, its partitions and leases, if there is one."""
        async with self._changing(connection, name):
            await connection.execute(self._lock, name)
            # Or one who extends its leases just now would be left over.
            await connection.execute(self._take_turn, name)
            await connection.execute(self._drop, name)

    @asynccontextmanager
    async def _changing(self, connection: Connection, name: str) -> AsyncGenerator[None, None]:
        async with writing(connection, self._schema, lock_seconds=self._lock_seconds):
            await connection.execute(self._alone, f"{self._schema}.{name}")
            yield

    async def _stored(self, connection: Connection, sql: str, name: str) -> Sequence[Checkpoint]:
        rows = await connection.fetch(sql, name)
        return [Checkpoint(position, event_id) for position, event_id in rows]
