"""Repositories outside a mediator: each call is a unit of work of its own."""

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from uuid import UUID

from headwater.domain.aggregate import Aggregate

if TYPE_CHECKING:
    from headwater.unit_of_work.unit import UnitOfWork
    from headwater.unit_of_work.units import Units

A = TypeVar("A", bound=Aggregate)
T = TypeVar("T")


class StandaloneRepository(Generic[A]):
    """The aggregates of one class, for scripts and services without a mediator."""

    def __init__(self, units: "Units", aggregate: type[A]) -> None:
        self._units, self._aggregate = units, aggregate

    async def get(self, id: UUID | str | int) -> A:
        """Return the aggregate under *id* as it is stored now, to look at.

        Raises:
            AggregateNotFoundError: there is none.
        """
        return await self._units.new(reads_only=True).repository(self._aggregate).get(id)

    async def find(self, id: UUID | str | int) -> A | None:
        """Return the aggregate under *id* as it is stored now, None if there is none."""
        return await self._units.new(reads_only=True).repository(self._aggregate).find(id)

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
