"""How stored events are shown."""

from typing import Any
from uuid import UUID

import msgspec

from headwater.clock import from_microseconds
from headwater.errors import HeadwaterError
from headwater.ports.log import StoredEvent
from headwater.serialization.codec import EventCodec


def as_object(event: StoredEvent, codec: EventCodec | None) -> dict[str, Any]:
    """Return all there is about *event*; where upcasters of *codec* apply, what it is read as."""
    found = {
        "position": event.position,
        "stream": event.stream_id,
        "version": event.version,
        "type": event.type,
        "schema_version": event.schema_version,
        "id": _id(event.id),
        "occurred_at": moment(event.occurred_at),
        "recorded_at": moment(event.recorded_at),
        "correlation_id": _id(event.correlation_id),
        "causation_id": _id(event.causation_id),
        "actor": event.actor,
        "tenant": event.tenant,
        "traceparent": event.traceparent,
        "headers": _json(event.headers) if event.headers else None,
        "tags": list(event.tags) or None,
        "data": _json(event.data),
        "read_as": read_as(event, codec),
    }
    return {name: value for name, value in found.items() if value is not None}


def read_as(event: StoredEvent, codec: EventCodec | None) -> list[dict[str, Any]] | None:
    """Return what upcasters make of *event* today, None where none applies or one fails."""
    if codec is None or (event.type, event.schema_version) not in codec.chains.steps:
        return None
    try:
        parts = codec.chains.parts(event.type, event.schema_version, event.data)
    except HeadwaterError:
        return None
    return [
        {"type": part.name, "schema_version": part.version, "data": _json(part.data.decode())}
        for part in parts
    ]


def shown_data(event: StoredEvent, codec: EventCodec | None) -> Any:
    """Return the data of *event* for people: what it is read as today, else as it is stored."""
    parts = read_as(event, codec)
    return _json(event.data) if parts is None else parts


def headline(event: StoredEvent) -> str:
    """Return *event* in one line, without its data."""
    parts = [
        f"{event.position}",
        moment(event.recorded_at),
        f"{event.stream_id}@{event.version}",
        event.type if event.schema_version == 1 else f"{event.type} v{event.schema_version}",
    ]
    if event.actor:
        parts.append(f"by {event.actor}")
    if event.tags:
        parts.append(f"[{', '.join(event.tags)}]")
    return "  ".join(parts)


def indented(value: Any) -> str:
    """Return *value* as JSON on several lines, moved in."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return "\n".join(f"    {line}" for line in text.splitlines())


def compact(value: Any) -> str:
    """Return *value* as JSON on one line."""
    return msgspec.json.encode(value).decode()


def moment(microseconds: int) -> str:
    """Return a stored time in ISO form, as UTC."""
    return from_microseconds(microseconds).isoformat(timespec="microseconds")[:-6] + "Z"


def _id(id: bytes | None) -> str | None:
    return None if id is None else str(UUID(bytes=id))


def _json(text: str) -> Any:
    """Return *text* to stand in JSON as it is, digit by digit; as a string if it is no JSON."""
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return msgspec.Raw(text.replace("\r", " ").replace("\n", " "))
