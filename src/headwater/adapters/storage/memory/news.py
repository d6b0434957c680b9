"""Readers that have come to the end of the log, and wait for more."""

import asyncio
from typing import Final

from headwater.clock import Clock


class News:
    """Wakes each reader as soon as the head is past what it has read."""

    def __init__(self, clock: Clock) -> None:
        """Count the time of those who wait by *clock*."""
        self._clock: Final = clock
        self._readers: Final[dict[asyncio.Future[None], int]] = {}

    async def wait(self, after: int, *, seconds: float) -> None:
        """Return when something has come past *after*, all were woken, or *seconds* are over."""
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        self._readers[news] = after
        try:
            await asyncio.wait({news, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._readers.pop(news, None)
            timer.cancel()

    def come(self, head: int) -> None:
        """Wake those who have not read up to *head*."""
        for news, after in list(self._readers.items()):
            if head > after and not news.done():
                news.set_result(None)

    def wake_all(self) -> None:
        """Wake everybody, because nothing will come any more."""
        for news in list(self._readers):
            if not news.done():
                news.set_result(None)
