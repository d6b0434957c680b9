"""The condition of a subscription: what its runner says of it, also to those who wait for it."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from headwater.errors import StorageError, SubscriptionFailedError
from headwater.ports.log import Log
from headwater.subscriptions.progress import Progress
from headwater.subscriptions.rate import Rate
from headwater.subscriptions.status import SubscriptionState, SubscriptionStatus

FOLLOW_SECONDS: Final = 5.0
"""How late the end of the log is known at most once a subscription has failed."""

_AT_WORK: Final = (SubscriptionState.CATCHING_UP, SubscriptionState.LIVE)

_log = logging.getLogger("headwater")


class Condition:
    """Keeps the state of a subscription; `head` is the end of the log when it last looked."""

    def __init__(self, subscription: str, progress: Progress, log: Log) -> None:
        self._subscription, self._progress, self._of = subscription, progress, log
        self.state = SubscriptionState.STARTING
        self.head = 0
        self.events_done = self.retries = 0
        self._rate = Rate()
        self._failure: SubscriptionFailedError | None = None
        self._trouble: Exception | None = None
        self._suspended: str | None = None
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Forget what was before."""
        self.state, self._failure = SubscriptionState.STARTING, None
        self._suspended = None
        self.events_done = self.retries = 0
        self.unfollow()
        self._progress.waits_for = None
        self._progress.restart()

    def work(self, state: SubscriptionState) -> None:
        """Note that there is no trouble."""
        self.state, self._trouble = state, None
        if self._suspended is None:
            self._progress.waits_for = None

    def wait(self, waits_for: str, state: SubscriptionState = SubscriptionState.WAITING) -> None:
        """Note what the subscription waits for before it can go on."""
        if self._progress.waits_for != waits_for:
            _log.warning("Subscription %r %s", self._subscription, waits_for)
        self.state, self._trouble = state, None
        self._progress.waits_for = waits_for

    def suspend(self, why: str) -> None:
        """Note that events are left until what they need is there again, which is *why*."""
        if self._suspended is None:
            _log.warning("Subscription %r is suspended: %s", self._subscription, why)
        self._suspended = self._progress.waits_for = why

    def has_done(self, events: int) -> None:
        """Note that so many events were handled and committed."""
        self.events_done += events
        self._rate.add(events)
        if self._suspended is not None:
            self._suspended = self._progress.waits_for = None

    def has_failed(self) -> None:
        """Note that an event failed, and will be tried again or put aside."""
        self.retries += 1

    def try_again(self, trouble: Exception) -> None:
        """Note what may pass by itself."""
        _log.warning("Subscription %r tries again: %s", self._subscription, trouble)
        self._trouble = trouble

    def stop(self) -> None:
        """Tell whoever waits that it was stopped: else they would wait for what does not come."""
        self.state = SubscriptionState.STOPPED
        self._progress.waits_for = None
        self._progress.fail(
            SubscriptionFailedError(
                self._subscription, position=self._progress.position, problem="it was stopped"
            )
        )

    def fail(self, failure: SubscriptionFailedError) -> None:
        """Tell whoever waits that it failed, and follow the head of the log from now on."""
        self.state = SubscriptionState.FAILED
        self._failure, self._trouble = failure, None
        self._progress.waits_for = None
        self._progress.fail(failure)
        self._following = asyncio.create_task(self._follow_head())
        _log.error("%s", failure, exc_info=failure.__cause__)

    def unfollow(self) -> None:
        """Leave the head as it is."""
        if self._following is not None:
            self._following.cancel()

    def status(
        self,
        position: int,
        checkpoints: Iterable[int],
        owners: Iterable[str | None],
        *,
        lag_seconds: float | None = None,
    ) -> SubscriptionStatus:
        """Return what is known right now; the caller knows the places."""
        failure, state = self._failure, self.state
        if self._suspended is not None and state in _AT_WORK:
            state = SubscriptionState.SUSPENDED
        error = failure or self._trouble or self._progress.waits_for
        return SubscriptionStatus(
            self._subscription,
            state,
            position,
            max(self.head, position),
            tuple(checkpoints),
            str(error) if error else None,
            failure.position if failure else None,
            owners=tuple(owners),
            lag_seconds=lag_seconds,
            events_done=self.events_done,
            events_per_second=self._rate.per_second,
            retries=self.retries,
        )

    async def _follow_head(self) -> None:
        """Keep the status true: what has failed falls behind further and further."""
        with suppress(StorageError):
            while True:
                self.head = await self._of.wait_for_news(self.head, seconds=FOLLOW_SECONDS)
