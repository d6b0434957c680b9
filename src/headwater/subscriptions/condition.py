"""The condition of a subscription: what its runner says of it, also to those who wait for it."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from headwater.errors import StorageError, SubscriptionFailedError
from headwater.ports.leases import Checkpoint
from headwater.ports.log import Log
from headwater.subscriptions.progress import Progress
from headwater.subscriptions.status import SubscriptionState, SubscriptionStatus

FOLLOW_SECONDS: Final = 5.0
"""How late the end of the log is known at most once a subscription has failed."""

_log = logging.getLogger("headwater")


class Condition:
    """Keeps the state of a subscription; `head` is the end of the log when it last looked."""

    def __init__(self, subscription: str, progress: Progress, log: Log) -> None:
        self._subscription, self._progress, self._of = subscription, progress, log
        self.state = SubscriptionState.STARTING
        self.head = 0
        self._failure: SubscriptionFailedError | None = None
        self._trouble: Exception | None = None
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Forget what was before."""
        self.state, self._failure = SubscriptionState.STARTING, None
        self.unfollow()
        self._progress.waits_for = None
        self._progress.restart()

    def work(self, state: SubscriptionState) -> None:
        """Note that there is no trouble."""
        self.state, self._trouble = state, None
        self._progress.waits_for = None

    def wait(self, waits_for: str) -> None:
        """Note what the subscription waits for before it can go on."""
        if self._progress.waits_for != waits_for:
            _log.warning("Subscription %r %s", self._subscription, waits_for)
        self.state, self._trouble = SubscriptionState.WAITING, None
        self._progress.waits_for = waits_for

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

    def status(self, checkpoints: Iterable[Checkpoint]) -> SubscriptionStatus:
        """Return what is known right now."""
        failure, position = self._failure, self._progress.position
        error = failure or self._trouble or self._progress.waits_for
        return SubscriptionStatus(
            self._subscription,
            self.state,
            position,
            max(self.head, position),
            tuple(checkpoint.position for checkpoint in checkpoints),
            str(error) if error else None,
            failure.position if failure else None,
        )

    async def _follow_head(self) -> None:
        """Keep the status true: what has failed falls behind further and further."""
        with suppress(StorageError):
            while True:
                self.head = await self._of.wait_for_news(self.head, seconds=FOLLOW_SECONDS)
