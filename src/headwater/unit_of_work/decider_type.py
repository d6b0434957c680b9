"""Decider types: how a decider's streams are loaded and decided on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, TypeVar, cast
from uuid import UUID

from headwater.clock import Moment
from headwater.domain.decider import Decider
from headwater.domain.identity import stream_id
from headwater.streams import ExpectedVersion
from headwater.unit_of_work.difference import Difference, difference
from headwater.unit_of_work.folding import DeciderFolding
from headwater.unit_of_work.pending_events import as_read
from headwater.unit_of_work.snapshot_taking import StreamSources
from headwater.unit_of_work.state_cache import StateCache
from headwater.unit_of_work.stream_states import Loaded, StreamStates

if TYPE_CHECKING:
    from headwater.unit_of_work.unit import UnitOfWork

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


class DeciderType(Generic[C, S, E]):
    """Loads the streams of one decider, ``<context>.<decider>-<id>``."""

    def __init__(self, decider: Decider[C, S, E], *, context: str, sources: StreamSources) -> None:
        """Compile *decider*.

        Raises:
            ConfigurationError: it wants snapshots, and its state can't be read back from JSON.
        """
        self._decider, self._context, self._sources = decider, context, sources
        folding: DeciderFolding[S] = DeciderFolding(decider, sources.codec)
        who = f"Decider {decider.name!r}"
        self._states = StreamStates(folding, decider.loading, sources, who=who)

    @property
    def cache(self) -> StateCache | None:
        """The copies of loaded states, None if the decider asks for none."""
        return self._states.cache

    @property
    def name(self) -> str:
        """The decider's name."""
        return self._decider.name

    def stream_id(self, id: UUID | str | int) -> str:
        """Return ``<context>.<decider>-<id>``."""
        return stream_id(self._context, self._decider.name, id)

    async def decide(self, unit: "UnitOfWork", id: UUID | str | int, command: C) -> Sequence[E]:
        """Fold the stream of *id*, decide on *command*, and collect the new events in *unit*.

        What this unit or one around it appended to the stream before is folded in.
        """
        stream = self.stream_id(id)
        loaded = await self._states.load(stream, id)
        if not loaded.found:
            unit.found_empty.add(stream)
        pending = unit.appends.events_of(stream)
        codec = self._sources.codec
        read = [cast("E", part) for event in pending for _, part in as_read(event, codec)]
        state = self._decider.fold_on(loaded.state, read, after=loaded.version)
        events = tuple(self._decider.decide(command, state))
        expected = ExpectedVersion.exactly(loaded.version + len(pending))
        unit.append(stream, *events, expected=expected)
        return events

    async def load(self, id: UUID | str | int, *, as_of: Moment | None = None) -> Loaded[S]:
        """Return the state of the stream of *id*, now or as of a version or a time.

        Raises:
            HistoryUnavailableError: the log can't show it.
            MomentError: *as_of* can't name a version or time.
        """
        if as_of is None:
            return await self._states.load(self.stream_id(id), id)
        return await self._states.load_as_of(self.stream_id(id), id, as_of)

    async def diff(self, id: UUID | str | int, before: Moment, after: Moment | None) -> Difference:
        """Return what differs between two versions or times; raises as `difference`."""
        log, codec = self._sources.storage, self._sources.codec
        stream = self.stream_id(id)
        return await difference(self._states, stream, id, before, after, log=log, codec=codec)
