"""The statements of operators: what is kept beside events, how it is repaired, what may go."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from headwater.adapters.storage.postgres.collection import Collection
from headwater.adapters.storage.postgres.collections import DDL_SECONDS_MAX, stored_collections
from headwater.adapters.storage.postgres.connections import Connection
from headwater.adapters.storage.postgres.leases import unknown
from headwater.adapters.storage.postgres.rows import used
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.adapters.storage.postgres.transactions import writing
from headwater.ports.administration import Pruned, StoredSubscription
from headwater.ports.leases import Checkpoint
from headwater.ports.rows import CollectionSpec


class AdministrationStatements:
    """Looks at and repairs what one schema keeps beside events and rows."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._schema: Final = settings.quoted_schema
        self._lock_seconds: Final = settings.lock_seconds
        schema = self._schema
        self._subscriptions: Final = (
            f"SELECT subscription, position, uuid_send(event_id) FROM {schema}.checkpoints "
            f"ORDER BY subscription, partition"
        )
        self._lock: Final = f"SELECT {schema}.lock_collections_v1($1::text[], $2::boolean[])"
        # In the order in which a commit locks them.
        self._reset: Final = (
            f"WITH locked AS (SELECT subscription, partition FROM {schema}.checkpoints "
            f"WHERE subscription = $1 ORDER BY partition FOR UPDATE) "
            f"UPDATE {schema}.checkpoints AS c SET position = $2, event_id = $3, worker = NULL "
            f"FROM locked AS l WHERE c.subscription = l.subscription AND c.partition = l.partition"
        )
        self._count_receipts: Final = f"SELECT count(*) FROM {schema}.receipts WHERE position > $1"
        self._remove_receipts: Final = f"DELETE FROM {schema}.receipts WHERE position > $1"
        self._prune_receipts: Final = (
            f"DELETE FROM {schema}.receipts WHERE (consumer, message_id) IN ("
            f"SELECT consumer, message_id FROM {schema}.receipts WHERE recorded_at < $1 "
            f"ORDER BY recorded_at LIMIT $2 FOR UPDATE SKIP LOCKED)"
        )
        # The tags of erased events were kept, for conditions that came later.
        self._prune_erased: Final = (
            f"WITH old AS (SELECT id FROM {schema}.erased_events WHERE erased_at < $1 "
            f"ORDER BY erased_at, position LIMIT $2 FOR UPDATE SKIP LOCKED), "
            f"gone AS (DELETE FROM {schema}.erased_events WHERE id IN (SELECT id FROM old) "
            f"RETURNING position), "
            f"tags AS (DELETE FROM {schema}.event_tags "
            f"WHERE position IN (SELECT position FROM gone)) "
            f"SELECT count(*) FROM gone"
        )

    async def subscriptions(self, connection: Connection) -> Sequence[StoredSubscription]:
        """Return all subscriptions that were ever opened, by name."""
        rows = await connection.fetch(self._subscriptions)
        return [
            StoredSubscription(name, tuple(Checkpoint(position, id_) for _, position, id_ in some))
            for name, some in groupby(rows, key=lambda row: str(row[0]))
        ]

    async def reset_subscription(
        self, connection: Connection, name: str, *, to: Checkpoint, clear: Sequence[Collection]
    ) -> int:
        """Set the checkpoint of every partition to *to*; return how many rows were deleted.

        Raises:
            ConfigurationError: there is no such subscription, or a collection was dropped.
        """
        names = [one.spec.name for one in clear]
        async with writing(connection, self._schema, lock_seconds=self._lock_seconds):
            # As a commit does it: collections first, alone, so that whoever writes rows has
            # either committed them before they are deleted here, or finds the checkpoint moved.
            await connection.execute(self._lock, names, [True] * len(names))
            done = await connection.execute(self._reset, name, to.position, to.event_id)
            if _affected(done) == 0:
                raise unknown(name)
            return sum([await self._clear(connection, one) for one in clear])

    async def _clear(self, connection: Connection, collection: Collection) -> int:
        # As long as the rows take, which may be many: not `command_seconds`.
        with used(collection):
            deletion = f"DELETE FROM {collection.table}"
            return _affected(await connection.execute(deletion, timeout=DDL_SECONDS_MAX))

    async def collections(self, connection: Connection) -> Sequence[CollectionSpec]:
        """Return the collections that were prepared, by name."""
        return [one.spec for one in await stored_collections(connection, self._schema)]

    async def count_receipts(self, connection: Connection, *, after: int) -> int:
        """Return how many receipts came with a commit at a position past *after*."""
        count: int = await connection.fetchval(self._count_receipts, after)
        return count

    async def remove_receipts(self, connection: Connection, *, after: int) -> int:
        """Remove the receipts that came with a commit at a position past *after*."""
        return _affected(await connection.execute(self._remove_receipts, after))

    async def prune(self, connection: Connection, *, before: int, limit: int) -> Pruned:
        """Remove what is older than *before*, as `Administration.prune` says.

        Raises:
            ValueError: *limit* is below 1.
        """
        if limit < 1:
            raise ValueError(f"a limit is 1 or more, not {limit}")
        receipts = _affected(await connection.execute(self._prune_receipts, before, limit))
        erased: int = await connection.fetchval(self._prune_erased, before, limit)
        return Pruned(receipts, erased)


def _affected(status: str) -> int:
    """Return the number at the end of a command's status, such as ``DELETE 3``."""
    return int(status.rpartition(" ")[2])
