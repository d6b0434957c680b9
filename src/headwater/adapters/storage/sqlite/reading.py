"""The reading side: streams, the log, receipts and rows, on the readers' threads."""

from collections.abc import Mapping, Sequence
from typing import Final

from headwater.adapters.storage.sqlite import log, rows, streams
from headwater.adapters.storage.sqlite.file import SqliteFile
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

_VERSION_MAX: Final = 2**63 - 1


class SqliteReading(SqliteFile):
    """The part of `SqliteStorage` that reads."""

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
        check_limit(limit, PAGE_EVENTS_MAX)
        return await self._read(
            lambda cursor: log.select_payloads(
                cursor, stream_id, from_version=from_version, limit=limit
            )
        )

    async def stream_info(self, stream_id: str) -> StreamInfo:
        """Return what is known of a stream."""
        return await self._read(lambda cursor: streams.select_stream_info(cursor, stream_id))

    async def read_streams(
        self,
        *,
        category: str | None = None,
        after: str = "",
        internal: bool = False,
        limit: int = 1000,
    ) -> tuple[StreamInfo, ...]:
        """Return the streams that follow, as `Log.read_streams` says."""
        check_limit(limit, PAGE_EVENTS_MAX)
        return await self._read(
            lambda cursor: streams.select_streams(
                cursor, category=category, after=after, internal=internal, limit=limit
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
            lambda cursor: log.select_page(
                cursor, after=after, after_id=after_id, where=where, limit=limit
            )
        )

    async def head(self) -> int:
        """Return the position of the last event, 0 for none."""
        return await self._read(log.select_head)

    async def wait_for_news(self, after: int, *, seconds: float) -> int:
        """Return the head as soon as it is past *after*, or after *seconds*."""
        opened = self._opened()
        if seconds > 0:
            await opened.news.wait(after, seconds)
        heard = opened.news.head
        head = await self.head()
        opened.news.correct(heard, head)
        return head

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
        check_limit(query.limit, ROWS_MAX)
        if query.offset < 0:
            raise ValueError(f"an offset is 0 or more, not {query.offset}")
        found = self._collection(collection)
        return await self._read(lambda cursor: rows.select_found(cursor, found, query))

    async def count_rows(self, collection: str, conditions: Sequence[Condition] = ()) -> int:
        """Return how many rows meet all *conditions*."""
        self._opened()
        found = self._collection(collection)
        return await self._read(lambda cursor: rows.select_count(cursor, found, conditions))
