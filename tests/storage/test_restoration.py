"""Every storage can take over another one's log."""

from pathlib import Path

import pytest

from headwater.adapters.storage.memory import MemoryStorage
from headwater.adapters.storage.sqlite import SqliteSettings, SqliteStorage
from headwater.testing.conformance.restoration import RestorableStorage, RestorationConformance
from headwater.testing.conformance.suite import UnsteadyClock


class TestMemory(RestorationConformance):
    @pytest.fixture
    def new_storage(self, clock: UnsteadyClock) -> RestorableStorage:
        return MemoryStorage(clock)


class TestSqlite(RestorationConformance):
    @pytest.fixture
    def new_storage(self, tmp_path: Path, clock: UnsteadyClock) -> RestorableStorage:
        return SqliteStorage(SqliteSettings(tmp_path / "log.db"), clock=clock)
