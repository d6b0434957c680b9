"""The outbox: events appended in a transaction of the user's own, on PostgreSQL."""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

import msgspec

from headwater.app import App
from headwater.clock import Clock, SystemClock
from headwater.errors import (
    ConfigurationError,
    InvalidNameError,
    LimitExceededError,
    MessageTypeError,
)
from headwater.event_store import EventData, EventStore
from headwater.ids import new_id
from headwater.integrations.drivers import (
    AsyncConnection,
    SyncConnection,
    fetch_number,
    fetch_number_sync,
)
from headwater.messages import Request
from headwater.metadata import current_context
from headwater.operations.staged import staged_events_of
from headwater.ports.changes import Append, NewEvent
from headwater.ports.outbox import StagedEvents
from headwater.serialization.codec import EventCodec
from headwater.serialization.envelope import Envelope
from headwater.serialization.personal.sealed_storage import SealedStorage, as_stored
from headwater.serialization.personal.sealing import has_parcels
from headwater.streams import ExpectedVersion, check_stream_id

STAGED_EVENTS_MAX: Final = 1000
"""The most events that one call stages."""

_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,47}\Z")
_SYSTEM_CLOCK: Final = SystemClock()

# One parameter, a text that the database takes apart: every driver passes it in the same way,
# whatever codecs its user has set for JSON, arrays and UUIDs.
_STAGE: Final = """
WITH staged AS (
    INSERT INTO "@schema@".outbox (
        stream_id, id, type, schema_version, data, occurred_at, correlation_id, causation_id,
        actor, tenant, traceparent, headers, tags)
    SELECT e->>'stream_id', CAST(e->>'id' AS uuid), e->>'type',
        CAST(e->>'schema_version' AS integer), CAST(e->>'data' AS json),
        CAST(e->>'occurred_at' AS bigint), CAST(e->>'correlation_id' AS uuid),
        CAST(e->>'causation_id' AS uuid), e->>'actor', e->>'tenant', e->>'traceparent',
        CAST(e->>'headers' AS json),
        (SELECT array_agg(t.tag ORDER BY t.number) FROM json_array_elements_text(e->'tags')
         WITH ORDINALITY AS t (tag, number))
    FROM json_array_elements(CAST(CAST({} AS text) AS json)) WITH ORDINALITY AS x (e, number)
    ORDER BY number
    RETURNING seq
)
SELECT max(seq) FROM staged@wake@
"""
_WAKE: Final = " CROSS JOIN pg_notify('@schema@_outbox', '') AS told"


class Staged(msgspec.Struct, frozen=True):
    """What was staged: the events' ids, and the number of the last row in the outbox.

    Their positions are given when they are moved into the log; `Outbox.staged` can wait for it.
    """

    ids: tuple[UUID, ...]
    seq: int


