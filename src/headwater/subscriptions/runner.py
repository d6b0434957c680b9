"""The runner: reads one subscription's events, deals them to partitions, keeps checkpoints."""

import asyncio
import logging
import time
from typing import Final

from headwater.clock import Clock
from headwater.errors import (
    CheckpointConflictError,
    ConflictError,
    SubscriptionFailedError,
    UnknownTypeError,
)
from headwater.ports.leases import Checkpoint
from headwater.ports.log import Log
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.subscriptions.condition import Condition
from headwater.subscriptions.cursor import Cursor
from headwater.subscriptions.detachment import context_of_no_message
from headwater.subscriptions.pages import PASSING, Pages
from headwater.subscriptions.pause import Pause
from headwater.subscriptions.progress import Progress
from headwater.subscriptions.status import SubscriptionState, SubscriptionStatus
from headwater.subscriptions.subscription import Consumer, Subscription
from headwater.subscriptions.type_list import is_of_type_list

NEWS_SECONDS: Final = 5.0
"""How long one wait for news lasts; then the runner looks for itself."""

IDLE_POSITIONS_MAX: Final = 1000
"""How far the stored checkpoint of a partition without events may stay behind."""

LOOK_SECONDS: Final = 1.0
"""How often the runner looks at most, once it has caught up, whether its checkpoints were reset."""

WAITING_SECONDS: Final = 1.0
"""How often a runner looks whether it still has to wait for a worker that knows more."""

UNKNOWN_SECONDS_MAX: Final = 60.0
"""How long it leaves an event that it does not know alone at most, if no other worker moves on.

It is a handler that may have met it, in another stream; and what that did outside is done again.
"""

TRY_AGAIN_SECONDS: Final = 0.2
"""How long to wait after a storage was busy or away, then twice as long each time."""

TRY_AGAIN_SECONDS_MAX: Final = 5.0

PAGE_REST_SECONDS_MAX: Final = 0.03
"""How long the runner rests at most after a page that was not full.

It rests for as long as the page took. Under load events gather meanwhile, and their effects
share commits; a single event that comes later is not held up.
"""

_log = logging.getLogger("headwater")


