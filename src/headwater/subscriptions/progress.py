"""Progress: how far a subscription has come, and whoever waits for it to come further."""

import asyncio
import heapq
from itertools import count

from headwater.errors import LogRewoundError, SubscriptionFailedError, WaitTimeoutError


class Progress:
    """The position up to which everything is committed, and every checkpoint stored.

    `waits_for` says what the subscription itself waits for, if it does; None if not.
    """

    def __init__(self, subscription: str) -> None:
        self.subscription = subscription
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()
        self._failure: SubscriptionFailedError | None = None
        self.position = 0
        self.waits_for: str | None = None

    @property
    def awaited(self) -> int | None:
        """The next position that somebody waits for, None if nobody waits."""
        return self._waiting[0][0] if self._waiting else None

    def move_to(self, position: int) -> None:
        """Set the position, back too, and wake those who wait for it."""
        self.position = position
        while self._waiting and self._waiting[0][0] <= self.position:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    def fail(self, failure: SubscriptionFailedError) -> None:
        """Wake all who wait: what they wait for will not come."""
        self._failure = failure
        for _, _, future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    @property
    def _void(self) -> bool:
        """Whether the position is one of a log that is there no more."""
        return self._failure is not None and isinstance(self._failure.__cause__, LogRewoundError)

    def restart(self) -> None:
        """Forget the failure."""
        self._failure = None

    def check(self) -> None:
        """Raise the failure anew, if there is one: a raised error keeps where it was raised."""
        if self._failure is not None:
            failed = self._failure
            raise SubscriptionFailedError(
                failed.subscription, position=failed.position, problem=failed.problem
            ) from failed.__cause__

    async def wait_for(self, position: int, *, seconds: float | None) -> None:
        """Return when *position* is reached.

        Raises:
            SubscriptionFailedError: the subscription stopped before it.
            WaitTimeoutError: it was not reached within *seconds*.
        """
        if self.position >= position and not self._void:
            return
        self.check()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (position, next(self._order), future)
        heapq.heappush(self._waiting, entry)
        try:
            async with asyncio.timeout(seconds):
                await future
            self.check()
        except TimeoutError as error:
            raise WaitTimeoutError(
                self.subscription,
                target=position,
                reached=self.position,
                seconds=seconds or 0.0,
                waits_for=self.waits_for,
            ) from error
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
