"""The runner: works one subscription in this process, with whatever partitions it has leased."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from headwater.clock import Clock
from headwater.errors import (
    CheckpointConflictError,
    ConfigurationError,
    ConflictError,
    LeaseLostError,
    SubscriptionFailedError,
    UnknownTypeError,
)
from headwater.ports.leases import Share
from headwater.ports.log import Log
from headwater.ports.storage import Storage
from headwater.serialization.codec import EventCodec
from headwater.subscriptions.beginning_again import BeginningAgain
from headwater.subscriptions.condition import Condition
from headwater.subscriptions.control import is_of_control_row
from headwater.subscriptions.detachment import context_of_no_message
from headwater.subscriptions.ending import cut_off, within_reason
from headwater.subscriptions.failure import Charge, Failures
from headwater.subscriptions.failures.overrides import Overrides
from headwater.subscriptions.faults import PASSING
from headwater.subscriptions.flow import DEFAULT_FLOW, Flow
from headwater.subscriptions.fronts import Front, fronts_of
from headwater.subscriptions.leasing import Leasing
from headwater.subscriptions.partitions import InFlight
from headwater.subscriptions.pause import Pause
from headwater.subscriptions.places import Places
from headwater.subscriptions.progress import Progress
from headwater.subscriptions.session import Session
from headwater.subscriptions.status import HeldCounts, SubscriptionState, SubscriptionStatus
from headwater.subscriptions.stop_on_failure import StopOnFailure
from headwater.subscriptions.subscription import Consumer, Subscription
from headwater.subscriptions.waiting import wait_for
from headwater.subscriptions.workplace import Workplace

WAITING_SECONDS: Final = 1.0
"""How often a runner looks whether it still has to wait for a worker that knows more."""

UNKNOWN_SECONDS_MAX: Final = 60.0
"""How long it leaves an event that it does not know alone at most, if no other worker moves on.

