"""The storage in a schema of a PostgreSQL database."""

import asyncio
from collections.abc import Sequence
from typing import Final

from headwater.adapters.storage.postgres import collections, schema
from headwater.adapters.storage.postgres.checks import checked_bytes
from headwater.adapters.storage.postgres.failures import too_old, translated
from headwater.adapters.storage.postgres.leasing import LeasingStorage
from headwater.adapters.storage.postgres.reading import ReadingStorage
from headwater.adapters.storage.postgres.upkeep import UpkeepStorage
from headwater.adapters.storage.postgres.workers import Workers
from headwater.ports.changes import NO_CHANGES, Changes, Committed
from headwater.ports.limits import check_sizes
from headwater.ports.rows import CollectionSpec
from headwater.ports.sealed import check_sealed
from headwater.ports.storage import Capabilities
from headwater.streams import check_stream_id

_NOTHING: Final = Committed()


class PostgresStorage(ReadingStorage, LeasingStorage, UpkeepStorage):
    """Keeps everything in one schema, which any number of processes use at the same time.

    Times are the server's. Look at the log with ``SELECT * FROM headwater.log``; each
    collection is a view of its name, with a column for each field of its rows. `outbox` shows
    what was staged in transactions of your own, and waits for it.
    """

    @property
    def capabilities(self) -> Capabilities:
        """It outlives the process and is shared between processes."""
        return Capabilities(durable=True, shared=True, news_seconds=self.settings.poll_seconds)

    async def open(self) -> None:
        """Connect, look whether this code fits the schema, and start what commits.

        Raises:
            MigrationNeededError: the tables are missing, or older than this code needs, and
                `auto_migrate` is not set. The error names the command to run.
            SchemaVersionError: the tables are too new, or somebody else's.
            StorageUnavailableError: the server can't be reached.
            ConfigurationError: it refuses the connection; or this storage is open in another
                event loop, which was not closed.
        """
        self._check_process()
        async with self._one_at_a_time():
            if self._mine() is not None:
                return
            if self.settings.auto_migrate:
                await schema.upgrade(self.settings)
            opened = Workers(self.settings, self._clock, self._collections, self._log, self.outbox)
            try:
                connection = await opened.writer.connection.get()
                found = await schema.stored_status(connection, self.settings)
                found.check()
                opened.writable = found.writable
                stored = await collections.stored_collections(
                    connection, self.settings.quoted_schema
                )
            except Exception as error:
                await opened.writer.connection.close()
                raise translated(error, self.settings) from error
            except asyncio.CancelledError:
                opened.writer.connection.drop()
                raise
            self._collections.clear()
            self._collections.update({one.spec.name: one for one in stored})
            opened.writer.start()
            if opened.writable and self.settings.moves_outbox:
                self.outbox.start()
            self._open = opened

    async def close(self) -> None:
        """Finish the commits and reads that wait, and close all connections.

        Raises:
            ConfigurationError: it is open in another event loop, which was not closed.
        """
        self._check_process()
        async with self._one_at_a_time():
            opened = self._mine()
            self._open = None
            if opened is not None:
                await opened.close()

    # ------------------------------------------------------------------------------ writing

    async def commit(self, changes: Changes) -> Committed:
        """Write all of *changes* or nothing, as `Storage.commit` says.

        Raises:
            LimitExceededError: it holds more than `COMMIT_BYTES_MAX`.
        """
        opened = self._opened()
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
        if changes is NO_CHANGES or (changes.empty and changes.deadline is None):
            return _NOTHING
        if not opened.writable:
            raise too_old(self.settings)
        size = checked_bytes(changes)
        if not opened.room.enter_now():
            await opened.room.enter()
        return await opened.writer.submit(changes, size)

    async def prepare_collections(self, specs: Sequence[CollectionSpec]) -> None:
        """Make tables for the collections, as `Rows.prepare_collections` says."""
        self._opened()
        settings = self.settings
        prepared = await self._read(
            lambda connection: collections.prepare(
                connection,
                specs,
                schema=settings.quoted_schema,
                lock_seconds=settings.lock_seconds,
            )
        )
        self._collections.update({one.spec.name: one for one in prepared})
