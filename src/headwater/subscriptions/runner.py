"""The runner: reads one subscription's events, deals them to partitions, keeps checkpoints."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Final

from headwater.clock import Clock
from headwater.errors import (
    CheckpointConflictError,
    DuplicateValueError,
    IdempotencyConflictError,
    LogRewoundError,
    StorageBusyError,
    StorageError,
    SubscriptionFailedError,
)
from headwater.metadata import CURRENT_CONTEXT
from headwater.ports.changes import Changes, CheckpointMove
from headwater.ports.log import Log, LogPage
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.subscriptions.progress import Progress
from headwater.subscriptions.status import SubscriptionState, SubscriptionStatus
from headwater.subscriptions.subscription import (
    Arrival,
    Batch,
    Consumer,
    Subscription,
    Worked,
    partition_of,
)
from headwater.unit_of_work.unit import CURRENT_UNIT

NEWS_SECONDS: Final = 5.0
"""How long one wait for news lasts; then the runner looks for itself."""

IDLE_POSITIONS_MAX: Final = 1000
"""How far the stored checkpoint of a partition without events may stay behind."""

BUSY_PAUSE_SECONDS: Final = 0.1

PAGE_REST_SECONDS_MAX: Final = 0.03
"""How long the runner rests at most after a page that was not full.

