"""The runner: reads one subscription's events, deals them to partitions, keeps checkpoints."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

from headwater.clock import Clock
from headwater.errors import (
    CheckpointConflictError,
    ConflictError,
    StorageError,
    SubscriptionFailedError,
)
from headwater.ports.log import Log
from headwater.ports.storage import Checkpoint, Storage
from headwater.serialization.codec import EventCodec
from headwater.subscriptions.cursor import Cursor
from headwater.subscriptions.detachment import context_of_no_message
from headwater.subscriptions.pages import PASSING, Pages
from headwater.subscriptions.progress import Progress
from headwater.subscriptions.status import SubscriptionState, SubscriptionStatus
from headwater.subscriptions.subscription import Consumer, Subscription

NEWS_SECONDS: Final = 5.0
"""How long one wait for news lasts; then the runner looks for itself."""

IDLE_POSITIONS_MAX: Final = 1000
"""How far the stored checkpoint of a partition without events may stay behind."""

LOOK_SECONDS: Final = 1.0
"""How often the runner looks at most, once it has caught up, whether its checkpoints were reset."""

TRY_AGAIN_SECONDS: Final = 0.2
"""How long to wait after a storage was busy or away, then twice as long each time."""

TRY_AGAIN_SECONDS_MAX: Final = 5.0

PAGE_REST_SECONDS_MAX: Final = 0.03
"""How long the runner rests at most after a page that was not full.

