"""Archive, restore, truncate and tombstone streams, each with a record of who did it and why."""

from datetime import datetime
from hashlib import blake2b
from typing import Final

import msgspec

from headwater.clock import microseconds_since_epoch
from headwater.errors import ConfigurationError
from headwater.ids import new_id
from headwater.metadata import current_context
from headwater.operations.snapshots import removed_snapshots
from headwater.ports.changes import Append, Changes, NewEvent, StreamAction, StreamChange
from headwater.ports.storage import Storage
from headwater.serialization.envelope import Envelope
from headwater.streams import (
    INTERNAL_PREFIX,
    STREAM_ID_LENGTH_MAX,
    ExpectedVersion,
    check_stream_id,
)

RECORDS_CATEGORY: Final = "$streams"
"""The category of the internal streams that record what was done to streams."""

REASON_LENGTH_MAX: Final = 1000

_TYPE_NAMES: Final = {
    StreamAction.ARCHIVE: "headwater.stream-archived",
    StreamAction.RESTORE: "headwater.stream-restored",
    StreamAction.TRUNCATE: "headwater.stream-truncated",
    StreamAction.TOMBSTONE: "headwater.stream-tombstoned",
}


class StreamChangeRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What stands in the record of a change; who did it is the event's actor."""

    stream_id: str
    reason: str
    before_version: int = 0


def records_of(stream_id: str) -> str:
    """Return the stream that records what was done to *stream_id*.

    An id too long to stand behind the category is replaced by a hash of it.
    """
    name = f"{RECORDS_CATEGORY}-{stream_id}"
    if len(name) <= STREAM_ID_LENGTH_MAX:
        return name
    return f"{RECORDS_CATEGORY}-{blake2b(stream_id.encode(), digest_size=16).hexdigest()}"


def recorded_change(
    change: StreamChange, *, reason: str, at: datetime, actor: str | None = None
) -> Changes:
    """Return *change* and its record as one value to commit.

    *at* is when it is done. Without *actor* it is that of the current message context.

    Raises:
        InvalidNameError: its stream id can't be one.
        ConfigurationError: the stream is internal, *reason* is empty or longer than
            `REASON_LENGTH_MAX` characters, or a truncation has no version above 1.
    """
    stream_id = check_stream_id(change.stream_id)
    if stream_id.startswith(INTERNAL_PREFIX):
        raise ConfigurationError(
            f"Stream {stream_id!r} is internal: the library itself lets go of its old events."
        )
    if not 0 < len(reason.strip()) <= REASON_LENGTH_MAX:
        raise ConfigurationError(
            f"Say why stream {stream_id!r} is changed, in 1 to {REASON_LENGTH_MAX} characters."
        )
    if change.action is StreamAction.TRUNCATE and change.before_version < 2:
        raise ConfigurationError(
            f"Truncating before version {change.before_version} would erase nothing; a version "
            f"above 1 is the first that stays."
        )
    record = StreamChangeRecord(stream_id, reason.strip(), change.before_version)
    envelope = Envelope.of(current_context())
    event = NewEvent(
        new_id.as_bytes(),
        _TYPE_NAMES[change.action],
        1,
        msgspec.json.encode(record).decode(),
        microseconds_since_epoch(at),
        envelope.correlation_id,
        envelope.causation_id,
        actor or envelope.actor,
        envelope.tenant,
        envelope.traceparent,
        envelope.headers,
    )
    append = Append(records_of(stream_id), ExpectedVersion.any(), (event,))
    return Changes(appends=(append,), streams=(change,))


async def change_stream(
    storage: Storage,
    change: StreamChange,
    *,
    reason: str,
    at: datetime,
    actor: str | None = None,
) -> int:
    """Do *change* and record it in the same commit; return the position of the record.

    The record is an internal event in the stream `records_of` names. A tombstone takes the
    stream's snapshots along.

    Raises:
        StreamClosedError: the stream is tombstoned, and can't be what *change* asks for.
        ConfigurationError: as `recorded_change`; or a truncation would let more than all of the
            stream's events go, which is nobody's intention.
    """
    changes = recorded_change(change, reason=reason, at=at, actor=actor)
    if change.action is StreamAction.TRUNCATE:
        version = (await storage.stream_info(change.stream_id)).version
        if change.before_version > version + 1:
            raise ConfigurationError(
                f"Stream {change.stream_id!r} has version {version}; no event of it stands at "
                f"{change.before_version} to be the first that stays. To erase all of its events "
                f"and let it go on, truncate before {max(version + 1, 2)}."
            )
    if change.action is StreamAction.TOMBSTONE:
        rows = await removed_snapshots(storage, change.stream_id)
        changes = msgspec.structs.replace(changes, rows=rows)
    return (await storage.commit(changes)).position
