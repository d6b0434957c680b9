from collections.abc import AsyncIterator

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.clock import ManualClock
from headwater.ports.storage import Storage
from tests.subscriptions.failures.lane import prepared


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def memory(clock: ManualClock) -> AsyncIterator[Storage]:
    storage = MemoryStorage(clock=clock)
    await storage.open()
    await prepared(storage)
    yield storage
    await storage.close()
