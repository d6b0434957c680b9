"""Turns events and their context into what a storage keeps, and back."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import msgspec

from headwater.clock import from_microseconds, microseconds_since_epoch
from headwater.metadata import NO_HEADERS, CausedContext, MessageContext, Recorded
from headwater.ports.changes import NewEvent
from headwater.ports.log import StoredEvent
from headwater.serialization.codec import EventCodec

E = TypeVar("E")

_decode_headers = msgspec.json.Decoder(dict[str, str]).decode


class Envelope(msgspec.Struct, frozen=True):
    """A message context in the form that is stored with every event it causes."""

    correlation_id: bytes | None = None
    causation_id: bytes | None = None
    actor: str | None = None
    tenant: str | None = None
    traceparent: str | None = None
    headers: str | None = None

    @staticmethod
    def of(context: MessageContext | None) -> "Envelope":
        """Return the envelope of what is appended in *context*."""
        if context is None:
            return _NO_CONTEXT
        return Envelope(
            context.correlation_id.bytes,
            context.message_id.bytes,
            context.actor,
            context.tenant,
            context.traceparent,
            msgspec.json.encode(dict(context.headers)).decode() if context.headers else None,
        )

    def enclose(
        self,
        event: object,
        *,
        codec: EventCodec,
        id: bytes,
        occurred_at: datetime,
        tags: tuple[str, ...] = (),
    ) -> NewEvent:
        """Return *event* encoded.

        Raises:
            RoundTripError: it does not come back equal from encode + decode.
            ValueError: *occurred_at* has no time zone.
        """
        name, schema_version, data = codec.encode(event)
        return NewEvent(
            id,
            name,
            schema_version,
            data,
            microseconds_since_epoch(occurred_at),
            self.correlation_id,
            self.causation_id,
            self.actor,
            self.tenant,
            self.traceparent,
            self.headers,
            tags,
        )


_NO_CONTEXT = Envelope()


def _uuid(stored: bytes | None) -> UUID | None:
    return None if stored is None else UUID(bytes=stored)


def _headers(stored: str | None) -> Mapping[str, str]:
    return NO_HEADERS if stored is None else _decode_headers(stored)


def recorded(stored: StoredEvent, payload: E) -> Recorded[E]:
    """Return *stored* with its decoded *payload*."""
    return Recorded(
        payload,
        UUID(bytes=stored.id),
        stored.stream_id,
        stored.version,
        stored.position,
        stored.type,
        stored.schema_version,
        from_microseconds(stored.occurred_at),
        from_microseconds(stored.recorded_at),
        _uuid(stored.correlation_id),
        _uuid(stored.causation_id),
        stored.actor,
        stored.tenant,
        stored.traceparent,
        _headers(stored.headers),
        stored.tags,
    )


class ContextOfEvent(CausedContext, gc=False):
    """The context of what *event* causes, made when somebody first looks at it."""

    event: StoredEvent | None = None

    def resolve(self) -> MessageContext:
        """Return the event's correlation, actor, tenant and headers, caused by the event."""
        if self.made is None and self.event is not None:
            self.made = _context_of(self.event)
        return super().resolve()


def _context_of(event: StoredEvent) -> MessageContext:
    id = UUID(bytes=event.id)
    return MessageContext(
        UUID(bytes=event.correlation_id) if event.correlation_id else id,
        id,
        _uuid(event.causation_id),
        event.actor,
        event.tenant,
        event.traceparent,
        _headers(event.headers),
    )
