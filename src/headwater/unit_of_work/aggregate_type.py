"""Aggregate types: how aggregates of one class are loaded and stored, compiled once."""

from typing import Generic, TypeVar
from uuid import UUID

from headwater.clock import Moment, checked_moment, moment_text
from headwater.domain.aggregate import Aggregate
from headwater.domain.identity import stream_id
from headwater.domain.state import copied
from headwater.errors import ConcurrencyError, HistoryUnavailableError, UnitOfWorkError
from headwater.ports.changes import RowChange
from headwater.ports.rows import CollectionSpec
from headwater.streams import ExpectedVersion
from headwater.unit_of_work.difference import Difference, difference
from headwater.unit_of_work.folding import AggregateFolding
from headwater.unit_of_work.snapshot_taking import StreamSources
from headwater.unit_of_work.state_cache import StateCache
from headwater.unit_of_work.state_row import StateRow
from headwater.unit_of_work.stream_states import StreamStates
from headwater.unit_of_work.tracking import Tracked

A = TypeVar("A", bound=Aggregate)


class AggregateType(Generic[A]):
    """Loads one class of aggregates, from its stream or from its row."""

    def __init__(self, cls: type[A], *, context: str, sources: StreamSources) -> None:
        """Compile *cls*.

        Raises:
            ConfigurationError: its state can't be stored, and is to be: as a row or in snapshots.
        """
        self.cls = cls
        self._context, self._storage = context, sources.storage
        self._codec = codec = sources.codec
        self._state = StateRow(cls, context=context, codec=codec) if cls.stored_as_state else None
        folding: AggregateFolding[A] = AggregateFolding(cls, codec)
        self._states = StreamStates(folding, cls.loading_options(), sources, who=cls.__name__)

    @property
    def cache(self) -> StateCache | None:
        """The copies of loaded states, None if the class asks for none."""
        return self._states.cache

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
        loaded = await self._states.load(stream, id)
        return Tracked(stream, loaded.state if loaded.found else None, base=loaded.version)

    async def load_as_of(self, id: UUID | str | int, as_of: Moment) -> A | None:
        """Return the aggregate as of a version or a time, None if it was not there yet.

        Nothing can be recorded on it.

        Raises:
            HistoryUnavailableError: the log can't show it.
            MomentError: *as_of* can't name a version or time.
        """
        self._check_has_history(id, as_of)
        loaded = await self._states.load_as_of(self.stream_id(id), id, as_of)
        if not loaded.found:
            return None
        loaded.state.replay((), past=True)
        return loaded.state

    async def diff(self, id: UUID | str | int, before: Moment, after: Moment | None) -> Difference:
        """Return what differs between two versions or times; raises as `difference`."""
        self._check_has_history(id, before)
        stream = self.stream_id(id)
        return await difference(
            self._states, stream, id, before, after, log=self._storage, codec=self._codec
        )

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
            # A state may take over a list of an event and change it later; what happened stays.
            aggregate.replay([copied(sealed.event, {}) for sealed in around.sealed])
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

    def _check_has_history(self, id: UUID | str | int, as_of: Moment) -> None:
        if self._state is not None:
            shown = moment_text(checked_moment(as_of, first=0), unit="version")
            problem = "it is stored as state, and its events are not read back."
            raise HistoryUnavailableError(f"{self.cls.__name__} {id}", as_of=shown, problem=problem)

    async def _load_state(self, id: UUID | str | int, stream_id: str, state: StateRow) -> Tracked:
        key = str(id)
        row = (await self._storage.get_rows(state.spec.name, (key,))).get(key)
        if row is None:
            return Tracked(stream_id, None, base=0)
        aggregate = self.cls(id)
        base = state.restore(aggregate, row.data)
        return Tracked(stream_id, aggregate, base=base, row_version=row.version)
