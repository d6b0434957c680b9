"""The event store: append and read, for those who want only that."""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from headwater.clock import Clock
from headwater.domain.aggregate import Aggregate
from headwater.domain.decider import Decider
from headwater.errors import ConfigurationError, UnknownTypeError, WiringError
from headwater.ids import new_id
from headwater.messages import RawEvent
from headwater.metadata import Recorded, current_context
from headwater.operations.stream_changes import change_stream
from headwater.operations.stream_keeper import StreamKeeper
from headwater.ports.changes import Append, Appended, Changes, NewEvent, StreamChange
from headwater.ports.log import LogFilter, StoredEvent
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.serialization.envelope import Envelope, recorded
from headwater.serialization.personal.personal_data import PersonalData
from headwater.serialization.personal.sealed_storage import SealedStorage
from headwater.serialization.personal.sealing import has_parcels
from headwater.serialization.registry import TypeRegistry
from headwater.serialization.upcast_faults import upcast_faults
from headwater.serialization.upcasting import Upcaster
from headwater.streams import ExpectedVersion
from headwater.unit_of_work.standalone import StandaloneDecider, StandaloneRepository
from headwater.unit_of_work.unit import UnitOfWork
from headwater.unit_of_work.units import Units

A = TypeVar("A", bound=Aggregate)
C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")

READ_PAGE_EVENTS = 1000


class EventData(msgspec.Struct, frozen=True):
    """An event to append, with what `EventStore.append` would else choose for it.

    `id` makes the append idempotent; `occurred_at` is the domain's time, now by default.
    """

    payload: Any
    id: UUID | None = None
    occurred_at: datetime | None = None
    tags: tuple[str, ...] = ()


