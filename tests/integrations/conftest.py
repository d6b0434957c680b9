"""A PostgreSQL schema with Headwater's tables."""

from collections.abc import AsyncIterator

import pytest

from headwater.adapters.storage.postgres import schema
from headwater.adapters.storage.postgres.settings import PostgresSettings
from tests.integrations.guests import House
from tests.storage.conftest import (
    pgbouncer,
    postgres,
    postgres_run_folder,
    postgres_schema,
    postgres_url,
)

__all__ = [
    "house",
    "pgbouncer",
    "postgres",
    "postgres_run_folder",
    "postgres_schema",
    "postgres_url",
]


@pytest.fixture
async def house(postgres_url: str, postgres_schema: str) -> AsyncIterator[House]:
    settings = PostgresSettings.from_url(f"{postgres_url}?schema={postgres_schema}&sslmode=disable")
    await schema.upgrade(settings)
    house = House(settings, postgres_url)
    yield house
    await house.mover.stop()
