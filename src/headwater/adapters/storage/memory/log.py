"""The log in memory: events by position, and what finds them by stream, id and tag."""

import heapq
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
from msgspec.structs import astuple

from headwater.adapters.storage.memory.streams import Erased, MemoryStream, state_after
from headwater.errors import (
    ConcurrencyError,
    IdempotencyConflictError,
    LogRewoundError,
    StreamClosedError,
    TagConditionError,
)
from headwater.ports.changes import (
    Append,
    Appended,
    NewEvent,
    StreamAction,
    StreamChange,
    TagCondition,
)
from headwater.ports.log import LogFilter, LogPage, StoredEvent, StreamInfo, StreamState
from headwater.streams import INTERNAL_PREFIX, category_of

SCANNED_EVENTS_MAX: Final = 10_000
"""How many events one page looks through; a reader goes on from `LogPage.scanned_to`."""


_Known: TypeAlias = StoredEvent | Erased


class StagedAppends(msgspec.Struct):
    """What the appends of one `Changes` would do to the log, if nothing speaks against it.

    `found` holds for each append the version its stream had before it, or None where the
    append repeats an earlier one and its expected version no longer matters. `repeated` holds
    where the events stand that are repeated.
    """

    events: list[StoredEvent]
    found: list[int | None]
    answers: list[Appended]
    repeated: set[int]


