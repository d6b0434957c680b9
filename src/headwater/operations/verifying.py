"""Verifies a log: every event, every stream and every tag, and that they fit together."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import msgspec

from headwater.errors import (
    HeadwaterError,
    KeyStoreError,
    KeyStoreUnavailableError,
    SerializationError,
    UnknownTypeError,
)
from headwater.operations.findings import Finding, Findings, Problem
from headwater.operations.listing import all_streams
from headwater.operations.progress import Progress, no_progress
from headwater.operations.unique_ids import IdCheck
from headwater.ports.log import WHOLE_LOG, LogFilter, StoredEvent, StreamInfo, StreamState
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.serialization.personal.sealed_storage import SealedStorage, as_stored

PAGE_EVENTS: Final = 2000

_VISIBLE: Final = LogFilter(internal=True)

_decode_json: Final = msgspec.json.Decoder(msgspec.Raw).decode


class Verified(msgspec.Struct, frozen=True):
    """What was looked at, and what is wrong: counts by kind, and the first findings.

    `decoded` says whether payloads were read as their types.
    """

    events: int
    streams: int
    tags: int
    head: int
    decoded: bool
    counts: Mapping[str, int]
    findings: tuple[Finding, ...]


async def verify_log(
    storage: Storage,
    *,
    codec: EventCodec | None = None,
    every: bool = False,
    progress: Progress = no_progress,
) -> Verified:
    """Look at everything in the log of *storage* up to its present head.

    Positions ascend, `recorded_at` never falls, ids are unique, versions are contiguous in each
    stream from its first one that is there, each stream reads as it stands in the log, what is
    known of streams fits, subscribers see the events of open streams and no others, the tags of
    events find those that have them and no others, and all data is JSON; with *codec* it is also
    read as its type. A storage that has the keys of personal data (`SealedStorage`) is read as
    it stands, and what can't be decrypted is a finding. With *every*, each event of an unknown type
    is a finding, not only the first. Memory grows by 8 bytes per event and some 200 per stream and
    tag. The storage may be in use; a stream that is truncated, archived or restored meanwhile can
    look wrong.

    Raises:
        StorageError: the storage can't be read.
    """
    return await _Verification(storage, codec, progress, every=every).run()


class _Stream(msgspec.Struct):
    """What the log holds of a stream."""

    first_version: int
    version: int
    events: int = 0
    digest: int = 0

    def take(self, event: StoredEvent) -> None:
        self.version = event.version
        self.events += 1
        self.digest ^= hash((event.position, event.version, event.id, event.data))


class _Verification:
    def __init__(
        self, storage: Storage, codec: EventCodec | None, progress: Progress, *, every: bool
    ) -> None:
        self._storage, self._codec, self._progress = as_stored(storage), codec, progress
        self._sealed = storage if isinstance(storage, SealedStorage) else None
        self._findings = Findings(every=every)
        self._streams: dict[str, _Stream] = {}
        self._tags: Counter[str] = Counter()
        self._visible: Counter[str] = Counter()
        self._ids = IdCheck()
        self._events = 0
        self._position = self._recorded_at = 0

    async def run(self) -> Verified:
        head = await self._storage.head()
        async for events in self._pages(WHOLE_LOG, head):
            for event, read in zip(events, await self._decrypted(events), strict=True):
                self._look_at(event)
                if isinstance(read, HeadwaterError):
                    self._found(Problem.PERSONAL, event, str(read))
                else:
                    self._look_at_data(read)
            self._progress(self._position, head)
        if self._position > await self._storage.head():
            self._findings.add(Problem.HEAD, f"the head is {head}", position=self._position)
        if self._ids.find():
            await self._name_repeated_ids(head)
        async for events in self._pages(_VISIBLE, head):
            self._visible.update(event.stream_id for event in events)
        await self._look_at_streams(head)
        await self._look_at_tags(head)
        self._progress(head, head)
        counts = {problem.name.lower(): count for problem, count in self._findings.counts.items()}
        return Verified(
            self._events,
            len(self._streams),
            len(self._tags),
            head,
            self._codec is not None,
            counts,
            tuple(self._findings.kept),
        )

    async def _pages(self, where: LogFilter, head: int) -> AsyncIterator[Sequence[StoredEvent]]:
        after = 0
        while after < head:
            page = await self._storage.read_log(after=after, where=where, limit=PAGE_EVENTS)
            yield [event for event in page.events if event.position <= head]
            if page.scanned_to <= after:
                self._findings.add(Problem.POSITION, "reading does not get on", position=after)
                return
            after = page.scanned_to

    # --------------------------------------------------------------------------- the log

    def _look_at(self, event: StoredEvent) -> None:
        self._events += 1
        if event.position <= self._position:
            self._found(Problem.POSITION, event, f"it follows position {self._position}")
        if event.recorded_at < self._recorded_at:
            self._found(Problem.TIME, event, f"{event.recorded_at} follows {self._recorded_at}")
        self._position = max(self._position, event.position)
        self._recorded_at = max(self._recorded_at, event.recorded_at)
        stream = self._streams.get(event.stream_id)
        if stream is None:
            stream = self._streams[event.stream_id] = _Stream(event.version, event.version - 1)
        if event.version != stream.version + 1:
            detail = f"version {event.version} follows {stream.version}"
            self._found(Problem.VERSION, event, detail)
        stream.take(event)
        self._tags.update(set(event.tags))
        self._ids.add(event.id)

    async def _decrypted(
        self, events: Sequence[StoredEvent]
    ) -> Sequence[StoredEvent | HeadwaterError]:
        """Return *events* as they are read, or why one can't be decrypted."""
        if self._sealed is None:
            return events
        try:
            return await self._sealed.unsealed_events(tuple(events))
        except KeyStoreUnavailableError:
            raise
        except (KeyStoreError, SerializationError) as error:
            if len(events) == 1:
                return (error,)
        return [one for event in events for one in await self._decrypted((event,))]

    def _look_at_data(self, event: StoredEvent) -> None:
        try:
            _decode_json(event.data)
        except msgspec.DecodeError as error:
            self._found(Problem.JSON, event, str(error))
            return
        if self._codec is None or event.stream_id.startswith("$"):
            return
        try:
            self._codec.decode_all(event.type, event.schema_version, event.data)
        except UnknownTypeError:
            version = f"{event.type!r} version {event.schema_version}"
            self._found(Problem.UNKNOWN_TYPE, event, version)
        except HeadwaterError as error:
            self._found(Problem.PAYLOAD, event, str(error))

    def _found(self, problem: Problem, event: StoredEvent, detail: str) -> None:
        self._findings.add(problem, detail, position=event.position, stream_id=event.stream_id)

    async def _name_repeated_ids(self, head: int) -> None:
        seen: dict[bytes, int] = {}
        async for events in self._pages(WHOLE_LOG, head):
            for event in events:
                if not self._ids.is_suspect(event.id):
                    continue
                if event.id in seen:
                    detail = f"{event.id.hex()} stands at position {seen[event.id]} too"
                    self._found(Problem.ID, event, detail)
                seen[event.id] = event.position

    # ----------------------------------------------------------------------- the streams

    async def _look_at_streams(self, head: int) -> None:
        known: set[str] = set()
        async for page in all_streams(self._storage):
            for info in page:
                if info.stream_id in self._streams:
                    known.add(info.stream_id)
                await self._look_at_stream(info, head)
        for stream_id in self._streams.keys() - known:
            self._findings.add(Problem.STREAM, "it is not listed", stream_id=stream_id)

    async def _look_at_stream(self, info: StreamInfo, head: int) -> None:
        there = self._streams.get(info.stream_id)
        read = await self._read(info.stream_id, head)
        if there is None:
            if read is not None:
                self._wrong(info, "it has events that the log does not show")
            return
        self._look_at_state(info, there)
        if read is None or (read.events, read.digest) != (there.events, there.digest):
            self._wrong(info, "read as a stream it has other events than in the log")
        if info.first_version != there.first_version:
            self._wrong(
                info,
                f"its first version is {info.first_version}, the log has {there.first_version}",
            )
        if info.version < there.version:
            self._wrong(info, f"its version is {info.version}, the log has {there.version}")
        elif info.version > there.version:
            await self._look_at_last(info)

    def _look_at_state(self, info: StreamInfo, there: _Stream) -> None:
        if info.state is StreamState.TOMBSTONED:
            self._wrong(info, "it is tombstoned, and has events")
        visible = self._visible[info.stream_id]
        is_hidden = info.state in (StreamState.ARCHIVED, StreamState.TOMBSTONED)
        if visible != (0 if is_hidden else there.events):
            seen = f"subscribers see {visible} of its {there.events} events"
            self._wrong(info, f"it is {info.state.value}, and {seen}")

    async def _look_at_last(self, info: StreamInfo) -> None:
        # Something is erased from the front of a stream only, so its last event is there.
        last = await self._storage.read_stream(info.stream_id, backwards=True, limit=1)
        version = last[0].version if last else 0
        if version < info.version:
            self._wrong(info, f"its version is {info.version}, its last event has {version}")

    async def _read(self, stream_id: str, head: int) -> _Stream | None:
        """Return the stream as reading it shows it, None without an event up to *head*."""
        stream: _Stream | None = None
        version = 1
        while True:
            page = await self._storage.read_stream(
                stream_id, from_version=version, limit=PAGE_EVENTS
            )
            for event in page:
                if event.position > head:
                    return stream
                stream = stream or _Stream(event.version, 0)
                stream.take(event)
            if len(page) < PAGE_EVENTS:
                return stream
            version = page[-1].version + 1

    def _wrong(self, info: StreamInfo, detail: str) -> None:
        self._findings.add(Problem.STREAM, detail, stream_id=info.stream_id)

    # -------------------------------------------------------------------------- the tags

    async def _look_at_tags(self, head: int) -> None:
        for tag, wanted in self._tags.items():
            where = LogFilter(tags=frozenset((tag,)), internal=True, archived=True)
            found = 0
            async for events in self._pages(where, head):
                found += len(events)
            if found != wanted:
                self._findings.add(Problem.TAG, f"{tag!r} finds {found} events, {wanted} have it")
