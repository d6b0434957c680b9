"""Stops the two generations of a projection at one position, where their rows can be compared."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from headwater.errors import ConfigurationError, ConflictError, SwitchError
from headwater.operations.control import CONTROL_ROWS, read_control, stop_at
from headwater.operations.dead_letters.deliveries import DELIVERIES
from headwater.operations.progress import Progress, no_progress
from headwater.operations.projections.comparing import RowDifferences, differences
from headwater.operations.projections.generations import (
    GENERATIONS,
    Generation,
    Generations,
    read_generations,
)
from headwater.ports.changes import Changes
from headwater.ports.rows import CollectionSpec, Comparison, Condition
from headwater.ports.storage import Storage

STOP_SECONDS: Final = 30.0
"""How long a switch waits for workers to come to the position at which both are to stand."""

LOOK_SECONDS: Final = 0.05
"""How often it looks meanwhile."""


class Meeting(msgspec.Struct, frozen=True):
    """Two generations that stand at one position, and stay there until they are let go.

    `live` is None where there is none yet, or it is computed inline and can't be stopped.
    """

    generations: Generations
    live: Generation | None
    building: Generation
    position: int
    parked: int
    differences: RowDifferences | None = None


async def meet(
    log: Storage,
    storage: Storage,
    collection: str,
    *,
    by: str = "",
    seconds: float = STOP_SECONDS,
    live_stands: bool = False,
    progress: Progress = no_progress,
) -> Meeting:
    """Stop the live generation and the one being built at one position; return where.

    Workers of both have to be there to come to it. With *live_stands* the live one stays where
    it is, because no worker has its code any more, and is not waited for.

    Raises:
        SwitchError: nothing is being built, one of the two is paused, or has not come to the
            position within *seconds*; then both go on as before.
        StorageError: a storage can't be used.
    """
    found = await generations_in(storage, collection)
    building = found.building
    if building is None:
        raise SwitchError(
            found.projection, "nothing is being built beside it", "Begin a rebuild first."
        )
    live = found.live
    stopped = None if live is None or live.inline or live_stands else live
    reason = f"generation {building.number} takes over"
    generations = [one for one in (stopped, building) if one is not None]
    await _check_not_paused(storage, found.projection, generations)
    both = [one.subscription for one in generations]
    position = await log.head()
    try:
        while True:
            at = position
            for subscription in both:
                position = await stop_at(storage, subscription, position, by=by, reason=reason)
            if position == at:
                break
        for subscription in both:
            await _come_to(
                storage,
                found.projection,
                subscription,
                position,
                seconds=seconds,
                progress=progress,
            )
    except ConfigurationError as error:
        await _go_on(storage, both, by=by)
        problem = "somebody has switched or dropped a generation meanwhile"
        raise SwitchError(found.projection, problem, "Look at what there is now.") from error
    except BaseException:
        await _go_on(storage, both, by=by)
        raise
    parked = await parked_entries(storage, building.subscription)
    return Meeting(found, stopped, building, position, parked)


async def compare(
    storage: Storage, meeting: Meeting, *, progress: Progress = no_progress
) -> Meeting:
    """Return *meeting* with the rows of both compared, if there is something to compare.

    A live one that is computed inline goes on meanwhile, so what differs has to be looked at again
    where it stands: `compare_standing`.
    """
    live, building = meeting.generations.live, meeting.building
    if live is None:
        return meeting
    await make_known(storage, live, building)
    before, after = live.collection, building.collection
    found = await differences(storage, before, after, progress=progress)
    return msgspec.structs.replace(meeting, differences=found)


async def meet_again(log: Storage, storage: Storage, meeting: Meeting) -> Meeting:
    """Let the one that is being built come to the head of the log as it is now."""
    name = meeting.building.subscription
    control = await read_control(storage, name)
    position = await stop_at(storage, name, await log.head(), by=control.by, reason=control.reason)
    await _come_to(storage, meeting.generations.projection, name, position)
    return msgspec.structs.replace(meeting, position=position)


async def part(storage: Storage, meeting: Meeting, *, by: str = "") -> None:
    """Let both generations go on as before."""
    both = [one.subscription for one in (meeting.live, meeting.building) if one is not None]
    await _go_on(storage, both, by=by)


async def parked_entries(storage: Storage, subscription: str) -> int:
    """Return how many events are held back in *subscription*, dead, delayed or waiting."""
    if all(spec.name != DELIVERIES.name for spec in await storage.collections()):
        return 0
    await storage.prepare_collections([DELIVERIES])
    wanted = Condition("subscription", Comparison.EQUAL, subscription)
    return await storage.count_rows(DELIVERIES.name, (wanted,))


async def generations_in(storage: Storage, collection: str) -> Generations:
    await storage.prepare_collections([GENERATIONS, CONTROL_ROWS])
    found = await read_generations(storage, collection)
    if found is None:
        raise ConfigurationError(f"No projection has its rows in {collection!r} here.")
    return found


async def _come_to(
    storage: Storage,
    projection: str,
    subscription: str,
    position: int,
    *,
    seconds: float = STOP_SECONDS,
    progress: Progress = no_progress,
) -> None:
    until = time.monotonic() + seconds
    lowest = -1
    while True:
        states = await storage.partition_states(subscription)
        before, lowest = lowest, min(state.checkpoint.position for state in states)
        progress(lowest, position)
        if lowest == position:
            return
        if lowest > before:
            until = time.monotonic() + seconds
        elif time.monotonic() > until:
            owned = sum(state.worker is not None for state in states)
            raise SwitchError(
                projection,
                f"{subscription!r} has not moved from position {lowest} to {position} for "
                f"{seconds:g} s; {owned} of its {len(states)} partitions have a worker",
                "Run workers with its code, or mend what it has stopped at.",
            )
        await asyncio.sleep(LOOK_SECONDS)


async def _check_not_paused(
    storage: Storage, projection: str, generations: Sequence[Generation]
) -> None:
    for one in generations:
        control = await read_control(storage, one.subscription)
        if control.paused:
            problem = f"generation {one.number} {control.waits_for}"
            raise SwitchError(projection, problem, "Resume it first: it can't be stopped for this.")


async def _go_on(storage: Storage, subscriptions: Sequence[str], *, by: str) -> None:
    for subscription in subscriptions:
        while True:
            control = await read_control(storage, subscription)
            # What was retired, dropped, or let go on meanwhile has nothing to go on with; and who
            # has paused it meanwhile wants that still.
            if control.stop_at is None or control.retired:
                break
            said = {} if control.paused else {"by": by, "reason": ""}
            changed = control.changed(subscription, stop_at=None, **said)
            with suppress(ConflictError):
                await storage.commit(Changes(rows=(changed,)))
                break


async def make_known(storage: Storage, *generations: Generation) -> list[CollectionSpec]:
    """Make the collections of *generations* usable here, as they are declared; return how.

    Raises:
        SwitchError: one is not there any more.
    """
    specs = {spec.name: spec for spec in await storage.collections()}
    for one in generations:
        if one.collection not in specs:
            problem = f"the rows of generation {one.number} were dropped meanwhile"
            raise SwitchError(one.subscription, problem, "Look at what there is now.")
    found = [specs[one.collection] for one in generations]
    await storage.prepare_collections(found)
    return found
