"""The storage in a schema of a PostgreSQL database."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from headwater.adapters.storage.postgres import collections, rows, schema
from headwater.adapters.storage.postgres.administration import AdministrationStatements
from headwater.adapters.storage.postgres.collection import Collection
from headwater.adapters.storage.postgres.connections import Read
from headwater.adapters.storage.postgres.failures import translated
from headwater.adapters.storage.postgres.log import LogStatements
from headwater.adapters.storage.postgres.outbox_mover import OutboxMover
from headwater.adapters.storage.postgres.restoration import RestorationStatements
from headwater.adapters.storage.postgres.settings import PostgresSettings
from headwater.adapters.storage.postgres.streams import StreamStatements
from headwater.adapters.storage.postgres.subscriptions import SubscriptionStatements
from headwater.adapters.storage.postgres.workers import Workers
from headwater.clock import Clock, SystemClock
from headwater.errors import (
    ConfigurationError,
    ForkedProcessError,
    StorageClosedError,
    StorageReadOnlyError,
)
from headwater.ports.administration import Pruned, StoredSubscription
from headwater.ports.changes import NO_CHANGES, Changes, Committed
from headwater.ports.log import (
    EVERYTHING,
    PAGE_EVENTS_MAX,
    LogFilter,
    LogPage,
    StoredEvent,
    StoredPayload,
    StreamInfo,
)
from headwater.ports.restoration import Restored
from headwater.ports.rows import ROWS_MAX, CollectionSpec, Condition, Row, RowQuery
from headwater.ports.storage import Capabilities, Checkpoint, StoredReceipt
from headwater.streams import check_stream_id

PARTITIONS_MAX: Final = 1024
"""The most partitions a subscription may have."""

_SYSTEM_CLOCK: Final = SystemClock()
_NOTHING: Final = Committed()
_CLOSED: Final = "The storage is not open, or was closed meanwhile: nothing was done."

_Result = TypeVar("_Result")


class PostgresStorage:
    """Keeps everything in one schema, which any number of processes use at the same time.

    Times are the server's. Look at the log with ``SELECT * FROM headwater.log``; each
    collection is a view of its name, with a column for each field of its rows. `outbox` shows
    what was staged in transactions of your own, and waits for it.
    """

    def __init__(self, settings: PostgresSettings | str, *, clock: Clock = _SYSTEM_CLOCK) -> None:
        """Use the schema that *settings*, or a URL, name; nothing is done before `open`."""
        if isinstance(settings, str):
            settings = PostgresSettings.from_url(settings)
        self.settings: Final = settings
        self._clock: Final = clock
        self._collections: Final[dict[str, Collection]] = {}
        self._log: Final = LogStatements(settings.schema)
        self._streams: Final = StreamStatements(settings.schema)
        self._subscriptions: Final = SubscriptionStatements(settings.schema)
        self._administration: Final = AdministrationStatements(settings.schema)
        self._restoration: Final = RestorationStatements(settings.schema)
        self.outbox: Final = OutboxMover(settings)
        self._open: Workers | None = None
        self._turn: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

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
                stored = await collections.stored_collections(connection, self.settings.schema)
            except Exception as error:
                await opened.writer.connection.close()
                raise translated(error, self.settings) from error
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
        """Write all of *changes* or nothing, as `Storage.commit` says."""
        opened = self._opened()
        for append in changes.appends:
            check_stream_id(append.stream_id)
        for change in changes.streams:
            check_stream_id(change.stream_id)
        for guard in changes.guards:
            self._collection(guard.collection)
        for row in changes.rows:
            self._collection(row.collection).check_row(row)
        if changes is NO_CHANGES or (changes.empty and changes.deadline is None):
            return _NOTHING
        if not opened.writable:
            raise StorageReadOnlyError(
                f"{self.settings.where}: the schema is newer than this code can write. Run the "
                f"newer Headwater.",
                where=self.settings.where,
            )
        if not opened.room.enter_now():
            await opened.room.enter()
        return await opened.writer.submit(changes)

    async def open_subscription(
        self, name: str, *, partitions: int, start_after: int
    ) -> Sequence[Checkpoint]:
        """Return the checkpoint of each partition, as `Storage.open_subscription` says."""
        self._opened()
        if not 1 <= partitions <= PARTITIONS_MAX or start_after < 0:
            raise ValueError(
                f"{name!r}: partitions must be 1 to {PARTITIONS_MAX} and start_after 0 or more, "
                f"not {partitions} and {start_after}"
            )
        return await self._read(
            lambda connection: self._subscriptions.open(
                connection, name, partitions=partitions, start_after=start_after
            )
        )

    async def prepare_collections(self, specs: Sequence[CollectionSpec]) -> None:
        """Make tables for the collections, as `Rows.prepare_collections` says."""
        self._opened()
        settings = self.settings
        wanted = [Collection(spec, settings.schema) for spec in specs]
        await self._read(
            lambda connection: collections.prepare(
                connection,
                wanted,
                schema=settings.schema,
                lock_seconds=settings.lock_seconds,
            )
        )
        self._collections.update({one.spec.name: one for one in wanted})

    # ------------------------------------------------------------------------------ reading

    async def read_stream(
        self,
        stream_id: str,
        *,
        from_version: int | None = None,
        backwards: bool = False,
        limit: int = 1000,
    ) -> tuple[StoredEvent, ...]:
        """Return a part of a stream, as `Log.read_stream` says."""
        _check_limit(limit, PAGE_EVENTS_MAX)
        return await self._read(
            lambda connection: self._log.read_stream(
                connection,
                stream_id,
                from_version=from_version,
                backwards=backwards,
                limit=limit,
            )
        )

    async def read_payloads(
        self, stream_id: str, *, from_version: int = 1, limit: int = 1000
    ) -> Sequence[StoredPayload]:
        """Return the payloads of a stream, as `Log.read_payloads` says."""
        _check_limit(limit, PAGE_EVENTS_MAX)
        return await self._read(
            lambda connection: self._log.read_payloads(
                connection, stream_id, from_version=from_version, limit=limit
            )
        )

    async def stream_info(self, stream_id: str) -> StreamInfo:
        """Return what is known of a stream."""
        return await self._read(lambda connection: self._streams.info(connection, stream_id))

    async def read_streams(
        self,
        *,
        category: str | None = None,
        after: str = "",
        internal: bool = False,
        limit: int = 1000,
    ) -> tuple[StreamInfo, ...]:
        """Return the streams that sort after *after*, as `Log.read_streams` says."""
        _check_limit(limit, PAGE_EVENTS_MAX)
        return await self._read(
            lambda connection: self._streams.infos(
                connection, category=category, after=after, internal=internal, limit=limit
            )
        )

    async def read_log(
        self,
        *,
        after: int = 0,
        after_id: bytes | None = None,
        where: LogFilter = EVERYTHING,
        limit: int = 1000,
    ) -> LogPage:
        """Return a page of the log, as `Log.read_log` says."""
        _check_limit(limit, PAGE_EVENTS_MAX)
        return await self._read(
            lambda connection: self._log.read_page(
                connection, after=after, after_id=after_id, where=where, limit=limit
            )
        )

    async def head(self) -> int:
        """Return the position of the last event, 0 for none."""
        return await self._read(self._log.head)

    async def wait_for_news(self, after: int, *, seconds: float) -> int:
        """Return the head as soon as it is past *after*, or after *seconds*."""
        opened = self._opened()
        return await (opened.news.wait(after, seconds) if seconds > 0 else self.head())

    async def receipt(self, consumer: str, message_id: bytes) -> StoredReceipt | None:
        """Return what came of a message, None if nothing did yet."""
        return await self._read(
            lambda connection: self._log.receipt(connection, consumer, message_id)
        )

    async def get_rows(self, collection: str, keys: Sequence[str]) -> Mapping[str, Row]:
        """Return the rows that exist under *keys*, by key."""
        self._opened()
        found = self._collection(collection)
        return await self._read(lambda connection: rows.get_rows(connection, found, keys))

    async def find_rows(self, collection: str, query: RowQuery) -> tuple[Row, ...]:
        """Return the rows that match, as `Rows.find_rows` says."""
        self._opened()
        _check_limit(query.limit, ROWS_MAX)
        if query.offset < 0:
            raise ValueError(f"an offset is 0 or more, not {query.offset}")
        found = self._collection(collection)
        return await self._read(lambda connection: rows.find_rows(connection, found, query))

    async def count_rows(self, collection: str, conditions: Sequence[Condition] = ()) -> int:
        """Return how many rows meet all *conditions*."""
        self._opened()
        found = self._collection(collection)
        return await self._read(lambda connection: rows.count_rows(connection, found, conditions))

    # ----------------------------------------------------------------------- administration

    async def subscriptions(self) -> Sequence[StoredSubscription]:
        """Return all subscriptions that were ever opened, by name."""
        return await self._read(self._administration.subscriptions)

    async def reset_subscription(self, name: str, *, to: Checkpoint) -> None:
        """Set the checkpoint of every partition to *to*, wherever it stands."""
        await self._read(
            lambda connection: self._administration.reset_subscription(connection, name, to=to)
        )

    async def collections(self) -> Sequence[CollectionSpec]:
        """Return the collections that were prepared, by name."""
        return await self._read(self._administration.collections)

    async def clear_collection(self, name: str) -> int:
        """Delete all rows of a collection in one step; return how many there were."""
        self._opened()
        found = self._collection(name)
        return await self._read(
            lambda connection: self._administration.clear_collection(connection, found)
        )

    async def count_receipts(self, *, after: int) -> int:
        """Return how many receipts came with a commit at a position past *after*."""
        return await self._read(
            lambda connection: self._administration.count_receipts(connection, after=after)
        )

    async def remove_receipts(self, *, after: int) -> int:
        """Remove the receipts that came with a commit at a position past *after*."""
        return await self._read(
            lambda connection: self._administration.remove_receipts(connection, after=after)
        )

    async def prune(self, *, before: int, limit: int = 10_000) -> Pruned:
        """Remove what is older than *before*, as `Administration.prune` says."""
        return await self._read(
            lambda connection: self._administration.prune(connection, before=before, limit=limit)
        )

    async def restore_log(
        self, events: Sequence[StoredEvent], *, head: int, streams: Sequence[StreamInfo] = ()
    ) -> None:
        """Become what another log was, as `Restoration.restore_log` says."""
        self._opened()
        restored = Restored(events, head=head, streams=streams)
        await self._read(
            lambda connection: self._restoration.restore(
                connection, restored, events, head=head, streams=streams
            )
        )

    async def _read(self, read: Read[_Result]) -> _Result:
        return await self._opened().readers.run(read)

    # ---------------------------------------------------------------------------- the state

    def _opened(self) -> Workers:
        opened = self._open
        if opened is None:
            raise StorageClosedError(_CLOSED)
        self._check_process()
        if opened.loop is not asyncio.get_running_loop():
            raise opened.wrong_loop()
        return opened

    def _mine(self) -> Workers | None:
        """Return the workers if they are of this event loop; those of a closed one are let go.

        Raises:
            ConfigurationError: they are of another, which was not closed.
        """
        opened = self._open
        if opened is not None and opened.loop is not asyncio.get_running_loop():
            if not opened.loop.is_closed():
                raise opened.wrong_loop()
            opened.abandon()
            self._open = None
        return self._open

    def _check_process(self) -> None:
        if self._open is not None and self._open.process != os.getpid():
            raise ForkedProcessError(
                f"{self.settings.where}: the storage was opened in process "
                f"{self._open.process} and this one, {os.getpid()}, was forked from it. "
                f"Connections don't survive a fork; make a new PostgresStorage here.",
                where=self.settings.where,
            )

    def _collection(self, name: str) -> Collection:
        collection = self._collections.get(name)
        if collection is None:
            raise ConfigurationError(
                f"The collection {name!r} was not prepared; call prepare_collections first."
            )
        return collection

    def _one_at_a_time(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._turn is None or self._turn[0] is not loop:
            self._turn = loop, asyncio.Lock()
        return self._turn[1]


def _check_limit(limit: int, limit_max: int) -> None:
    if not 1 <= limit <= limit_max:
        raise ValueError(f"a limit is 1 to {limit_max}, not {limit}")
