"""The log in memory: events by position, and what finds them by stream, id and tag."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from headwater.errors import ConcurrencyError, IdempotencyConflictError, TagConditionError
from headwater.ports.changes import Append, Appended, NewEvent, TagCondition
from headwater.ports.log import LogFilter, LogPage, StoredEvent
from headwater.streams import INTERNAL_PREFIX, category_of

SCANNED_EVENTS_MAX: Final = 10_000
"""How many events one page looks through; a reader goes on from `LogPage.scanned_to`."""


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
        self._events: list[StoredEvent] = []
        self._streams: dict[str, list[StoredEvent]] = {}
        self._by_id: dict[bytes, StoredEvent] = {}
        self._tagged: dict[str, list[int]] = {}

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
        recorded_at = max(now, self._events[-1].recorded_at) if self._events else now
        staged = StagedAppends([], [], [], set())
        ids: dict[bytes, StoredEvent] = {}
        versions: dict[str, int] = {}
        for append in appends:
            stream_id = append.stream_id
            version = versions.get(stream_id, len(self._streams.get(stream_id, ())))
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

    def _repeated(self, append: Append, staged: dict[bytes, StoredEvent]) -> Sequence[StoredEvent]:
        """Return the stored events if *append* repeats an earlier one, else nothing."""
        known = [staged.get(event.id) or self._by_id.get(event.id) for event in append.events]
        if not any(known):
            return ()
        last: StoredEvent | None = None
        for event, stored in zip(append.events, known, strict=True):
            if stored is None:
                continue
            if stored.stream_id != append.stream_id:
                raise _known(event, f"it stands in stream {stored.stream_id!r}")
            if not event.same_content(stored.type, stored.schema_version, stored.data):
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
        """Raise unless each stream was at its expected version when its append's turn came.

        Raises:
            ConcurrencyError: one was not.
        """
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
            if position in staged.repeated:
                continue
            if tags.issubset(event.tags) and (not condition.types or event.type in condition.types):
                raise TagConditionError(
                    condition.tags, after=condition.after, position=event.position
                )

    def add(self, events: Sequence[StoredEvent]) -> None:
        """Add staged events."""
        for event in events:
            self._events.append(event)
            self._streams.setdefault(event.stream_id, []).append(event)
            self._by_id[event.id] = event
            for tag in set(event.tags):
                self._tagged.setdefault(tag, []).append(event.position)

    # ------------------------------------------------------------------------------ reading

    def read_stream(
        self, stream_id: str, *, from_version: int | None, backwards: bool, limit: int
    ) -> tuple[StoredEvent, ...]:
        """Return a part of a stream, as `Log.read_stream` says."""
        events = self._streams.get(stream_id, [])
        if backwards:
            end = len(events) if from_version is None else min(len(events), max(0, from_version))
            return tuple(reversed(events[max(0, end - limit) : end]))
        start = 0 if from_version is None else max(0, from_version - 1)
        return tuple(events[start : start + limit])

    def read(self, *, after: int, where: LogFilter, limit: int) -> LogPage:
        """Return a page of the log, as `Log.read_log` says."""
        if after >= self.head:
            return LogPage((), after, self.head)
        positions = self._positions_after(after, where.tags)
        found: list[StoredEvent] = []
        for position in positions[:SCANNED_EVENTS_MAX]:
            event = self._events[position - 1]
            if _matches(event, where):
                found.append(event)
                if len(found) == limit:
                    return LogPage(tuple(found), position, self.head)
        if len(positions) > SCANNED_EVENTS_MAX:
            return LogPage(tuple(found), positions[SCANNED_EVENTS_MAX - 1], self.head)
        return LogPage(tuple(found), self.head, self.head)

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
    return StoredEvent(
        position=position,
        stream_id=stream_id,
        version=version,
        id=event.id,
        type=event.type,
        schema_version=event.schema_version,
        data=event.data,
        occurred_at=event.occurred_at,
        recorded_at=recorded_at,
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
        actor=event.actor,
        tenant=event.tenant,
        traceparent=event.traceparent,
        headers=event.headers,
        tags=event.tags,
    )


def _matches(event: StoredEvent, where: LogFilter) -> bool:
    return (
        (where.internal or not event.stream_id.startswith(INTERNAL_PREFIX))
        and (not where.types or event.type in where.types)
        and (not where.categories or category_of(event.stream_id) in where.categories)
        and where.tags.issubset(event.tags)
    )