It is a handler that may have met it, in another stream; and what that did outside is done again.
"""

TRY_AGAIN_SECONDS: Final = 0.2
"""How long to wait after a storage was busy or away, then twice as long each time."""

TRY_AGAIN_SECONDS_MAX: Final = 5.0

_log = logging.getLogger("headwater")


class Runner:
    """Runs one subscription until it is stopped or an event fails that nothing may pass.

    Partitions have a checkpoint each, committed with the effects under the lease's token. What
    becomes of events that fail is decided by *failures*; by default the subscription stops, with
    the good prefix of every partition committed: nothing is skipped. What this process does not
    know is left for a worker that does, and until then this one waits, without a lease.
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
        failures: Callable[[Charge], Failures] | None = None,
        flow: Flow = DEFAULT_FLOW,
    ) -> None:
        """Read from *log*; effects and checkpoints are committed to *target*.

        *failures* makes what decides over events that fail, for a partition that was leased.
        """
        self.subscription, self.target = subscription, target
        self.progress = Progress(subscription.name)
        self._consumer, self._codec, self._clock = consumer, codec, clock
        self._log, self.flow = log, flow
        self.failures: Callable[[Charge], Failures] = failures or _stopping
        self._overrides = Overrides(subscription.name, target)
        self._condition = Condition(subscription.name, self.progress, log)
        self.places = Places(subscription, self.progress, log=log, target=target, codec=codec)
        self._leasing: Leasing | None = None
        self._session: Session | None = None
        self._leased = asyncio.Event()
        self._again_after = TRY_AGAIN_SECONDS
        self._unknown_after, self._unknown_until = WAITING_SECONDS, 0.0
        self._task: asyncio.Task[None] | None = None
        self._pause = Pause()
        self._again = BeginningAgain(subscription.name, target, self._begin_again)

    @property
    def name(self) -> str:
        """The subscription's name."""
        return self.subscription.name

    # ------------------------------------------------------------------ start and stop

    async def open(self) -> None:
        """Load the checkpoints, and store the subscription if it is new.

        Raises:
            LogRewoundError: the log is not the one in which a checkpoint was set.
        """
        self._condition.head = await self.places.open()

    async def declare(self) -> None:
        """Store which types must not be passed over, without working: others may run here."""
        await self.places.control.load()

    @property
    def running(self) -> bool:
        """Whether it is at work."""
        return self._task is not None and not self._task.done()

    def start(self, leasing: Leasing) -> None:
        """Begin to work in a task of its own; again, after it has failed or was stopped."""
        if not self.running:
            self._leasing = leasing
            self._again.end()
            self._pause.allow()
            self._condition.start()
            self._task = asyncio.create_task(
                self._run(leasing),
                name=f"headwater subscription {self.name}",
                context=context_of_no_message(),
            )

    async def stop(self, *, grace_seconds: float, for_good: bool = False) -> None:
        """Finish what is in hand within *grace_seconds*, else cancel it; then give up all leases.

        What was cancelled is not acknowledged: it comes again. A handler in a thread is waited
        for, unless it stops *for_good*: then it is left behind after the grace period. What it
        does is not committed, and its leases run out by themselves.
        """
        self._pause.end()
        self._again.end()
        self._condition.unfollow()
        if self._session is not None:
            self._session.end(give_up=True)
        if self._task is not None:
            try:
                _, late = await asyncio.wait((self._task,), timeout=grace_seconds)
                if late:
                    _log.warning(
                        "Subscription %r did not end within %s s and is cut off; what it had not "
                        "finished comes again",
                        self.name,
                        grace_seconds,
                    )
            finally:
                self._task.cancel()
            if not for_good:
                await asyncio.wait((self._task,))
            elif not await cut_off(self._task):
                _log.warning(
                    "A handler of subscription %r does not end; what it does is not committed",
                    self.name,
                )
                self._condition.stop()
                return
        if self._leasing is not None and not await within_reason(self._leave(self._leasing)):
            _log.warning("Subscription %r keeps its leases until they end", self.name)

    def status(self) -> SubscriptionStatus:
        """Return what is known right now."""
        worker = self._leasing.worker if self._leasing is not None else ""
        return self.places.status(self._condition, clock=self._clock, worker=worker)

    def fronts(self) -> Sequence[Front]:
        """Return what the partitions of this process that have something to do are at."""
        session, leasing = self._session, self._leasing
        if session is None or leasing is None:
            return ()
        condition = self._condition
        return tuple(
            fronts_of(
                session.partitions.values(),
                head=condition.head,
                events_done=condition.events_done,
                leased=leasing.valid,
            )
        )

    def held(self) -> HeldCounts | None:
        """Return what is held now; None where not all of it is known in this process."""
        session = self._session
        if session is None or not self.places.all_ours:
            return None
        partitions = session.partitions.values()
        if not all(one.loaded for one in partitions):
            return None
        return sum((one.failures.counts() for one in partitions), start=HeldCounts())

    async def look(self) -> None:
        """Look where partitions stand that others work, and who does; `status` tells it then.

        Raises:
            StorageError: the storage can't be used.
        """
        if not self.places.all_ours:
            await self.places.look()

    # ------------------------------------------------------------------------- waiting

    async def wait_for(self, position: int, *, seconds: float | None) -> None:
        """Return when every partition's stored checkpoint has reached *position*.

        Raises:
            SubscriptionFailedError: the subscription stopped before it.
            ParkedKeyError: a key is parked behind a dead letter at or before it.
            WaitTimeoutError: it was not reached within *seconds*, or something that was delayed
                is still to be tried again.
        """
        await wait_for(self.places, self.progress, position, seconds=seconds)

    # ------------------------------------------------------------------ what is leased

    def hear_share(self, share: Share) -> None:
        """Hear which partitions are this worker's."""
        if self._session is not None:
            self._session.hear_share(share)
        self._leased.set()

    def hear_control(self, row_version: int) -> None:
        """Hear at which version the control row stands."""
        if self._session is not None:
            self._session.hear_control(row_version)

    def hear_unknown(self) -> None:
        """Hear that the subscription may not be stored any more: begin again, and store it."""
        if self._session is not None:
            self._session.end()
        self.places.may_be_lost = True
        self._leased.set()

    async def _leave(self, leasing: Leasing) -> None:
        try:
            await leasing.leave(self.name)
        except Exception as error:  # noqa: BLE001 - leases run out by themselves
            _log.warning("Subscription %r keeps its leases until they end: %s", self.name, error)

    # ------------------------------------------------------------------------ the loop

    async def _run(self, leasing: Leasing) -> None:
        failed: SubscriptionFailedError | None = None
        try:
            while not self._pause.ended:
                await self._turn(leasing)
        except SubscriptionFailedError as failure:
            failed = failure
        except Exception as error:  # noqa: BLE001 - whatever it is must be in the status
            problem = f"{type(error).__name__}: {str(error).rstrip('.')}"
            failed = SubscriptionFailedError(
                self.name, position=self.progress.position, problem=problem
            )
            failed.__cause__ = error
        finally:
            if failed is None:
                self._condition.stop()
        if failed is not None:
            # First: whoever hears of the failure may begin again at once.
            await self._leave(leasing)
            self._condition.fail(failed)
            if not self._pause.ended:
                self._again.watch(self.places.control.stored.row_version)

    async def _begin_again(self) -> None:
        await self.open()
        if self._leasing is not None and not self._pause.ended:
            self.start(self._leasing)

    async def _turn(self, leasing: Leasing) -> None:
        try:
            if await self._has_to_wait(leasing):
                return
            share = await self._share(leasing)
            if share is None or not share.leases:
                return
            await self._work(leasing, share)
        except (CheckpointConflictError, LeaseLostError, ConfigurationError) as error:
            # Another process has taken over, or an operator has reset it; nothing of ours was
            # written. Go on from where the checkpoints are.
            if isinstance(error, ConfigurationError):
                if not self.places.may_be_lost:
                    raise
                await self._pause.wait(asyncio.sleep(TRY_AGAIN_SECONDS))
            _log.debug("Subscription %r begins again: %s", self.name, error)
            self._unknown_until = 0.0
            leasing.forget(self.name)
        except SubscriptionFailedError as failure:
            self._leave_unknown(failure)
        except (*PASSING, ConflictError) as error:
            if is_of_control_row(error):
                # A worker with more types has come, or an operator: this one may be too old now.
                self._unknown_until = 0.0
                return
            # Begin again, from the checkpoints as they are then: what came of a commit may be
            # unknown.
            self._condition.try_again(error)
            await self._pause.wait(self._clock.sleep(self._again_after))
            self._again_after = min(2 * self._again_after, TRY_AGAIN_SECONDS_MAX)

    async def _has_to_wait(self, leasing: Leasing) -> bool:
        """Wait a while if this worker may not work; return whether it had to."""
        if time.monotonic() < self._unknown_until:
            await leasing.leave(self.name)
            await self._pause.wait(asyncio.sleep(WAITING_SECONDS))
            await self.places.check_unchanged()
            return True
        reset, self._condition.head = await self.places.load_again()
        control = self.places.control
        if reset:
            _log.warning(
                "Subscription %r was reset and goes on after position %s",
                self.name,
                self.progress.position,
            )
        state = SubscriptionState.WAITING
        waits_for = control.lacks
        if waits_for is None and (waits_for := control.stored.waits_for) is not None:
            retired = control.stored.retired
            state = SubscriptionState.RETIRED if retired else SubscriptionState.PAUSED
        if waits_for is None and self.places.all_at(control.stored.stop_at):
            state = SubscriptionState.PAUSED
            waits_for = f"was stopped at position {control.stored.stop_at}"
        if waits_for is None:
            return False
        self._condition.wait(waits_for, state)
        await leasing.leave(self.name)
        await self._pause.wait(asyncio.sleep(WAITING_SECONDS))
        return True

    async def _share(self, leasing: Leasing) -> Share | None:
        """Return what is leased; wait a while for it if nothing is."""
        self._leased.clear()
        leasing.join(self)
        share = leasing.share(self.name)
        if share is None or not share.leases:
            if share is not None:
                self._condition.work(SubscriptionState.LIVE)
            self._leased.clear()
            await self._pause.wait(self._wait_leased())
            share = leasing.share(self.name)
        return share

    async def _wait_leased(self) -> None:
        try:
            async with asyncio.timeout(WAITING_SECONDS):
                await self._leased.wait()
        except TimeoutError:
            pass

    async def _work(self, leasing: Leasing, share: Share) -> None:
        # Read after it was leased: if something has changed in between, the tokens count no more.
        _, self._condition.head = await self.places.load()
        if not self.places.control.admits:
            return
        await self._overrides.load()
        flight = InFlight(self.flow)

        def advanced() -> None:
            if self.places.update():
                self._again_after, self._unknown_after = TRY_AGAIN_SECONDS, WAITING_SECONDS
            session.advanced()

        async def control_changed() -> None:
            await session.control_changed()

        place = Workplace(
            self.subscription,
            self._consumer,
            self.target,
            self.places.control,
            self._clock,
            leasing,
            self._condition,
            self.progress,
            flight,
            advanced,
            self.places.look,
            control_changed,
            self._overrides,
        )
        session = Session(
            place,
            share,
            self.places.checkpoints,
            log=self._log,
            codec=self._codec,
            cursor=self.places.cursor,
            failures=self.failures,
        )
        if self._pause.ended:
            return
        self._session = self.places.session = session
        try:
            await session.run()
        finally:
            self.places.end_session()
            self._session = None

    def _leave_unknown(self, failure: SubscriptionFailedError) -> None:
        """Leave an event that this process does not know for another worker; raise other failures.

        It is tried again when another worker has moved on, or somebody has changed something.
        """
        unknown = failure.__cause__
        if not isinstance(unknown, UnknownTypeError):
            raise failure
        self._condition.wait(
            f"waits at position {failure.position} for a worker that knows {unknown.name} "
            f"version {unknown.schema_version}"
        )
        self._unknown_until = time.monotonic() + self._unknown_after
        self._unknown_after = min(2 * self._unknown_after, UNKNOWN_SECONDS_MAX)


def _stopping(_charge: Charge) -> Failures:
    return StopOnFailure()
