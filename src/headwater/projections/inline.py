"""Inline projections: rows computed by the unit of work that appends the events, and committed
together with them.

The unit reads the rows of its events at its commit, folds, and writes them guarded by the versions
that it has read; another unit that was first makes it run again. What is appended past units of
work (an event store's `append`, the outbox, an import) is not seen.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from headwater.clock import Clock, microseconds_since_epoch
from headwater.domain.read_model import ReadModel
from headwater.errors import ConflictError, RowConflictError, UnknownEventError
from headwater.metadata import Recorded
from headwater.operations.projections.building import stored_generations
from headwater.operations.projections.generations import GENERATIONS, Generation, Generations
from headwater.ports.changes import RowChange
from headwater.projections.plan import ProjectionPlan
from headwater.unit_of_work.collecting import Collecting
from headwater.unit_of_work.row_type import RowType

M = TypeVar("M", bound=ReadModel)

FENCE_LOOK_SECONDS: Final = 0.02
"""How often a unit of work looks whether a switch that it waits for is done."""


class _NotStored(msgspec.Struct, frozen=True):
    type: str
    position: int = 0


class _Appending(msgspec.Struct, frozen=True):
    """An event that is about to be appended."""

    payload: object

    @property
    def stored(self) -> _NotStored:
        return _NotStored(type(self.payload).__qualname__)

    @property
    def recorded(self) -> Recorded[Any]:
        # The wiring has no inline projection whose methods take it.
        raise UnknownEventError("An inline projection", "a record of its event")


class InlineProjection(Generic[M]):
    """One projection whose rows are computed inline, if they are in the live generation."""

    def __init__(self, plan: ProjectionPlan[M], clock: Clock) -> None:
        self.plan, self._clock = plan, clock
        self._folding = plan.folding
        self._generations = Generations(plan.name, plan.wanted.spec.name)
        self._type: RowType[M] = plan.folding.type
        self._takes: dict[type, bool] = {}

    async def load(self) -> None:
        """Find out which generation is live."""
        self._generations = await stored_generations(self.plan.target, self.plan.wanted)
        live = self._live
        if live is not None:
            self._type = self._folding.type.in_collection(live.collection)
            await self.plan.target.prepare_collections([self._type.spec])

    @property
    def _live(self) -> Generation | None:
        live = self._generations.live
        return live if live is not None and live.inline and self.plan.computes(live) else None

    def takes(self, event: type) -> bool:
        """Return whether it has a method for *event*."""
        known = self._takes.get(event)
        if known is None:
            folds = self._folding.folds.events
            known = self._takes[event] = any(base in folds for base in event.__mro__)
        return known

    async def compute(self, unit: Collecting, events: Sequence[object]) -> None:
        """Fold *events*, which *unit* is about to commit, into rows that are committed with them.

        Raises:
            RowMissingError, ProjectionKeyError: as `Folding.fold`.
        """
        while self._generations.fenced_until > microseconds_since_epoch(self._clock.now()):
            await asyncio.sleep(FENCE_LOOK_SECONDS)
            await self.load()
        found = self._generations
        # Whoever switches meanwhile refuses this commit.
        unit.rows.was_read(GENERATIONS.name, found.collection, found.row_version)
        if self._live is None:
            return
        taken = [_Appending(event) for event in events]
        rows = await self._rows(unit, [self._folding.key_of(event) for event in taken])
        for event in taken:
            key = self._folding.key_of(event)
            rows[key] = self._folding.fold(event, key, rows[key])
        for key, row in rows.items():
            if row is not None:
                unit.rows.write(self._type.written(row, expected=None))
            else:
                unit.rows.write(RowChange(self._type.name, key, None))

    async def _rows(self, unit: Collecting, keys: Sequence[str]) -> dict[str, M | None]:
        name, rows = self._type.name, dict[str, M | None]()
        stored = await self.plan.target.get_rows(name, tuple(dict.fromkeys(keys)))
        for key in keys:
            row, written = stored.get(key), unit.rows.pending(name, key)
            unit.rows.was_read(name, key, row.version if row is not None else 0)
            if written is not None:
                data = written.data
                rows[key] = self._type.decode_data(data) if data is not None else None
            else:
                rows[key] = self._type.decode(row) if row is not None else None
        return rows


class InlineProjections:
    """All inline projections of an app; units of work ask it at their commit."""

    def __init__(self, projections: Sequence[InlineProjection[Any]]) -> None:
        self._projections = tuple(projections)

    async def load(self) -> None:
        """Find out which generations are live."""
        for projection in self._projections:
            await projection.load()

    async def compute(self, unit: Collecting) -> None:
        """Add to *unit* the rows that its events make."""
        events = [sealed.event for _, sealed in unit.collected()]
        for projection in self._projections:
            taken = [event for event in events if projection.takes(type(event))]
            if taken:
                await projection.compute(unit, taken)

    async def look_again(self, conflict: ConflictError) -> None:
        """Find out anew which generation is live, if *conflict* says that another one is."""
        if isinstance(conflict, RowConflictError) and conflict.collection == GENERATIONS.name:
            await self.load()
