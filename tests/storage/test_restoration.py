"""Every storage can take over another one's log."""

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.testing.conformance.restoration import RestorableStorage, RestorationConformance
from headwater.testing.conformance.suite import UnsteadyClock


class TestMemory(RestorationConformance):
    @pytest.fixture
    def new_storage(self, clock: UnsteadyClock) -> RestorableStorage:
        return MemoryStorage(clock)
