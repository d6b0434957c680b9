"""The storage in one SQLite file."""

import asyncio
import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from headwater.adapters.storage.sqlite import collections, log, rows, subscriptions
from headwater.adapters.storage.sqlite.collection import Collection
from headwater.adapters.storage.sqlite.readers import Read
from headwater.adapters.storage.sqlite.settings import SqliteSettings
from headwater.adapters.storage.sqlite.within import commit_within
from headwater.adapters.storage.sqlite.workers import Workers
from headwater.clock import Clock, SystemClock, microseconds_since_epoch
from headwater.errors import ConfigurationError, ForkedProcessError, StorageClosedError
from headwater.ports.changes import NO_CHANGES, Changes, Committed
from headwater.ports.log import (
    EVERYTHING,
    PAGE_EVENTS_MAX,
    LogFilter,
    LogPage,
    StoredEvent,
    StoredPayload,
)
from headwater.ports.rows import ROWS_MAX, CollectionSpec, Condition, Row, RowQuery
from headwater.ports.storage import Capabilities, StoredReceipt
from headwater.streams import check_stream_id

PARTITIONS_MAX: Final = 1024
"""The most partitions a subscription may have."""

_VERSION_MAX: Final = 2**63 - 1
_SYSTEM_CLOCK: Final = SystemClock()
_NOTHING: Final = Committed()
_CLOSED: Final = "The storage is not open, or was closed meanwhile: nothing was done."

_Result = TypeVar("_Result")


class SqliteStorage:
    """Keeps everything in one SQLite file, which other processes may use at the same time.

    The file is in WAL mode and may hold tables of your own beside Headwater's, whose names
    begin with ``headwater_``. Look at the log with ``SELECT * FROM headwater_log``; each
    collection is a view of its name, with a column for each field of its rows.
    """

    def __init__(
        self, settings: SqliteSettings | Path | str, *, clock: Clock = _SYSTEM_CLOCK
    ) -> None:
        """Use the file that *settings* name; nothing is touched before `open`."""
        if not isinstance(settings, SqliteSettings):
            settings = SqliteSettings(Path(settings))
        self.settings: Final = settings
        self._clock: Final = clock
        self._collections: Final[dict[str, Collection]] = {}
        self._open: Workers | None = None
        self._turn: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    @property
    def capabilities(self) -> Capabilities:
        """It outlives the process and is shared between processes."""
        return Capabilities(durable=True, shared=True, news_seconds=self.settings.news_seconds)

    async def open(self) -> None:
        """Open the file, made or migrated if need be, and start the threads that work on it.

        Raises:
            ConfigurationError: it is open in another event loop, which was not closed.
        """
        self._check_process()
        async with self._one_at_a_time():
            if self._mine() is not None:
                return
            opened = Workers(self.settings, self._clock, self._collections)
            stored = await opened.writer.start(collections.stored_collections)
            self._collections.clear()
            self._collections.update({one.spec.name: one for one in stored})
            opened.readers.start()
            opened.news.start()
            self._open = opened

    async def close(self) -> None:
        """Finish the commits and reads that wait, end the threads and close the file.

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
            raise StorageClosedError(_CLOSED)
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
        for guard in changes.guards:
            self._collection(guard.collection)
        for row in changes.rows:
            self._collection(row.collection).check_row(row)

    async def open_subscription(
        self, name: str, *, partitions: int, start_after: int
    ) -> Sequence[int]:
        """Return the checkpoint of each partition, as `Storage.open_subscription` says."""
        opened = self._opened()
        if not 1 <= partitions <= PARTITIONS_MAX or start_after < 0:
            raise ValueError(
                f"{name!r}: partitions must be 1 to {PARTITIONS_MAX} and start_after 0 or more, "
                f"not {partitions} and {start_after}"
            )
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
        first = from_version
        if first is None:
            first = _VERSION_MAX if backwards else 1
        return await self._read(
            lambda cursor: log.select_stream(
                cursor, stream_id, from_version=first, backwards=backwards, limit=limit
            )
        )

    async def read_payloads(
        self, stream_id: str, *, from_version: int = 1, limit: int = 1000
    ) -> Sequence[StoredPayload]:
        """Return the payloads of a stream, as `Log.read_payloads` says."""
        _check_limit(limit, PAGE_EVENTS_MAX)
        return await self._read(
            lambda cursor: log.select_payloads(
                cursor, stream_id, from_version=from_version, limit=limit
            )
        )

    async def read_log(
        self, *, after: int = 0, where: LogFilter = EVERYTHING, limit: int = 1000
    ) -> LogPage:
        """Return a page of the log, as `Log.read_log` says."""
        _check_limit(limit, PAGE_EVENTS_MAX)
        return await self._read(
            lambda cursor: log.select_page(cursor, after=after, where=where, limit=limit)
        )

    async def head(self) -> int:
        """Return the position of the last event, 0 for none."""
        return await self._read(log.select_head)

    async def wait_for_news(self, after: int, *, seconds: float) -> int:
        """Return the head as soon as it is past *after*, or after *seconds*."""
        opened = self._opened()
        if seconds > 0:
            await opened.news.wait(after, seconds)
        return await self.head()

    async def receipt(self, consumer: str, message_id: bytes) -> StoredReceipt | None:
        """Return what came of a message, None if nothing did yet."""
        return await self._read(lambda cursor: log.select_receipt(cursor, consumer, message_id))

    async def get_rows(self, collection: str, keys: Sequence[str]) -> Mapping[str, Row]:
        """Return the rows that exist under *keys*, by key."""
        self._opened()
        found = self._collection(collection)
        return await self._read(lambda cursor: rows.select_rows(cursor, found, keys))

    async def find_rows(self, collection: str, query: RowQuery) -> tuple[Row, ...]:
        """Return the rows that match, as `Rows.find_rows` says."""
        self._opened()
        _check_limit(query.limit, ROWS_MAX)
        if query.offset < 0:
            raise ValueError(f"an offset is 0 or more, not {query.offset}")
        found = self._collection(collection)
        return await self._read(lambda cursor: rows.select_found(cursor, found, query))

    async def count_rows(self, collection: str, conditions: Sequence[Condition] = ()) -> int:
        """Return how many rows meet all *conditions*."""
        self._opened()
        found = self._collection(collection)
        return await self._read(lambda cursor: rows.select_count(cursor, found, conditions))

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
                f"{self.settings.path}: the storage was opened in process "
                f"{self._open.process} and this one, {os.getpid()}, was forked from it. SQLite "
                f"connections don't survive a fork; make a new SqliteStorage here.",
                where=str(self.settings.path),
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
