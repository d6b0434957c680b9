"""Short ways to say what a test commits, and to look at what came of it."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from headwater.ids import new_id
from headwater.ports.changes import (
    Append,
    Changes,
    Committed,
    IndexValue,
    NewEvent,
    RowChange,
    StreamAction,
    StreamChange,
)
from headwater.ports.log import EVERYTHING, LogFilter, StoredEvent
from headwater.ports.rows import Condition, RowQuery
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion

ANY: Final = ExpectedVersion.any()
OCCURRED_AT: Final = 1_700_000_000_000_000


def id_bytes() -> bytes:
    """Return a new id as storages keep it."""
    return new_id().bytes


def as_uuid(id: bytes) -> UUID:
    """Return a stored id as errors show it."""
    return UUID(bytes=id)


def new_event(
    type: str = "sales.order-placed",
    data: str = '{"total":"9.99"}',
    *,
    id: bytes | None = None,
    schema_version: int = 1,
    tags: Sequence[str] = (),
    actor: str | None = None,
    tenant: str | None = None,
) -> NewEvent:
    """Return an event to append, with a new id unless one is given."""
    return NewEvent(
        id=id_bytes() if id is None else id,
        type=type,
        schema_version=schema_version,
        data=data,
        occurred_at=OCCURRED_AT,
        tags=tuple(tags),
        actor=actor,
        tenant=tenant,
    )


def new_events(count: int) -> tuple[NewEvent, ...]:
    """Return *count* events that differ in their data."""
    return tuple(new_event(data=f'{{"number":{number}}}') for number in range(1, count + 1))


def append(stream_id: str, *events: NewEvent, expected: ExpectedVersion = ANY) -> Append:
    """Return an append of *events*, which fits any version unless told otherwise."""
    return Append(stream_id, expected, events)


def appending(stream_id: str, *events: NewEvent, expected: ExpectedVersion = ANY) -> Changes:
    """Return changes that do nothing but one append."""
    return Changes(appends=(append(stream_id, *events, expected=expected),))


def writing(*rows: RowChange) -> Changes:
    """Return changes that do nothing but write rows."""
    return Changes(rows=rows)


def archive(stream_id: str) -> StreamChange:
    """Return a change that archives a stream."""
    return StreamChange(stream_id, StreamAction.ARCHIVE)


def restore(stream_id: str) -> StreamChange:
    """Return a change that opens an archived stream again."""
    return StreamChange(stream_id, StreamAction.RESTORE)


def truncate(stream_id: str, before_version: int) -> StreamChange:
    """Return a change that erases the events of a stream below a version."""
    return StreamChange(stream_id, StreamAction.TRUNCATE, before_version)


def tombstone(stream_id: str) -> StreamChange:
    """Return a change that erases all events of a stream and closes it for good."""
    return StreamChange(stream_id, StreamAction.TOMBSTONE)


def changing(*streams: StreamChange) -> Changes:
    """Return changes that do nothing but change streams."""
    return Changes(streams=streams)


def row(
    collection: str,
    key: str,
    *indexed: IndexValue,
    data: str = "{}",
    expected: int | None = None,
) -> RowChange:
    """Return a row to write, unguarded unless told otherwise."""
    return RowChange(collection, key, data, indexed, expected)


def deletion(collection: str, key: str, *, expected: int | None = None) -> RowChange:
    """Return a row to delete, unguarded unless told otherwise."""
    return RowChange(collection, key, None, (), expected)


async def commit_all(storage: Storage, many: Iterable[Changes]) -> list[Committed | BaseException]:
    """Commit at the same time, in this order of arrival; return results and errors in order."""
    return await asyncio.gather(
        *(storage.commit(changes) for changes in many), return_exceptions=True
    )


async def whole_log(
    storage: Storage, where: LogFilter = EVERYTHING, *, page: int = 1000
) -> list[StoredEvent]:
    """Return every matching event, read page by page."""
    events: list[StoredEvent] = []
    after = 0
    while True:
        read = await storage.read_log(after=after, where=where, limit=page)
        events += read.events
        if read.scanned_to >= read.head:
            return events
        assert read.scanned_to > after, "a page that is not at the head must get on"
        after = read.scanned_to


async def positions(storage: Storage, where: LogFilter = EVERYTHING) -> list[int]:
    """Return where the matching events of the log stand."""
    return [event.position for event in await whole_log(storage, where)]


async def keys_found(
    storage: Storage,
    collection: str,
    *conditions: Condition,
    order_by: tuple[tuple[str, bool], ...] = (),
) -> list[str]:
    """Return the keys of the rows that meet *conditions*, in the order of `find_rows`."""
    query = RowQuery(conditions=conditions, order_by=order_by)
    return [row.key for row in await storage.find_rows(collection, query)]