class EventStore(StreamKeeper):
    """Appends events to streams and reads them back, on any storage; needs no `App`.

    Types are registered as they are appended, under ``<context>.<class-name>``; what is read
    must be known (`types`), else its payload is a `RawEvent`. Use it as ``async with``.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        types: Iterable[type] = (),
        upcasters: Iterable[Upcaster] = (),
        context: str = "app",
        clock: Clock | None = None,
        personal_data: PersonalData | None = None,
    ) -> None:
        """Put a face on *storage*, which `open` opens and `close` closes, *personal_data* too.

        *upcasters* (see `Upcasters`) make of stored events of an older form those of *types*.

        Raises:
            DuplicateTypeNameError: two of *types* have one stored name.
            MessageTypeError: values of a type can't be stored.
            WiringError: *upcasters* don't fit together, or lead to a type that is not there.
        """
        registry = TypeRegistry(default_context=context, personal=personal_data)
        for cls in types:
            registry.register(cls)
        codec = EventCodec(registry, upcasters=upcasters)
        if faults := upcast_faults(codec.chains, registry):
            raise WiringError(faults)
        storage = personal_data.around(storage) if personal_data is not None else storage
        self._take(Units(storage, codec=codec, clock=clock, context_of=lambda _: context))

    @classmethod
    def on(cls, units: Units) -> "EventStore":
        """Return a face on the storage and the types of *units*."""
        store = cls.__new__(cls)
        store._take(units)
        return store

    def _take(self, units: Units) -> None:
        self._units = units
        self.storage, self.codec = units.storage, units.codec
        self._personal = units.codec.registry.personal

    async def open(self) -> None:
        """Open the storage, and the keys of personal data.

        Raises:
            KeyStoreMismatchError: the storage is written with other keys.
            KeyStoreError, StorageError: one of them can't be used.
        """
        personal = self._personal
        if personal is None:
            await self.storage.open()
            return
        async with AsyncExitStack() as opened:
            opened.push_async_callback(self.storage.close)
            await self.storage.open()
            await personal.open(beside=(self.storage,))
            opened.pop_all()

    async def close(self) -> None:
        """Close the storage; commits and snapshots that wait are finished."""
        try:
            await self._units.write_snapshots()
            await self.storage.close()
        finally:
            if self._personal is not None:
                await self._personal.close()

    async def __aenter__(self) -> "EventStore":
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def append(
        self, stream_id: str, events: Sequence[object], *, expected: ExpectedVersion
    ) -> Appended:
        """Append *events* (records, `RawEvent`, or `EventData` around one), all or none.

        Returns the version and position of the last one; for no events, the stream's version
        and position 0. An append that repeats an earlier one, all ids known and all content
        equal, returns the first result. The current message context goes with each event.

        Raises:
            ConcurrencyError: the stream is not as *expected*.
            IdempotencyConflictError: some ids are known with other content, stream or order.
            RoundTripError: an event does not come back equal from encode + decode.
            InvalidNameError: *stream_id* can't name a stream.
        """
        append = self._append(stream_id, events, expected)
        return (await self.storage.commit(Changes((append,)))).appends[0]

    def prepare(
        self, stream_id: str, events: Sequence[object], *, expected: ExpectedVersion
    ) -> Append:
        """Return the append without committing it, for a `Changes` of the caller's own.

        A storage that can write within a transaction of the user's takes it there, such as
        `SqliteStorage.commit_within`.

        Raises:
            RoundTripError: an event does not come back equal from encode + decode.
            ConfigurationError: an event has personal fields; those take `prepare_sealed`.
        """
        append = self._append(stream_id, events, expected)
        if any(has_parcels(event.data) for event in append.events):
            raise ConfigurationError(
                f"An event for {stream_id!r} has personal fields, which are encrypted before they "
                f"are written. Write: await store.prepare_sealed(…)."
            )
        return append

    async def prepare_sealed(
        self, stream_id: str, events: Sequence[object], *, expected: ExpectedVersion
    ) -> Append:
        """As `prepare`, with personal fields encrypted; it may have to ask the key store.

        Call it before your transaction begins: the first time that something personal is written
        to a storage it is noted there with which keys, which waits for everybody who writes.

        Raises:
            RoundTripError: an event does not come back equal from encode + decode.
            SubjectForgottenError: an event holds something of a subject who was forgotten.
            KeyStoreError: the keys can't be had.
        """
        append = self._append(stream_id, events, expected)
        if isinstance(self.storage, SealedStorage):
            (append,) = await self.storage.sealed_appends((append,))
        return append

    def _append(
        self, stream_id: str, events: Sequence[object], expected: ExpectedVersion
    ) -> Append:
        envelope = Envelope.of(current_context())
        return Append(stream_id, expected, tuple([self._new(event, envelope) for event in events]))

    async def read_stream(
        self, stream_id: str, *, from_version: int | None = None, backwards: bool = False
    ) -> AsyncIterator[Recorded[Any]]:
        """Yield a stream's events, ascending or *backwards*, from *from_version* (included).

        An unknown stream is empty. Memory stays flat: pages of `READ_PAGE_EVENTS`, and nothing
        is held open between them. Events that upcasters made of one have its version.
        """
        while True:
            page = await self.storage.read_stream(
                stream_id, from_version=from_version, backwards=backwards, limit=READ_PAGE_EVENTS
            )
            for stored in page:
                events = self._recorded(stored)
                for event in reversed(events) if backwards else events:
                    yield event
            if len(page) < READ_PAGE_EVENTS:
                return
            from_version = page[-1].version + (-1 if backwards else 1)
            if from_version < 1:
                return

    async def read_all(
        self,
        *,
        after: int = 0,
        types: Collection[type] = (),
        categories: Collection[str] = (),
        tags: Collection[str] = (),
        internal: bool = False,
    ) -> AsyncIterator[Recorded[Any]]:
        """Yield the log after position *after* up to its head, filtered; memory stays flat.

        *types* may be base types; *categories* are such as ``sales.order``; an event must have
        all *tags*. Streams whose names start with ``$`` only come with *internal*.
        """
        names = frozenset[str]().union(*(self.codec.stored_names(cls) for cls in types))
        taken = frozenset[str]().union(*(self.codec.registry.names_of(cls) for cls in types))
        wanted = LogFilter(names, frozenset(categories), frozenset(tags), internal)
        if types and not names:
            return
        while True:
            page = await self.storage.read_log(after=after, where=wanted, limit=READ_PAGE_EVENTS)
            for stored in page.events:
                for event in self._recorded(stored):
                    # What nobody here knows may be one of those in a newer form.
                    if not types or event.type in taken or type(event.payload) is RawEvent:
                        yield event
            after = page.scanned_to
            if after >= page.head:
                return

    async def head(self) -> int:
        """Return the position of the last event ever appended, 0 for none."""
        return await self.storage.head()

    def unit_of_work(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Collect changes in an ``async with`` block and commit them at its end."""
        return self._units.unit_of_work()

    def repository(self, aggregate: type[A]) -> StandaloneRepository[A]:
        """Return the repository of *aggregate*, each call of which commits on its own."""
        return StandaloneRepository(self._units, aggregate)

    def decider(self, decider: Decider[C, S, E]) -> StandaloneDecider[C, S, E]:
        """Return the streams of *decider*, each decision on which commits on its own."""
        return StandaloneDecider(self._units, decider)

    async def _change(self, change: StreamChange, reason: str, actor: str | None) -> int:
        at = self._units.clock.now()
        return await change_stream(self.storage, change, reason=reason, actor=actor, at=at)

    def _new(self, event: object, envelope: Envelope) -> NewEvent:
        units = self._units
        if type(event) is not EventData:
            return envelope.enclose(
                event, codec=units.codec, id=new_id.as_bytes(), occurred_at=units.clock.now()
            )
        return envelope.enclose(
            event.payload,
            codec=units.codec,
            id=event.id.bytes if event.id is not None else new_id.as_bytes(),
            occurred_at=event.occurred_at or units.clock.now(),
            tags=event.tags,
        )

    def _recorded(self, stored: StoredEvent) -> Sequence[Recorded[Any]]:
        try:
            return [recorded(part, payload) for part, payload in self.codec.read(stored)]
        except UnknownTypeError:
            raw = RawEvent(stored.type, stored.data.encode(), stored.schema_version)
            return (recorded(stored, raw),)
