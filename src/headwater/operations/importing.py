"""Imports an exported log into a storage; begun again after it was cut off, it goes on."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from headwater.errors import ExportFileError, RestoreConflictError
from headwater.operations.export_file import Chunk, ExportReader, is_finished
from headwater.operations.progress import Progress, no_progress
from headwater.ports.log import PAGE_EVENTS_MAX, WHOLE_LOG, StoredEvent, StreamInfo
from headwater.ports.storage import Storage
from headwater.serialization.personal.sealed_storage import as_stored

_Decoded = tuple[Chunk, Sequence[StoredEvent], Sequence[StreamInfo]]
_NOBODY_ELSE: Final = "An import needs a storage that holds nothing, and nobody else writing to it."


class Imported(msgspec.Struct, frozen=True):
    """What the storage has now, all of it compared with the file.

    `events_before` of the events were there already. `digest` is that of the export.
    """

    events: int
    special_streams: int
    head: int
    digest: str
    events_before: int = 0


async def import_log(target: Storage, path: Path, *, progress: Progress = no_progress) -> Imported:
    """Write the log that was exported to *path* into *target*.

    Events keep their positions, versions, ids and times, holes included, and streams their
    states; the head becomes that of the export. The target must be empty, or hold the
    beginning of this export from an import that was cut off. Each chunk of the file is checked
    against its digest, written, read back and compared, those that are there already too; only what
    its stream has let go of since may be missing. Memory stays flat.

    Raises:
        ExportFileError: the file is damaged, unfinished, or no export.
        RestoreConflictError: the target holds something else, or others are writing to it.
        StorageError: the target failed; what is in it is the beginning of the log.
    """
    await asyncio.to_thread(check_finished, path)
    reader = await asyncio.to_thread(ExportReader, path)
    try:
        return await _Import(as_stored(target), reader, path, progress).run()
    finally:
        await asyncio.to_thread(reader.close)


def check_finished(path: Path) -> None:
    """Pass if *path* seems to be a finished export; this blocks.

    Raises:
        ExportFileError: it is none.
        OSError: it can't be read.
    """
    if not is_finished(path):
        raise ExportFileError(f"{path} is no finished export; run the export again to go on.")


class _Import:
    def __init__(
        self, target: Storage, reader: ExportReader, path: Path, progress: Progress
    ) -> None:
        self._target, self._reader, self._path = target, reader, path
        self._progress = progress
        self._head = reader.header.head
        self._found = self._skipped_to = self._before = self._compared_to = 0

    async def run(self) -> Imported:
        self._found = await self._target.head()
        if self._found > self._head:
            raise self._conflict(f"its head is {self._found}, that of the export {self._head}")
        following = asyncio.create_task(asyncio.to_thread(self._next))
        try:
            while (decoded := await following) is not None:
                # The next chunk is read while this one is written.
                following = asyncio.create_task(asyncio.to_thread(self._next))
                await self._take(*decoded)
        finally:
            # The file is read to the end of the chunk before it is closed, whatever happened.
            await asyncio.gather(following, return_exceptions=True)
        end = self._reader.end
        if end is None:
            raise ExportFileError(f"{self._path} is damaged: it has no end.")
        await self._target.restore_log((), head=self._head)
        await self._compare((), to=self._head)
        self._progress(self._head, self._head)
        return Imported(end.events, end.streams, end.head, end.digest, self._before)

    def _next(self) -> _Decoded | None:
        chunk = self._reader.chunk()
        return None if chunk is None else (chunk, *chunk.decoded())

    async def _take(
        self, chunk: Chunk, events: Sequence[StoredEvent], streams: Sequence[StreamInfo]
    ) -> None:
        if events and events[-1].position <= self._found:
            self._before = chunk.mark.events
            self._skipped_to = chunk.mark.position
            await self._compare(events, to=self._skipped_to)
        elif events:
            if self._found != self._skipped_to:
                raise self._conflict(f"its head is {self._found}, where no chunk of it ends")
            await self._target.restore_log(events, head=events[-1].position)
            await self._compare(events, to=chunk.mark.position)
        if streams:
            head = max(self._found, chunk.mark.position)
            await self._target.restore_log((), head=head, streams=streams)
        self._progress(chunk.mark.position, self._head)

    async def _compare(self, events: Sequence[StoredEvent], *, to: int) -> None:
        """Pass if *events* are what is there up to position *to*, but for what was erased since."""
        there = await self._read(to)
        streams: dict[str, StreamInfo] = {}
        for event in events:
            found = there.pop(event.position, None)
            if found is None:
                if event.stream_id not in streams:
                    info = await self._target.stream_info(event.stream_id)
                    streams[event.stream_id] = info
                if not _is_erased(event, streams[event.stream_id]):
                    raise self._conflict(f"the event of position {event.position} is missing")
            elif found != event:
                raise self._conflict(f"its event at position {event.position} is another")
        if there:
            raise self._conflict(f"it has an event at position {min(there)} more")
        self._compared_to = to

    async def _read(self, to: int) -> dict[int, StoredEvent]:
        """Return what is there after what was compared, up to position *to*."""
        after, there = self._compared_to, dict[int, StoredEvent]()
        while after < to:
            page = await self._target.read_log(
                after=after, where=WHOLE_LOG, limit=min(PAGE_EVENTS_MAX, to - after)
            )
            if page.scanned_to == after:
                break
            there.update((e.position, e) for e in page.events if e.position <= to)
            after = page.scanned_to
        return there

    def _conflict(self, problem: str) -> RestoreConflictError:
        return RestoreConflictError(
            f"{self._path} can't be imported: the storage holds something else, {problem}. "
            f"{_NOBODY_ELSE}"
        )


def _is_erased(event: StoredEvent, info: StreamInfo) -> bool:
    """Return whether its stream has let go of *event*, as far as *info* tells."""
    return info.version >= event.version and not 0 < info.first_version <= event.version