It rests for as long as the page took. Under load events gather meanwhile, and their effects
share commits; a single event that comes later is not held up.
"""

_Failure = tuple[Arrival, Exception]

_log = logging.getLogger("headwater")


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
        self._consumer, self._log, self._target = consumer, log, target
        self._codec, self._clock = codec, clock
        self._checkpoints: list[int] = []
        self._state = SubscriptionState.STARTING
        self._head = 0
        self._failure: SubscriptionFailedError | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._outrun = False
        self._waiting: asyncio.Task[int] | None = None
        self._following: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ start and stop

    async def open(self) -> None:
        """Load the checkpoints, and store the subscription if it is new.

        Raises:
            LogRewoundError: a checkpoint is past the end of the log.
        """
        name = self.subscription.name
        self._head = await self._log.head()
        stored = await self._target.open_subscription(
            name,
            partitions=self.subscription.partitions,
            start_after=self._head if self.subscription.from_now else 0,
        )
        self._checkpoints = list(stored)
        if max(self._checkpoints) > self._head:
            raise LogRewoundError(
                f"Subscription {name!r}", position=max(self._checkpoints), head=self._head
            )
        self.progress.reach(min(self._checkpoints))

    @property
    def running(self) -> bool:
        """Whether it is at work."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Begin to work in a task of its own; again, after it has failed or was stopped."""
        if not self.running:
            self._stopping, self._failure = False, None
            if self._following is not None:
                self._following.cancel()
            self.progress.restart()
            self._task = asyncio.create_task(
                self._run(),
                name=f"headwater subscription {self.subscription.name}",
                context=_of_no_message(),
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
            _, late = await asyncio.wait((self._task,), timeout=grace_seconds)
            if late:
                _log.warning(
                    "Subscription %r did not end within %s s and is cut off; what it had not "
                    "finished comes again",
                    self.subscription.name,
                    grace_seconds,
                )
            self._task.cancel()
            await asyncio.wait((self._task,))
        if self._state is not SubscriptionState.FAILED:
            self._state = SubscriptionState.STOPPED

    def status(self) -> SubscriptionStatus:
        """Return what is known right now."""
        failure = self._failure
        return SubscriptionStatus(
            self.subscription.name,
            self._state,
            self.progress.position,
            max(self._head, self.progress.position),
            tuple(self._checkpoints),
            str(failure) if failure else None,
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
            problem = f"{type(error).__name__}: {error}"
            unforeseen = SubscriptionFailedError(
                self.subscription.name, position=self.progress.position, problem=problem
            )
            unforeseen.__cause__ = error
            self._fail(unforeseen)

    async def _turn(self) -> None:
        try:
            if self._outrun:
                await self.open()
                self._outrun = False
            page = await self._log.read_log(
                # Partitions without events are stored late: the progress is further than they.
                after=max(self.progress.position, min(self._checkpoints)),
                where=self.subscription.wanted,
                limit=self.subscription.page_events,
            )
            self._head = page.head
            begun = time.monotonic()
            await self._work_page(page)
            if page.scanned_to < page.head:
                self._state = SubscriptionState.CATCHING_UP
                return
            self._state = SubscriptionState.LIVE
            if page.events:
                took = time.monotonic() - begun
                await asyncio.sleep(min(took, PAGE_REST_SECONDS_MAX))
            await self._wait_for_news(page.scanned_to)
        except CheckpointConflictError:
            # Another process works on this subscription too and was first; nothing of ours was
            # written. Go on from where it left the checkpoints.
            self._outrun = True
        except StorageBusyError:
            _log.warning("Subscription %r: storage busy, trying again", self.subscription.name)
            await self._clock.sleep(BUSY_PAUSE_SECONDS)

    async def _store_last(self) -> None:
        try:
            await self._store_idle(self.progress.position, behind_min=1)
        except CheckpointConflictError:
            _log.debug("Subscription %r goes on elsewhere", self.subscription.name)

    async def _wait_for_news(self, after: int) -> None:
        if self._stopping:
            return
        self._waiting = asyncio.ensure_future(self._log.wait_for_news(after, seconds=NEWS_SECONDS))
        try:
            await asyncio.wait((self._waiting,))
            if not self._waiting.cancelled():
                self._waiting.result()
        finally:
            self._waiting.cancel()
            self._waiting = None

    async def _work_page(self, page: LogPage) -> None:
        arrivals, scanned_to, failure = self._decode(page)
        batches = self._deal(arrivals, scanned_to)
        if batches:
            await self._consumer.prepare([a for batch in batches for a in batch.arrivals])
            failed = await self._work(batches)
            if failed is not None:
                raise self._failed(*failed)
        await self._store_idle(scanned_to, behind_min=IDLE_POSITIONS_MAX)
        self.progress.reach(scanned_to)
        if failure is not None:
            raise self._failed(*failure)

    async def _work(self, batches: Sequence[Batch]) -> _Failure | None:
        """Work *batches*; return the first failure in the order of the log."""
        failures: list[_Failure] = []
        refused: list[Batch] = []
        error: BaseException | None = None
        for batch, outcome in zip(batches, await self._consumer.work(batches), strict=True):
            if isinstance(outcome, Worked):
                self._checkpoints[batch.partition] = batch.reached(outcome)
                if outcome.failure is not None:
                    failures.append((batch.arrivals[outcome.done], outcome.failure))
            elif not _lies_in_an_event(outcome):
                error = error or outcome
            elif len(batch.arrivals) == 1 and isinstance(outcome, Exception):
                failures.append((batch.arrivals[0], outcome))
            else:
                refused.append(batch)
        if error is not None:
            raise error
        for batch in refused:
            # One event's fault refused the whole: one by one shows which, and saves the others.
            for single in batch.singly():
                failure = await self._work((single,))
                if failure is not None:
                    failures.append(failure)
                    break
        return min(failures, key=lambda each: each[0].stored.position, default=None)

    def _decode(self, page: LogPage) -> tuple[list[Arrival], int, _Failure | None]:
        arrivals: list[Arrival] = []
        for stored in page.events:
            arrival = Arrival(stored, None)
            try:
                arrival.payload = self._codec.decode(
                    stored.type, stored.schema_version, stored.data
                )
                arrival.key = self._consumer.key_of(arrival)
                arrival.partition = partition_of(arrival.key, len(self._checkpoints))
            except Exception as error:  # noqa: BLE001 - told after what comes before it
                return arrivals, stored.position - 1, (arrival, error)
            arrivals.append(arrival)
        return arrivals, page.scanned_to, None

    def _deal(self, arrivals: Sequence[Arrival], scanned_to: int) -> list[Batch]:
        dealt: dict[int, list[Arrival]] = {}
        for arrival in arrivals:
            if arrival.stored.position > self._checkpoints[arrival.partition]:
                dealt.setdefault(arrival.partition, []).append(arrival)
        name = self.subscription.name
        return [
            Batch(name, p, batch, before=self._checkpoints[p], scanned_to=scanned_to)
            for p, batch in dealt.items()
        ]

    async def _store_idle(self, scanned_to: int, *, behind_min: int) -> None:
        moves = tuple(
            CheckpointMove(self.subscription.name, partition, checkpoint, scanned_to)
            for partition, checkpoint in enumerate(self._checkpoints)
            if scanned_to - checkpoint >= behind_min
        )
        if moves:
            await self._target.commit(Changes(checkpoints=moves))
            for move in moves:
                self._checkpoints[move.partition] = scanned_to

    # ------------------------------------------------------------------------ failing

    def _failed(self, arrival: Arrival, error: Exception) -> SubscriptionFailedError:
        stored = arrival.stored
        text = str(error).rstrip(".")
        problem = f"{type(error).__name__}: {text} (event {stored.type} of {stored.stream_id})"
        failure = SubscriptionFailedError(
            self.subscription.name, position=stored.position, problem=problem
        )
        failure.__cause__ = error
        return failure

    async def _follow_head(self) -> None:
        """Keep the status true: what has failed falls behind further and further."""
        with suppress(StorageError):
            while True:
                self._head = await self._log.wait_for_news(self._head, seconds=NEWS_SECONDS)

    def _fail(self, failure: SubscriptionFailedError) -> None:
        self._state = SubscriptionState.FAILED
        self._failure = failure
        self.progress.fail(failure)
        self._following = asyncio.create_task(self._follow_head())
        _log.error("%s", failure, exc_info=failure.__cause__)


def _of_no_message() -> Context:
    """Return the current context variables without the message that is handled here, if one is.

    Its deadline, its actor and its unit of work are not those of what comes out of the log.
    """
    context = copy_context()
    context.run(CURRENT_CONTEXT.set, None)
    context.run(CURRENT_UNIT.set, None)
    return context


def _lies_in_an_event(error: BaseException) -> bool:
    """Return whether a commit was refused for what a handler wanted to write, not by chance."""
    return not isinstance(error, StorageError) or isinstance(
        error, DuplicateValueError | IdempotencyConflictError
    )
