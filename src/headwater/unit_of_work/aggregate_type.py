"""Aggregate types: how aggregates of one class are loaded and stored, compiled once."""

from typing import Any, Generic, TypeVar
from uuid import UUID

from headwater.domain.aggregate import Aggregate
from headwater.domain.header import stream_id
from headwater.errors import ConcurrencyError, UnitOfWorkError
from headwater.ports.changes import RowChange
from headwater.ports.log import Log
from headwater.ports.rows import CollectionSpec
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.streams import ExpectedVersion
from headwater.unit_of_work.state_row import StateRow
from headwater.unit_of_work.tracking import Tracked

A = TypeVar("A", bound=Aggregate)

STREAM_PAGE_EVENTS = 1000


async def read_events(log: Log, stream_id: str, *, codec: EventCodec) -> list[Any]:
    """Return all decoded events of a stream, read in pages of `STREAM_PAGE_EVENTS`."""
    decode = codec.decode
    events: list[Any] = []
    while True:
        page = await log.read_payloads(
            stream_id, from_version=len(events) + 1, limit=STREAM_PAGE_EVENTS
        )
        events += [decode(type, schema_version, data) for _, type, schema_version, data in page]
        if len(page) < STREAM_PAGE_EVENTS:
            return events


class AggregateType(Generic[A]):
    """Loads one class of aggregates, from its stream or from its row."""

    def __init__(self, cls: type[A], *, context: str, storage: Storage, codec: EventCodec) -> None:
        self.cls = cls
        self._context = context
        self._storage, self._codec = storage, codec
        self._state = StateRow(cls, context=context, codec=codec) if cls.stored_as_state else None

    @property
    def spec(self) -> CollectionSpec | None:
        """The collection that aggregates stored as state are kept in."""
        return self._state.spec if self._state else None

    def stream_id(self, id: UUID | str | int) -> str:
        """Return ``<context>.<aggregate>-<id>``."""
        return stream_id(self._context, self.cls.aggregate_name(), id)

    async def load(self, id: UUID | str | int) -> Tracked:
        """Return the aggregate as it is stored; with None in it, if it is not."""
        stream = self.stream_id(id)
        if self._state is not None:
            return await self._load_state(id, stream, self._state)
        events = await read_events(self._storage, stream, codec=self._codec)
        if not events:
            return Tracked(stream, None, base=0)
        aggregate = self.cls(id)
        aggregate.replay(events)
        return Tracked(stream, aggregate, base=len(events))

    async def load_onto(self, id: UUID | str | int, around: Tracked) -> Tracked:
        """Return a copy of its own for a child unit, with what the unit around has recorded.

        Raises:
            ConcurrencyError: the stream was changed since the unit around read it.
        """
        stored = await self.load(id)
        if stored.base != around.base:
            expected = ExpectedVersion.exactly(around.base)
            raise ConcurrencyError(stored.stream_id, expected=expected, actual=stored.base)
        aggregate = stored.aggregate
        if around.sealed:
            aggregate = aggregate or self.cls(id)
            aggregate.replay([sealed.event for sealed in around.sealed])
        return Tracked(
            stored.stream_id,
            aggregate,
            base=stored.base,
            row_version=stored.row_version,
            inherited=tuple(around.sealed),
        )

    def row(self, tracked: Tracked) -> RowChange:
        """Return the row that stores the state of *tracked*.

        Raises:
            UnitOfWorkError: the class is not stored as state, or nothing is tracked.
        """
        if self._state is None or tracked.aggregate is None:
            raise UnitOfWorkError(f"{self.cls.__name__} {tracked.stream_id!r} has no row.")
        return self._state.written(tracked.aggregate, tracked)

    async def _load_state(self, id: UUID | str | int, stream_id: str, state: StateRow) -> Tracked:
        key = str(id)
        row = (await self._storage.get_rows(state.spec.name, (key,))).get(key)
        if row is None:
            return Tracked(stream_id, None, base=0)
        aggregate = self.cls(id)
        base = state.restore(aggregate, row.data)
        return Tracked(stream_id, aggregate, base=base, row_version=row.version)