class Outbox:
    """Appends events in a transaction of the user's own on the PostgreSQL that holds the log.

    They are there when that transaction is committed, and gone when it is rolled back; every
    open storage moves what was committed into the log, in its order. A stream that takes staged
    events takes no others.
    """

    def __init__(
        self,
        source: App | EventStore | EventCodec,
        *,
        schema: str | None = None,
        wake: bool = True,
        clock: Clock = _SYSTEM_CLOCK,
    ) -> None:
        """Encode events as *source* does, for the tables in *schema*.

        An app need not run for it: a web worker that only stages wants no more of it than its
        types, once all contexts are included. Only events with personal data want it running,
        for its keys. Without *schema* it is that of the source's storage, or ``headwater``.

        With *wake* a mover hears of the events as soon as they are committed. PostgreSQL lets
        such transactions commit one after another; where thousands come each second, turn it
        off, and events are moved when a mover looks next (`PostgresSettings.poll_seconds`).

        Raises:
            InvalidNameError: *schema* can't name a schema.
            ConfigurationError: the source's storage has no outbox: it is not on PostgreSQL.
        """
        if schema is not None:
            _check_schema(schema)
        if not isinstance(source, EventCodec) and staged_events_of(source.storage) is None:
            raise ConfigurationError(
                f"An Outbox stages events in the PostgreSQL that holds the log, and the storage of "
                f"this {type(source).__name__} is a {type(as_stored(source.storage)).__name__}. "
                f"Make it from one on postgresql://…, or from an EventCodec."
            )
        self._source, self._schema, self._wake = source, schema, wake
        self._clock = clock

    async def stage(
        self, connection: AsyncConnection, stream_id: str, events: Sequence[object]
    ) -> Staged:
        """Stage *events* (records, `RawEvent`, or `EventData` around one) for *stream_id*.

        *connection* is one of asyncpg, psycopg or SQLAlchemy, with a transaction open. The
        current message context goes with each event. An id that is in the log already, with the
        same content, is dropped when it is moved.

        Raises:
            ConfigurationError: *connection* can't stage, or has no transaction; or the event has
                personal data, and the app that has the keys does not run.
            WiringError: the app does not run, and its wiring has faults.
            MessageTypeError: one of *events* is a command or another request.
            RoundTripError: an event does not come back equal from encode + decode.
            InvalidNameError: *stream_id* can't name a stream.
            LimitExceededError: they are more than `STAGED_EVENTS_MAX`, or one is too large.
            ValueError: *events* is empty, or a text can't be stored.
            SubjectForgottenError, KeyStoreError: personal data can't be sealed.
        """
        codec, storage = self._codec_and_storage()
        append = self._append(codec, stream_id, events)
        if isinstance(storage, SealedStorage):
            (append,) = await storage.sealed_appends((append,))
        else:
            _check_not_personal(append)
        seq = await fetch_number(connection, self._sql(storage), _rows(append))
        return Staged(_ids(append.events), seq)

    def stage_sync(
        self, connection: SyncConnection, stream_id: str, events: Sequence[object]
    ) -> Staged:
        """Stage as `stage` does, on a connection that blocks; raises as it does.

        Events with personal data can't be sealed here: keys are fetched asynchronously.
        """
        codec, storage = self._codec_and_storage()
        append = self._append(codec, stream_id, events)
        _check_not_personal(append)
        seq = fetch_number_sync(connection, self._sql(storage), _rows(append))
        return Staged(_ids(append.events), seq)

    @property
    def staged(self) -> StagedEvents:
        """What waits and what was put aside, in the outbox of the source's storage.

        Raises:
            ConfigurationError: the source has no storage with an outbox.
        """
        found = staged_events_of(self._codec_and_storage()[1])
        if found is None:
            raise ConfigurationError(
                "This Outbox was made from an EventCodec, which has no storage. Make it from the "
                "App or EventStore."
            )
        return found

    def _codec_and_storage(self) -> tuple[EventCodec, object]:
        """Return what the source has now: an app has keys only while it runs."""
        source = self._source
        if isinstance(source, EventCodec):
            return source, None
        if isinstance(source, App) and not source.is_running:
            return source.catalogue().codec, source.storage
        store = source.event_store if isinstance(source, App) else source
        return store.codec, store.storage

    def _sql(self, storage: object) -> str:
        found = None if self._schema else staged_events_of(storage)
        return _statement(self._schema or (found.schema if found else "headwater"), self._wake)

    def _append(self, codec: EventCodec, stream_id: str, events: Sequence[object]) -> Append:
        check_stream_id(stream_id)
        if not events:
            raise ValueError("There are no events to stage.")
        if len(events) > STAGED_EVENTS_MAX:
            raise LimitExceededError("events", limit=STAGED_EVENTS_MAX, actual=len(events))
        envelope = Envelope.of(current_context())
        new = tuple([self._new(codec, event, envelope) for event in events])
        return Append(stream_id, ExpectedVersion.ANY, new)

    def _new(self, codec: EventCodec, event: object, envelope: Envelope) -> NewEvent:
        given = event if isinstance(event, EventData) else EventData(event)
        cls = given.payload.__class__
        if Request in cls.__mro__:
            raise MessageTypeError(
                f"{cls.__name__} is a request, not an event: an outbox would store it, and nobody "
                f"would handle it. Send it, or stage an event that says what happened."
            )
        return envelope.enclose(
            given.payload,
            codec=codec,
            id=(given.id or new_id()).bytes,
            occurred_at=given.occurred_at or self._clock.now(),
            tags=given.tags,
        )


def _check_schema(name: str) -> None:
    if _SCHEMA.match(name) is None:
        raise InvalidNameError("schema", name, "use at most 48 of a-z, 0-9 and _")


@cache
def _statement(schema: str, wake: bool) -> str:  # noqa: FBT001 - a key of the cache
    return _STAGE.replace("@wake@", _WAKE if wake else "").replace("@schema@", schema)


def _ids(events: Iterable[NewEvent]) -> tuple[UUID, ...]:
    return tuple([UUID(bytes=event.id) for event in events])


def _check_not_personal(append: Append) -> None:
    if any(has_parcels(event.data) for event in append.events):
        raise ConfigurationError(
            f"Events for {append.stream_id!r} hold personal data, which must be sealed before it "
            f"is written, with keys that are asked for asynchronously. Use stage() of an Outbox "
            f"that was made from the App, while that runs."
        )


def _rows(append: Append) -> str:
    return msgspec.json.encode([_row(append.stream_id, event) for event in append.events]).decode()


def _row(stream_id: str, event: NewEvent) -> dict[str, Any]:
    texts = (event.actor, event.tenant, event.traceparent, *event.tags)
    if any("\0" in text for text in texts if text is not None):
        raise ValueError(f"Event {event.type} for {stream_id!r}: PostgreSQL stores no NUL in texts")
    return {
        "stream_id": stream_id,
        "id": event.id.hex(),
        "type": event.type,
        "schema_version": event.schema_version,
        "data": event.data,
        "occurred_at": event.occurred_at,
        "correlation_id": event.correlation_id.hex() if event.correlation_id else None,
        "causation_id": event.causation_id.hex() if event.causation_id else None,
        "actor": event.actor,
        "tenant": event.tenant,
        "traceparent": event.traceparent,
        "headers": event.headers,
        "tags": event.tags,
    }
