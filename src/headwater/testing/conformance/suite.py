"""What the suites of a storage's ports share: the fixtures, and a clock that can fall back."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final

import pytest

from headwater.clock import Duration, ManualClock, seconds_of
from headwater.ports.storage import Storage

FAR_FUTURE_US: Final = 32_503_680_000_000_000
"""The year 3000, in microseconds since 1970."""


class UnsteadyClock(ManualClock):
    """A manual clock whose wall time can also fall back, as a machine's does when it is set."""

    def __init__(self) -> None:
        super().__init__()
        self._behind = timedelta()

    def now(self) -> datetime:
        return super().now() - self._behind

    def fall_back(self, by: Duration) -> None:
        """Set the wall time back by *by* (seconds or timedelta)."""
        self._behind += timedelta(seconds=seconds_of(by))


class StorageSuite:
    """Opens a fresh storage for each test. A subclass says how to make one."""

    takes_time_from_clock: bool = True
    """Whether the storage's time is that of the `clock` fixture, and not that of a server."""

    @pytest.fixture
    def clock(self) -> UnsteadyClock:
        """The clock for storages that take the time from one."""
        return UnsteadyClock()

    @pytest.fixture
    def new_storage(self, clock: UnsteadyClock) -> Storage:
        """Return a storage that holds nothing and was never opened."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `new_storage`.")

    @pytest.fixture
    async def storage(self, new_storage: Storage) -> AsyncIterator[Storage]:
        """The storage under test, open."""
        await new_storage.open()
        yield new_storage
        await new_storage.close()
