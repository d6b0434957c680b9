"""The storage whose data live as long as the object: same promises, no disk."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from headwater.adapters.storage.memory.administration import MemoryAdministration
from headwater.adapters.storage.memory.leasing import MemoryLeasing
from headwater.clock import Clock, SystemClock
from headwater.ports.changes import Changes, Committed
from headwater.ports.leases import Checkpoint, check_partitions
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
from headwater.ports.rows import ROWS_MAX, CollectionSpec, Condition, Row, RowQuery
from headwater.ports.storage import COMMITS_WAITING_MAX, Capabilities, StoredReceipt

_SYSTEM_CLOCK: Final = SystemClock()


class _Waiting(msgspec.Struct):
    changes: Changes
    done: asyncio.Future[Committed]


class MemoryStorage(MemoryAdministration, MemoryLeasing):
    """Keeps everything in memory, for as long as the object lives.

    Passes the conformance suite of every storage. The data outlive `close`, so that a test can
    restart an application on the same object. Commits that wait are done together in the event
    loop's next turn, in arrival order.
    """

    def __init__(self, clock: Clock = _SYSTEM_CLOCK) -> None:
        """Take the time from *clock*, the system's by default."""
        super().__init__(clock)
        self._waiting: Final[deque[_Waiting]] = deque()
        self._commits = 0
        self._room = asyncio.Semaphore(COMMITS_WAITING_MAX)
        self._idle = asyncio.Event()

    @property
    def capabilities(self) -> Capabilities:
        """Nothing outlives the object, and nobody else can see it."""
        return Capabilities(durable=False, shared=False, news_seconds=0)

    async def open(self) -> None:
        """Let it be used; what was committed before is there."""
        if not self._open:
            await self._all_finished()
            # Made anew, because the event loop may be another one than before.
            self._room, self._idle = asyncio.Semaphore(COMMITS_WAITING_MAX), asyncio.Event()
            self._open = True

    async def close(self) -> None:
        """Finish the commits that wait; the data stay."""
        self._open = False
        self._news.wake_all()
        await self._all_finished()

    async def _all_finished(self) -> None:
        while self._commits:
            self._idle.clear()
            await self._idle.wait()

    # ------------------------------------------------------------------------------ writing

    async def commit(self, changes: Changes) -> Committed:
        """Write all of *changes* or nothing, as `Storage.commit` says."""
        self._check_open()
        self._contents.check_form(changes)
        self._commits += 1
        try:
            async with self._room:
                loop = asyncio.get_running_loop()
                if not self._waiting:
                    loop.call_soon(self._finish_waiting)
                waiting = _Waiting(changes, loop.create_future())
                self._waiting.append(waiting)
                return await waiting.done
        finally:
            self._commits -= 1
            if not self._commits:
                self._idle.set()

    def _finish_waiting(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if waiting.done.cancelled():
                continue
            try:
                waiting.done.set_result(self._contents.write(waiting.changes, now=self._now()))
            except Exception as error:  # noqa: BLE001  whoever awaits the commit gets it
                waiting.done.set_exception(error)
        self._news.come(self._contents.log.head)

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
        check_limit(limit, PAGE_EVENTS_MAX)
        await self._let_others_run()
        return self._contents.log.read_stream(
            stream_id, from_version=from_version, backwards=backwards, limit=limit
        )

    async def read_payloads(
        self, stream_id: str, *, from_version: int = 1, limit: int = 1000
    ) -> Sequence[StoredPayload]:
        """Return the payloads of a stream, as `Log.read_payloads` says."""
        events = await self.read_stream(stream_id, from_version=from_version, limit=limit)
        return [(one.version, one.type, one.schema_version, one.data) for one in events]

    async def stream_info(self, stream_id: str) -> StreamInfo:
        """Return what is known of a stream."""
        await self._let_others_run()
        return self._contents.log.stream_info(stream_id)

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
        await self._let_others_run()
        return self._contents.log.read_streams(
            category=category, after=after, internal=internal, limit=limit
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
        await self._let_others_run()
        return self._contents.log.read(after=after, after_id=after_id, where=where, limit=limit)

    async def head(self) -> int:
        """Return the position of the last event, 0 for none."""
        await self._let_others_run()
        return self._contents.log.head

    async def wait_for_news(self, after: int, *, seconds: float) -> int:
        """Return the head as soon as it is past *after*, or after *seconds* of the clock."""
        await self._let_others_run()
        if self._contents.log.head <= after and seconds > 0:
            await self._news.wait(after, seconds=seconds)
            self._check_open()
        return self._contents.log.head

    async def receipt(self, consumer: str, message_id: bytes) -> StoredReceipt | None:
        """Return what came of a message, None if nothing did yet."""
        await self._let_others_run()
        return self._contents.receipt(consumer, message_id)

    async def open_subscription(
        self, name: str, *, partitions: int, start_after: int
    ) -> Sequence[Checkpoint]:
        """Return the checkpoint of each partition, as `Storage.open_subscription` says."""
        check_partitions(name, partitions, start_after)
        await self._let_others_run()
        return self._contents.subscriptions.open(name, partitions, start_after)

    # --------------------------------------------------------------------------------- rows

    async def prepare_collections(self, specs: Sequence[CollectionSpec]) -> None:
        """Make room for the collections, as `Rows.prepare_collections` says."""
        await self._let_others_run()
        self._contents.prepare_collections(specs)

    async def get_rows(self, collection: str, keys: Sequence[str]) -> Mapping[str, Row]:
        """Return the rows that exist under *keys*, by key."""
        await self._let_others_run()
        return self._contents.collection(collection).get(keys)

    async def find_rows(self, collection: str, query: RowQuery) -> tuple[Row, ...]:
        """Return the rows that match, as `Rows.find_rows` says."""
        check_limit(query.limit, ROWS_MAX)
        if query.offset < 0:
            raise ValueError(f"an offset is 0 or more, not {query.offset}")
        await self._let_others_run()
        return self._contents.collection(collection).find(query)

    async def count_rows(self, collection: str, conditions: Sequence[Condition] = ()) -> int:
        """Return how many rows meet all *conditions*."""
        await self._let_others_run()
        return self._contents.collection(collection).count(conditions)
