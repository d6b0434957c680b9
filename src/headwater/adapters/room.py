"""How many may wait at once, in order, on one event loop."""

import asyncio
from collections import deque


class Room:
    """A number of places; whoever finds none free waits, and gets one in order of arrival.

    An `asyncio.Semaphore` that takes no coroutine where there is room, which is on every commit.
    """

    __slots__ = ("_free", "_waiting")

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[asyncio.Future[None]] = deque()

    def enter_now(self) -> bool:
        """Take a place if one is free and nobody waits for it."""
        if self._free <= 0 or self._waiting:
            return False
        self._free -= 1
        return True

    async def enter(self) -> None:
        """Take a place, after all who wait already."""
        if self.enter_now():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        entered = False
        try:
            await turn
            entered = True
        finally:
            # Cancelled just when a place was given: it goes to the next.
            if not entered and not turn.cancelled():
                self.leave(1)

    def leave(self, places: int) -> None:
        """Give *places* back."""
        self._free += places
        while self._free > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self._free -= 1
                turn.set_result(None)
