"""Exports a storage's log to a file; begun again after it was cut off, it goes on."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from headwater.clock import microseconds_since_epoch
from headwater.errors import ExportFileError, LogRewoundError
from headwater.operations.export_file import ExportWriter
from headwater.operations.export_format import CHUNK_EVENTS_MAX, id_of
from headwater.operations.listing import all_streams
from headwater.operations.progress import Progress, no_progress
from headwater.ports.log import WHOLE_LOG, StoredEvent, StreamInfo, StreamState
from headwater.ports.storage import Storage
from headwater.serialization.personal.sealed_storage import as_stored

_NEWEST_EVENTS: Final = 1000
"""How many events of a stream are read at a time to find the last up to a position."""


class Exported(msgspec.Struct, frozen=True):
    """What stands in the finished file. `events_before` of the events were there already.

    `special_streams` are those that are not just their events: closed ones, and those of which
    events were erased. The file ends at position `head`, and the log by now at `log_head`.
    `digest` vouches for the whole file. `complete_before` says that nothing was left to write.
    """

    events: int
    special_streams: int
    head: int
    log_head: int
    digest: str
    events_before: int = 0
    complete_before: bool = False


async def export_log(
    storage: Storage, path: Path, *, at: datetime, progress: Progress = no_progress
) -> Exported:
    """Write everything in the log of *storage*, up to its present head, to *path*.

    Every field of every event goes along as it is stored, personal data encrypted as it is; so do
    the states of streams. Ids of erased events, receipts, checkpoints and rows do not. *at* is
    noted in the file. Memory stays flat.

    Should *path* be an unfinished export of the same log, what is there is verified and gone on
    with, up to the head that it was begun with; a finished one of the same log is left as it is,
    however far the log has come since.

    Raises:
        ExportFileError: *path* is no export, is damaged, or is of another log.
        StorageError: the storage can't be read.
    """
    storage = as_stored(storage)
    writer = await asyncio.to_thread(
        ExportWriter, path, head=await storage.head(), exported_at=microseconds_since_epoch(at)
    )
    try:
        before, complete_before = writer.mark.events, writer.end is not None
        await _check_log(storage, writer, path)
        if writer.end is None:
            await _write_events(storage, writer, path, progress)
            await _write_streams(storage, writer)
            await asyncio.to_thread(writer.finish)
    finally:
        await asyncio.to_thread(writer.close)
    end = writer.end
    if end is None:
        raise ExportFileError(f"{path}: the export has no end.")
    return Exported(
        end.events,
        end.streams,
        end.head,
        await storage.head(),
        end.digest,
        before,
        complete_before,
    )


async def _check_log(storage: Storage, writer: ExportWriter, path: Path) -> None:
    """Pass if what stands in the file already is of the log of *storage*.

    Raises:
        ExportFileError: it is not.
    """
    mark = writer.mark
    if mark.id is None:
        return
    try:
        await storage.read_log(
            after=mark.position, after_id=id_of(mark.id), where=WHOLE_LOG, limit=1
        )
    except LogRewoundError as error:
        raise _of_another_log(path, error) from error


def _of_another_log(path: Path, error: LogRewoundError) -> ExportFileError:
    return ExportFileError(
        f"{path} holds the events of another log, or of this one before it was rewound (head "
        f"{error.head}, position {error.position} is another). Export to another file."
    )


async def _write_events(
    storage: Storage, writer: ExportWriter, path: Path, progress: Progress
) -> None:
    head, after = writer.header.head, writer.mark.position
    after_id = id_of(writer.mark.id) if writer.mark.id is not None else None
    if writer.mark.streams:
        return
    try:
        while after < head:
            progress(after, head)
            page = await storage.read_log(
                after=after, after_id=after_id, where=WHOLE_LOG, limit=CHUNK_EVENTS_MAX
            )
            events = page.events
            if events and events[-1].position > head:
                events = tuple([event for event in events if event.position <= head])
            await asyncio.to_thread(writer.add_events, events)
            after, after_id = page.scanned_to, page.event_id
    except LogRewoundError as error:
        raise _of_another_log(path, error) from error
    await asyncio.to_thread(writer.set_mark)
    progress(head, head)


async def _write_streams(storage: Storage, writer: ExportWriter) -> None:
    async for page in all_streams(storage, after=writer.mark.stream):
        found: list[StreamInfo] = []
        for info in page:
            if info.state is not StreamState.OPEN or info.first_version != min(1, info.version):
                known = await _as_of(storage, info, writer.header.head)
                if known is not None:
                    found.append(known)
        await asyncio.to_thread(writer.add_streams, found)


async def _as_of(storage: Storage, info: StreamInfo, head: int) -> StreamInfo | None:
    """Return *info* without the events past *head*; None if the stream came after it."""
    version: int | None = None
    while True:
        newest = await storage.read_stream(
            info.stream_id, from_version=version, backwards=True, limit=_NEWEST_EVENTS
        )
        last = next((event for event in newest if event.position <= head), None)
        if last is not None:
            return _limited(info, last, newest)
        if len(newest) < _NEWEST_EVENTS:
            break
        version = newest[-1].version - 1
    if not newest and version is None:
        return info  # All of it is erased, and nobody can tell any more when it came.
    erased = info.first_version - 1
    return StreamInfo(info.stream_id, erased, 0, info.state) if erased else None


def _limited(info: StreamInfo, last: StoredEvent, newest: tuple[StoredEvent, ...]) -> StreamInfo:
    if last is newest[0] and newest[0].version == info.version:
        return info
    return StreamInfo(info.stream_id, last.version, info.first_version, info.state)
