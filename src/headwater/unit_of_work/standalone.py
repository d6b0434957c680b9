"""Repositories outside a mediator: each call is a unit of work of its own."""

from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from uuid import UUID

from headwater.clock import Moment
from headwater.domain.aggregate import Aggregate
from headwater.domain.decider import Decider
from headwater.unit_of_work.difference import Difference

if TYPE_CHECKING:
    from headwater.unit_of_work.repository import Repository
    from headwater.unit_of_work.unit import UnitOfWork
    from headwater.unit_of_work.units import Units

A = TypeVar("A", bound=Aggregate)
T = TypeVar("T")
C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


class StandaloneRepository(Generic[A]):
    """The aggregates of one class, for scripts and services without a mediator."""

    def __init__(self, units: "Units", aggregate: type[A]) -> None:
        self._units, self._aggregate = units, aggregate

    async def get(self, id: UUID | str | int, *, as_of: Moment | None = None) -> A:
        """Return the aggregate under *id* as it is stored now, or was *as_of*, to look at.

        *as_of* is a version, an aware datetime by which its events were recorded, or a receipt.

        Raises:
            AggregateNotFoundError: there is none, or there was none yet.
            HistoryUnavailableError: the log can't show it as it was then.
        """
        return await self._reading().get(id, as_of=as_of)

    async def find(self, id: UUID | str | int, *, as_of: Moment | None = None) -> A | None:
        """Return the aggregate under *id* as it is stored now, or was *as_of*; None if there
        is none."""
        return await self._reading().find(id, as_of=as_of)

    async def diff(
        self,
        id: UUID | str | int,
        before: Moment,
        after: Moment | None = None,
    ) -> Difference:
        """Return what differs between two versions or times; see `Repository.diff`."""
        return await self._reading().diff(id, before, after)

    def _reading(self) -> "Repository[A]":
        return self._units.new(reads_only=True).repository(self._aggregate)

    async def add(self, aggregate: A) -> None:
        """Store a new *aggregate*.

        Raises:
            AggregateExistsError: its id is taken.
        """

        async with self._units.unit_of_work() as unit:
            unit.repository(self._aggregate).add(aggregate)

    async def update(self, id: UUID | str | int, change: Callable[[A], T | Awaitable[T]]) -> T:
        """Load the aggregate, let *change* act on it, commit; again from the start on conflict.

        Raises:
            AggregateNotFoundError: there is none.
            ConflictError: still in conflict after the last rerun.
        """

        async def work(unit: "UnitOfWork") -> T:
            aggregate = await unit.repository(self._aggregate).get(id)
            result: Any = change(aggregate)
            return await result if isawaitable(result) else cast("T", result)

        return (await self._units.run(work)).result


class StandaloneDecider(Generic[C, S, E]):
    """The streams of one decider, for scripts and services without a mediator."""

    def __init__(self, units: "Units", decider: Decider[C, S, E]) -> None:
        self._units, self._decider = units, decider

    async def decide(self, id: UUID | str | int, command: C) -> Sequence[E]:
        """Decide on *command* and commit the new events; again from the start on conflict.

        Raises:
            ConflictError: still in conflict after the last rerun.
        """

        async def work(unit: "UnitOfWork") -> Sequence[E]:
            return await unit.decide(self._decider, id, command)

        return (await self._units.run(work)).result

    async def state(self, id: UUID | str | int, *, as_of: Moment | None = None) -> S:
        """Return the state of the stream of *id* now, or as of a version or an aware datetime.

        Of a stream that is not there it is the state that all begin with.

        Raises:
            HistoryUnavailableError: the log can't show it as it was then.
        """
        loaded = await self._units.decider_type(self._decider).load(id, as_of=as_of)
        return cast("S", loaded.state)

    async def diff(
        self,
        id: UUID | str | int,
        before: Moment,
        after: Moment | None = None,
    ) -> Difference:
        """Return what differs between two versions or times; see `Repository.diff`."""
        return await self._units.decider_type(self._decider).diff(id, before, after)
