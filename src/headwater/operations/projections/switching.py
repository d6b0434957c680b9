"""Switches a projection's readers from the live generation to the one that was built beside it.

Both are stopped at one position, their rows are compared, and one commit flips the pointer and
retires the old one, so that nothing more of its workers is written.
"""

import asyncio
import time
from contextlib import suppress
from typing import Final

import msgspec

from headwater.errors import ConfigurationError, SwitchError
from headwater.operations.control import CONTROL_ROWS, read_control, resume, stop_at
from headwater.operations.dead_letters.deliveries import DELIVERIES
from headwater.operations.progress import Progress, no_progress
from headwater.operations.projections.comparing import RowDifferences, differences
from headwater.operations.projections.generations import (
    GENERATIONS,
    MOVED_KEY,
    Generation,
    Generations,
    GenerationState,
    read_generations,
)
from headwater.ports.changes import Changes, CheckpointMove, RowChange, TagCondition
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
        SwitchError: nothing is being built, or one of the two has not come to the position within
            *seconds*; both go on then.
        StorageError: a storage can't be used.
    """
    found = await _generations(storage, collection)
    building = found.building
    if building is None:
        raise SwitchError(
            found.projection, "nothing is being built beside it", "Begin a rebuild first."
        )
    live = found.live
    stopped = None if live is None or live.inline or live_stands else live
    reason = f"generation {building.number} takes over"
    both = [one.subscription for one in (stopped, building) if one is not None]
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
    """Return *meeting* with the rows of both compared, if there is something to compare."""
    live = meeting.generations.live
    if live is None:
        return meeting
    await _make_known(storage, live, meeting.building)
    found = await differences(
        storage, live.collection, meeting.building.collection, progress=progress
    )
    return msgspec.structs.replace(meeting, differences=found)


async def part(storage: Storage, meeting: Meeting, *, by: str = "") -> None:
    """Let both generations go on as before."""
    both = [one.subscription for one in (meeting.live, meeting.building) if one is not None]
    await _go_on(storage, both, by=by)


async def flip(
    storage: Storage,
    meeting: Meeting,
    *,
    by: str = "",
    reason: str = "",
    accept_parked: bool = False,
    no_event_of: frozenset[str] = frozenset(),
) -> Generation:
    """Make the generation that was built the live one, in one commit; return it.

    The old one keeps its rows, and is never worked again. With *no_event_of* the commit is
    refused if an event of these stored types has come after the position.

    Raises:
        SwitchError: keys are parked in the new one, and that is not accepted.
        ConflictError: somebody has switched, or let one of them go on, meanwhile.
        TagConditionError: such an event has come.
    """
    if meeting.parked and not accept_parked:
        raise SwitchError(
            meeting.generations.projection,
            f"{meeting.parked} events are held back in generation {meeting.building.number}",
            "Mend them first (headwater dlq list), or accept rows without them.",
        )
    building = meeting.building
    rows: list[RowChange] = []
    old = meeting.generations.live
    kept = meeting.generations
    if old is not None:
        kept = kept.having(msgspec.structs.replace(old, state=GenerationState.OLD))
        rows.append(await _moved(storage, old))
        if not old.inline:
            control = await read_control(storage, old.subscription)
            rows.append(
                control.changed(
                    old.subscription, retired=True, by=by, reason=reason or _replaced(building)
                )
            )
    live = msgspec.structs.replace(building, state=GenerationState.LIVE, to_compare=False)
    kept = msgspec.structs.replace(kept.having(live), fenced_until=0)
    control = await read_control(storage, building.subscription)
    if control.stop_at != meeting.position:
        raise SwitchError(
            kept.projection,
            f"generation {building.number} was let go on meanwhile",
            "Begin the switch again.",
        )
    rows.append(
        control.changed(
            building.subscription,
            stop_at=None,
            retired=building.inline,
            by=by,
            reason="computed inline" if building.inline else "",
        )
    )
    rows.append(kept.change())
    await storage.commit(
        Changes(
            conditions=(TagCondition((), meeting.position, no_event_of),) if no_event_of else (),
            rows=tuple(rows),
            checkpoints=tuple(await _standing(storage, [meeting.live, building], meeting.position)),
        )
    )
    return live


async def parked_entries(storage: Storage, subscription: str) -> int:
    """Return how many events are held back in *subscription*, dead, delayed or waiting."""
    if all(spec.name != DELIVERIES.name for spec in await storage.collections()):
        return 0
    await storage.prepare_collections([DELIVERIES])
    wanted = Condition("subscription", Comparison.EQUAL, subscription)
    return await storage.count_rows(DELIVERIES.name, (wanted,))


async def _generations(storage: Storage, collection: str) -> Generations:
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
    seconds: float,
    progress: Progress,
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


async def _go_on(storage: Storage, subscriptions: list[str], *, by: str) -> None:
    for subscription in subscriptions:
        # One that was retired or dropped meanwhile has nothing to go on with.
        with suppress(ConfigurationError):
            await resume(storage, subscription, by=by)


async def _moved(storage: Storage, generation: Generation) -> RowChange:
    """Return the row that tells readers of *generation* to look for the rows elsewhere."""
    (spec,) = await _make_known(storage, generation)
    return RowChange(spec.name, MOVED_KEY, "{}", (None,) * len(spec.indexed), expected=0)


async def _make_known(storage: Storage, *generations: Generation) -> list[CollectionSpec]:
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


async def _standing(
    storage: Storage, generations: list[Generation | None], position: int
) -> list[CheckpointMove]:
    """Return what refuses a commit unless all partitions of *generations* stand at *position*."""
    moves: list[CheckpointMove] = []
    for generation in generations:
        if generation is not None:
            name = generation.subscription
            moves += [
                CheckpointMove(name, state.partition, position, position, state.checkpoint.event_id)
                for state in await storage.partition_states(name)
            ]
    return moves


def _replaced(by: Generation) -> str:
    return f"replaced by generation {by.number}"
