"""The school on each storage."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from examples.courses.school import make_school
from headwater import App
from headwater.adapters.storage.postgres import PostgresSettings
from tests.storage.conftest import (
    postgres,
    postgres_run_folder,
    postgres_schema,
    postgres_url,
)

__all__ = ["postgres", "postgres_run_folder", "postgres_schema", "postgres_url"]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty storage."""
    if request.param == "memory":
        return "memory://"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/school.db"
    server: str = request.getfixturevalue("postgres_url")
    schema: str = request.getfixturevalue("postgres_schema")
    url = f"{server}?schema={schema}&sslmode=disable&auto_migrate=true"
    # Imports the adapter, which an app would else do while the event loop runs.
    assert PostgresSettings.from_url(url).schema == schema
    return url


@pytest.fixture
async def school(storage_url: str) -> AsyncGenerator[App]:
    async with make_school(storage_url) as app:
        yield app
