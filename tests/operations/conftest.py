from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock

NewStorage = Callable[[], MemoryStorage]


@pytest.fixture
async def storage(clock: ManualClock) -> AsyncIterator[MemoryStorage]:
    """An open storage that holds nothing."""
    opened = MemoryStorage(clock)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def target(clock: ManualClock) -> AsyncIterator[MemoryStorage]:
    """Another open storage that holds nothing."""
    opened = MemoryStorage(clock)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a file goes."""
    return tmp_path / "log.jsonl"
