"""The PostgreSQL storage keeps every promise of its ports."""

import pytest
from msgspec.structs import replace

from headwater.adapters.storage.postgres import PostgresSettings, PostgresStorage
from headwater.ports.storage import Storage
from headwater.testing.conformance import SharedConformance, StorageConformance


@pytest.fixture
def settings(postgres_url: str, postgres_schema: str) -> PostgresSettings:
    settings = PostgresSettings.from_url(f"{postgres_url}?sslmode=disable")
    return replace(settings, schema=postgres_schema, auto_migrate=True)


class TestPostgres(StorageConformance):
    takes_time_from_clock = False

    @pytest.fixture
    def new_storage(self, settings: PostgresSettings) -> Storage:
        return PostgresStorage(settings)


class TestTwoOnOneSchema(SharedConformance):
    takes_time_from_clock = False

    @pytest.fixture
    def new_storage(self, settings: PostgresSettings) -> Storage:
        return PostgresStorage(settings)

    @pytest.fixture
    def another_storage(self, settings: PostgresSettings) -> Storage:
        return PostgresStorage(settings)
