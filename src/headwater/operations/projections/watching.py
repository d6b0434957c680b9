"""Looks at how generations fare, and waits for them."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from headwater.errors import WaitTimeoutError
from headwater.operations.control import CONTROL_ROWS, read_control
from headwater.operations.progress import Progress, no_progress
from headwater.operations.projections.generations import (
    Generation,
    Generations,
    GenerationState,
    all_generations,
)
from headwater.operations.projections.meeting import parked_entries
from headwater.ports.storage import Storage

LOOK_SECONDS: Final = 0.2
"""How often a wait looks how far a generation is."""


class GenerationStatus(msgspec.Struct, frozen=True):
    """One look at one generation of a projection.

    `position` is what all partitions have reached, `head` the end of the log; of one that is
    computed inline, and live, both are that. `partitions` of it are worked by `workers`. `waits`
    says why nobody may work it. `held` is how many events are held back.
    """

    projection: str
    number: int
    version: int
    state: GenerationState
    inline: bool
    collection: str
    subscription: str
    begun_at: int
    position: int
    head: int
    partitions: int = 0
    workers: int = 0
    waits: str | None = None
    held: int = 0

    @property
    def lag(self) -> int:
        """How many positions it is behind the head."""
        return max(0, self.head - self.position)


async def look_at_all(log: Storage, storage: Storage) -> tuple[GenerationStatus, ...]:
    """Return all generations of all projections with rows in *storage*, which read *log*."""
    return tuple(
        [
            await look_at(log, storage, found, generation)
            for found in await all_generations(storage)
            for generation in found.generations
        ]
    )


async def look_at(
    log: Storage, storage: Storage, found: Generations, generation: Generation
) -> GenerationStatus:
    """Return how *generation*, one of *found*, fares."""
    head = await log.head()
    status = GenerationStatus(
        found.projection,
        generation.number,
        generation.version,
        generation.state,
        generation.inline,
        generation.collection,
        generation.subscription,
        generation.begun_at,
        head,
        head,
    )
    if generation.inline and generation.state is not GenerationState.BUILDING:
        return status
    known = {one.name: one.checkpoints for one in await storage.subscriptions()}
    if generation.subscription not in known:
        return msgspec.structs.replace(status, position=0)
    states = await storage.partition_states(generation.subscription)
    await storage.prepare_collections([CONTROL_ROWS])
    control = await read_control(storage, generation.subscription)
    waits = control.waits_for
    if waits is None and control.stop_at is not None:
        waits = f"stops at position {control.stop_at}: {control.reason}"
    return msgspec.structs.replace(
        status,
        position=min(state.checkpoint.position for state in states),
        partitions=len(states),
        workers=len({state.worker for state in states} - {None}),
        waits=waits,
        held=await parked_entries(storage, generation.subscription),
    )


async def until_reached(
    storage: Storage,
    subscriptions: Sequence[str],
    position: int,
    *,
    seconds: float | None = None,
    progress: Progress = no_progress,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Return when all partitions of *subscriptions* have reached *position*.

    *progress* hears of the lowest of them; *check* is called now and then and raises what makes
    waiting of no use.

    Raises:
        WaitTimeoutError: that took more than *seconds*.
    """
    until = None if seconds is None else time.monotonic() + seconds
    while True:
        check()
        lowest = position
        for subscription in subscriptions:
            states = await storage.partition_states(subscription)
            lowest = min(lowest, *(state.checkpoint.position for state in states))
        progress(lowest, position)
        if lowest >= position:
            return
        if until is not None and time.monotonic() > until:
            raise WaitTimeoutError(
                ", ".join(subscriptions), target=position, reached=lowest, seconds=seconds or 0.0
            )
        await asyncio.sleep(LOOK_SECONDS)
