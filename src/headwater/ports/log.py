"""The reading side of the log."""

from collections.abc import Sequence
from enum import Enum
from typing import Final, Protocol, TypeAlias

import msgspec

PAGE_EVENTS_MAX: Final = 10_000
"""The most events that one page may hold; a larger `limit` is refused."""


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as a storage keeps it: ids as 16 bytes, times as microseconds since 1970 UTC."""

    position: int
    stream_id: str
    version: int
    id: bytes
    type: str
    schema_version: int
    data: str
    occurred_at: int
    recorded_at: int
    correlation_id: bytes | None = None
    causation_id: bytes | None = None
    actor: str | None = None
    tenant: str | None = None
    traceparent: str | None = None
    headers: str | None = None
    tags: tuple[str, ...] = ()


StoredPayload: TypeAlias = tuple[int, str, int, str]
"""What folding an event takes: its version, type name, schema version and data. A plain tuple,
because loading an aggregate makes one per event."""


class LogFilter(msgspec.Struct, frozen=True, gc=False):
    """Which events a reader of the log wants. Every part that is given must hold.

    `types` are stored type names, `categories` what stands before the first ``-`` of a stream
    id, `tags` must all be on the event, `tenants` are those it may be of. Streams whose names
    start with ``$`` are left out unless `internal` is set, archived ones unless `archived` is.
    An empty set means: no restriction.
    """

    types: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    internal: bool = False
    archived: bool = False
    tenants: frozenset[str] = frozenset()


EVERYTHING: Final = LogFilter()
"""All that subscribers may see: neither internal streams nor archived ones."""

WHOLE_LOG: Final = LogFilter(internal=True, archived=True)
"""All events that are there."""


class LogPage(msgspec.Struct, frozen=True, gc=False):
    """Events after a position, ascending, and how far the log was looked through.

    Every matching event at a position in (after, `scanned_to`] is in `events`, and none will
    appear there later. `head` is the log's last position at the same moment, so a reader
    whose page has ``scanned_to == head`` has caught up. `event_id` is the id of the event at
    `scanned_to`, whether it matches or not and also after its erasure as long as the id is
    known; None if there is none. The position and it are a cursor that `read_log` can verify.
    """

    events: tuple[StoredEvent, ...]
    scanned_to: int
    head: int
    event_id: bytes | None = None


class StreamState(Enum):
    """Whether a stream takes events. STAGED: only those staged in an outbox."""

    OPEN = "open"
    ARCHIVED = "archived"
    TOMBSTONED = "tombstoned"
    STAGED = "staged"


class StreamInfo(msgspec.Struct, frozen=True):
    """What is known of a stream: its version (0: it never had an event), its oldest version
    that is still there (0: none is), and its state."""

    stream_id: str
    version: int
    first_version: int
    state: StreamState = StreamState.OPEN


class Log(Protocol):
    """Reads streams and the log. Every read sees committed events only, and each is one
    short transaction: nothing is held open while the caller works on a page.

    All methods raise `StorageClosedError` before `open` and after `close`, and `ValueError`
    for a *limit* outside 1 … `PAGE_EVENTS_MAX`.
    """

    async def read_stream(
        self,
        stream_id: str,
        *,
        from_version: int | None = None,
        backwards: bool = False,
        limit: int = 1000,
    ) -> tuple[StoredEvent, ...]:
        """Return up to *limit* events of a stream, beginning with *from_version* (included).

        Ascending from version 1, or descending from the newest one if *backwards*, unless
        *from_version* says otherwise. An unknown stream, or nothing on that side: empty.
        """
        ...

    async def read_payloads(
        self, stream_id: str, *, from_version: int = 1, limit: int = 1000
    ) -> Sequence[StoredPayload]:
        """Return what `read_stream` returns ascending, without what an aggregate doesn't need.

        It is a method of its own because a storage can read it in less than half the time.
        """
        ...

    async def stream_info(self, stream_id: str) -> StreamInfo:
        """Return what is known of a stream."""
        ...

    async def read_streams(
        self,
        *,
        category: str | None = None,
        after: str = "",
        internal: bool = False,
        limit: int = 1000,
    ) -> tuple[StreamInfo, ...]:
        """Return the streams that sort after stream id *after* by Unicode code point.

        Those of one *category*, or all; truncated, archived and tombstoned ones too, also those
        that never had an event, but not if they are open. Those whose names start with ``$``
        only come with *internal*.
        """
        ...

    async def read_log(
        self,
        *,
        after: int = 0,
        after_id: bytes | None = None,
        where: LogFilter = EVERYTHING,
        limit: int = 1000,
    ) -> LogPage:
        """Return the matching events that stand after position *after*.

        The page ends at *limit* events, at the head, or where the storage has looked through
        enough for one read: a page may be empty and still move `scanned_to` on. With *after*
        at or past the head the page is empty and ``scanned_to`` is *after*.

        With *after_id*, the `LogPage.event_id` of the page that ended at *after*, it is verified
        in the same statement that the log is still the one which was read.

        Raises:
            LogRewoundError: *after_id* is given, and *after* is past the head or another
                event stands there. One that was erased and pruned is believed.
        """
        ...

    async def head(self) -> int:
        """Return the position of the last event ever appended, 0 for none. It never falls."""
        ...

    async def wait_for_news(self, after: int, *, seconds: float) -> int:
        """Return the head as soon as it is past *after*, or whatever it is after *seconds*.

        Commits of this process wake at once; those of other processes on the same storage
        within `Capabilities.news_seconds`.
        """
        ...
