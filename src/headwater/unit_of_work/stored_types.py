"""Stored types: how aggregates, deciders and read models are stored, compiled once each."""

import weakref
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from headwater.clock import Clock, SystemClock
from headwater.domain.aggregate import Aggregate
from headwater.domain.decider import Decider
from headwater.domain.read_model import ReadModel
from headwater.errors import ConflictError, RowConflictError
from headwater.messages import options_of
from headwater.operations.projections.generations import MOVED_KEY
from headwater.ports.rows import CollectionSpec
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.serialization.personal.personal_data import PersonalData
from headwater.unit_of_work.aggregate_type import AggregateType
from headwater.unit_of_work.decider_type import DeciderType
from headwater.unit_of_work.live_rows import LiveRows
from headwater.unit_of_work.row_type import RowType
from headwater.unit_of_work.snapshot_rows import SnapshotRows
from headwater.unit_of_work.snapshot_taking import StreamSources
from headwater.unit_of_work.snapshot_writer import SnapshotWriter

if TYPE_CHECKING:
    from headwater.unit_of_work.collecting import Collecting

A = TypeVar("A", bound=Aggregate)
M = TypeVar("M", bound=ReadModel)


class Inline(Protocol):
    """Computes rows from the events of a unit of work, which are committed with them."""

    async def compute(self, unit: "Collecting") -> None:
        """Add to *unit* what its events make."""
        ...

    async def look_again(self, conflict: ConflictError) -> None:
        """Find out anew where rows are, if *conflict* says that this has changed."""
        ...


class StoredTypes:
    """How the aggregates, deciders and read models of one storage are loaded and stored."""

    def __init__(
        self,
        storage: Storage,
        *,
        codec: EventCodec,
        clock: Clock | None = None,
        context_of: Callable[[type], str] = lambda _: "app",
        elsewhere: Mapping[type[ReadModel], Storage] | None = None,
        computed: Mapping[type[ReadModel], int] | None = None,
    ) -> None:
        self.storage, self.codec = storage, codec
        self.clock: Clock = clock or SystemClock()
        self._context_of = context_of
        self._elsewhere = dict(elsewhere or {})
        self._computed = dict(computed or {})
        self.inline: Inline | None = None
        self._aggregate_types: dict[type, AggregateType[Any]] = {}
        self._decider_types: dict[int, DeciderType[Any, Any, Any]] = {}
        self._row_types: dict[type, RowType[Any]] = {}
        self._live_rows: dict[type, LiveRows[Any]] = {}
        self._snapshots = SnapshotRows(storage)
        self._snapshot_writer = SnapshotWriter()
        self._sources = StreamSources(
            storage, codec, self.clock, self._snapshots, self._snapshot_writer, self.drop_caches
        )
        if codec.registry.personal is not None:
            _follow(codec.registry.personal, self)

    def aggregate_type(self, cls: type[A]) -> AggregateType[A]:
        """Return how aggregates of *cls* are loaded and stored."""
        known = self._aggregate_types.get(cls)
        if known is None:
            known = self._aggregate_types[cls] = AggregateType(
                cls,
                context=options_of(cls).context or self._context_of(cls),
                sources=self._sources,
            )
        return cast("AggregateType[A]", known)

    def decider_type(self, decider: Decider[Any, Any, Any]) -> DeciderType[Any, Any, Any]:
        """Return how *decider*'s streams are loaded."""
        known = self._decider_types.get(id(decider))
        if known is None:
            known = self._decider_types[id(decider)] = DeciderType(
                decider,
                context=decider.context or self._context_of(decider.events[0]),
                sources=self._sources,
            )
        return known

    def row_type(self, model: type[M]) -> RowType[M]:
        """Return how rows of *model* are stored."""
        known = self._row_types.get(model)
        if known is None:
            known = self._row_types[model] = RowType(
                model, context=self._context_of(model), codec=self.codec
            )
        return cast("RowType[M]", known)

    def live_rows(self, model: type[M]) -> LiveRows[M]:
        """Return what reads the rows of *model* where they are now."""
        known = self._live_rows.get(model)
        if known is None:
            known = self._live_rows[model] = LiveRows(
                self.row_type(model), self.storage_of(model), version=self._computed.get(model)
            )
        return cast("LiveRows[M]", known)

    async def look_again(self, conflict: ConflictError) -> None:
        """Find rows anew if *conflict* says that they have moved to another collection."""
        if self.inline is not None:
            await self.inline.look_again(conflict)
        if not isinstance(conflict, RowConflictError) or conflict.key != MOVED_KEY:
            return
        for rows in self._live_rows.values():
            if rows.collection == conflict.collection:
                await rows.look()

    def storage_of(self, model: type[ReadModel]) -> Storage:
        """Return the storage that holds the rows of *model*."""
        return self._elsewhere.get(model, self.storage)

    def drop_caches(self) -> None:
        """Forget all cached states: the log was rewound, or a person was forgotten."""
        caches = [known.cache for known in self._aggregate_types.values()]
        caches += [known.cache for known in self._decider_types.values()]
        for cache in caches:
            if cache is not None:
                cache.clear()

    async def write_snapshots(self, *, seconds: float | None = None) -> None:
        """Return when no snapshot waits to be written; after *seconds* the rest is dropped."""
        await self._snapshot_writer.drain(seconds=seconds)

    async def prepare(
        self,
        *,
        aggregates: Iterable[type[Aggregate]] = (),
        models: Iterable[type[ReadModel]] = (),
    ) -> None:
        """Make room in the storages for the rows of *aggregates* and *models*.

        Raises:
            ConfigurationError: they don't fit what is stored.
        """
        here: list[CollectionSpec] = []
        for cls in aggregates:
            if cls.loading_options().snapshots.wanted:
                await self._snapshots.prepare()
            spec = self.aggregate_type(cls).spec
            if spec is not None:
                here.append(spec)
        if here:
            await self.storage.prepare_collections(here)
        for model in models:
            await self.live_rows(model).look()


def _follow(personal: PersonalData, types: "StoredTypes") -> None:
    """Drop the caches of *types* when somebody is forgotten, as long as anybody uses them."""
    watched = weakref.ref(types)

    def on_forgotten(_: Collection[str]) -> None:
        followed = watched()
        if followed is not None:
            followed.drop_caches()

    weakref.finalize(types, personal.on_forgotten(on_forgotten)).atexit = False
