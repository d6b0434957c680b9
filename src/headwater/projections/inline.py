"""Inline projections: rows computed by the unit of work that appends the events, and committed
together with them.

The unit reads the rows of its events at its commit, folds, and writes them guarded by the versions
that it has read; another unit that was first makes it run again. What is appended past units of
work (an event store's `append`, the outbox, an import) is not seen.

Where the live rows are of a version that this code does not compute, its events are refused.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from headwater.clock import Clock, microseconds_since_epoch
from headwater.domain.read_model import ReadModel
from headwater.errors import (
    ConfigurationError,
    ConflictError,
    InlineVersionError,
    RowConflictError,
    UnknownEventError,
)
from headwater.metadata import Recorded
from headwater.operations.projections.building import stored_generations
from headwater.operations.projections.generations import GENERATIONS, Generations
from headwater.ports.changes import RowChange
from headwater.ports.rows import Row
from headwater.projections.plan import ProjectionPlan
from headwater.projections.write_order import writable_order
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


class _Known(msgspec.Struct, Generic[M], frozen=True):
    """Which generations there are, as this process has seen it last.

    `rows` is where they are computed inline; None: by a subscription, or not by this code.
    """

    generations: Generations
    rows: RowType[M] | None = None

    @property
    def has_inline(self) -> bool:
        """Whether some rows are computed inline now, or once they are switched to."""
        return any(one.inline for one in self.generations.generations)


class InlineProjection(Generic[M]):
    """One projection's part in units of work: its rows, where the live ones are computed inline.

    Also one that this code leaves to a subscription is looked after: while a release takes over in
    which it is inline, or is not any more, the events of both have to be in the rows.
    """

    def __init__(self, plan: ProjectionPlan[M], clock: Clock) -> None:
        self.plan, self._clock = plan, clock
        self._known: _Known[M] = _Known(Generations(plan.name, plan.wanted.spec.name))
        self._takes: dict[type, bool] = {}

    async def load(self) -> None:
        """Find out which generation is live."""
        await self.heard(await stored_generations(self.plan.target, self.plan.wanted))

    async def heard(self, found: Generations) -> None:
        """Go on with the generations that were *found*."""
        live = found.live
        if live is None or not live.inline or not self.plan.computes_inline(live):
            self._known = _Known(found)
            return
        rows = self.plan.folding.type.in_collection(live.collection)
        await self.plan.target.prepare_collections([rows.spec])
        self._known = _Known(found, rows)

    def takes(self, event: type) -> bool:
        """Return whether it has a method for *event*."""
        known = self._takes.get(event)
        if known is None:
            folds = self.plan.folding.folds.events
            known = self._takes[event] = any(base in folds for base in event.__mro__)
        return known

    async def compute(self, unit: Collecting, events: Sequence[object]) -> None:
        """Fold *events*, which *unit* is about to commit, into rows that are committed with them.

        Raises:
            InlineVersionError: the live rows are computed inline, not by this code.
            RowMissingError, ProjectionKeyError: as `Folding.fold`.
        """
        if not (self.plan.cls.inline or self._known.has_inline):
            return
        taken = [_Appending(event) for event in events]
        while True:
            known = await self._settled()
            if known.rows is None:
                break
            try:
                await self._compute(unit, taken, known.rows)
            except ConfigurationError:
                # The rows may have been dropped, after a switch that was not seen here.
                await self.load()
                if self._known.generations == known.generations:
                    raise
            else:
                break
        # Whoever switches meanwhile refuses this commit.
        found = known.generations
        unit.rows.was_read(GENERATIONS.name, found.collection, found.row_version)

    async def _settled(self) -> _Known[M]:
        """Return what is known once no switch is under way.

        Raises:
            InlineVersionError: the live rows are computed inline, not by this code.
        """
        looked = False
        while True:
            known = self._known
            if known.generations.fenced_until > microseconds_since_epoch(self._clock.now()):
                await asyncio.sleep(FENCE_LOOK_SECONDS)
            else:
                live = known.generations.live
                if live is None or not live.inline or known.rows is not None:
                    return known
                if looked:
                    raise InlineVersionError(
                        self.plan.name, live=live.version, code=self.plan.cls.version
                    )
                looked = True
            await self.load()

    async def _compute(
        self, unit: Collecting, taken: Sequence[_Appending], type: RowType[M]
    ) -> None:
        folding = self.plan.folding
        keys = [folding.key_of(event) for event in taken]
        stored = await self.plan.target.get_rows(type.name, tuple(dict.fromkeys(keys)))
        before = {key: self._before(unit, type, key, stored.get(key)) for key in keys}
        rows = dict(before)
        for event, key in zip(taken, keys, strict=True):
            rows[key] = folding.fold(event, key, rows[key])
        for key in writable_order(type, before, rows):
            row = rows[key]
            change = (
                type.written(row, expected=None)
                if row is not None
                else RowChange(type.name, key, None)
            )
            unit.rows.write(change)

    def _before(self, unit: Collecting, type: RowType[M], key: str, stored: Row | None) -> M | None:
        unit.rows.was_read(type.name, key, stored.version if stored is not None else 0)
        written = unit.rows.pending(type.name, key)
        if written is not None:
            return type.decode_data(written.data) if written.data is not None else None
        return type.decode(stored) if stored is not None else None


class InlineProjections:
    """All projections of an app with rows beside the log; units of work ask it at their commit."""

    def __init__(self, projections: Sequence[InlineProjection[Any]]) -> None:
        self._projections = {one.plan.name: one for one in projections}

    async def load(self) -> None:
        """Find out which generations are live."""
        for projection in self._projections.values():
            await projection.load()

    async def heard(self, found: Generations) -> None:
        """Go on with the generations of a projection that were *found*."""
        projection = self._projections.get(found.projection)
        if projection is not None:
            await projection.heard(found)

    async def compute(self, unit: Collecting) -> None:
        """Add to *unit* the rows that its events make."""
        events = [sealed.event for _, sealed in unit.collected()]
        for projection in self._projections.values():
            taken = [event for event in events if projection.takes(type(event))]
            if taken:
                await projection.compute(unit, taken)

    async def look_again(self, conflict: ConflictError) -> None:
        """Find out anew which generation is live, if *conflict* says that another one is."""
        if isinstance(conflict, RowConflictError) and conflict.collection == GENERATIONS.name:
            await self.load()
