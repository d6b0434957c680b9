"""The storage in one SQLite file."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from headwater.adapters.opening import CLOSED
from headwater.adapters.storage.sqlite import collections, subscriptions
from headwater.adapters.storage.sqlite.administration import SqliteAdministration
from headwater.adapters.storage.sqlite.collection import Collection
from headwater.adapters.storage.sqlite.leasing import SqliteLeasing
from headwater.adapters.storage.sqlite.reading import SqliteReading
from headwater.adapters.storage.sqlite.restoration import SqliteRestoration
from headwater.adapters.storage.sqlite.within import commit_within
from headwater.clock import microseconds_since_epoch
from headwater.errors import StorageClosedError
from headwater.ports.changes import NO_CHANGES, Changes, Committed
from headwater.ports.leases import Checkpoint, check_partitions
from headwater.ports.limits import check_sizes
from headwater.ports.rows import CollectionSpec
from headwater.ports.sealed import check_sealed
from headwater.streams import check_stream_id

_NOTHING: Final = Committed()


class SqliteStorage(SqliteReading, SqliteLeasing, SqliteAdministration, SqliteRestoration):
    """Keeps everything in one SQLite file, which other processes may use at the same time.

    The file is in WAL mode and may hold tables of your own beside Headwater's, whose names
    begin with ``headwater_``. Look at the log with ``SELECT * FROM headwater_log``; each
    collection is a view of its name, with a column for each field of its rows.
    """

    async def commit(self, changes: Changes) -> Committed:
        """Write all of *changes* or nothing, as `Storage.commit` says."""
        opened = self._opened()
        self._check_form(changes)
        if changes is NO_CHANGES or (changes.empty and changes.deadline is None):
            return _NOTHING
        if not opened.room.enter_now():
            await opened.room.enter()
        return await opened.writer.submit(changes)

    def commit_within(self, connection: sqlite3.Connection, changes: Changes) -> Committed:
        """Write *changes* in the open transaction of your own *connection* to the same file.

        They become visible with your COMMIT and are gone with your ROLLBACK; a refused value
        leaves your transaction as it was. Begin it with ``BEGIN IMMEDIATE``, and keep it short:
        all commits to the file wait for it. This blocks, as your connection does.

        Raises:
            ConfigurationError: no transaction is open, or it is one on another file.
            StorageBusyError: another connection is writing, or has written since your
                transaction began to read.
            HeadwaterError: the changes are refused, as `commit` refuses them.
        """
        if self._open is None:
            raise StorageClosedError(CLOSED)
        self._check_process()
        self._check_form(changes)
        return commit_within(
            connection,
            changes,
            settings=self.settings,
            now=microseconds_since_epoch(self._clock.now()),
            collections=self._collections,
        )

    def _check_form(self, changes: Changes) -> None:
        for append in changes.appends:
            check_stream_id(append.stream_id)
        for change in changes.streams:
            check_stream_id(change.stream_id)
        for guard in changes.guards:
            self._collection(guard.collection)
        for row in changes.rows:
            self._collection(row.collection).check_row(row)
        check_sizes(changes)
        check_sealed(changes)

    async def open_subscription(
        self, name: str, *, partitions: int, start_after: int
    ) -> Sequence[Checkpoint]:
        """Return the checkpoint of each partition, as `Storage.open_subscription` says."""
        opened = self._opened()
        check_partitions(name, partitions, start_after)
        # Most are there already, and reading waits for nobody who writes.
        stored = await self._read(lambda cursor: subscriptions.select_checkpoints(cursor, name))
        if stored:
            return stored
        busy_seconds = self.settings.busy_seconds
        return await opened.writer.run(
            lambda connection: subscriptions.open_subscription(
                connection,
                name,
                partitions=partitions,
                start_after=start_after,
                busy_seconds=busy_seconds,
            )
        )

    async def prepare_collections(self, specs: Sequence[CollectionSpec]) -> None:
        """Make tables for the collections, as `Rows.prepare_collections` says."""
        opened = self._opened()
        wanted = [Collection(spec) for spec in specs]
        busy_seconds = self.settings.busy_seconds
        await opened.writer.run(
            lambda connection: collections.prepare(connection, wanted, busy_seconds=busy_seconds)
        )
        self._collections.update({one.spec.name: one for one in wanted})
