"""Waiting until a subscription has come to a position, whichever processes work it."""

import asyncio
import logging
from typing import Final

from headwater.errors import ParkedKeyError, StorageError, WaitTimeoutError
from headwater.subscriptions.places import Places
from headwater.subscriptions.progress import Progress

POLL_SECONDS: Final = 0.03
"""How often whoever waits looks at what others do."""

_log = logging.getLogger("headwater")


async def wait_for(
    places: Places, progress: Progress, position: int, *, seconds: float | None
) -> None:
    """Return when every partition's stored checkpoint has reached *position*.

    Whoever works them; those of other processes are looked at once, and every `POLL_SECONDS`
    while they have not come so far.

    Raises:
        SubscriptionFailedError: the subscription stopped before it.
        ParkedKeyError: a key is parked behind a dead letter at or before it.
        WaitTimeoutError: it was not reached within *seconds*, or something that was delayed is
            still to be tried again.
        StorageError: what others have done can't be looked at.
    """
    if 0 < position <= progress.position and not places.all_ours:
        # That is what was seen last. Somebody may have reset it since.
        await places.look()
    until = None if seconds is None else asyncio.get_running_loop().time() + seconds
    polling = asyncio.create_task(_poll(places))
    try:
        await progress.wait_for(position, seconds=seconds)
        await _until_nothing_is_held(places, progress, position, until=until)
    finally:
        polling.cancel()


async def _poll(places: Places) -> None:
    await asyncio.sleep(0)
    # Whoever waits has said so by now.
    if places.session is not None:
        places.session.look_who_waits()
    while True:
        if not places.all_ours:
            try:
                await places.look()
            except StorageError as error:
                _log.debug("Where partitions stand can't be looked at: %s", error)
        await asyncio.sleep(POLL_SECONDS)


async def _until_nothing_is_held(
    places: Places, progress: Progress, position: int, *, until: float | None
) -> None:
    while True:
        held = await places.held_up_to(position)
        if held.parked:
            raise ParkedKeyError(progress.subscription, held.parked)
        if not held.pending:
            return
        if until is not None and asyncio.get_running_loop().time() >= until:
            raise WaitTimeoutError(
                progress.subscription,
                target=position,
                reached=progress.position,
                seconds=0.0,
                waits_for="has deliveries that are to be tried again",
            )
        await asyncio.sleep(POLL_SECONDS)
        progress.check()
