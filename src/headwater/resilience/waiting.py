"""A line of callers that wait for their turn, in tasks of any event loop and thread.

Whoever owns the line holds a lock of its own around every method.
"""

import asyncio
from collections import deque


class Waiter:
    """One caller. It is `called` when it is its turn, or when it has got what it waits for."""

    __slots__ = ("_future", "_loop", "called")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] = self._loop.create_future()
        self.called = False

    async def wait(self) -> None:
        """Return when called. If it is cancelled, `called` says whether that came first."""
        await self._future

    def call(self) -> bool:
        """Wake the caller; return False if its loop is closed, so that it can't be."""
        try:
            running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            self._wake()
        else:
            try:
                self._loop.call_soon_threadsafe(self._wake)
            except RuntimeError:
                return False
        self.called = True
        return True

    def _wake(self) -> None:
        if not self._future.done():
            self._future.set_result(None)


class Line:
    """Waiters in the order in which they came."""

    def __init__(self) -> None:
        self._waiters: deque[Waiter] = deque()

    def __len__(self) -> int:
        return len(self._waiters)

    def join(self) -> Waiter:
        """Return a new waiter, the last of the line."""
        waiter = Waiter()
        self._waiters.append(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Take *waiter* out of the line, if it still stands there."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def is_first(self, waiter: Waiter) -> bool:
        """Return whether nobody stands before *waiter*."""
        return bool(self._waiters) and self._waiters[0] is waiter

    def call_first(self) -> bool:
        """Call the first that can be, and leave it in the line; return False if there is none."""
        while self._waiters:
            if self._waiters[0].called or self._waiters[0].call():
                return True
            self._waiters.popleft()
        return False

    def take_first(self) -> bool:
        """Call the first that can be and take it out; return False if there is none."""
        called = self.call_first()
        if called:
            self._waiters.popleft()
        return called
