"""The SQLite storage keeps every promise of its ports."""

from pathlib import Path

import pytest

from headwater.adapters.storage.sqlite import SqliteSettings, SqliteStorage
from headwater.ports.storage import Storage
from headwater.testing.conformance import SharedConformance, StorageConformance
from headwater.testing.conformance.suite import UnsteadyClock


class TestSqlite(StorageConformance):
    @pytest.fixture
    def new_storage(self, tmp_path: Path, clock: UnsteadyClock) -> Storage:
        return SqliteStorage(SqliteSettings(tmp_path / "log.db"), clock=clock)


class TestSqliteShared(SharedConformance):
    @pytest.fixture
    def new_storage(self, tmp_path: Path, clock: UnsteadyClock) -> Storage:
        return SqliteStorage(SqliteSettings(tmp_path / "log.db"), clock=clock)

    @pytest.fixture
    def another_storage(self, storage: Storage, tmp_path: Path, clock: UnsteadyClock) -> Storage:
        return SqliteStorage(SqliteSettings(tmp_path / "log.db"), clock=clock)
