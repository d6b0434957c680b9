"""The part of a storage that reads the log, streams, receipts and rows."""

from collections.abc import Mapping, Sequence

from headwater.adapters.storage.postgres import rows
from headwater.adapters.storage.postgres.opened import OpenedStorage
from headwater.ports.limits import check_limit
from headwater.ports.log import (
    EVERYTHING,
    PAGE_EVENTS_MAX,
    LogFilter,
    LogPage,
    StoredEvent,
    StoredPayload,
    StreamInfo,
)
from headwater.ports.rows import ROWS_MAX, Condition, Row, RowQuery
from headwater.ports.storage import StoredReceipt


class ReadingStorage(OpenedStorage):
    """Reads on the connections of `Readers`."""

    async def read_stream(
        self,
        stream_id: str,
        *,
        from_version: int | None = None,
        backwards: bool = False,
        limit: int = 1000,
    ) -> tuple[StoredEvent, ...]:
        """Return a part of a stream, as `Log.read_stream` says."""
        check_limit(limit, PAGE_EVENTS_MAX)
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
        check_limit(limit, PAGE_EVENTS_MAX)
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
        check_limit(limit, PAGE_EVENTS_MAX)
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
        check_limit(limit, PAGE_EVENTS_MAX)
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
        check_limit(query.limit, ROWS_MAX)
        if query.offset < 0:
            raise ValueError(f"an offset is 0 or more, not {query.offset}")
        found = self._collection(collection)
        return await self._read(lambda connection: rows.find_rows(connection, found, query))

    async def count_rows(self, collection: str, conditions: Sequence[Condition] = ()) -> int:
        """Return how many rows meet all *conditions*."""
        self._opened()
        found = self._collection(collection)
        return await self._read(lambda connection: rows.count_rows(connection, found, conditions))
