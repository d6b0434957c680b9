"""Finds the generations of projections in the storages that a command looks at."""

from contextlib import AsyncExitStack

import msgspec

from headwater.cli.running import Place
from headwater.cli.storages import opened_storages
from headwater.clock import SystemClock, microseconds_since_epoch
from headwater.errors import ConfigurationError, SwitchError
from headwater.operations.progress import Progress
from headwater.operations.projections.generations import Generation, Generations, all_generations
from headwater.operations.projections.watching import (
    GenerationStatus,
    look_at,
    look_at_all,
    until_reached,
)
from headwater.ports.storage import Storage


class FoundProjection(msgspec.Struct, frozen=True):
    """A projection as stored: in which storage its rows are, and its generations."""

    log: Storage
    storage: Storage
    generations: Generations

    async def statuses(self) -> list[GenerationStatus]:
        """Return how each generation fares."""
        found = self.generations
        return [await look_at(self.log, self.storage, found, one) for one in found.generations]

    async def until_built(self, *, seconds: float | None, progress: Progress) -> GenerationStatus:
        """Return when what is being built has come to where the log ends now.

        Raises:
            SwitchError: nothing is being built.
            WaitTimeoutError: it took more than *seconds*.
        """
        building = self.generations.building
        if building is None:
            problem = "nothing is being built"
            raise SwitchError(self.generations.projection, problem, "Begin a rebuild first.")
        position = await self.log.head()
        await until_reached(
            self.storage, [building.subscription], position, seconds=seconds, progress=progress
        )
        return await look_at(self.log, self.storage, self.generations, building)

    def numbered(self, number: int) -> Generation:
        """Return generation *number*.

        Raises:
            ConfigurationError: there is none.
        """
        found = self.generations.numbered(number)
        if found is None:
            there = ", ".join(str(one.number) for one in self.generations.generations)
            raise ConfigurationError(
                f"{self.generations.projection} has no generation {number}; there are: {there}."
            )
        return found

    def worked(self, number: int | None) -> Generation:
        """Return generation *number*, by default the one that is built, else the live one.

        Raises:
            ConfigurationError: there is none, or no subscription works it.
        """
        if number is not None:
            one: Generation | None = self.numbered(number)
        else:
            one = self.generations.building or self.generations.live
        if one is None or not one.worked:
            raise ConfigurationError(
                f"{self.generations.projection} has no such generation that a subscription works."
            )
        return one

    @staticmethod
    def now() -> int:
        """The time in microseconds since 1970 UTC."""
        return microseconds_since_epoch(SystemClock().now())


async def all_statuses(opened: AsyncExitStack, place: Place) -> list[GenerationStatus]:
    """Return all generations in all storages of *place*, which *opened* closes."""
    log = await opened.enter_async_context(place.opened())
    return [
        one
        for _, storage, _ in await opened_storages(opened, place, log)
        for one in await look_at_all(log, storage)
    ]


async def found_projection(opened: AsyncExitStack, place: Place, name: str) -> FoundProjection:
    """Return the projection *name*, wherever its rows are; *opened* closes the storages.

    Raises:
        ConfigurationError: there is none of that name.
    """
    log = await opened.enter_async_context(place.opened())
    names: list[str] = []
    for _, storage, _ in await opened_storages(opened, place, log):
        for one in await all_generations(storage):
            if one.projection == name:
                return FoundProjection(log, storage, one)
            names.append(one.projection)
    raise ConfigurationError(
        f"No projection {name!r} has rows here; there are: {', '.join(sorted(names)) or '(none)'}."
    )
