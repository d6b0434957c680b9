"""States of streams: by the cache and a snapshot where there are any, and always by the log."""

import logging
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from headwater.clock import Moment
from headwater.domain.snapshots import Loading
from headwater.errors import SerializationError
from headwater.serialization.personal.parcels import note_read, subjects_read
from headwater.unit_of_work.folding import Folding, Id
from headwater.unit_of_work.snapshot_rows import StateSnapshot
from headwater.unit_of_work.snapshot_taking import Basis, SnapshotTaker, StreamSources
from headwater.unit_of_work.state_cache import Cached, StateCache
from headwater.unit_of_work.stream_reading import (
    Mark,
    Misfit,
    Stretch,
    id_at,
    read_all,
    read_on,
    version_at,
)

S = TypeVar("S")

_log = logging.getLogger("headwater")


class Loaded(msgspec.Struct, Generic[S], frozen=True):
    """A state, and the version that its stream has; `found` if the stream has any event."""

    state: S
    version: int
    found: bool


class StreamStates(Generic[S]):
    """Loads the states of one aggregate class or decider.

    What comes out is what folding the whole stream gives, whatever is cached or stored: a copy
    or a snapshot is gone on from only if the event that it stands for is still there. If another
    one is, the log was rewound, and all caches are emptied.
    """

    def __init__(
        self, folding: Folding[S], loading: Loading, sources: StreamSources, *, who: str
    ) -> None:
        """Load as *loading* says; *who* names the class in what is logged and raised.

        Raises:
            MessageTypeError: snapshots are wanted, but a state can't be read back from JSON.
        """
        self._folding, self._loading, self._who = folding, loading, who
        self._storage, self._codec, self._clock = sources.storage, sources.codec, sources.clock
        self._rows, self._writer = sources.snapshots, sources.writer
        self._drop_caches = sources.drop_caches
        self._personal = sources.codec.registry.personal
        self.cache = StateCache(loading.cache) if loading.cache else None
        self._snapshots = SnapshotTaker(folding, loading, sources, self.cache)
        self._uncopyable = False
        if loading.snapshots.wanted:
            folding.check_writable()

    async def load(self, stream_id: str, id: Id) -> Loaded[S]:
        """Return the state of a stream as it is stored now."""
        if self._loading.plain:
            stretch = await read_all(self._storage, stream_id, codec=self._codec)
            return self._folded(id, stretch)
        begun = self._clock.monotonic()
        generation = self.cache.generation if self.cache is not None else 0
        basis = await self._basis_of_whom(stream_id, id)
        if self.cache is not None:
            basis = await self._marked(stream_id, basis)
        self._keep(stream_id, id, basis, generation)
        seconds = self._clock.monotonic() - begun
        read = basis.version - basis.snapshot_at
        # With a cache little is read, but what another process would have to read counts.
        due = basis.found and self._loading.snapshots.due(read, seconds)
        if due and not self._snapshots.has_given_up(stream_id, basis.version):
            self._writer.offer(stream_id, partial(self._take_snapshot, stream_id, id))
        return Loaded(basis.state, basis.version, basis.found)

    async def load_as_of(self, stream_id: str, id: Id, as_of: Moment) -> Loaded[S]:
        """Return the state as of a version or a time.

        Raises:
            HistoryUnavailableError: the stream has not come that far, or its events up to
                there were erased.
            MomentError: *as_of* can't name a version or time.
        """
        who = f"{self._who} {id}"
        version = await version_at(self._storage, stream_id, as_of, who=who)
        if self._loading.snapshots.wanted and version:
            row = await self._rows.read(stream_id)
            if row.snapshot is not None and row.snapshot.version <= version:
                basis = await self._from_snapshot(stream_id, id, row.snapshot, upto=version)
                if not isinstance(basis, Misfit | None):
                    return Loaded(basis.state, basis.version, basis.found)
        stretch = await read_all(self._storage, stream_id, codec=self._codec, upto=version)
        return self._folded(id, stretch)

    def begin(self, id: Id) -> S:
        """Return the state before the first event."""
        return self._folding.begin(id)

    def parts(self, state: S) -> Any:
        """Return what two states are compared by."""
        return self._folding.parts(state)

    # --------------------------------------------------------------------- where from

    async def _basis_of_whom(self, stream_id: str, id: Id) -> Basis[S]:
        """Return where to go on from, and whose personal data went into it."""
        if self._personal is None:
            return await self._basis(stream_id, id)
        with subjects_read() as subjects:
            basis = await self._basis(stream_id, id)
        subjects |= basis.subjects
        note_read(subjects)
        return msgspec.structs.replace(basis, subjects=frozenset(subjects))

    async def _basis(self, stream_id: str, id: Id) -> Basis[S]:
        if (basis := await self._from_cache(stream_id, id)) is not None:
            return basis
        if self._loading.snapshots.wanted:
            row = await self._rows.read(stream_id)
            if row.snapshot is not None:
                found = await self._from_snapshot(stream_id, id, row.snapshot)
                if found is Misfit.REWOUND:
                    self._drop_caches()
                if isinstance(found, Misfit):
                    # Nobody can use it any more: it is replaced, or deleted.
                    self._writer.offer(stream_id, partial(self._take_snapshot, stream_id, id))
                elif found is not None:
                    return found
        return await self._from_log(stream_id, id)

    async def _from_cache(self, stream_id: str, id: Id) -> Basis[S] | None:
        key = (type(id), stream_id)
        entry = self.cache.get(key) if self.cache is not None else None
        if entry is None or self.cache is None:
            return None
        if self._personal is not None and await self._personal.forgotten_among(entry.subjects):
            self.cache.drop(key)
            return None
        stretch = await read_on(
            self._storage, stream_id, entry.at, codec=self._codec, believe=False
        )
        if isinstance(stretch, Misfit):
            if stretch is Misfit.REWOUND:
                self._drop_caches()
            self.cache.drop(key)
            return None
        state = self._folding.revive(id, entry.copy, entry.at.version)
        basis = self._carried_on(state, stretch, snapshot_at=entry.snapshot_at, cached=True)
        return msgspec.structs.replace(basis, subjects=entry.subjects)

    async def _from_snapshot(
        self, stream_id: str, id: Id, snapshot: StateSnapshot, *, upto: int | None = None
    ) -> Basis[S] | Misfit | None:
        """Return None for a snapshot that this code can't use."""
        if not self._snapshots.fits(snapshot):
            return None
        try:
            state = self._folding.read(id, snapshot.text, snapshot.version)
        except SerializationError as error:
            _log.warning("The snapshot of %r can't be read", stream_id, exc_info=error)
            return Misfit.UNREADABLE
        stretch = await read_on(
            self._storage, stream_id, snapshot.at, codec=self._codec, believe=True, upto=upto
        )
        if isinstance(stretch, Misfit):
            return stretch
        return self._carried_on(state, stretch, snapshot_at=snapshot.version)

    async def _from_log(self, stream_id: str, id: Id) -> Basis[S]:
        stretch = await read_all(self._storage, stream_id, codec=self._codec)
        loaded = self._folded(id, stretch)
        return Basis(
            loaded.state,
            loaded.version,
            loaded.found,
            None,
            stretch.after,
            loaded.version - stretch.after,
        )

    def _folded(self, id: Id, stretch: Stretch) -> Loaded[S]:
        begun = self._folding.begin(id)
        state = self._folding.fold(
            begun, stretch.events, after=stretch.after, version=stretch.version
        )
        return Loaded(state, stretch.version, stretch.found)

    def _carried_on(
        self, state: S, stretch: Stretch, *, snapshot_at: int, cached: bool = False
    ) -> Basis[S]:
        version, event_id = stretch.version, stretch.event_id
        events = version - stretch.after
        if events:
            state = self._folding.fold(state, stretch.events, after=stretch.after, version=version)
        return Basis(state, version, True, event_id, snapshot_at, events, cached)

    async def _marked(self, stream_id: str, basis: Basis[S]) -> Basis[S]:
        """Return *basis* with the id of its last event, None if that is not there any more."""
        if basis.event_id is not None or not basis.found:
            return basis
        event_id = await id_at(self._storage, stream_id, basis.version)
        return msgspec.structs.replace(basis, event_id=event_id)

    # ------------------------------------------------------------------------ keeping

    def _keep(self, stream_id: str, id: Id, basis: Basis[S], generation: int) -> None:
        if self.cache is None or self._uncopyable or not basis.found or basis.event_id is None:
            return
        if basis.cached and not basis.events:
            return
        try:
            copy = self._folding.copy(basis.state)
        except TypeError as error:
            self._uncopyable = True
            _log.warning("%s is not cached: %s", self._who, error)
            return
        at = Mark(basis.version, basis.event_id)
        entry = Cached(copy, at, basis.snapshot_at, basis.subjects)
        self.cache.put((type(id), stream_id), entry, generation=generation)

    async def _take_snapshot(self, stream_id: str, id: Id) -> None:
        await self._snapshots.take(stream_id, id, partial(self._marked_basis, stream_id, id))

    async def _marked_basis(self, stream_id: str, id: Id) -> Basis[S]:
        return await self._marked(stream_id, await self._basis_of_whom(stream_id, id))
