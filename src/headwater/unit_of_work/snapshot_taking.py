"""Taking snapshots: whether one is due, and what is stored of a state."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import msgspec

from headwater.clock import Clock
from headwater.domain.snapshots import Loading
from headwater.errors import AggregateError, SerializationError
from headwater.ports.log import StreamInfo, StreamState
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.serialization.personal.parcels import addressees, emptied
from headwater.unit_of_work.folding import Folding, Id
from headwater.unit_of_work.snapshot_rows import SnapshotRow, SnapshotRows, StateSnapshot
from headwater.unit_of_work.snapshot_writer import SnapshotWriter
from headwater.unit_of_work.state_cache import StateCache
from headwater.unit_of_work.stream_reading import id_at

S = TypeVar("S")

_log = logging.getLogger("headwater")


UNWRITABLE_MAX: Final = 10_000
"""Of how many streams it is remembered that their state could not be written."""


class StreamSources(msgspec.Struct, frozen=True):
    """What states are loaded from, the same for all classes of one `Units`."""

    storage: Storage
    codec: EventCodec
    clock: Clock
    snapshots: SnapshotRows
    writer: SnapshotWriter
    drop_caches: Callable[[], None]


class Basis(msgspec.Struct, Generic[S], frozen=True):
    """A state as folded from the log: what may be kept of it, if `event_id` was read.

    `snapshot_at` is where the snapshot stands that was gone on from, or else the version that
    the log begins after; `events` how many versions were read now; `subjects` those whose
    personal data went into it.
    """

    state: S
    version: int
    found: bool
    event_id: bytes | None
    snapshot_at: int
    events: int
    cached: bool = False
    subjects: frozenset[str] = frozenset()


class SnapshotTaker(Generic[S]):
    """Stores states of one aggregate class or decider, in the background."""

    def __init__(
        self,
        folding: Folding[S],
        loading: Loading,
        sources: StreamSources,
        cache: StateCache | None,
    ) -> None:
        self._folding, self._loading, self._cache = folding, loading, cache
        self._storage, self._rows = sources.storage, sources.snapshots
        self._unwritable: dict[str, int] = {}
        self._personal = sources.codec.registry.personal

    def fits(self, snapshot: StateSnapshot) -> bool:
        """Return whether *snapshot* was written by code that folds as this does."""
        form = self._loading.snapshot_version, self._folding.code
        return (snapshot.snapshot_version, snapshot.code) == form

    def has_given_up(self, stream_id: str, version: int) -> bool:
        """Return whether the state of a stream could not be written, and it hardly grew since.

        It is tried again when the stream is twice as long.
        """
        return version < 2 * self._unwritable.get(stream_id, 0)

    async def take(self, stream_id: str, id: Id, load: Callable[[], Awaitable[Basis[S]]]) -> None:
        """Store what *load* gives, if one is still due."""
        row = await self._rows.read(stream_id)
        old = row.snapshot
        if old is not None and old.snapshot_version > self._loading.snapshot_version:
            return  # Newer code wrote it, and is at work beside this one.
        info = await self._storage.stream_info(stream_id)
        if info.state is StreamState.TOMBSTONED or not info.version:
            if row.row_version:
                await self._rows.delete(stream_id)
            return
        if old is not None and self.fits(old) and not await self._still_due(info, id, old):
            return
        if self.has_given_up(stream_id, info.version):
            return
        basis = await load()
        if basis.event_id is not None:
            await self._write(info, id, basis, basis.event_id, over=row)

    async def _write(
        self, info: StreamInfo, id: Id, basis: Basis[S], event_id: bytes, *, over: SnapshotRow
    ) -> None:
        state = await self._without_forgotten(self._written(info.stream_id, id, basis))
        snapshot = StateSnapshot(
            self._loading.snapshot_version,
            self._folding.code,
            basis.version,
            event_id.hex(),
            msgspec.Raw(state.encode()),
        )
        # Who knows of events that are not there any more may be the only one.
        keep = (
            over.snapshot is not None and not self.fits(over.snapshot) and info.first_version != 1
        )
        subjects = basis.subjects | addressees(state)
        if not await self._rows.write(
            info.stream_id, snapshot, subjects=subjects, over=over, keep=keep
        ):
            return
        if keep:
            _log.warning(
                "The events of %r before version %d were erased, and its snapshot is of other "
                "code: it is kept aside, and the state folded from what is left",
                info.stream_id,
                info.first_version,
            )
        if (await self._storage.stream_info(info.stream_id)).state is StreamState.TOMBSTONED:
            await self._rows.delete(info.stream_id)
        elif self._cache is not None:
            self._cache.note_snapshot((type(id), info.stream_id), basis.version)

    def _written(self, stream_id: str, id: Id, basis: Basis[S]) -> str:
        self._unwritable.pop(stream_id, None)
        try:
            return self._folding.write(id, basis.state)
        except (AggregateError, SerializationError):
            self._unwritable[stream_id] = basis.version
            if len(self._unwritable) > UNWRITABLE_MAX:
                del self._unwritable[next(iter(self._unwritable))]
            raise

    async def _without_forgotten(self, state: str) -> str:
        """Return *state* with placeholders where it would be addressed to who was forgotten.

        It holds nothing else there, being folded from what can still be read; and what is
        addressed to them nobody could read.
        """
        subjects = addressees(state)
        if not subjects or self._personal is None:
            return state
        forgotten = await self._personal.forgotten_among(subjects, create=True)
        return emptied(state, forgotten) if forgotten else state

    async def _still_due(self, info: StreamInfo, id: Id, old: StateSnapshot) -> bool:
        """Whether *old* can't be used, or the stream has gone on as far as the policy wants."""
        try:
            self._folding.read(id, old.text, old.version)
        except SerializationError:
            return True
        erased = old.version < info.first_version or not info.first_version
        if erased and old.version + 1 < info.first_version:
            return True
        if not erased:
            there = await id_at(self._storage, info.stream_id, old.version)
            if there != old.at.event_id:
                return True
        if self._cache is not None:
            self._cache.note_snapshot((type(id), info.stream_id), old.version)
        every = self._loading.snapshots.every
        slow = self._loading.snapshots.slower_than is not None
        return info.version - old.version >= (1 if slow else every or 1)
