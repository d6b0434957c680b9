"""What all parts of a memory storage share: what it holds, its clock, and whether it is open."""

import asyncio
from typing import Final

from headwater.adapters.opening import CLOSED
from headwater.adapters.storage.memory.contents import MemoryContents
from headwater.adapters.storage.memory.news import News
from headwater.clock import Clock, microseconds_since_epoch
from headwater.errors import StorageClosedError


class MemoryPlace:
    """The part of `MemoryStorage` that its other parts stand on."""

    def __init__(self, clock: Clock) -> None:
        """Take the time from *clock*."""
        self._clock: Final = clock
        self._contents: Final = MemoryContents()
        self._news: Final = News(clock)
        self._open = False

    def _now(self) -> int:
        return microseconds_since_epoch(self._clock.now())

    def _check_open(self) -> None:
        if not self._open:
            raise StorageClosedError(CLOSED)

    async def _let_others_run(self) -> None:
        """Yield as any read of a real storage does, or a polling loop would starve the rest."""
        self._check_open()
        await asyncio.sleep(0)
        self._check_open()
