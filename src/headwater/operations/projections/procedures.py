"""What operators ask for in one go: switch to what was built, or verify what is live."""

from collections.abc import Callable

import msgspec

from headwater.errors import (
    CheckpointConflictError,
    ConfigurationError,
    ConflictError,
    SwitchError,
)
from headwater.operations.progress import Progress, no_progress
from headwater.operations.projections.building import Wanted, begin, drop, stored_generations
from headwater.operations.projections.comparing import RowDifferences
from headwater.operations.projections.generations import Generation, write_generations
from headwater.operations.projections.meeting import (
    STOP_SECONDS,
    Meeting,
    compare,
    generations_in,
    meet,
    part,
)
from headwater.operations.projections.switching import (
    check_nothing_is_held,
    compare_standing,
    flip,
    flip_inline,
)
from headwater.operations.projections.watching import until_reached
from headwater.ports.storage import Storage

Agreed = Callable[[Meeting], bool]
"""Says whether to switch, once it is known how the rows differ."""


class Switched(msgspec.Struct, frozen=True):
    """What a switch found, and what is live now: None, if it was not agreed to."""

    meeting: Meeting
    live: Generation | None


async def switch(
    log: Storage,
    storage: Storage,
    collection: str,
    *,
    now: Callable[[], int],
    agreed: Agreed = lambda _: True,
    by: str = "",
    reason: str = "",
    accept_parked: bool = False,
    live_stands: bool = False,
    seconds: float = STOP_SECONDS,
    progress: Progress = no_progress,
) -> Switched:
    """Compare the live rows with those built beside them, and put these in their place.

    Unless *agreed*, all goes on as before. After a crash in between both generations stand still,
    and this can be called again. With *live_stands* the live one is not brought to the same
    position, because no worker has its code any more; then there is nothing to compare.

    Raises:
        SwitchError: nothing is built; one of both has not come to the position in time; or events
            are held back in the new one, and that is not accepted; or somebody else has switched
            or dropped meanwhile.
        StorageError: a storage can't be used.
    """
    meeting = await meet(log, storage, collection, by=by, seconds=seconds, live_stands=live_stands)
    try:
        if not live_stands:
            meeting = await compare(storage, meeting, progress=progress)
            meeting = await compare_standing(log, storage, meeting, now=now)
        if not agreed(meeting):
            await part(storage, meeting, by=by)
            return Switched(meeting, None)
        if not accept_parked:
            check_nothing_is_held(meeting)
        live = await _flip(log, storage, meeting, now=now, by=by, reason=reason)
    except BaseException:
        await part(storage, meeting, by=by)
        raise
    return Switched(meeting, live)


async def _flip(
    log: Storage,
    storage: Storage,
    meeting: Meeting,
    *,
    now: Callable[[], int],
    by: str,
    reason: str,
) -> Generation:
    try:
        if meeting.building.inline:
            return await flip_inline(log, storage, meeting, now=now, by=by)
        return await flip(storage, meeting, by=by, reason=reason)
    except (ConflictError, CheckpointConflictError, ConfigurationError) as error:
        problem = "somebody has switched, dropped or changed a generation meanwhile"
        name = meeting.generations.projection
        raise SwitchError(name, problem, "Look at what there is now, and try again.") from error


async def verify(
    log: Storage,
    storage: Storage,
    wanted: Wanted,
    *,
    now: Callable[[], int],
    by: str = "",
    check: Callable[[], None] = lambda: None,
    seconds: float = STOP_SECONDS,
    progress: Progress = no_progress,
) -> RowDifferences:
    """Build the rows once more, compare them with those that are live, and drop them again.

    If all are the same, the code as it is now is noted as that of the live ones. *check* is
    called now and then while they are built, and raises what makes that of no use. What was
    built is dropped also if this fails or is interrupted; after a crash it goes on where it was.

    Raises:
        SwitchError: something else is being built; or one of both has not come to the position.
        StorageError: a storage can't be used.
    """
    found = await stored_generations(storage, wanted)
    building = found.building
    if building is None:
        building = await begin(storage, wanted, now=now(), to_compare=True)
    elif not building.to_compare:
        problem = f"generation {building.number} is being built"
        raise SwitchError(wanted.subscription, problem, "Switching to it compares, too.")
    collection = wanted.spec.name
    try:
        await until_reached(
            storage, [building.subscription], await log.head(), progress=progress, check=check
        )
        meeting = await meet(log, storage, collection, by=by, seconds=seconds)
        try:
            meeting = await compare(storage, meeting)
            meeting = await compare_standing(log, storage, meeting, now=now)
        finally:
            await part(storage, meeting, by=by)
    except BaseException as error:
        await _drop_after(error, storage, wanted, building)
        raise
    result = meeting.differences or RowDifferences()
    await drop(storage, collection, building.number)
    if result.equal:
        await _note_code(storage, wanted)
    return result


async def _drop_after(
    error: BaseException, storage: Storage, wanted: Wanted, built: Generation
) -> None:
    """Drop what was *built* for a comparison that failed or was interrupted."""
    try:
        await drop(storage, wanted.spec.name, built.number)
    except Exception as again:  # noqa: BLE001 - told with what went wrong first
        error.add_note(
            f"Generation {built.number} is left behind ({again}): headwater projection drop "
            f"{wanted.subscription} {built.number}"
        )


async def _note_code(storage: Storage, wanted: Wanted) -> None:
    while True:
        found = await generations_in(storage, wanted.spec.name)
        live = found.live
        if live is None or not wanted.fits(live) or live.fingerprint == wanted.fingerprint:
            return
        noted = msgspec.structs.replace(live, fingerprint=wanted.fingerprint)
        if await write_generations(storage, found.having(noted)):
            return
