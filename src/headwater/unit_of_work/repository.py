"""Repositories: aggregates by id, one instance each within a unit of work."""

from typing import TYPE_CHECKING, Generic, TypeVar
from uuid import UUID

from headwater.clock import Moment
from headwater.domain.aggregate import Aggregate
from headwater.errors import AggregateNotFoundError, ConflictError, UnitOfWorkError
from headwater.unit_of_work.difference import Difference
from headwater.unit_of_work.tracking import Tracked

if TYPE_CHECKING:
    from headwater.unit_of_work.aggregate_type import AggregateType
    from headwater.unit_of_work.unit import UnitOfWork

A = TypeVar("A", bound=Aggregate)


class Repository(Generic[A]):
    """The aggregates of one class, within a unit of work.

    What was got is guarded: if another writer changed it before the commit, the handler runs
    again. There is no save: what an aggregate recorded is committed when the handler ends.
    """

    def __init__(self, type: "AggregateType[A]", unit: "UnitOfWork") -> None:
        self._type, self._unit = type, unit

    async def get(self, id: UUID | str | int, *, as_of: Moment | None = None) -> A:
        """Return the aggregate under *id*, the same instance each time.

        With *as_of*, a version, an aware datetime or a receipt, it is another instance, as it
        was then, to look at: nothing can be recorded on it, and what this unit has recorded is
        not in it. At a time, what was recorded in the log by then counts.

        Raises:
            AggregateNotFoundError: there is none, or there was none yet.
            UnknownEventError: its stream holds an event that the class does not apply.
            HistoryUnavailableError: the log can't show it: it has not come to that version, the
                events were erased, or the class is stored as state.
            MomentError: *as_of* can't name a version or time.
        """
        found = await self.find(id, as_of=as_of)
        if found is None:
            raise AggregateNotFoundError(self._type.cls.__name__, id)
        return found

    async def find(self, id: UUID | str | int, *, as_of: Moment | None = None) -> A | None:
        """Return the aggregate under *id*, None if there is none; *as_of* as in `get`."""
        self._unit.check_open()
        if as_of is not None:
            return await self._type.load_as_of(id, as_of)
        key = (self._type.cls, str(id))
        tracked = self._unit.aggregates.here(key)
        if tracked is None:
            tracked = await self._load(id, key)
            # Another task of the same handler may have loaded it meanwhile: the first one counts.
            tracked = self._unit.aggregates.here(key) or tracked
            self._unit.aggregates.track(key, tracked)
        aggregate = tracked.aggregate
        return aggregate if isinstance(aggregate, self._type.cls) else None

    async def diff(
        self,
        id: UUID | str | int,
        before: Moment,
        after: Moment | None = None,
    ) -> Difference:
        """Return which attributes differ between two versions or times, and the events between.

        *before* may be 0: before the first event; without *after* it is compared with what is
        stored now.

        Raises:
            HistoryUnavailableError: the log can't show one of the two, as in `get`.
            LimitExceededError: more than `DIFFERENCE_EVENTS_MAX` events lie between them.
            MomentError: one can't name a version or time, or *before* comes after *after*.
        """
        self._unit.check_open()
        return await self._type.diff(id, before, after)

    def add(self, aggregate: A) -> None:
        """Take over a new *aggregate*; its stream must be empty at the commit.

        If it is not, the commit raises `AggregateExistsError`; where `find` had found nothing
        before, the handler runs again instead, and finds it.

        Raises:
            UnitOfWorkError: it was stored before, or its id was got or added already.
        """
        self._unit.check_open()
        key = (self._type.cls, str(aggregate.id))
        known = self._unit.aggregates.here(key)
        if known is not None and known.aggregate is aggregate:
            return
        if known is not None and known.aggregate is not None:
            raise UnitOfWorkError(
                f"{self._type.cls.__name__} {aggregate.id} is in this unit of work already. Get "
                f"it and change that instance."
            )
        if aggregate.committed_version:
            raise UnitOfWorkError(
                f"{self._type.cls.__name__} {aggregate.id} was stored before. Get it within the "
                f"unit of work that changes it."
            )
        self._unit.aggregates.track(
            key,
            Tracked(
                self._type.stream_id(aggregate.id),
                aggregate,
                base=0,
                added=known is None,
            ),
        )

    async def _load(self, id: UUID | str | int, key: tuple[type, str]) -> Tracked:
        around = self._unit.aggregates.around(key)
        if around is None:
            tracked = await self._type.load(id)
            if tracked.aggregate is None and not self._type.cls.stored_as_state:
                self._unit.found_empty.add(tracked.stream_id)
            return tracked
        try:
            return await self._type.load_onto(id, around)
        except ConflictError:
            self._unit.note_conflict()
            raise