class Runner:
    """Runs one subscription until it is stopped or a handler fails.

    Partitions have a checkpoint each, committed with the effects; reading starts at the lowest
    and skips what a partition has behind it. A failure stops the subscription after the good
    prefix of every partition is committed: nothing is skipped. What this process does not know
    is left for a worker that does, and until then this one waits.
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
        self._condition = Condition(subscription.name, self.progress, log)
        self._again_after = TRY_AGAIN_SECONDS
        self._unknown_after, self._unknown_until = WAITING_SECONDS, 0.0
        self._task: asyncio.Task[None] | None = None
        self._pause = Pause()
        self._outrun = False

    # ------------------------------------------------------------------ start and stop

    async def open(self) -> None:
        """Load the checkpoints, and store the subscription if it is new.

        Raises:
            LogRewoundError: the log is not the one in which a checkpoint was set.
        """
        await self._load()
        self._begin_at(self._pages.lowest)

    async def declare(self) -> None:
        """Store which types must not be passed over, without working: others may run here."""
        await self._pages.types.load()

    async def _load(self) -> bool:
        """Load and verify the checkpoints; return whether they were reset meanwhile."""
        known = bool(self._pages.checkpoints)
        start_after = 0 if known else await self.subscription.start.after(self._log)
        reset = await self._pages.load(start_after=start_after)
        # The head is looked at again: another process may have moved a checkpoint meanwhile.
        self._condition.head = await self._log.head()
        await self._cursor.verify(self._pages.checkpoints, head=self._condition.head)
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
            self._pause.allow()
            self._condition.start()
            self._task = asyncio.create_task(
                self._run(),
                name=f"headwater subscription {self.subscription.name}",
                context=context_of_no_message(),
            )

    async def stop(self, *, grace_seconds: float) -> None:
        """Finish the page at hand within *grace_seconds*, else cancel it; then store checkpoints.

        What was cancelled is not acknowledged: it comes again.
        """
        self._pause.end()
        self._condition.unfollow()
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
        return self._condition.status(self._pages.checkpoints)

    # ------------------------------------------------------------------------ the loop

    async def _run(self) -> None:
        try:
            while not self._pause.ended:
                await self._turn()
            await self._store_last()
        except SubscriptionFailedError as failure:
            self._condition.fail(failure)
        except Exception as error:  # noqa: BLE001 - whatever it is must be in the status
            problem = f"{type(error).__name__}: {str(error).rstrip('.')}"
            unforeseen = SubscriptionFailedError(
                self.subscription.name, position=self.progress.position, problem=problem
            )
            unforeseen.__cause__ = error
            self._condition.fail(unforeseen)
        finally:
            if self._condition.state is not SubscriptionState.FAILED:
                self._condition.stop()

    async def _turn(self) -> None:
        try:
            if self._outrun:
                await self._load_again()
                self._outrun = False
            if self._pages.types.missing:
                self._condition.wait(self._pages.types.waits_for)
                await self._pause.wait(asyncio.sleep(WAITING_SECONDS))
                self._outrun = True
                return
            if time.monotonic() < self._unknown_until:
                await self._pause.wait(asyncio.sleep(WAITING_SECONDS))
                await self._pages.check_not_outrun()
                return
            page = await self._cursor.read(
                self.subscription.wanted, limit=self.subscription.page_events
            )
            self._condition.head = page.head
            begun = time.monotonic()
            done = await self._pages.work(page)
            await self._pages.store_idle(done, behind_min=IDLE_POSITIONS_MAX)
            self._cursor.at = done
            self.progress.reach(done.position)
            self._again_after, self._unknown_after = TRY_AGAIN_SECONDS, WAITING_SECONDS
            if page.scanned_to < page.head:
                self._condition.work(SubscriptionState.CATCHING_UP)
                return
            self._condition.work(SubscriptionState.LIVE)
            if page.events:
                took = time.monotonic() - begun
                await asyncio.sleep(min(took, PAGE_REST_SECONDS_MAX))
            await self._wait_for_news(seconds=await self._look_after_checkpoints())
        except CheckpointConflictError:
            # Another process works on this subscription too and was first, or an operator has
            # reset it; nothing of ours was written. Go on from where the checkpoints are.
            self._begin_again()
        except SubscriptionFailedError as failure:
            self._leave_unknown(failure)
        except (*PASSING, ConflictError) as error:
            if is_of_type_list(error):
                # A worker with more types has come, or an operator: this one may be too old now.
                self._begin_again()
                return
            # Begin this page again, from the checkpoints as they are then: what came of a commit
            # may be unknown.
            self._condition.try_again(error)
            self._outrun = True
            await self._pause.wait(self._clock.sleep(self._again_after))
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
            self._cursor.at = lowest
            self.progress.reach(lowest.position)

    def _begin_again(self) -> None:
        self._outrun, self._unknown_until = True, 0.0

    def _leave_unknown(self, failure: SubscriptionFailedError) -> None:
        """Leave an event that this process does not know for another worker; raise other failures.

        It is tried again when another worker has moved on, or somebody has changed something.
        """
        unknown = failure.__cause__
        if not isinstance(unknown, UnknownTypeError):
            raise failure
        # What comes before it is committed in every partition.
        self.progress.reach(failure.position - 1)
        self._condition.wait(
            f"waits at position {failure.position} for a worker that knows {unknown.name} "
            f"version {unknown.schema_version}"
        )
        self._outrun = True
        self._unknown_until = time.monotonic() + self._unknown_after
        self._unknown_after = min(2 * self._unknown_after, UNKNOWN_SECONDS_MAX)

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
        except (CheckpointConflictError, ConflictError):
            _log.debug("Subscription %r goes on elsewhere", self.subscription.name)
        except PASSING as error:
            # Nothing is lost: what had no effect is looked at again.
            _log.warning("Subscription %r: its last place: %s", self.subscription.name, error)

    async def _wait_for_news(self, *, seconds: float) -> None:
        at = self._cursor.at.position
        head = await self._pause.wait(self._log.wait_for_news(at, seconds=seconds))
        if head is not None:
            self._cursor.check_head(head)
