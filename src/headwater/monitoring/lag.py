"""Lag in seconds: how long the oldest event has waited that a subscription has not done."""

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec

from headwater.clock import Clock
from headwater.errors import StorageError
from headwater.ports.log import WHOLE_LOG, Log
from headwater.subscriptions.status import SubscriptionStatus

LOOK_SECONDS: Final = 2.0
"""How long the log may take to say since when an event is there."""

MICROSECONDS: Final = 1_000_000


async def with_lag(
    statuses: Iterable[SubscriptionStatus], *, log: Log, clock: Clock
) -> tuple[SubscriptionStatus, ...]:
    """Return *statuses* with `lag_seconds`, which stays None where the log can't be asked.

    Events are as old as the storage's time says and `clock` is this process's: where they
    differ, so does the lag; it is never below 0.
    """
    found: list[SubscriptionStatus] = []
    waiting: dict[int, float | None] = {}
    for status in statuses:
        if status.lag_events and status.position not in waiting:
            waiting[status.position] = await _waits_for(status.position, log, clock)
        seconds = waiting[status.position] if status.lag_events else 0.0
        found.append(msgspec.structs.replace(status, lag_seconds=seconds))
    return tuple(found)


async def _waits_for(position: int, log: Log, clock: Clock) -> float | None:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            page = await log.read_log(after=position, where=WHOLE_LOG, limit=1)
    except (StorageError, TimeoutError):
        return None  # It is not known; what is wrong with the log, others say.
    if not page.events:
        return 0.0
    now = clock.now().timestamp() * MICROSECONDS
    return max(0.0, (now - page.events[0].recorded_at) / MICROSECONDS)
