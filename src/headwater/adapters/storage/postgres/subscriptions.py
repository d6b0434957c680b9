"""The statements behind a subscription's checkpoints."""

from collections.abc import Sequence
from typing import Final

from headwater.adapters.storage.postgres.connections import Connection
from headwater.ports.leases import Checkpoint


class SubscriptionStatements:
    """Opens the subscriptions of one schema."""

    def __init__(self, schema: str) -> None:
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

    async def open(
        self, connection: Connection, name: str, *, partitions: int, start_after: int
    ) -> Sequence[Checkpoint]:
        """Return the checkpoint of each partition, made if there are none yet."""
        stored = await self._stored(connection, name)
        if not stored:
            await connection.execute(self._insert, name, partitions, start_after)
            stored = await self._stored(connection, name)
        return stored

    async def _stored(self, connection: Connection, name: str) -> Sequence[Checkpoint]:
        rows = await connection.fetch(self._select, name)
        return [Checkpoint(position, event_id) for position, event_id in rows]
