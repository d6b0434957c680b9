"""Switches a projection's readers from the live generation to the one that was built beside it.

One commit flips the pointer and retires the old generation, so that nothing more of its workers is
written.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from headwater.errors import SwitchError, TagConditionError
from headwater.operations.control import read_control
from headwater.operations.projections.comparing import second_look
from headwater.operations.projections.generations import (
    MOVED_KEY,
    Generation,
    GenerationState,
    read_generations,
    write_generations,
)
from headwater.operations.projections.meeting import (
    Meeting,
    generations_in,
    make_known,
    meet_again,
)
from headwater.ports.changes import Changes, CheckpointMove, RowChange, TagCondition
from headwater.ports.storage import Storage

FENCE_SECONDS: Final = 5.0
"""How long units of work wait at most for a switch to rows that are computed inline."""

SEEN_SECONDS: Final = 5.0
"""So long after it was begun every process knows of a generation that is to be computed inline,
and computes it in its units of work once it is live; they look each second."""

FENCES_MAX: Final = 5
"""How often such a switch is tried, if events go on to come past units of work."""


def check_nothing_is_held(meeting: Meeting) -> None:
    """Pass if the generation that was built has seen all events up to the position.

    Raises:
        SwitchError: some are held back in it, as dead, delayed or waiting.
    """
    if meeting.parked:
        raise SwitchError(
            meeting.generations.projection,
            f"{meeting.parked} events are held back in generation {meeting.building.number}",
            "Mend them first (headwater dlq list), or accept rows without them.",
        )


async def flip(
    storage: Storage,
    meeting: Meeting,
    *,
    by: str = "",
    reason: str = "",
    no_event_of: frozenset[str] = frozenset(),
) -> Generation:
    """Make the generation that was built the live one, in one commit; return it.

    The old one keeps its rows, and is never worked again. With *no_event_of* the commit is
    refused if an event of these stored types has come after the position.

    Raises:
        SwitchError: somebody has let the new one go on meanwhile.
        ConflictError: somebody has switched meanwhile.
        TagConditionError: such an event has come.
    """
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
    # Where rows are computed inline from now on, it is the log that has to stand still.
    standing = [building] if building.inline else [meeting.live, building]
    await storage.commit(
        Changes(
            conditions=(TagCondition((), meeting.position, no_event_of),) if no_event_of else (),
            rows=tuple(rows),
            checkpoints=tuple(await _standing(storage, standing, meeting.position)),
        )
    )
    return live


async def flip_inline(
    log: Storage, storage: Storage, meeting: Meeting, *, now: Callable[[], int], by: str = ""
) -> Generation:
    """As `flip`, for a generation that is computed inline from then on.

    Where rows were left to a subscription, it waits `SEEN_SECONDS` from the begin of the
    generation. Units of work wait for the switch, `FENCE_SECONDS` at most; *now* says the time in
    microseconds since 1970 UTC.

    Raises:
        SwitchError: events of the projection went on to come past units of work.
    """
    live = meeting.generations.live
    if live is not None and not live.inline:
        known = meeting.building.begun_at + round(SEEN_SECONDS * 1_000_000)
        await asyncio.sleep(min(SEEN_SECONDS, max(0, known - now()) / 1_000_000))
    types = frozenset((await read_control(storage, meeting.building.subscription)).types)
    for _ in range(FENCES_MAX):
        meeting = await _fenced(storage, meeting, until=now() + round(FENCE_SECONDS * 1_000_000))
        try:
            meeting = await meet_again(log, storage, meeting)
            return await flip(storage, meeting, by=by, no_event_of=types)
        except TagConditionError:
            continue
        except BaseException:
            await _fenced(storage, meeting, until=0)
            raise
    await _fenced(storage, meeting, until=0)
    raise SwitchError(
        meeting.generations.projection,
        "its events go on to come past units of work, so there is no moment to switch in",
        "Try again when nothing is appended by an event store, the outbox or an import.",
    )


async def compare_standing(
    log: Storage, storage: Storage, meeting: Meeting, *, now: Callable[[], int]
) -> Meeting:
    """Return *meeting* after a second look at rows that differ where the live ones are computed
    inline; units of work wait for it, `FENCE_SECONDS` at most.

    *now* says the time in microseconds since 1970 UTC.

    Raises:
        SwitchError: somebody has switched or dropped a generation meanwhile.
    """
    live, found = meeting.generations.live, meeting.differences
    if live is None or not live.inline or found is None or found.equal:
        return meeting
    meeting = await _fenced(storage, meeting, until=now() + round(FENCE_SECONDS * 1_000_000))
    try:
        meeting = await meet_again(log, storage, meeting)
        building = meeting.building.collection
        found = await second_look(storage, live.collection, building, found)
    finally:
        meeting = await _fenced(storage, meeting, until=0)
    return msgspec.structs.replace(meeting, differences=found)


async def _fenced(storage: Storage, meeting: Meeting, *, until: int) -> Meeting:
    collection = meeting.generations.collection
    while True:
        found = await read_generations(storage, collection)
        if found is None or found.generations != meeting.generations.generations:
            problem = "somebody has switched or dropped a generation meanwhile"
            raise SwitchError(meeting.generations.projection, problem, "Look at what there is now.")
        fenced = msgspec.structs.replace(found, fenced_until=until)
        if await write_generations(storage, fenced):
            stored = await generations_in(storage, collection)
            return msgspec.structs.replace(meeting, generations=stored)


async def _moved(storage: Storage, generation: Generation) -> RowChange:
    """Return the row that tells readers of *generation* to look for the rows elsewhere."""
    (spec,) = await make_known(storage, generation)
    return RowChange(spec.name, MOVED_KEY, "{}", (None,) * len(spec.indexed), expected=0)


async def _standing(
    storage: Storage, generations: Sequence[Generation | None], position: int
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
