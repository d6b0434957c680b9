"""The PostgreSQL storage keeps every promise of its ports."""

import pytest
from msgspec.structs import replace

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.ports.storage import Storage
from headwater.testing.conformance import StorageConformance


class TestPostgres(StorageConformance):
    takes_time_from_clock = False

    @pytest.fixture
    def new_storage(self, postgres_url: str, postgres_schema: str) -> Storage:
        settings = PostgresSettings.from_url(f"{postgres_url}?sslmode=disable")
        return PostgresStorage(replace(settings, schema=postgres_schema, auto_migrate=True))