class MemoryLog:
    """Stages appends, checks them, and adds them; nothing in here awaits."""

    def __init__(self) -> None:
        # By position; None is an event that was erased and pruned.
        self._events: list[_Known | None] = []
        self._streams: dict[str, MemoryStream] = {}
        self._by_id: dict[bytes, _Known] = {}
        self._tagged: dict[str, list[int]] = {}
        self._erased: dict[int, Erased] = {}
        self._recorded_at = 0

    @property
    def head(self) -> int:
        """The position of the last event, 0 for none."""
        return len(self._events)

    # ------------------------------------------------------------------------------ writing

    def stage(self, appends: Sequence[Append], *, now: int) -> StagedAppends:
        """Return what *appends* would add to the log at *now*.

        Raises:
            IdempotencyConflictError: an id is known, and this is no repetition.
        """
        recorded_at = max(now, self._recorded_at)
        staged = StagedAppends([], [], [], set())
        ids: dict[bytes, StoredEvent] = {}
        versions: dict[str, int] = {}
        for append in appends:
            stream_id = append.stream_id
            version = versions.get(stream_id, self._stream(stream_id).version)
            repeated = self._repeated(append, ids)
            if repeated:
                last = repeated[-1]
                staged.found.append(None)
                staged.answers.append(Appended(stream_id, last.version, last.position))
                staged.repeated.update(stored.position for stored in repeated)
                continue
            staged.found.append(version)
            position = 0
            for event in append.events:
                if event.id in ids:
                    raise _known(event, "it stands twice in one append")
                version += 1
                position = self.head + len(staged.events) + 1
                stored = _stored(event, stream_id, version, position, recorded_at)
                ids[event.id] = stored
                staged.events.append(stored)
            versions[stream_id] = version
            staged.answers.append(Appended(stream_id, version, position))
        return staged

    def _repeated(self, append: Append, staged: dict[bytes, StoredEvent]) -> Sequence[_Known]:
        """Return the known events if *append* repeats an earlier one, else nothing."""
        known = [staged.get(event.id) or self._by_id.get(event.id) for event in append.events]
        if not any(known):
            return ()
        last: _Known | None = None
        for event, stored in zip(append.events, known, strict=True):
            if stored is None:
                continue
            if stored.stream_id != append.stream_id:
                raise _known(event, f"it stands in stream {stored.stream_id!r}")
            if not isinstance(stored, Erased) and not event.same_content(
                stored.type, stored.schema_version, stored.data
            ):
                raise _known(event, "its type, schema version or data was another")
            if last is not None and stored.version != last.version + 1:
                raise _known(event, "the events came in another order")
            last = stored
        if not all(known):
            first = next(
                event for event, stored in zip(append.events, known, strict=True) if stored
            )
            raise _known(first, "other events of the same append are not")
        return [stored for stored in known if stored is not None]

    def check_versions(self, appends: Sequence[Append], staged: StagedAppends) -> None:
        """Raise unless each stream took events and was at its expected version at its turn.

        Raises:
            StreamClosedError: one is closed.
            ConcurrencyError: one was at another version.
        """
        for append, found in zip(appends, staged.found, strict=True):
            state = self._stream(append.stream_id).state
            if append.events and found is not None and state is not StreamState.OPEN:
                raise StreamClosedError(append.stream_id, state.value)
        for append, found in zip(appends, staged.found, strict=True):
            if found is not None and not append.expected.allows(found):
                raise ConcurrencyError(append.stream_id, expected=append.expected, actual=found)

    def check_condition(self, condition: TagCondition, staged: StagedAppends) -> None:
        """Raise if an event that *condition* excludes was added, other than by a repetition.

        Raises:
            TagConditionError: one was; the error names the first.
        """
        tags = frozenset(condition.tags)
        for position in self._positions_after(condition.after, tags):
            event = self._events[position - 1]
            if event is None or position in staged.repeated:
                continue
            if tags.issubset(event.tags) and (not condition.types or event.type in condition.types):
                raise TagConditionError(
                    condition.tags, after=condition.after, position=event.position
                )

    def check_changes(self, changes: Sequence[StreamChange]) -> None:
        """Raise if one of *changes* can't be done after those before it.

        Raises:
            StreamClosedError: one can't.
        """
        states: dict[str, StreamState] = {}
        for change in changes:
            state = states.get(change.stream_id, self._stream(change.stream_id).state)
            states[change.stream_id] = state_after(change.stream_id, state, change.action)

    def add(self, events: Sequence[StoredEvent]) -> None:
        """Add staged events."""
        for event in events:
            self._events.append(event)
            self._streams.setdefault(event.stream_id, MemoryStream(event.stream_id)).add(event)
            self._by_id[event.id] = event
            self._recorded_at = event.recorded_at
            for tag in set(event.tags):
                self._tagged.setdefault(tag, []).append(event.position)

    def change(self, changes: Sequence[StreamChange], *, now: int) -> None:
        """Do what `check_changes` found nothing against."""
        for change in changes:
            stream = self._streams.setdefault(change.stream_id, MemoryStream(change.stream_id))
            stream.state = state_after(change.stream_id, stream.state, change.action)
            before = change.before_version
            if change.action is StreamAction.TOMBSTONE:
                before = stream.version + 1
            if change.action in (StreamAction.TOMBSTONE, StreamAction.TRUNCATE):
                for event in stream.erase(before):
                    self._erase(event, now)

    def _erase(self, event: StoredEvent, now: int) -> None:
        erased = Erased(
            event.position, event.stream_id, event.version, event.id, event.type, event.tags, now
        )
        self._events[event.position - 1] = self._by_id[event.id] = erased
        self._erased[event.position] = erased

    def prune(self, *, before: int, limit: int) -> int:
        """Forget events erased before *before*, the oldest first, and return how many."""
        old = sorted(
            (erased.at, position) for position, erased in self._erased.items() if erased.at < before
        )[:limit]
        for _, position in old:
            erased = self._erased.pop(position)
            self._events[position - 1] = None
            del self._by_id[erased.id]
            for tag in set(erased.tags):
                self._tagged[tag].remove(position)
        return len(old)

    # ------------------------------------------------------------------------------ reading

    def read_stream(
        self, stream_id: str, *, from_version: int | None, backwards: bool, limit: int
    ) -> tuple[StoredEvent, ...]:
        """Return a part of a stream, as `Log.read_stream` says."""
        return self._stream(stream_id).read(
            from_version=from_version, backwards=backwards, limit=limit
        )

    def stream_info(self, stream_id: str) -> StreamInfo:
        """Return what is known of a stream."""
        return self._stream(stream_id).info()

    def read_streams(
        self, *, category: str | None, after: str, internal: bool, limit: int
    ) -> tuple[StreamInfo, ...]:
        """Return the streams that follow, as `Log.read_streams` says."""
        following = (
            stream_id
            for stream_id, stream in self._streams.items()
            if stream_id > after
            and stream.known
            and (internal or not stream_id.startswith(INTERNAL_PREFIX))
            and (category is None or category_of(stream_id) == category)
        )
        return tuple(self.stream_info(one) for one in heapq.nsmallest(limit, following))

    def read(self, *, after: int, after_id: bytes | None, where: LogFilter, limit: int) -> LogPage:
        """Return a page of the log, as `Log.read_log` says."""
        if after_id is not None and (
            after > self.head or self._id_at(after) not in (None, after_id)
        ):
            raise LogRewoundError("A reader of the log", position=after, head=self.head)
        found: list[StoredEvent] = []
        scanned_to = max(after, self.head)
        positions = self._positions_after(after, where.tags)
        if len(positions) > SCANNED_EVENTS_MAX:
            scanned_to = positions[SCANNED_EVENTS_MAX - 1]
        for position in positions[:SCANNED_EVENTS_MAX]:
            event = self._events[position - 1]
            if isinstance(event, StoredEvent) and self._matches(event, where):
                found.append(event)
                if len(found) == limit:
                    scanned_to = position
                    break
        return LogPage(tuple(found), scanned_to, self.head, self._id_at(scanned_to))

    def _id_at(self, position: int) -> bytes | None:
        event = self._events[position - 1] if 0 < position <= self.head else None
        return None if event is None else event.id

    def _stream(self, stream_id: str) -> MemoryStream:
        return self._streams.get(stream_id) or MemoryStream(stream_id)

    def _matches(self, event: StoredEvent, where: LogFilter) -> bool:
        return (
            (where.internal or not event.stream_id.startswith(INTERNAL_PREFIX))
            and (where.archived or self._stream(event.stream_id).state is StreamState.OPEN)
            and (not where.types or event.type in where.types)
            and (not where.categories or category_of(event.stream_id) in where.categories)
            and where.tags.issubset(event.tags)
            and (not where.tenants or event.tenant in where.tenants)
        )

    def _positions_after(self, after: int, tags: frozenset[str]) -> Sequence[int]:
        """Return the positions past *after* that can hold an event with all *tags*, ascending."""
        if not tags:
            return range(max(0, after) + 1, self.head + 1)
        rarest = min((self._tagged.get(tag, []) for tag in tags), key=len)
        return rarest[bisect_right(rarest, after) :]


def _known(event: NewEvent, problem: str) -> IdempotencyConflictError:
    return IdempotencyConflictError("Event", UUID(bytes=event.id), problem)


def _stored(
    event: NewEvent, stream_id: str, version: int, position: int, recorded_at: int
) -> StoredEvent:
    values: tuple[Any, ...] = astuple(event)
    row: tuple[Any, ...] = position, stream_id, version, *values[:5], recorded_at, *values[5:]
    return StoredEvent(*row)
