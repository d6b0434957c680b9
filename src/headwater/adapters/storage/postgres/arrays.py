"""Members of a batch as the arrays that the functions in ``sql/`` take."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from headwater.adapters.storage.postgres.row_statements import RowStatements, indexed_text
from headwater.ports.changes import (
    Append,
    Appended,
    Changes,
    Committed,
    NewEvent,
    RowChange,
)
from headwater.streams import ExpectedVersion

_ANY: Final = -1
_EXISTS: Final = -2
_VERSION_MAX: Final = 2**31 - 1
_OPTIONAL: Final = tuple(
    attrgetter(name)
    for name in ("correlation_id", "causation_id", "actor", "tenant", "traceparent", "headers")
)
_NO_COLLECTIONS: Final[Mapping[str, RowStatements]] = {}


def expected_number(expected: ExpectedVersion) -> int:
    """Return an expected version as the functions take it."""
    if expected.version is not None:
        # No stream gets to where the column ends, so none is at a version past it.
        return min(expected.version, _VERSION_MAX)
    return _EXISTS if expected.kind == "stream_exists" else _ANY


class AppendArrays:
    """The appends of a batch: for each a number of its member, a stream and so on."""

    __slots__ = ("counts", "event_members", "events", "expected", "members", "streams")

    def __init__(self, batch: Sequence[Changes]) -> None:
        self.members: list[int] = []
        self.streams: list[str] = []
        self.counts: list[int] = []
        self.expected: list[int] = []
        self.events: list[NewEvent] = []
        self.event_members: list[int] = []
        for number, changes in enumerate(batch):
            for append in changes.appends:
                self._add(number, append)

    def _add(self, number: int, append: Append) -> None:
        events = append.events
        self.members.append(number)
        self.streams.append(append.stream_id)
        self.counts.append(len(events))
        self.expected.append(expected_number(append.expected))
        self.events += events
        self.event_members += [number] * len(events)

    @property
    def plain(self) -> bool:
        """Whether each append has one event, and no two are for one stream."""
        count = len(self.streams)
        return len(self.events) == count == len(set(self.streams)) and max(self.counts) == 1

    def of_appends(self) -> list[Any]:
        """Return the arrays that tell of the appends."""
        return [self.members, self.streams, self.counts, self.expected]

    def of_events(self) -> list[Any]:
        """Return the arrays that tell of the events and, as the last two, of their tags."""
        events = self.events
        tags: list[Any] = [None, None, None]
        if any(event.tags for event in events):
            flat = [
                (number, tag)
                for number, event in enumerate(events, 1)
                for tag in dict.fromkeys(event.tags)
            ]
            tags = [
                [_array_text(event.tags) if event.tags else None for event in events],
                [number for number, _ in flat],
                [tag for _, tag in flat],
            ]
        return [
            self.event_members,
            [event.id for event in events],
            [event.type for event in events],
            [event.schema_version for event in events],
            [event.data for event in events],
            [event.occurred_at for event in events],
            *[_unless_all_none(events, get) for get in _OPTIONAL],
            *tags,
        ]


def one_event(append: Append) -> list[Any]:
    """Return what a single event is committed with."""
    (event,) = append.events
    return [
        append.stream_id,
        expected_number(append.expected),
        event.id,
        event.type,
        event.schema_version,
        event.data,
        event.occurred_at,
        event.correlation_id,
        event.causation_id,
        event.actor,
        event.tenant,
        event.traceparent,
        event.headers,
    ]


def batch_arrays(
    batch: Sequence[Changes], statements: Mapping[str, RowStatements] = _NO_COLLECTIONS
) -> list[Any]:
    """Return everything that members of *batch* write and are compared with."""
    appends = AppendArrays(batch)
    deadlines = [changes.deadline for changes in batch]
    return [
        None if deadlines.count(None) == len(deadlines) else deadlines,
        *(appends.of_appends() if appends.members else [None] * 4),
        *(appends.of_events() if appends.events else [None] * 15),
        *_columns(4, _conditions(batch)),
        *_columns(6, _receipts(batch)),
        *_columns(7, _checkpoints(batch)),
        _rows(batch, statements),
    ]


def results(batch: Sequence[Changes], head: int | None, before: Sequence[int]) -> list[Committed]:
    """Return what was answered to the members that were written, all new, behind *head*."""
    position, place = head or 0, 0
    done: list[Committed] = []
    for changes in batch:
        appended: list[Appended] = []
        last = 0
        for append in changes.appends:
            count = len(append.events)
            position += count
            at = position if count else 0
            last = at or last
            appended.append(Appended(append.stream_id, before[place] + count, at))
            place += 1
        done.append(Committed(last, tuple(appended)))
    return done


def _unless_all_none(
    events: Sequence[NewEvent], get: Callable[[NewEvent], Any]
) -> list[Any] | None:
    values = [get(event) for event in events]
    return None if values.count(None) == len(values) else values


def _array_text(values: Sequence[str]) -> str:
    quoted = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
    return '{"' + '","'.join(quoted) + '"}' if quoted else "{}"


def _columns(width: int, rows: Sequence[Sequence[Any]]) -> Sequence[Any]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [None] * width


def _conditions(batch: Sequence[Changes]) -> list[tuple[Any, ...]]:
    return [
        (number, _array_text(one.tags), one.after, _array_text(sorted(one.types)))
        for number, changes in enumerate(batch)
        for one in changes.conditions
    ]


def _receipts(batch: Sequence[Changes]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    events = 0
    for number, changes in enumerate(batch):
        own = sum([len(append.events) for append in changes.appends])
        events += own
        found += [
            (number, r.consumer, r.message_id, r.digest, r.outcome, events if own else None)
            for r in changes.receipts
        ]
    return found


def _checkpoints(batch: Sequence[Changes]) -> list[tuple[Any, ...]]:
    found = [
        (number, m.subscription, m.partition, m.expected, m.to, m.event_id, m.token)
        for number, changes in enumerate(batch)
        for m in changes.checkpoints
    ]
    return sorted(found, key=lambda row: row[1:3])


def _rows(
    batch: Sequence[Changes], statements: Mapping[str, RowStatements]
) -> list[tuple[Any, ...]] | None:
    guards: dict[str, list[tuple[str, int, int]]] = {}
    written: dict[str, list[tuple[RowChange, int]]] = {}
    for number, changes in enumerate(batch):
        for guard in changes.guards:
            guards.setdefault(guard.collection, []).append((guard.key, guard.expected, number))
        for row in changes.rows:
            written.setdefault(row.collection, []).append((row, number))
            if row.expected is not None:
                guards.setdefault(row.collection, []).append((row.key, row.expected, number))
    return [
        _of_collection(statements[name], guards.get(name, []), written.get(name, []))
        for name in sorted(guards.keys() | written.keys())
    ] or None


def _of_collection(
    statements: RowStatements,
    guards: Sequence[tuple[str, int, int]],
    written: Sequence[tuple[RowChange, int]],
) -> tuple[Any, ...]:
    rows = sorted(written, key=lambda one: one[0].key)
    kept = [(row, number) for row, number in rows if row.data is not None]
    gone = [(row.key, number) for row, number in rows if row.data is None]
    # Only rows that are there can be locked, all in one order, before the first is written. Who may
    # write one that is not there is alone, or two could wait for each other in a circle.
    alone = bool(statements.unique) or any(expected == 0 for _, expected, _ in guards)
    alone = alone or any(row.expected is None for row, _ in written)
    indexed = bool(statements.collection.columns)
    return (
        statements.collection.spec.name,
        alone,
        statements.check if guards else None,
        *_columns(3, sorted(guards, key=lambda one: one[0])),
        statements.unique or None,
        statements.write,
        statements.fields,
        *_columns(
            4,
            [
                (row.key, row.data, indexed_text(row.indexed) if indexed else None, number)
                for row, number in kept
            ],
        ),
        statements.delete,
        *_columns(2, gone),
    )
