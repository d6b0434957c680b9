"""Every storage can take over another one's log."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from headwater.adapters.storage.memory import MemoryStorage
from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
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


class TestPostgres(RestorationConformance):
    takes_time_from_clock = False

    @pytest.fixture
    def new_storage(self, postgres_url: str, postgres_schema: str) -> RestorableStorage:
        settings = PostgresSettings.from_url(f"{postgres_url}?sslmode=disable")
        return PostgresStorage(replace(settings, schema=postgres_schema, auto_migrate=True))
