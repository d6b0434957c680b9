"""What a unit of work wants to write, as one value that a storage commits or refuses whole.

Ids are 16 bytes and times are whole microseconds since 1970-01-01 UTC here, as storages keep
them: a page of events is read a thousand times for every time that somebody looks at an id.
The records are kept from the garbage collector (``gc=False``): they are made in great numbers
and, frozen from parts that were there before, can't stand in a cycle.
"""

from enum import Enum
from typing import Final

import msgspec

from headwater.streams import ExpectedVersion

IndexValue = str | int | float | bytes | None
"""What an indexed field is stored as, in a form that sorts as the field's values do."""


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An encoded event that is to be appended.

    `data` is JSON text. `headers` is a JSON object of strings, or None where there are none.
    A tag has at most `limits.TAG_BYTES_MAX` bytes.
    """

    id: bytes
    type: str
    schema_version: int
    data: str
    occurred_at: int
    correlation_id: bytes | None = None
    causation_id: bytes | None = None
    actor: str | None = None
    tenant: str | None = None
    traceparent: str | None = None
    headers: str | None = None
    tags: tuple[str, ...] = ()

    def same_content(self, type: str, schema_version: int, data: str) -> bool:
        """Return whether a stored event with this id is this one; context does not count."""
        return self.type == type and self.schema_version == schema_version and self.data == data


class Append(msgspec.Struct, frozen=True, gc=False):
    """Events for one stream. Without events it only guards: the stream is as expected."""

    stream_id: str
    expected: ExpectedVersion
    events: tuple[NewEvent, ...] = ()


class TagCondition(msgspec.Struct, frozen=True, gc=False):
    """No event with all of `tags` (and one of `types`, if any are named) came after `after`.

    Events of the same `Changes` don't count, those it repeats neither: the condition speaks of
    what was there before. Internal streams count like any other.
    """

    tags: tuple[str, ...]
    after: int
    types: frozenset[str] = frozenset()


class RowChange(msgspec.Struct, frozen=True, gc=False):
    """Write a row of a collection, or delete it where `data` is None.

    `data` is the row as JSON text; `indexed` holds the values of the collection's indexed
    fields in the order of its `CollectionSpec`. `expected` is the row version that was read
    (0: there was none); None writes unguarded. Deleting a row that is not there is no error.
    `key` has at most `limits.ROW_KEY_BYTES_MAX` bytes, an indexed text or bytes value
    `limits.INDEXED_BYTES_MAX`.
    """

    collection: str
    key: str
    data: str | None
    indexed: tuple[IndexValue, ...] = ()
    expected: int | None = None


class RowGuard(msgspec.Struct, frozen=True, gc=False):
    """A row that a decision rests on stands at row version `expected` (0: there is none)."""

    collection: str
    key: str
    expected: int


class CheckpointMove(msgspec.Struct, frozen=True, gc=False):
    """Move a partition's checkpoint by compare-and-set from `expected` to `to`.

    `event_id` is the id of the event at `to`, None if there is none. It is kept with the
    position, so that a log which was rewound and went on otherwise is noticed. With `to` equal
    to `expected` it only guards: the partition stands there.

    `token` is that of the lease under which the move is made (`ports.leases`): it must be the
    partition's, and the partition be leased. None: nobody's, for those who need no lease.
    """

    subscription: str
    partition: int
    expected: int
    to: int
    event_id: bytes | None = None
    token: int | None = None


class NewReceipt(msgspec.Struct, frozen=True, gc=False):
    """What came of a message: `outcome` (JSON text) for (`consumer`, `message_id`).

    `digest` tells the same message from another one under the same id.
    """

    consumer: str
    message_id: bytes
    digest: bytes
    outcome: str


class StreamAction(Enum):
    """What `StreamChange` does with a stream. Positions and versions are never given again.

    ARCHIVE: it takes no more events, and readers of the log pass over it unless they ask for
    archived streams; it can still be read as a stream. RESTORE: it is open again.
    TRUNCATE: its events below `before_version` are erased; its version stays what it is.
    TOMBSTONE: all its events are erased, and it takes none ever again.
    """

    ARCHIVE = "archive"
    RESTORE = "restore"
    TRUNCATE = "truncate"
    TOMBSTONE = "tombstone"


class StreamChange(msgspec.Struct, frozen=True, gc=False):
    """Archive, restore, truncate or tombstone a stream, whether it has events or not.

    Erased events leave holes in the log. Their ids, types and tags stay known until they are
    pruned: an append that brings them all again repeats the first one, whatever its content,
    and a `TagCondition` counts them, because a decision from before they came is as wrong as ever.
    """

    stream_id: str
    action: StreamAction
    before_version: int = 0


class Changes(msgspec.Struct, frozen=True, gc=False):
    """Everything one unit of work wants to write: all of it is committed, or nothing.

    After `deadline` (microseconds since 1970 UTC, the storage's time) it is refused.
    """

    appends: tuple[Append, ...] = ()
    conditions: tuple[TagCondition, ...] = ()
    guards: tuple[RowGuard, ...] = ()
    rows: tuple[RowChange, ...] = ()
    checkpoints: tuple[CheckpointMove, ...] = ()
    receipts: tuple[NewReceipt, ...] = ()
    deadline: int | None = None
    streams: tuple[StreamChange, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether committing this would write nothing and check nothing."""
        return not (
            self.appends
            or self.conditions
            or self.streams
            or self.guards
            or self.rows
            or self.checkpoints
            or self.receipts
        )


NO_CHANGES: Final = Changes()


class Appended(msgspec.Struct, frozen=True, gc=False):
    """Where an append's last event stands.

    For an append without events: the stream's version, and position 0.
    """

    stream_id: str
    version: int
    position: int


class Committed(msgspec.Struct, frozen=True, gc=False):
    """What came of a commit.

    `position` is the log position of the last event of this commit, 0 if it has none; an event
    that an append repeats stands where it stood.
    `appends` answers `Changes.appends`, in order.
    """

    position: int = 0
    appends: tuple[Appended, ...] = ()