It rests for as long as the page took. Under load events gather meanwhile, and their effects
share commits; a single event that comes later is not held up.
"""

_log = logging.getLogger("headwater")
_T = TypeVar("_T")


class Runner:
    """Runs one subscription until it is stopped or a handler fails.

    Partitions have a checkpoint each, committed with the effects; reading starts at the lowest
    and skips what a partition has behind it. A failure stops the subscription after the good
    prefix of every partition is committed: nothing is skipped.
    """

    def __init__(
        self,
        subscription: Subscription,
        consumer: Consumer,
        *,
        log: Log,
        target: Storage,
        codec: EventCodec,
        clock: Clock,
    ) -> None:
        """Read from *log*; effects and checkpoints are committed to *target*."""
        self.subscription = subscription
        self.progress = Progress(subscription.name)
        self._pages = Pages(subscription, consumer, target=target, codec=codec)
        self._log, self._clock = log, clock
        # Everything before it is committed.
        self._cursor = Cursor(log, f"Subscription {subscription.name!r}")
        self._looked = 0.0
        self._state = SubscriptionState.STARTING
        self._head = 0
        self._failure: SubscriptionFailedError | None = None
        self._trouble: Exception | None = None
        self._again_after = TRY_AGAIN_SECONDS
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._outrun = False
        self._waiting: asyncio.Task[Any] | None = None
        self._following: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ start and stop

    async def open(self) -> None:
        """Load the checkpoints, and store the subscription if it is new.

        Raises:
            LogRewoundError: the log is not the one in which a checkpoint was set.
        """
        await self._load()
        self._begin_at(self._pages.lowest)

    async def _load(self) -> bool:
        """Load and verify the checkpoints; return whether they were reset meanwhile."""
        reset = await self._pages.load(head=await self._log.head())
        # The head is looked at again: another process may have moved a checkpoint meanwhile.
        self._head = await self._log.head()
        await self._cursor.verify(self._pages.checkpoints, head=self._head)
        return reset

    def _begin_at(self, checkpoint: Checkpoint) -> None:
        self._cursor.at = checkpoint
        self.progress.begin_at(checkpoint.position)

    @property
    def running(self) -> bool:
        """Whether it is at work."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Begin to work in a task of its own; again, after it has failed or was stopped."""
        if not self.running:
            self._stopping, self._failure = False, None
            self._state = SubscriptionState.STARTING
            if self._following is not None:
                self._following.cancel()
            self.progress.restart()
            self._task = asyncio.create_task(
                self._run(),
                name=f"headwater subscription {self.subscription.name}",
                context=context_of_no_message(),
            )

    async def stop(self, *, grace_seconds: float) -> None:
        """Finish the page at hand within *grace_seconds*, else cancel it; then store checkpoints.

        What was cancelled is not acknowledged: it comes again.
        """
        self._stopping = True
        if self._waiting is not None:
            self._waiting.cancel()
        if self._following is not None:
            self._following.cancel()
        if self._task is not None:
            try:
                _, late = await asyncio.wait((self._task,), timeout=grace_seconds)
                if late:
                    _log.warning(
                        "Subscription %r did not end within %s s and is cut off; what it had not "
                        "finished comes again",
                        self.subscription.name,
                        grace_seconds,
                    )
            finally:
                self._task.cancel()
            await asyncio.wait((self._task,))

    def status(self) -> SubscriptionStatus:
        """Return what is known right now."""
        failure = self._failure
        error = failure or self._trouble
        return SubscriptionStatus(
            self.subscription.name,
            self._state,
            self.progress.position,
            max(self._head, self.progress.position),
            tuple(checkpoint.position for checkpoint in self._pages.checkpoints),
            str(error) if error else None,
            failure.position if failure else None,
        )

    # ------------------------------------------------------------------------ the loop

    async def _run(self) -> None:
        try:
            while not self._stopping:
                await self._turn()
            await self._store_last()
        except SubscriptionFailedError as failure:
            self._fail(failure)
        except Exception as error:  # noqa: BLE001 - whatever it is must be in the status
            problem = f"{type(error).__name__}: {str(error).rstrip('.')}"
            unforeseen = SubscriptionFailedError(
                self.subscription.name, position=self.progress.position, problem=problem
            )
            unforeseen.__cause__ = error
            self._fail(unforeseen)
        finally:
            if self._state is not SubscriptionState.FAILED:
                self._state = SubscriptionState.STOPPED
                # Whoever waits would wait for what does not come.
                self.progress.fail(self._stopped())

    async def _turn(self) -> None:
        try:
            if self._outrun:
                await self._load_again()
                self._outrun = False
            page = await self._cursor.read(
                self.subscription.wanted, limit=self.subscription.page_events
            )
            self._head = page.head
            begun = time.monotonic()
            done = await self._pages.work(page)
            await self._pages.store_idle(done, behind_min=IDLE_POSITIONS_MAX)
            self._cursor.at = done
            self.progress.reach(done.position)
            self._trouble, self._again_after = None, TRY_AGAIN_SECONDS
            if page.scanned_to < page.head:
                self._state = SubscriptionState.CATCHING_UP
                return
            self._state = SubscriptionState.LIVE
            if page.events:
                took = time.monotonic() - begun
                await asyncio.sleep(min(took, PAGE_REST_SECONDS_MAX))
            await self._wait_for_news(seconds=await self._look_after_checkpoints())
        except CheckpointConflictError:
            # Another process works on this subscription too and was first, or an operator has
            # reset it; nothing of ours was written. Go on from where the checkpoints are.
            self._outrun = True
        except (*PASSING, ConflictError) as error:
            # Begin this page again, from the checkpoints as they are then: what came of a commit
            # may be unknown.
            _log.warning("Subscription %r tries again: %s", self.subscription.name, error)
            self._outrun, self._trouble = True, error
            await self._wait(self._clock.sleep(self._again_after))
            self._again_after = min(2 * self._again_after, TRY_AGAIN_SECONDS_MAX)

    async def _load_again(self) -> None:
        """Go on from the checkpoints as they are; further back than here, if they were reset."""
        # First the log: what looks like a reset may have come with one that was rewound.
        await self._cursor.verify((self._cursor.at,), head=await self._log.head())
        reset = await self._load()
        lowest = self._pages.lowest
        if reset:
            _log.warning(
                "Subscription %r was reset and goes on after position %s",
                self.subscription.name,
                lowest.position,
            )
            self._begin_at(lowest)
        elif lowest.position > self._cursor.at.position:
            # Partitions without events are stored late: mostly this one is further than they.
            self._begin_at(lowest)

    async def _look_after_checkpoints(self) -> float:
        """Look, now and then, whether somebody has moved a checkpoint; return when to look again.

        Whoever moves one to where another partition stands anyway would not be noticed by the
        next commit.
        """
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return LOOK_SECONDS
        await self._pages.check_not_outrun()
        self._looked = time.monotonic()
        return NEWS_SECONDS

    async def _store_last(self) -> None:
        try:
            await self._pages.store_idle(self._cursor.at, behind_min=1)
        except CheckpointConflictError:
            _log.debug("Subscription %r goes on elsewhere", self.subscription.name)
        except PASSING as error:
            # Nothing is lost: what had no effect is looked at again.
            _log.warning("Subscription %r: its last place: %s", self.subscription.name, error)

    async def _wait_for_news(self, *, seconds: float) -> None:
        at = self._cursor.at.position
        head = await self._wait(self._log.wait_for_news(at, seconds=seconds))
        if head is not None:
            self._cursor.check_head(head)

    async def _wait(self, event: Coroutine[Any, Any, _T]) -> _T | None:
        """Return what *event* returns, None as soon as the runner is stopped."""
        self._waiting = waiting = asyncio.ensure_future(event)
        try:
            if self._stopping:
                return None
            await asyncio.wait((waiting,))
            return None if waiting.cancelled() else waiting.result()
        finally:
            waiting.cancel()
            self._waiting = None

    # ------------------------------------------------------------------------ failing

    def _stopped(self) -> SubscriptionFailedError:
        position = self.progress.position
        return SubscriptionFailedError(
            self.subscription.name, position=position, problem="it was stopped"
        )

    async def _follow_head(self) -> None:
        """Keep the status true: what has failed falls behind further and further."""
        with suppress(StorageError):
            while True:
                self._head = await self._log.wait_for_news(self._head, seconds=NEWS_SECONDS)

    def _fail(self, failure: SubscriptionFailedError) -> None:
        self._state = SubscriptionState.FAILED
        self._failure, self._trouble = failure, None
        self.progress.fail(failure)
        self._following = asyncio.create_task(self._follow_head())
        _log.error("%s", failure, exc_info=failure.__cause__)
