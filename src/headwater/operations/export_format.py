"""The form of an export: JSON Lines in chunks, each closed by a mark that vouches for it.

A header, then events, then what is to be known of streams, then an end. Every so many lines
stands a mark with how much came so far and a digest; each digest covers its chunk and the digest
before it, so that the last one vouches for the whole file, and a file that was cut off anywhere
can be gone on with after its last mark.
"""

from hashlib import blake2b
from typing import Final, TypeAlias

import msgspec

from headwater.errors import ExportFileError
from headwater.ports.log import StoredEvent, StreamInfo, StreamState

FORMAT: Final = 1
CHUNK_EVENTS_MAX: Final = 5000
"""After so many events or streams a mark is written."""

CHUNK_BYTES_MAX: Final = 16 << 20
"""After so many bytes a mark is written; the event that passes them is still before it."""

DIGEST_BYTES: Final = 16


class Header(msgspec.Struct, frozen=True, tag_field="kind", tag="header"):
    """The first line. The export ends at position *head*, whatever is appended meanwhile."""

    format: int
    head: int
    exported_at: int


class EventLine(msgspec.Struct, frozen=True, tag_field="kind", tag="event", omit_defaults=True):
    """An event. Times are microseconds since 1970 UTC.

    `data` is the stored JSON as it stands; `text` holds it as a string where it would not
    come back to the byte otherwise (it has line breaks, or is no JSON).
    """

    position: int
    stream: str
    version: int
    id: str
    type: str
    schema_version: int
    occurred_at: int
    recorded_at: int
    correlation_id: str | None = None
    causation_id: str | None = None
    actor: str | None = None
    tenant: str | None = None
    traceparent: str | None = None
    headers: str | None = None
    tags: tuple[str, ...] = ()
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    text: str | None = None


class StreamLine(msgspec.Struct, frozen=True, tag_field="kind", tag="stream"):
    """A stream that is not just its events: some were erased, or it is closed."""

    stream: str
    version: int
    first_version: int
    state: str

    @property
    def info(self) -> StreamInfo:
        """What a storage keeps of the stream."""
        return StreamInfo(self.stream, self.version, self.first_version, StreamState(self.state))


class Mark(msgspec.Struct, frozen=True, tag_field="kind", tag="mark"):
    """The end of a chunk: totals so far, the last event and stream, and the digest."""

    events: int
    position: int
    id: str | None
    streams: int
    stream: str
    digest: str


class End(msgspec.Struct, frozen=True, tag_field="kind", tag="end"):
    """The last line: the totals, the head, and the digest of the last mark (or the header)."""

    events: int
    streams: int
    head: int
    digest: str


Line: TypeAlias = Header | EventLine | StreamLine | Mark | End

_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(Line)
_decode_raw: Final = msgspec.json.Decoder(msgspec.Raw).decode


def encode_line(line: Line) -> bytes:
    """Return *line* with its line break."""
    return _encode(line) + b"\n"


def decode_line(line: bytes, *, number: int) -> Line:
    """Return what stands in *line*, the *number*-th of its file.

    Raises:
        ExportFileError: it is none of an export.
    """
    try:
        decoded: Line = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ExportFileError(
            f"Line {number} is none of an export, or damaged: {error}."
        ) from error
    return decoded


def chained(digest: str, chunk: bytes) -> str:
    """Return the digest of *chunk* after *digest*: BLAKE2b of 16 bytes over both."""
    return blake2b(digest.encode() + chunk, digest_size=DIGEST_BYTES).hexdigest()


def event_line(event: StoredEvent) -> EventLine:
    """Return the line of *event*."""
    raw = _raw(event.data)
    return EventLine(
        event.position,
        event.stream_id,
        event.version,
        _hyphened(event.id),
        event.type,
        event.schema_version,
        event.occurred_at,
        event.recorded_at,
        _hyphened(event.correlation_id) if event.correlation_id else None,
        _hyphened(event.causation_id) if event.causation_id else None,
        event.actor,
        event.tenant,
        event.traceparent,
        event.headers,
        event.tags,
        raw if raw is not None else msgspec.UNSET,
        event.data if raw is None else None,
    )


def stored_event(line: EventLine) -> StoredEvent:
    """Return the event of *line*.

    Raises:
        ExportFileError: an id is none.
    """
    try:
        return StoredEvent(
            line.position,
            line.stream,
            line.version,
            id_of(line.id),
            line.type,
            line.schema_version,
            bytes(line.data).decode()
            if not isinstance(line.data, msgspec.UnsetType)
            else line.text or "",
            line.occurred_at,
            line.recorded_at,
            id_of(line.correlation_id) if line.correlation_id else None,
            id_of(line.causation_id) if line.causation_id else None,
            line.actor,
            line.tenant,
            line.traceparent,
            line.headers,
            line.tags,
        )
    except ValueError as error:
        raise ExportFileError(f"The event at position {line.position}: {error}.") from error


def stream_line(info: StreamInfo) -> StreamLine:
    """Return the line of a stream."""
    return StreamLine(info.stream_id, info.version, info.first_version, info.state.value)


def hyphened(id: bytes | None) -> str | None:
    """Return an id as it is written in UUIDs."""
    return None if id is None else _hyphened(id)


def id_of(text: str) -> bytes:
    """Return the 16 bytes of an id.

    Raises:
        ValueError: *text* is none.
    """
    id = bytes.fromhex(text.replace("-", ""))
    if len(id) != 16:
        raise ValueError(f"{text!r} is no id")
    return id


def _hyphened(id: bytes) -> str:
    digits = id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _raw(data: str) -> msgspec.Raw | None:
    """Return *data* to stand in a line as it is, None if it can't."""
    if "\n" in data or "\r" in data:
        return None
    encoded = data.encode()
    try:
        raw = _decode_raw(encoded)
    except msgspec.DecodeError:
        return None
    return raw if len(bytes(raw)) == len(encoded) else None
