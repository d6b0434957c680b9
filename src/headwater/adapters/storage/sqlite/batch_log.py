"""The log as a batch sees it: what is stored, and above it what the batch is about to append."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec

from headwater.adapters.storage.sqlite.journal import Journal
from headwater.adapters.storage.sqlite.schema import EVENT_COLUMNS
from headwater.adapters.storage.sqlite.statements import RowsAsJson, insert_rows, select_in
from headwater.errors import ConcurrencyError, IdempotencyConflictError, TagConditionError
from headwater.ports.changes import Append, Appended, NewEvent, TagCondition

_Known: TypeAlias = tuple[Any, ...]  # position, stream, version, id, type, schema version, data, …

_EVENTS: Final = f"headwater_events ({EVENT_COLUMNS})"
_KNOWN: Final = RowsAsJson(
    ("position", "stream_id", "version", "hex(id)", "type", "schema_version", "data"),
    tuple[int, str, int, str, str, int, str],
)
_ERASED: Final = RowsAsJson(
    ("position", "stream_id", "version", "hex(id)"), tuple[int, str, int, str]
)

# An erased event counts in conditions for as long as it is known.
_ALL_EVENTS: Final = (
    "(SELECT position, type FROM headwater_events "
    "UNION ALL SELECT position, type FROM headwater_erased)"
)
_TYPE_OF_TAGGED: Final = (
    "coalesce((SELECT type FROM headwater_events WHERE position = tag0.position), "
    "(SELECT type FROM headwater_erased WHERE position = tag0.position))"
)


class Staged(msgspec.Struct):
    """An append whose ids were looked at, and whose expected version was not yet."""

    append: Append
    before: int
    result: Appended
    repeated: tuple[int, ...] = ()


class LogOverlay:
    """Stages appends in arrival order; `write` puts all that were accepted into the tables."""

    def __init__(
        self,
        cursor: sqlite3.Cursor,
        journal: Journal,
        *,
        head: int,
        versions: dict[str, int],
        erased_below: Mapping[str, int],
        recorded_at: int,
    ) -> None:
        self._cursor, self._journal = cursor, journal
        self._first, self._recorded_at = head + 1, recorded_at
        self._versions, self._erased_below = versions, erased_below
        self._known: dict[bytes, _Known] = {}
        self._events: list[_Known] = []
        self._tags: list[tuple[str, int]] = []
        self._tagged: dict[str, list[int]] = {}

    @property
    def head(self) -> int:
        """The position of the last event, those of the batch included."""
        return self._first + len(self._events) - 1

    def version(self, stream_id: str) -> int:
        """Return the version of a stream, the events of the batch included."""
        return self._versions[stream_id]

    def load(
        self, appends: Sequence[Append], newest_id: bytes | None, newest_erased_id: bytes | None
    ) -> None:
        """Look up the events that *appends* may repeat.

        Ids begin with the time, so new ones are nearly always above all that are stored.
        """
        if newest_id is not None:
            self._load(appends, newest_id, _KNOWN, "headwater_events")
        if newest_erased_id is not None:
            self._load(appends, newest_erased_id, _ERASED, "headwater_erased")

    def _load(
        self, appends: Sequence[Append], newest_id: bytes, rows: RowsAsJson, table: str
    ) -> None:
        old = [event.id for one in appends for event in one.events if event.id <= newest_id]
        if old:
            for row in select_in(self._cursor, rows, f"{table} WHERE id IN (IN)", old):
                self._known[bytes.fromhex(row[3])] = row

    def stage(self, append: Append) -> Staged:
        """Give the events of *append* their places, or find that they have theirs already.

        Raises:
            IdempotencyConflictError: some ids are known and others not, or with other content.
        """
        stream_id, events = append.stream_id, append.events
        version = self._versions[stream_id]
        known = [self._known.get(event.id) for event in events]
        if any(known):
            return self._repeat(append, known)
        if len(events) > 1 and len({event.id for event in events}) < len(events):
            raise _twice(events)
        journal = self._journal
        position = self.head
        for number, event in enumerate(events, 1):
            row = self._row(position + number, stream_id, version + number, event)
            journal.put(self._known, event.id, row)
            journal.push(self._events, row)
            for tag in dict.fromkeys(event.tags) if event.tags else ():
                journal.push(self._tags, (tag, row[0]))
                journal.push(self._tagged.setdefault(tag, []), row[0])
        if not events:
            return Staged(append, version, Appended(stream_id, version, 0))
        after = version + len(events)
        journal.put(self._versions, stream_id, after)
        return Staged(append, version, Appended(stream_id, after, position + len(events)))

    def _row(self, position: int, stream_id: str, version: int, event: NewEvent) -> _Known:
        return (
            position,
            stream_id,
            version,
            event.id,
            event.type,
            event.schema_version,
            event.data,
            event.occurred_at,
            self._recorded_at,
            event.correlation_id,
            event.causation_id,
            event.actor,
            event.tenant,
            event.traceparent,
            event.headers,
            msgspec.json.encode(event.tags).decode() if event.tags else None,
        )

    def _repeat(self, append: Append, known: Sequence[_Known | None]) -> Staged:
        rows = [row for row in known if row is not None]
        if len(rows) < len(known):
            first = next(
                event for event, row in zip(append.events, known, strict=True) if row is not None
            )
            raise _conflict(first.id, "others of the same append are not")
        for place, (event, row) in enumerate(zip(append.events, rows, strict=True)):
            _, stream_id, version, _, *content = row
            erased = not content or version < self._erased_below.get(stream_id, 0)
            if stream_id != append.stream_id:
                raise _conflict(event.id, f"it stands in stream {stream_id!r}")
            if version != rows[0][2] + place:
                raise _conflict(event.id, f"it stands at version {version}, in another order")
            if not erased and not event.same_content(*content[:3]):
                raise _conflict(event.id, "its type, schema version or data differ")
        result = Appended(append.stream_id, rows[-1][2], rows[-1][0])
        return Staged(append, 0, result, tuple(row[0] for row in rows))

    @staticmethod
    def check_expected(staged: Staged) -> None:
        """Pass if the stream was as the append expects, or the append repeats an earlier one.

        Raises:
            ConcurrencyError: it was not.
        """
        append = staged.append
        if not staged.repeated and not append.expected.allows(staged.before):
            raise ConcurrencyError(append.stream_id, expected=append.expected, actual=staged.before)

    def check_condition(
        self, condition: TagCondition, own: frozenset[int], *, own_from: int
    ) -> None:
        """Pass if no event meets *condition*; *own* and those after *own_from* don't count.

        Raises:
            TagConditionError: one does; it is the first.
        """
        position = self._first_stored(condition, own)
        if position is None:
            position = self._first_staged(condition, own, own_from)
        if position is not None:
            raise TagConditionError(condition.tags, after=condition.after, position=position)

    def _first_stored(self, condition: TagCondition, own: frozenset[int]) -> int | None:
        tags, types = condition.tags, sorted(condition.types)
        if tags:
            source, place, type_ = "headwater_event_tags AS tag0", "tag0.position", _TYPE_OF_TAGGED
            source += "".join(
                f" CROSS JOIN headwater_event_tags AS tag{number}"
                f" ON tag{number}.tag = ? AND tag{number}.position = tag0.position"
                for number in range(1, len(tags))
            )
            wanted: list[Any] = [*tags[1:], tags[0], condition.after]
            where = ["tag0.tag = ?", "tag0.position > ?"]
        else:
            source, place, type_ = _ALL_EVENTS, "position", "type"
            wanted, where = [condition.after], ["position > ?"]
        if types:
            where.append(f"{type_} IN ({', '.join('?' * len(types))})")
            wanted += types
        if own:
            where.append(f"{place} NOT IN ({', '.join('?' * len(own))})")
            wanted += sorted(own)
        row = self._cursor.execute(
            f"SELECT {place} FROM {source} WHERE {' AND '.join(where)} ORDER BY {place} LIMIT 1",
            wanted,
        ).fetchone()
        return None if row is None else int(row[0])

    def _first_staged(
        self, condition: TagCondition, own: frozenset[int], own_from: int
    ) -> int | None:
        places: Iterable[int] = range(self._first, own_from + 1)
        if condition.tags:
            found = [set(self._tagged.get(tag, ())) for tag in condition.tags]
            places = sorted(set[int].intersection(*found))
        for position in places:
            if condition.after < position <= own_from and position not in own:
                type_ = self._events[position - self._first][4]
                if not condition.types or type_ in condition.types:
                    return position
        return None

    def write(self) -> None:
        """Insert the events and tags that were accepted."""
        insert_rows(self._cursor, _EVENTS, self._events)
        insert_rows(self._cursor, "headwater_event_tags", self._tags)


def _twice(events: Sequence[NewEvent]) -> IdempotencyConflictError:
    seen: set[bytes] = set()
    for event in events:
        if event.id in seen:
            return _conflict(event.id, "it stands twice in one append")
        seen.add(event.id)
    raise AssertionError("called without a duplicate")


def _conflict(id_: bytes, problem: str) -> IdempotencyConflictError:
    return IdempotencyConflictError("Event", UUID(bytes=id_), problem)
