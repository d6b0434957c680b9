"""What operators do: look at what is kept, repair it, and let old things go."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Final

import msgspec

from headwater.adapters.storage.sqlite import collections, subscriptions
from headwater.adapters.storage.sqlite.connections import writing
from headwater.adapters.storage.sqlite.file import SqliteFile
from headwater.ports.administration import Pruned, StoredSubscription
from headwater.ports.leases import Checkpoint, check_partitions
from headwater.ports.rows import CollectionSpec

_REMOVE_RECEIPTS: Final = "DELETE FROM headwater_receipts WHERE position > ?"
_PRUNE_RECEIPTS: Final = (
    "DELETE FROM headwater_receipts WHERE (consumer, message_id) IN ("
    "SELECT consumer, message_id FROM headwater_receipts WHERE recorded_at < ? "
    "ORDER BY recorded_at, consumer, message_id LIMIT ?)"
)
_OLD_ERASED: Final = (
    "SELECT position FROM headwater_erased WHERE erased_at < ? ORDER BY erased_at, position LIMIT ?"
)
_PRUNE_TAGS: Final = (
    "DELETE FROM headwater_event_tags WHERE (tag, position) IN ("
    "SELECT tag.value, erased.position FROM headwater_erased AS erased "
    f"CROSS JOIN json_each(erased.tags) AS tag WHERE erased.position IN ({_OLD_ERASED}))"
)
_PRUNE_ERASED: Final = f"DELETE FROM headwater_erased WHERE position IN ({_OLD_ERASED})"


class SqliteAdministration(SqliteFile):
    """The part of `SqliteStorage` that is for operators."""

    async def subscriptions(self) -> Sequence[StoredSubscription]:
        """Return all subscriptions that were ever opened, by name."""
        return await self._read(_select_subscriptions)

    async def reset_subscription(
        self, name: str, *, to: Checkpoint, clear: Sequence[str] = ()
    ) -> int:
        """Set every checkpoint, as `Administration.reset_subscription` says."""
        opened = self._opened()
        tables = [self._collection(one).table for one in clear]
        busy_seconds = self.settings.busy_seconds
        return await opened.writer.run(
            lambda connection: subscriptions.reset(
                connection, name, to=to, tables=tables, busy_seconds=busy_seconds
            )
        )

    async def repartition(self, name: str, *, partitions: int) -> None:
        """Give a subscription other partitions, as `Administration.repartition` says."""
        opened = self._opened()
        check_partitions(name, partitions)
        busy_seconds = self.settings.busy_seconds
        await opened.writer.run(
            lambda connection: subscriptions.repartition(
                connection, name, partitions=partitions, busy_seconds=busy_seconds
            )
        )

    async def drop_subscription(self, name: str) -> None:
        """Forget the subscription, its partitions and leases."""
        busy_seconds = self.settings.busy_seconds
        await self._opened().writer.run(
            lambda connection: subscriptions.drop(connection, name, busy_seconds=busy_seconds)
        )

    async def drop_collection(self, name: str) -> None:
        """Delete the collection with all its rows."""
        busy_seconds = self.settings.busy_seconds
        await self._opened().writer.run(
            lambda connection: collections.drop(connection, name, busy_seconds=busy_seconds)
        )
        self._collections.pop(name, None)

    async def collections(self) -> Sequence[CollectionSpec]:
        """Return the collections that were prepared, by name."""
        return await self._read(_select_collections)

    async def count_receipts(self, *, after: int) -> int:
        """Return how many receipts came with a commit at a position past *after*."""
        count = "SELECT count(*) FROM headwater_receipts WHERE position > ?"
        return await self._read(lambda cursor: int(cursor.execute(count, (after,)).fetchone()[0]))

    async def remove_receipts(self, *, after: int) -> int:
        """Remove the receipts that came with a commit at a position past *after*."""
        busy_seconds = self.settings.busy_seconds

        def remove(connection: sqlite3.Connection) -> int:
            with (
                closing(connection.cursor()) as cursor,
                writing(connection, busy_seconds=busy_seconds),
            ):
                return cursor.execute(_REMOVE_RECEIPTS, (after,)).rowcount

        return await self._opened().writer.run(remove)

    async def prune(self, *, before: int, limit: int = 10_000) -> Pruned:
        """Remove what is old, as `Administration.prune` says."""
        if limit < 1:
            raise ValueError(f"a limit is 1 or more, not {limit}")
        busy_seconds = self.settings.busy_seconds

        def prune(connection: sqlite3.Connection) -> Pruned:
            with (
                closing(connection.cursor()) as cursor,
                writing(connection, busy_seconds=busy_seconds),
            ):
                receipts = cursor.execute(_PRUNE_RECEIPTS, (before, limit)).rowcount
                cursor.execute(_PRUNE_TAGS, (before, limit))
                erased = cursor.execute(_PRUNE_ERASED, (before, limit)).rowcount
                return Pruned(receipts, erased)

        return await self._opened().writer.run(prune)


def _select_subscriptions(cursor: sqlite3.Cursor) -> list[StoredSubscription]:
    found: dict[str, list[Checkpoint]] = {}
    for name, position, event_id in cursor.execute(
        "SELECT subscription, position, event_id FROM headwater_checkpoints "
        "ORDER BY subscription, partition"
    ).fetchall():
        found.setdefault(name, []).append(Checkpoint(position, event_id))
    return [StoredSubscription(name, tuple(each)) for name, each in found.items()]


def _select_collections(cursor: sqlite3.Cursor) -> list[CollectionSpec]:
    rows = cursor.execute("SELECT spec FROM headwater_collections ORDER BY name").fetchall()
    return [msgspec.json.decode(spec, type=CollectionSpec) for (spec,) in rows]
