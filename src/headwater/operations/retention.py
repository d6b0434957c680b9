"""How long a storage remembers what it only needs for recognising repeats."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from headwater.clock import Clock, microseconds_since_epoch
from headwater.errors import ConfigurationError, StorageError
from headwater.ports.administration import Pruned
from headwater.ports.storage import Storage

DEDUPLICATION_WINDOW: Final = timedelta(days=30)
DURATION_MAX: Final = timedelta(days=36_500)
"""The longest window, and the longest wait between two looks."""

PRUNE_EVERY: Final = timedelta(hours=1)
PRUNE_BATCH: Final = 1000
PRUNE_BATCH_MAX: Final = 100_000

_log = logging.getLogger("headwater")


class Retention(msgspec.Struct, frozen=True):
    """How long repeats are recognised, and how what is older goes.

    `deduplication_window`: for so long after it was written stays the receipt of a message that
    was handled, an effect of an `EffectLedger`, and the id of an event that was erased. What comes
    again within it is recognised;
    past it a repeat counts as new. It must be longer than anybody may take to send something
    again: retries of clients, messages in brokers, restored backups of senders.
    `every`: how long an app waits between two looks. `batch`: how many of each kind go in one
    commit, so that others never wait long; 1 to 100,000.

    Ids of events that are there are kept as long as the events.

    Raises:
        ConfigurationError: a duration is not above zero or is above `DURATION_MAX`, or `batch` is
            out of range.
    """

    deduplication_window: timedelta = DEDUPLICATION_WINDOW
    every: timedelta = PRUNE_EVERY
    batch: int = PRUNE_BATCH

    def __post_init__(self) -> None:
        for name, duration in (
            ("deduplication_window", self.deduplication_window),
            ("every", self.every),
        ):
            if not timedelta(0) < duration <= DURATION_MAX:
                raise ConfigurationError(
                    f"{name} must be above zero and at most {DURATION_MAX.days} days, not "
                    f"{duration}."
                )
        if not 1 <= self.batch <= PRUNE_BATCH_MAX:
            raise ConfigurationError(f"batch must be 1 to {PRUNE_BATCH_MAX}, not {self.batch}.")


async def prune(storage: Storage, retention: Retention, *, clock: Clock) -> Pruned:
    """Remove all that is older than the window, batch by batch; return how much went.

    Raises:
        StorageError: the storage can't be written; what went before stays away.
    """
    before = microseconds_since_epoch(clock.now() - retention.deduplication_window)
    receipts = erased_ids = 0
    while True:
        gone = await storage.prune(before=before, limit=retention.batch)
        receipts += gone.receipts
        erased_ids += gone.erased_ids
        if max(gone.receipts, gone.erased_ids) < retention.batch:
            return Pruned(receipts, erased_ids)


class Pruner:
    """Prunes a storage every so often, in a task of its own, until it is stopped.

    *also* forgets whatever else is older than the time that it is given.
    """

    def __init__(
        self,
        storage: Storage,
        retention: Retention,
        *,
        clock: Clock,
        also: Callable[[datetime], Awaitable[object]] | None = None,
    ) -> None:
        self._storage, self._retention, self._clock = storage, retention, clock
        self._also = also
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first look is at once."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="headwater retention")

    async def stop(self) -> None:
        """End; a batch that is under way is finished by the storage."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                gone = await prune(self._storage, self._retention, clock=self._clock)
                if self._also is not None:
                    await self._also(self._clock.now() - self._retention.deduplication_window)
            except StorageError as error:
                _log.warning("Old receipts could not be removed, and are later: %s", error)
            except Exception:  # noqa: BLE001 - told with its traceback, and tried again
                _log.exception("Old receipts could not be removed; it is tried again later")
            else:
                if gone.total:
                    _log.info(
                        "Removed %d receipts and %d ids of erased events, older than %s",
                        gone.receipts,
                        gone.erased_ids,
                        self._retention.deduplication_window,
                    )
            await self._clock.sleep(self._retention.every.total_seconds())
