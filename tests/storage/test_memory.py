"""The memory storage keeps every promise of a storage, and those of its own."""

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.ports.storage import Storage
from headwater.testing.conformance import StorageConformance, UnsteadyClock


class TestMemory(StorageConformance):
    @pytest.fixture
    def new_storage(self, clock: UnsteadyClock) -> Storage:
        return MemoryStorage(clock)
