"""Logs of every kind of event and stream, for the tests of this folder."""

from collections.abc import Iterable
from pathlib import Path

from headwater.ports.changes import Append, Changes, NewEvent, StreamAction, StreamChange
from headwater.ports.log import LogFilter, StoredEvent, StreamInfo
from headwater.ports.storage import Storage
from headwater.streams import ExpectedVersion
from headwater.testing.conformance.builders import OCCURRED_AT, id_bytes, new_event, whole_log

WHOLE = LogFilter(internal=True, archived=True)


def full_event(data: str = '{"total":"9.99","note":"ä \\"quoted\\""}') -> NewEvent:
    """Return an event with every field set."""
    return NewEvent(
        id_bytes(),
        "sales.order-placed",
        3,
        data,
        OCCURRED_AT,
        id_bytes(),
        id_bytes(),
        "ada",
        "acme",
        "00-1-2-01",
        '{"a":"b"}',
        ("student:1", "course:2"),
    )


async def appended(storage: Storage, stream_id: str, *events: NewEvent) -> None:
    """Append *events* to a stream."""
    await storage.commit(Changes((Append(stream_id, ExpectedVersion.any(), events),)))


async def changed(
    storage: Storage, stream_id: str, action: StreamAction, before_version: int = 0
) -> None:
    """Do something to a stream."""
    await storage.commit(Changes(streams=(StreamChange(stream_id, action, before_version),)))


async def fill(storage: Storage) -> None:
    """Make a log with streams in every state, holes, and data that is hard to write down."""
    await appended(storage, "order-1", full_event(), full_event('{\n  "pretty": true\n}'))
    await appended(storage, "order-2", *(new_event() for _ in range(5)))
    await appended(storage, "order-3", new_event(data=" [1, 2.50] "), new_event(data="null"))
    await appended(storage, "order-4", new_event(), new_event())
    await appended(storage, "$timers-1", new_event())
    await appended(storage, "order-5", new_event(), new_event())
    await changed(storage, "order-2", StreamAction.TRUNCATE, 4)
    await changed(storage, "order-3", StreamAction.ARCHIVE)
    await changed(storage, "order-4", StreamAction.TOMBSTONE)
    await changed(storage, "order-5", StreamAction.TRUNCATE, 3)


async def everything(storage: Storage) -> tuple[list[StoredEvent], Iterable[StreamInfo], int]:
    """Return the events, the streams and the head."""
    return (
        await whole_log(storage, WHOLE),
        await storage.read_streams(internal=True),
        await storage.head(),
    )


def content(path: Path) -> bytes:
    """Return what stands in a file."""
    return path.read_bytes()


def put(path: Path, content: bytes) -> None:
    """Make *content* what stands in a file."""
    path.write_bytes(content)


def cut(path: Path, size: int) -> None:
    """Leave the first *size* bytes of a file, as a process that was killed would."""
    path.write_bytes(path.read_bytes()[:size])
